package main

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"filippo.io/torchwood"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

var (
	writtenSizes = []int{0, 1, 2, 5, 255, 256, 257, 511, 512, 700, 66_000}
	witnessNames = []string{"witness.example/one", "did:key:zWitness", "witness.example/three"}
)

const (
	flippedSize = 700
	publishes   = 100 * time.Millisecond // the least that the driver allows
	batchAge    = 50 * time.Millisecond
)

// writeAll writes logs of several sizes, with proofs, and what is needed to check them.
func writeAll(folder string) (*Report, error) {
	manifest := &Manifest{}
	for _, size := range writtenSizes {
		log, err := writeLog(folder, size)
		if err != nil {
			return nil, fmt.Errorf("a log of %d leaves: %w", size, err)
		}
		manifest.Logs = append(manifest.Logs, log)
	}
	data, err := json.Marshal(manifest)
	if err != nil {
		return nil, err
	}
	report := &Report{Checks: []*Check{}, Flips: []*Flip{}, Faults: []string{}}
	return report, os.WriteFile(filepath.Join(folder, manifestFile), data, 0o644)
}

func writeLog(folder string, size int) (*Log, error) {
	name := fmt.Sprintf("tessera-%05d", size)
	origin := fmt.Sprintf("tessera.example/%05d", size)
	key, signer, err := logKey(origin)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(folder, name)
	// A batch that divides nothing leaves partial tiles behind; a large log in small ones would take minutes.
	if err := appendEntries(path, signer, entriesOf(size), max(97, size/8)); err != nil {
		return nil, err
	}
	log := &Log{
		Folder: name, Origin: origin, Key: key, Size: int64(size), Flip: size == flippedSize,
		Witnesses: []Witness{}, Inclusion: []Inclusion{}, Consistency: []Consistency{}, Proofs: []ProofFile{},
	}
	cosigned, err := log.cosign(path, signer)
	if err != nil {
		return nil, err
	}
	return log, log.prove(path, cosigned)
}

// entriesOf gives leaves of every length up to a few hundred bytes, an empty and a longest one among them.
func entriesOf(size int) [][]byte {
	entries := make([][]byte, size)
	for at := range entries {
		entries[at] = make([]byte, at%300)
		for start := 0; start < len(entries[at]); start += sha256.Size {
			sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(at<<16|start)))
			copy(entries[at][start:], sum[:])
		}
	}
	if size > 400 {
		entries[400] = make([]byte, 65_535)
	}
	return entries
}

// appendEntries writes a log with Tessera's POSIX driver and waits until a checkpoint over all of it is published.
func appendEntries(path string, signer note.Signer, entries [][]byte, batch int) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	driver, err := posix.New(ctx, posix.Config{Path: path})
	if err != nil {
		return err
	}
	options := tessera.NewAppendOptions().WithCheckpointSigner(signer).
		WithBatching(uint(batch), batchAge).WithCheckpointInterval(publishes).WithPushback(uint(len(entries) + 1))
	appender, shutdown, reader, err := tessera.NewAppender(ctx, driver, options)
	if err != nil {
		return err
	}
	futures := make([]tessera.IndexFuture, len(entries))
	for at, entry := range entries {
		futures[at] = appender.Add(ctx, tessera.NewEntry(entry))
	}
	for at, future := range futures {
		index, err := future()
		if err != nil {
			return err
		}
		if index.Index != uint64(at) {
			return fmt.Errorf("entry %d got the place %d", at, index.Index)
		}
	}
	if len(futures) > 0 {
		awaiter := tessera.NewPublicationAwaiter(ctx, reader.ReadCheckpoint, publishes/10)
		if _, _, err := awaiter.Await(ctx, futures[len(futures)-1]); err != nil {
			return err
		}
	}
	return shutdown(ctx)
}

// cosign adds the witnesses' lines to the published checkpoint, with torchwood, and writes it beside it.
func (l *Log) cosign(path string, signer note.Signer) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(path, checkpointFile))
	if err != nil {
		return nil, err
	}
	verifier, err := note.NewVerifier(l.Key)
	if err != nil {
		return nil, err
	}
	opened, err := note.Open(data, note.VerifierList(verifier))
	if err != nil {
		return nil, err
	}
	var signers []note.Signer
	for _, name := range witnessNames {
		witness, err := torchwood.NewCosignatureSigner(name, keyOf(name))
		if err != nil {
			return nil, err
		}
		signers = append(signers, witness)
		l.Witnesses = append(l.Witnesses, Witness{Key: witness.Verifier().String()})
	}
	cosigned, err := note.Sign(opened, signers...)
	if err != nil {
		return nil, err
	}
	if err := l.keepTimes(cosigned); err != nil {
		return nil, err
	}
	return cosigned, os.WriteFile(filepath.Join(path, cosignedFile), cosigned, 0o644)
}

