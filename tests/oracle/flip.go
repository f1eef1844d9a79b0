package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// flipBit turns a letter into its other case and everything else into nothing that may stand in a note, and so never
// changes only the spare last bits of base64: those Go reads as the same bytes. Comity refuses them too.
const flipBit = 0x20

// mostTiles is in how many files of one level bytes are flipped: each time the whole log is verified.
const mostTiles = 4

// A judge says why a log is refused; the log has one flipped byte.
type judge struct {
	by    string
	check func(*Log) error
}

func (l *Log) judgeCheckpoint() error { _, err := l.opened(); return err }

func (l *Log) judgeCosigned() error {
	checkpoint, err := l.opened()
	if err != nil {
		return nil // it is the cosigned one that was to be refused
	}
	_, err = l.cosigned(checkpoint)
	return err
}

func (l *Log) judgeTiles() error {
	checkpoint, err := l.opened()
	if err != nil {
		return nil
	}
	_, _, err = verifiedTiles(l.Folder, checkpoint.Tree)
	return err
}

// flipAll flips bytes of every file of the log's folder, one at a time: each in a text, three in a tile.
func (l *Log) flipAll(report *Report) error {
	checkpoint, err := l.opened()
	if err != nil {
		return err
	}
	entries, _, err := verifiedTiles(l.Folder, checkpoint.Tree)
	if err != nil {
		return err
	}
	var files []string
	err = filepath.WalkDir(l.Folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, strings.TrimPrefix(path, l.Folder+string(filepath.Separator)))
		}
		return err
	})
	if err != nil {
		return err
	}
	proofs := map[string]ProofFile{}
	for _, each := range l.Proofs {
		proofs[each.File] = each
	}
	tiles := map[string]int{}
	for _, name := range files {
		what, judges := l.judgesOf(name, proofs, entries)
		if strings.HasPrefix(name, "tile/") {
			tiles[what]++
		}
		if judges == nil || tiles[what] > mostTiles {
			continue
		}
		if err := l.flipFile(report, name, what, judges); err != nil {
			return err
		}
	}
	l.flipHashes(report, checkpoint.Tree, entries)
	return nil
}

func (l *Log) judgesOf(name string, proofs map[string]ProofFile, entries [][]byte) (string, []judge) {
	fsck := judge{byTessera + " fsck", (*Log).fsck}
	proof, isProof := proofs[name]
	switch {
	case name == checkpointFile:
		return "checkpoint", []judge{{bySumdb + ", " + byWood, (*Log).judgeCheckpoint}, fsck}
	case name == cosignedFile:
		return "cosigned checkpoint", []judge{{byWood, (*Log).judgeCosigned}}
	case isProof:
		check := func(log *Log) error { return log.checkProofFile(proof, entries[proof.Index]) }
		return "tlog-proof file", []judge{{byWood, check}}
	case strings.HasPrefix(name, "tile/entries/"):
		return "entry bundle", []judge{{bySumdb + ", " + byWood, (*Log).judgeTiles}, fsck}
	case strings.HasPrefix(name, "tile/"):
		level := strings.Split(name, "/")[1]
		return "hash tile, level " + level, []judge{{bySumdb, (*Log).judgeTiles}, fsck}
	}
	return "", nil // a file that is not part of a published log, such as the bodies
}

func (l *Log) flipFile(report *Report, name, what string, judges []judge) error {
	path := filepath.Join(l.Folder, name)
	whole, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for _, at := range positionsIn(name, whole) {
		damaged := append([]byte{}, whole...)
		damaged[at] ^= flipBit
		if err := os.WriteFile(path, damaged, 0o644); err != nil {
			return err
		}
		for _, judge := range judges {
			report.flipped(what, judge.by, fmt.Sprintf("%s, byte %d", name, at), judge.check(l))
		}
	}
	return os.WriteFile(path, whole, 0o644)
}

// positionsIn gives every byte of a text but a proof's extra data, which nobody vouches for, and three of a tile.
func positionsIn(name string, whole []byte) []int {
	if strings.HasPrefix(name, "tile/") {
		return []int{0, len(whole) / 2, len(whole) - 1}
	}
	first, last := -1, -1
	if start := bytes.Index(whole, []byte("\nextra ")); start >= 0 {
		first = start + len("\nextra ")
		last = first + bytes.IndexByte(whole[first:], '\n')
	}
	var positions []int
	for at := range whole {
		if at < first || at >= last {
			positions = append(positions, at)
		}
	}
	return positions
}

// flipHashes flips a byte in each hash of each proof that does not travel in a file.
func (l *Log) flipHashes(report *Report, tree tlog.Tree, entries [][]byte) {
	reader := tlog.TileHashReader(tree, &tileFolder{l.Folder, map[string]bool{}})
	root := func(size int64) tlog.Hash {
		hash, err := tlog.TreeHash(size, reader)
		if err != nil {
			report.fault("%s: root of %d leaves: %v", l.Folder, size, err)
		}
		return hash
	}
	for _, each := range l.Inclusion {
		top := root(each.Size)
		for at := range each.Hashes {
			each.Hashes[at][at%tlog.HashSize] ^= flipBit
			place := fmt.Sprintf("inclusion of %d in %d, hash %d", each.Index, each.Size, at)
			report.flipped("inclusion proof", bySumdb, place, each.check(top, entries))
			each.Hashes[at][at%tlog.HashSize] ^= flipBit
		}
	}
	for _, each := range l.Consistency {
		older, newer := root(each.Old), root(each.New)
		for at := range each.Hashes {
			each.Hashes[at][at%tlog.HashSize] ^= flipBit
			place := fmt.Sprintf("consistency of %d with %d, hash %d", each.Old, each.New, at)
			report.flipped("consistency proof", bySumdb, place, each.check(older, newer))
			each.Hashes[at][at%tlog.HashSize] ^= flipBit
		}
	}
}
