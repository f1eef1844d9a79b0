package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"filippo.io/torchwood"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	bySumdb   = "x/mod/sumdb"
	byWood    = "torchwood"
	byTessera = "tessera"
)

func verifyAll(folder string) (*Report, error) {
	manifest, err := readManifest(folder)
	if err != nil {
		return nil, err
	}
	report := &Report{Checks: []*Check{}, Flips: []*Flip{}, Faults: []string{}}
	for _, log := range manifest.Logs {
		log.verify(report)
		if log.Flip {
			if err := log.flipAll(report); err != nil {
				return nil, err
			}
		}
	}
	return report, nil
}

// verify makes every check on one log, and ends at the first that fails: the later ones build on it.
func (l *Log) verify(report *Report) {
	checkpoint, err := l.opened()
	if err != nil {
		report.fault("%s: %s: %v", l.Folder, checkpointFile, err)
		return
	}
	report.passed("checkpoints", bySumdb+", "+byWood, 1)
	if items, err := l.cosigned(checkpoint); err != nil {
		report.fault("%s: %s: %v", l.Folder, cosignedFile, err)
	} else if items > 0 {
		report.passed("cosignatures", byWood, items)
	}
	entries, files, err := verifiedTiles(l.Folder, checkpoint.Tree)
	if err != nil {
		report.fault("%s: %v", l.Folder, err)
		return
	}
	report.passed("tiles and bundles, each file", bySumdb+", "+byWood, files)
	report.passed("leaves", bySumdb, len(entries))
	l.verifyProofs(report, checkpoint.Tree, entries)
	if err := l.fsck(); err != nil {
		report.fault("%s: Tessera's fsck: %v", l.Folder, err)
	} else {
		report.passed("fsck", byTessera, 1)
	}
}

func (l *Log) verifyProofs(report *Report, tree tlog.Tree, entries [][]byte) {
	hashes := tlog.TileHashReader(tree, &tileFolder{l.Folder, map[string]bool{}})
	roots := map[int64]tlog.Hash{}
	root := func(size int64) tlog.Hash {
		if _, known := roots[size]; !known {
			hash, err := tlog.TreeHash(size, hashes)
			if err != nil {
				report.fault("%s: root of %d leaves: %v", l.Folder, size, err)
			}
			roots[size] = hash
		}
		return roots[size]
	}
	for _, each := range l.Inclusion {
		if err := each.check(root(each.Size), entries); err != nil {
			report.fault("%s: inclusion of %d in %d: %v", l.Folder, each.Index, each.Size, err)
		}
		same, err := tlog.ProveRecord(each.Size, each.Index, hashes)
		if err != nil || !slices.Equal([]tlog.Hash(same), each.Hashes) {
			report.fault("%s: inclusion of %d in %d: x/mod/sumdb makes another proof (%v)", l.Folder, each.Index, each.Size, err)
		}
	}
	report.passed("inclusion proofs", bySumdb, len(l.Inclusion))
	for _, each := range l.Consistency {
		if err := each.check(root(each.Old), root(each.New)); err != nil {
			report.fault("%s: consistency of %d with %d: %v", l.Folder, each.Old, each.New, err)
		}
	}
	report.passed("consistency proofs", bySumdb, len(l.Consistency))
	for _, each := range l.Proofs {
		if err := l.checkProofFile(each, entries[each.Index]); err != nil {
			report.fault("%s: %s: %v", l.Folder, each.File, err)
		}
	}
	report.passed("tlog-proof files", byWood, len(l.Proofs))
}

func (p Inclusion) check(root tlog.Hash, entries [][]byte) error {
	return tlog.CheckRecord(p.Hashes, p.Size, root, p.Index, tlog.RecordHash(entries[p.Index]))
}

func (c Consistency) check(older, newer tlog.Hash) error {
	return tlog.CheckTree(c.Hashes, c.New, newer, c.Old, older)
}

