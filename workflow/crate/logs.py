"""The logs of a crate: what counts by the entries that it carries, and whether they stand under cosigned checkpoints.

A crate carries single entries, not whole logs. So it shows what was written and by whom, and not that nothing was
written since: an entry that was replaced or taken back after it was made still counts here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from catalog.checkpoint import cosignatures, open_checkpoint
from catalog.cid import Cid
from catalog.epoch import charters, check_successor
from catalog.error import VerificationFailed
from catalog.index import Index, SiteIndex
from catalog.key import public_bytes
from catalog.leaf import decode_leaf, opens
from catalog.member import Epoch, check_epoch0, consortium_cid
from catalog.merkle import leaf_hash, verify_inclusion
from catalog.note import COSIGNATURE, ED25519, key_id, parse_note
from catalog.origin import LogName, earlier, log_of, site_of
from catalog.proof import parse_proof
from catalog.reading import read_leaf
from workflow.crate.layout import Bundle, Shown


def chain_of(bundle: Bundle, consortium: Cid) -> tuple[Epoch, ...]:
    """The epochs of the consortium, each checked against the one before.

    Raises:
        VerificationFailed: one lacks, does not follow, lacks signatures; or they are of another consortium.
    """
    chain = tuple(epoch for _, epoch in sorted(bundle.epochs.items()))
    if not chain or [epoch.number for epoch in chain] != list(range(len(chain))):
        raise VerificationFailed("the epochs of the consortium are not all there, from the founding on")
    try:
        check_epoch0(chain[0])
        if consortium_cid(chain[0]) != consortium:
            raise VerificationFailed("it is of another consortium than the submission names")  # noqa: TRY301
        for now, document in pairwise(chain):
            check_successor(now, document)
    except VerificationFailed as error:
        raise VerificationFailed(f"epochs/0.cbor and what follows it: {error}") from error
    return chain


def index_of(chain: Sequence[Epoch], shown: Iterable[Shown]) -> Index:
    """What the catalog entries among ``shown`` say, by the keys of the epochs; the others are as if erased."""
    index = Index()
    by_site: dict[str, list[Shown]] = {}
    for each in shown:
        if log_of(each.log, site_of(each.log)) is LogName.CATALOG:
            by_site.setdefault(site_of(each.log), []).append(each)
    for root, charter in charters(chain).items():
        site = index.admit(root)
        site.govern(charter)
        _feed(site, sorted(by_site.get(root, ()), key=lambda each: each.index))
    return index


def _feed(site: SiteIndex, rows: Sequence[Shown]) -> None:
    """A removal of a key may reach back: then they are read again by what is known of it."""
    reading = site
    _take(reading, rows)
    while reading.due:
        reading = reading.anew()
        _take(reading, rows)
    if reading is not site:
        site.become(reading)


def _take(site: SiteIndex, rows: Sequence[Shown]) -> None:
    for each in rows:
        if each.index >= site.size:
            site.size = each.index
            site.take(read_leaf(each.log, each.index, each.leaf, each.body))


@dataclass(frozen=True, slots=True)
class Standing:
    """A leaf that stands in its log: under which note, and how many of the other members cosigned that."""

    shown: Shown
    note: str
    cosigners: int


class LogCheck:
    """Checks leaves of a consortium's logs; each note is checked once."""

    def __init__(self, chain: Sequence[Epoch], index: Index) -> None:
        self._chain = chain
        self._index = index
        self._notes: dict[tuple[str, str], tuple[int, bytes, int]] = {}

    @property
    def quorum(self) -> int:
        """How many members must cosign a log."""
        return self._chain[-1].quorum

    def stands(self, each: Shown) -> Standing:
        """Check one leaf: it commits to its body, and stands in the log under a checkpoint that its site signed.

        Raises:
            VerificationFailed: it does not; or its body does not count in that place.
        """
        root = site_of(each.log)
        if root not in self._index.sites:
            raise VerificationFailed("it is of the log of no member")
        leaf = decode_leaf(each.leaf)
        if not any(leaf.belongs_to(origin) for origin in earlier(each.log)) or not opens(leaf, each.body, each.salt):
            raise VerificationFailed("its leaf commits to another body, or was written for another log")
        proof = parse_proof(each.proof)
        size, tree, cosigners = self._note(root, each.log, proof.checkpoint)
        if proof.index != each.index:
            raise VerificationFailed("its proof is of another place")
        verify_inclusion(leaf_hash(each.leaf), each.index, size, tree, proof.hashes)
        fault = self._index.site(root).faults.get(each.index)
        if fault is not None and log_of(each.log, root) is LogName.CATALOG:
            raise VerificationFailed(f"it does not count: {fault}")
        return Standing(each, proof.checkpoint, cosigners)

    def _note(self, root: str, origin: str, note: str) -> tuple[int, bytes, int]:
        known = self._notes.get((origin, note))
        if known is None:
            checkpoint = open_checkpoint(note, origin, *self._index.site(root).nodes())
            others = {each: index.nodes() for each, index in self._index.sites.items() if each != root}
            self._check_lines(root, origin, note, others)
            signed_by = {name for name, _ in cosignatures(note, others)}
            known = self._notes[origin, note] = checkpoint.size, checkpoint.root, len(signed_by)
        return known

    def _check_lines(self, root: str, origin: str, note: str, others: Mapping[str, Sequence[str]]) -> None:
        """Every line is by a key that is known here: one that is not would be passed over, and so could be changed."""
        known = {(origin, key_id(origin, ED25519, public_bytes(did))) for did in self._index.site(root).nodes()}
        known |= {(name, key_id(name, COSIGNATURE, public_bytes(did))) for name, dids in others.items() for did in dids}
        if not all((line.name, line.key_id) in known for line in parse_note(note).signatures):
            raise VerificationFailed("its checkpoint has a line by nobody who is known here")