func (l *Log) keepTimes(cosigned []byte) error {
	policy, err := l.policy()
	if err != nil {
		return err
	}
	_, opened, err := torchwood.VerifyCheckpoint(cosigned, policy)
	if err != nil {
		return err
	}
	for at, name := range witnessNames {
		for _, sig := range opened.Sigs {
			if sig.Name != name {
				continue
			}
			if l.Witnesses[at].Seconds, err = torchwood.CosignatureTimestamp(sig); err != nil {
				return err
			}
		}
	}
	return nil
}

// prove writes proofs: those of x/mod/sumdb's kind by Tessera's client, and tlog-proof files by torchwood.
func (l *Log) prove(path string, cosigned []byte) error {
	ctx := context.Background()
	sizes := sizesWithin(l.Size)
	for _, size := range sizes {
		builder, err := client.NewProofBuilder(ctx, uint64(size), l.tilesOf(path))
		if err != nil {
			return err
		}
		for _, index := range placesWithin(size) {
			raw, err := builder.InclusionProof(ctx, uint64(index))
			if err != nil {
				return fmt.Errorf("inclusion of %d in %d: %w", index, size, err)
			}
			l.Inclusion = append(l.Inclusion, Inclusion{index, size, hashesOf(raw)})
			if size == l.Size {
				if err := l.writeProof(path, index, hashesOf(raw), cosigned); err != nil {
					return err
				}
			}
		}
		for _, old := range sizes {
			if old > size {
				continue
			}
			raw, err := builder.ConsistencyProof(ctx, uint64(old), uint64(size))
			if err != nil {
				return fmt.Errorf("consistency of %d with %d: %w", old, size, err)
			}
			l.Consistency = append(l.Consistency, Consistency{old, size, hashesOf(raw)})
		}
	}
	return nil
}

func (l *Log) writeProof(path string, index int64, hashes []tlog.Hash, cosigned []byte) error {
	name := fmt.Sprintf("%d.tlog-proof", index)
	l.Proofs = append(l.Proofs, ProofFile{name, index})
	proof := torchwood.FormatProof(index, hashes, cosigned)
	if index%2 == 1 {
		proof = torchwood.FormatProofWithExtraData(index, []byte("anything"), hashes, cosigned)
	}
	return os.WriteFile(filepath.Join(path, name), proof, 0o644)
}

// tilesOf reads the newest tree's tiles, as narrow as they are asked for: those of an older tree may never have been.
func (l *Log) tilesOf(path string) client.TileFetcherFunc {
	files := client.FileFetcher{Root: path}
	return func(ctx context.Context, level, index uint64, width uint8) ([]byte, error) {
		data, err := files.ReadTile(ctx, level, index, layout.PartialTileSize(level, index, uint64(l.Size)))
		if err != nil || width == 0 || len(data) < int(width)*tlog.HashSize {
			return data, err
		}
		return data[:int(width)*tlog.HashSize], nil
	}
}

// sizesWithin gives trees to prove things of: the whole, and those around powers of two and tiles' edges.
func sizesWithin(size int64) []int64 {
	var sizes []int64
	for _, each := range []int64{1, 2, 3, 255, 256, 257, 512, 600, 65_536, 65_537, size} {
		if each <= size && !slices.Contains(sizes, each) && each > 0 {
			sizes = append(sizes, each)
		}
	}
	return sizes
}

func placesWithin(size int64) []int64 {
	var places []int64
	for _, each := range []int64{0, 1, 7, 254, 255, 256, 511, 65_535, 65_536, size / 2, size - 1} {
		if each >= 0 && each < size && !slices.Contains(places, each) {
			places = append(places, each)
		}
	}
	return places
}

func hashesOf(raw [][]byte) []tlog.Hash {
	hashes := make([]tlog.Hash, len(raw))
	for at, each := range raw {
		hashes[at] = tlog.Hash(each)
	}
	return hashes
}

// keyOf is a key for tests alone: whoever knows its name has it.
func keyOf(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// logKey gives the verifier key, and the signer, of a log named name.
func logKey(name string) (string, note.Signer, error) {
	private := keyOf(name)
	verifier, err := note.NewEd25519VerifierKey(name, private.Public().(ed25519.PublicKey))
	if err != nil {
		return "", nil, err
	}
	checked, err := note.NewVerifier(verifier)
	if err != nil {
		return "", nil, err
	}
	secret := base64.StdEncoding.EncodeToString(append([]byte{1}, private.Seed()...))
	signer, err := note.NewSigner(fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", name, checked.KeyHash(), secret))
	return verifier, signer, err
}