// opened verifies the log's own signature, by sumdb's note and by torchwood.
func (l *Log) opened() (torchwood.Checkpoint, error) {
	verifier, err := note.NewVerifier(l.Key)
	if err != nil {
		return torchwood.Checkpoint{}, err
	}
	data, err := os.ReadFile(filepath.Join(l.Folder, checkpointFile))
	if err != nil {
		return torchwood.Checkpoint{}, err
	}
	if _, err := note.Open(data, note.VerifierList(verifier)); err != nil {
		return torchwood.Checkpoint{}, err
	}
	policy := torchwood.ThresholdPolicy(2, torchwood.OriginPolicy(l.Origin), torchwood.SingleVerifierPolicy(verifier))
	checkpoint, _, err := torchwood.VerifyCheckpoint(data, policy)
	if err == nil && checkpoint.N != l.Size {
		err = fmt.Errorf("it has %d leaves where %d were written", checkpoint.N, l.Size)
	}
	return checkpoint, err
}

// policy wants the log's signature and a cosignature of every witness.
func (l *Log) policy() (torchwood.Policy, error) {
	verifier, err := note.NewVerifier(l.Key)
	if err != nil {
		return nil, err
	}
	needed := []torchwood.Policy{torchwood.OriginPolicy(l.Origin), torchwood.SingleVerifierPolicy(verifier)}
	for _, witness := range l.Witnesses {
		verifier, err := torchwood.NewCosignatureVerifier(witness.Key)
		if err != nil {
			return nil, err
		}
		needed = append(needed, torchwood.SingleVerifierPolicy(verifier))
	}
	return torchwood.ThresholdPolicy(len(needed), needed...), nil
}

// cosigned verifies that every witness cosigned the newest checkpoint, at the time that the manifest says.
func (l *Log) cosigned(newest torchwood.Checkpoint) (int, error) {
	if len(l.Witnesses) == 0 {
		return 0, nil
	}
	policy, err := l.policy()
	if err != nil {
		return 0, err
	}
	data, err := os.ReadFile(filepath.Join(l.Folder, cosignedFile))
	if err != nil {
		return 0, err
	}
	checkpoint, opened, err := torchwood.VerifyCheckpoint(data, policy)
	if err != nil {
		return 0, err
	}
	if checkpoint != newest {
		return 0, fmt.Errorf("it is another checkpoint than the newest")
	}
	return len(l.Witnesses), l.checkTimes(opened)
}

func (l *Log) checkTimes(opened *note.Note) error {
	for _, witness := range l.Witnesses {
		verifier, err := torchwood.NewCosignatureVerifier(witness.Key)
		if err != nil {
			return err
		}
		for _, sig := range opened.Sigs {
			if sig.Name != verifier.Name() || sig.Hash != verifier.KeyHash() {
				continue
			}
			seconds, err := torchwood.CosignatureTimestamp(sig)
			if err != nil {
				return err
			}
			if seconds != witness.Seconds {
				return fmt.Errorf("«%s» cosigned at %d and not at %d", sig.Name, seconds, witness.Seconds)
			}
		}
	}
	return nil
}

func (l *Log) checkProofFile(proof ProofFile, entry []byte) error {
	data, err := os.ReadFile(filepath.Join(l.Folder, proof.File))
	if err != nil {
		return err
	}
	policy, err := l.policy()
	if err != nil {
		return err
	}
	return torchwood.VerifyProof(policy, tlog.RecordHash(entry), data)
}

// fsck is Tessera's: it rebuilds every tile from the entries. A malformed bundle makes it panic, which is a refusal.
func (l *Log) fsck() (err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("it panicked: %v", panicked)
		}
	}()
	verifier, err := note.NewVerifier(l.Key)
	if err != nil {
		return err
	}
	// With fewer workers than files that differ, Check waits for ever for a worker that has ended.
	options := fsck.Opts{N: 8}
	return fsck.New(l.Origin, verifier, &client.FileFetcher{Root: l.Folder}, leafHashes, options).Check(context.Background())
}

func leafHashes(bundle []byte) ([][]byte, error) {
	parsed := api.EntryBundle{}
	if err := parsed.UnmarshalText(bundle); err != nil {
		return nil, err
	}
	hashes := make([][]byte, 0, len(parsed.Entries))
	for _, entry := range parsed.Entries {
		hashes = append(hashes, rfc6962.DefaultHasher.HashLeaf(bytes.Clone(entry)))
	}
	return hashes, nil
}
