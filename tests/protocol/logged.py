"""A log of the story at any of its sizes, with checkpoints, tiles and proofs, and how the file has it."""

from collections.abc import Sequence
from functools import cached_property

from catalog.body import Body
from catalog.checkpoint import Checkpoint, add_line, cosign, sign_checkpoint
from catalog.dagcbor import encode
from catalog.leaf import decode_leaf, encode_leaf, log_id, seal
from catalog.merkle import Frontier, full_path, leaf_hash, prove_consistency, prove_inclusion
from catalog.multiproof import prove_many
from catalog.note import parse_note
from catalog.origin import LogName, origin_of
from catalog.proof import Proof, write_proof
from catalog.tiles import encode_bundle
from tests.protocol.people import DID, KEYS, epoch_at

Told = dict[str, object]
"""Something as it stands in the file."""


def salt(number: int) -> bytes:
    """The salt of the leaf at ``number``; a real one is random."""
    return bytes([0xA0 + number]) * 32


class Log:
    """The log ``log`` of ``site`` with these (name, body) in it, in the log's epoch ``number``.

    The first ``taken`` leaves are those of the epoch before, and name that.
    """

    def __init__(
        self, site: str, log: LogName, bodies: Sequence[tuple[str, Body]], *, number: int = 0, taken: int = 0
    ) -> None:
        self.name = f"{site}-{log}"
        self.root = DID[f"{site}-root"]
        self.log = log
        self.origin = origin_of(self.root, log, number)
        self.bodies = bodies
        self._origins = [origin_of(self.root, log, 0 if at < taken else number) for at in range(len(bodies))]

    @cached_property
    def leaves(self) -> list[bytes]:
        """All leaves."""
        return [
            encode_leaf(seal(self._origins[at], epoch_at(body.at), body.kind, encode(body), salt(at)))
            for at, (_, body) in enumerate(self.bodies)
        ]

    @cached_property
    def hashes(self) -> list[bytes]:
        """The leaves' hashes."""
        return list(map(leaf_hash, self.leaves))

    def subtree(self, height: int, index: int) -> bytes:
        """The hash of a full subtree."""
        return Frontier().extend(self.hashes[index << height : (index + 1) << height]).root

    def tree(self, size: int) -> bytes:
        """The root of the first ``size`` leaves."""
        return Frontier().extend(self.hashes[:size]).root

    def note(self, size: int, *keys: str) -> str:
        """The checkpoint of the first ``size`` leaves, with a line by each of the site's ``keys``."""
        checkpoint = Checkpoint(self.origin, size, self.tree(size))
        first, *others = (sign_checkpoint(checkpoint, KEYS[key]) for key in keys)
        for other in others:
            first = add_line(first, parse_note(other).signatures[0].line)
        return first

    def path(self, old: int, new: int) -> tuple[bytes, ...]:
        """The full path from the first ``old`` leaves to the first ``new``."""
        return tuple(full_path(old, self.tree(old), prove_consistency(old, new, self.subtree)))

    def many(self, indexes: Sequence[int], size: int) -> bytes:
        """One proof for several leaves."""
        return prove_many(indexes, size, self.subtree)

    def told_leaves(self) -> dict[str, Told]:
        """Every leaf, by the log's name and its index."""
        return {f"{self.name}-{index}": self._told_leaf(index) for index in range(len(self.bodies))}

    def _told_leaf(self, index: int) -> Told:
        name, body = self.bodies[index]
        data = self.leaves[index]
        return {
            "origin": self._origins[index],
            "index": index,
            "epoch": epoch_at(body.at),
            "kind": body.kind,
            "body": name,
            "salt": salt(index).hex(),
            "log": log_id(self._origins[index]).hex(),
            "commitment": decode_leaf(data).commitment.hex(),
            "bytes": data.hex(),
            "hash": leaf_hash(data).hex(),
        }

    def told(self, size: int, key: str, witnesses: Sequence[str], seconds: int, old: int) -> Told:
        """The log at ``size``: its checkpoint by ``key``, cosigned, and a proof of each kind, from ``old`` leaves."""
        note = self.note(size, key)
        lines = [cosignature(note, witness, seconds) for witness in witnesses]
        cosigned = with_lines(note, [str(each["line"]) for each in lines])
        middle = size // 2
        inclusion = prove_inclusion(middle, size, self.subtree)
        return {
            "origin": self.origin,
            "leaves": self.name,
            "key": key,
            "size": size,
            "root": self.tree(size).hex(),
            "checkpoint": note,
            "cosignatures": lines,
            "cosigned": cosigned,
            "bundle": {"path": f"tile/entries/000.p/{size}", "bytes": encode_bundle(self.leaves[:size]).hex()},
            "tile": {"path": f"tile/0/000.p/{size}", "bytes": b"".join(self.hashes[:size]).hex()},
            "inclusion": {"index": middle, "size": size, "hashes": [step.hex() for step in inclusion]},
            "proof": write_proof(Proof(middle, tuple(inclusion), cosigned)),
            "consistency": {
                "old": old,
                "old_root": self.tree(old).hex(),
                "new": size,
                "hashes": [step.hex() for step in prove_consistency(old, size, self.subtree)],
                "full_path": [step.hex() for step in self.path(old, size)],
            },
        }

    def told_many(self, indexes: Sequence[int], size: int) -> Told:
        """One proof for the leaves at ``indexes``."""
        return {
            "log": self.name,
            "size": size,
            "root": self.tree(size).hex(),
            "leaves": {str(index): self.hashes[index].hex() for index in indexes},
            "proof": self.many(indexes, size).hex(),
        }


def cosignature(note: str, witness: str, seconds: int) -> Told:
    """The line of a witness under a checkpoint."""
    name, key = DID[f"{witness}-root"], f"{witness}-node"
    return {"name": name, "key": key, "seconds": seconds, "line": cosign(note, name, KEYS[key], seconds)}


def with_lines(note: str, lines: Sequence[str]) -> str:
    """A checkpoint with cosignatures under it."""
    for line in lines:
        note = add_line(note, line)
    return note
