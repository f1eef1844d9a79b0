package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

// tileFolder reads the hash tiles of a log's folder for tlog, and remembers which files it read.
type tileFolder struct {
	path string
	read map[string]bool
}

func (t *tileFolder) Height() int { return torchwood.TileHeight }

func (t *tileFolder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	found := make([][]byte, len(tiles))
	for at, tile := range tiles {
		data, err := t.file(tile)
		if err != nil {
			return nil, err
		}
		found[at] = data
	}
	return found, nil
}

func (t *tileFolder) SaveTiles([]tlog.Tile, [][]byte) {}

func (t *tileFolder) file(tile tlog.Tile) ([]byte, error) {
	name := torchwood.TilePath(tile)
	data, err := os.ReadFile(filepath.Join(t.path, name))
	if err == nil {
		t.read[name] = true
	}
	return data, err
}

// verifiedTiles reads every hash of every tile of the tree through tlog's authenticating reader, and every entry
// through the hash of its leaf. It returns the entries, and refuses a folder with tiles that the tree does not have.
func verifiedTiles(path string, tree tlog.Tree) (entries [][]byte, files int, err error) {
	folder := &tileFolder{path, map[string]bool{}}
	for level, count := 0, tree.N; count > 0; level, count = level+torchwood.TileHeight, count>>torchwood.TileHeight {
		indexes := make([]int64, count)
		for at := range indexes {
			indexes[at] = tlog.StoredHashIndex(level, int64(at))
		}
		hashes, err := tlog.TileHashReader(tree, folder).ReadHashes(indexes)
		if err != nil {
			return nil, 0, fmt.Errorf("tiles of level %d: %w", level/torchwood.TileHeight, err)
		}
		if level == 0 {
			if entries, err = verifiedEntries(folder, hashes); err != nil {
				return nil, 0, err
			}
		}
	}
	return entries, len(folder.read), folder.nothingElse()
}

func verifiedEntries(folder *tileFolder, hashes []tlog.Hash) ([][]byte, error) {
	var entries [][]byte
	for start := 0; start < len(hashes); start += torchwood.TileWidth {
		tile := tlog.Tile{
			H: torchwood.TileHeight, L: -1, N: int64(start / torchwood.TileWidth),
			W: min(len(hashes)-start, torchwood.TileWidth),
		}
		name := torchwood.TilePath(tile)
		data, err := folder.file(tile)
		if err != nil {
			return nil, err
		}
		for at := start; at < start+tile.W; at++ {
			entry, rest, err := torchwood.ReadTileEntry(data)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if tlog.RecordHash(entry) != hashes[at] {
				return nil, fmt.Errorf("%s: leaf %d is not what its hash says", name, at)
			}
			entries, data = append(entries, entry), rest
		}
		if len(data) > 0 {
			return nil, fmt.Errorf("%s: more than %d leaves", name, tile.W)
		}
	}
	return entries, nil
}

func (t *tileFolder) nothingElse() error {
	root := filepath.Join(t.path, "tile")
	if _, err := os.Stat(root); os.IsNotExist(err) {
		return nil
	}
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		name := strings.TrimPrefix(path, t.path+string(filepath.Separator))
		if err == nil && !entry.IsDir() && !t.read[name] {
			return fmt.Errorf("%s is no tile of this tree", name)
		}
		return err
	})
}
