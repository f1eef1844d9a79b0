package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"time"
)

const (
	leafBytes  = 120 // as a leaf of Comity has
	groupSize  = 100 // entries that are integrated together, as on Comity's side of the comparison
	durability = "every bundle, tile and tree state written with O_SYNC beside its place, renamed, its folder flushed;" +
		" a checkpoint signed and published at most every 100 ms, not for each group; no bodies"
)

// Measured is how long appending took until every entry was durable and a published checkpoint covered them all.
type Measured struct {
	Entries    int     `json:"entries"`
	LeafBytes  int     `json:"leaf_bytes"`
	Group      int     `json:"group"`
	Seconds    float64 `json:"seconds"`
	Durability string  `json:"durability"`
}

// measureAppend appends to a new log in the folder, which must not exist yet.
func measureAppend(count int, folder string) (*Measured, error) {
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		return nil, fmt.Errorf("%s is there already; name a folder that is not", folder)
	}
	_, signer, err := logKey("speed.example/log")
	if err != nil {
		return nil, err
	}
	entries := make([][]byte, count)
	for at := range entries {
		entries[at] = make([]byte, leafBytes)
		if _, err := rand.Read(entries[at]); err != nil {
			return nil, err
		}
	}
	begun := time.Now()
	if err := appendEntries(folder, signer, entries, groupSize); err != nil {
		return nil, err
	}
	return &Measured{count, leafBytes, groupSize, time.Since(begun).Seconds(), durability}, nil
}
