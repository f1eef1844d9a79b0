package main

import (
	"encoding/json"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/tlog"
)

// Manifest lists the logs below its folder; both directions use this form.
type Manifest struct {
	Logs []*Log `json:"logs"`
}

// Log is one log with the proofs that its writer made. Roots are not in it: who verifies takes them from the tiles.
type Log struct {
	Folder      string        `json:"folder"`
	Origin      string        `json:"origin"`
	Key         string        `json:"key"` // of the log, as a verifier key of C2SP signed-note
	Size        int64         `json:"size"`
	Witnesses   []Witness     `json:"witnesses"`
	Inclusion   []Inclusion   `json:"inclusion"`
	Consistency []Consistency `json:"consistency"`
	Proofs      []ProofFile   `json:"proofs"`
	Flip        bool          `json:"flip"` // whether bytes of it are flipped, one after the other
}

// Witness is a key that cosigned the newest checkpoint, and when, in Unix seconds.
type Witness struct {
	Key     string `json:"key"`
	Seconds int64  `json:"seconds"`
}

// Inclusion is a proof that leaf Index is in the tree of Size leaves.
type Inclusion struct {
	Index  int64       `json:"index"`
	Size   int64       `json:"size"`
	Hashes []tlog.Hash `json:"hashes"`
}

// Consistency is a proof that the tree of Old leaves begins that of New.
type Consistency struct {
	Old    int64       `json:"old"`
	New    int64       `json:"new"`
	Hashes []tlog.Hash `json:"hashes"`
}

// ProofFile is a tlog-proof in a file of the log's folder.
type ProofFile struct {
	File  string `json:"file"`
	Index int64  `json:"index"`
}

const (
	manifestFile   = "manifest.json"
	checkpointFile = "checkpoint"
	cosignedFile   = "checkpoint.cosigned"
)

func readManifest(folder string) (*Manifest, error) {
	data, err := os.ReadFile(filepath.Join(folder, manifestFile))
	if err != nil {
		return nil, err
	}
	manifest := &Manifest{}
	if err := json.Unmarshal(data, manifest); err != nil {
		return nil, err
	}
	for _, log := range manifest.Logs {
		log.Folder = filepath.Join(folder, log.Folder)
	}
	return manifest, nil
}
