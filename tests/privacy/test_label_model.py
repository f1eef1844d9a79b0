"""A model checker for labels: does a workflow of at most four steps at three sites give anybody a byte unreleased?

The sites use the product's own labels. What these are held against is kept beside in plain sets: of each value, whom
each owner whose data are in it has let have it, by its data's label or by releasing a value on the way. Everybody may
plan any step; each owner releases whatever it likes to whomever it likes; and whoever reads nothing of a value may
claim to have made it, under a label of their own. What a reader tells of what it read no label can stop.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations, combinations_with_replacement

import pytest

from catalog.block import BlockFields
from catalog.body import write_body
from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.dataset import DatasetFields, Level
from catalog.error import Denied
from catalog.index import Index
from catalog.key import UNSIGNED, PrivateKey, signed
from catalog.label import Label
from catalog.member import KeyFields, Role
from privacy.label import OPEN, effective_readers, joined, may_hold, person_at, released, resident, shared, site_of
from workflow.argument import Data, Many, handle
from workflow.evidence import Evidence
from workflow.order import Order, Wanted
from workflow.receipt import Output, Place, Receipt, Release, Status

ROOTS = {key.did: key for key in (PrivateKey(bytes([number]) * 32) for number in (1, 2, 3))}
A, B, C = SITES = tuple(ROOTS)
PERSON = person_at(PrivateKey(b"4" * 32).did, C)
READERS = (*SITES, PERSON)
DATA = (
    *((site, resident(site)) for site in SITES),
    *((A, shared(A, [B])), (B, shared(B, [A, C])), (B, shared(B, [PERSON])), (C, shared(C, [A])), (C, OPEN)),
)
"""Datasets with their owners: those that never leave, those for other sites or a person, and one for everybody."""
STEPS = 4

Allowed = frozenset[tuple[str, frozenset[str]]]


@dataclass(frozen=True, slots=True)
class Value:
    """A dataset or an output: whom each owner let have it (the truth), and what honest sites take its label for.

    Of one that is ``claimed`` the site that names itself as its maker has not a byte.
    """

    allowed: Allowed
    label: Label
    claimed: bool = False

    def owed(self, site: str) -> bool:
        """Whether one and the same reader at ``site`` was let in by every owner."""
        at_site = [reader for reader in READERS if site_of(reader) == site]
        return any(all(reader in readers for _, readers in self.allowed) for reader in at_site)


@dataclass(frozen=True, slots=True)
class Rules:
    """What honest sites go by; each field can be weakened."""

    join: Callable[[Iterable[Label]], Label] = joined
    may_hold: Callable[[Label, str], bool] = may_hold
    release: Callable[[Label, str, Iterable[str]], Label] = released
    from_its_maker: bool = True
    """The bytes of an input must come from the site that is named as its maker, wherever else they lie."""
    recomputed: bool = True
    """No label that a requester or a receipt claims is read, and what is not proven is refused."""


@dataclass(frozen=True, slots=True)
class Leak:
    """A value of which ``site`` got the bytes after so many steps, though an owner did not let it."""

    value: Value
    site: str
    steps: int


def explore(rules: Rules, steps: int = STEPS) -> tuple[Leak | None, int]:
    """The first leak, if there is one, and how many values there are that differ.

    Values are told apart by what anybody can do with them, so whole workflows need not be: what can be made in n steps
    is what one step makes of what can be made in n - 1. A step of more than two inputs is one that joins twice.
    """
    known = {_dataset(label) for _, label in DATA}
    for step in range(steps + 1):
        for value in known:
            for site in SITES:
                if not value.claimed and rules.may_hold(value.label, site) and not value.owed(site):
                    return Leak(value, site, step), len(known)
        if step < steps:
            known |= set(_stepped(rules, known))
    return None, len(known)


def _dataset(label: Label) -> Value:
    return Value(frozenset((owner, frozenset(readers)) for owner, readers in label.owners.items()), label)


def _stepped(rules: Rules, known: Iterable[Value]) -> Iterator[Value]:
    """Everything that one more step makes, or that somebody says it made."""
    usable = [value for value in known if not value.claimed or not rules.from_its_maker]
    by_site = [[value for value in usable if rules.may_hold(value.label, site)] for site in SITES]
    made = {_made(rules, pair) for held in by_site for pair in combinations_with_replacement(held, 2)}
    for value in made:
        for count in range(len(value.label.owners) + 1):
            for owners in combinations(value.label.owners, count):
                yield from (_let(rules, value, owners, reader) for reader in READERS)
        if not all(value.owed(site) for site in SITES):
            yield replace(value, label=OPEN, claimed=True)
            if not rules.recomputed:
                yield replace(value, label=OPEN)


def _made(rules: Rules, inputs: Iterable[Value]) -> Value:
    """The output of a step: allowed are those whom each owner of an input allowed of every input with its data."""
    owners = {owner for value in inputs for owner, _ in value.allowed}
    of = {
        owner: frozenset.intersection(
            *(readers for value in inputs for each, readers in value.allowed if each == owner)
        )
        for owner in owners
    }
    return Value(frozenset(of.items()), _join(rules.join, frozenset(value.label for value in inputs)))


@cache
def _join(join: Callable[[Iterable[Label]], Label], labels: frozenset[Label]) -> Label:
    return join(labels)


def _let(rules: Rules, value: Value, owners: Iterable[str], reader: str) -> Value:
    """``value`` once each of ``owners`` has released it to ``reader``."""
    label = value.label
    for owner in owners:
        label = rules.release(label, owner, [reader])
    allowed = {(owner, readers | {reader} if owner in owners else readers) for owner, readers in value.allowed}
    return Value(frozenset(allowed), label)


def test_no_workflow_gives_a_byte_to_whom_an_owner_did_not_let_have_it() -> None:
    """Else there is a plan by which somebody reads data behind the back of one of its owners."""
    leak, values = explore(Rules())
    assert leak is None
    assert values > 700, "too few values for that to say much"


def _union(labels: Iterable[Label]) -> Label:
    """A join that keeps every reader of either label."""
    owners: dict[str, set[str]] = {}
    for label in labels:
        for owner, readers in label.owners.items():
            owners.setdefault(owner, set()).update(readers)
    return Label(owners={owner: tuple(sorted(readers)) for owner, readers in sorted(owners.items())})


def _any_owner(label: Label, site: str) -> bool:
    """As if the word of one owner were enough."""
    every = {site_of(reader) for readers in label.owners.values() for reader in readers}
    return not label.owners or site in every


def _for_all(label: Label, owner: str, added: Iterable[str]) -> Label:
    """A release by one owner that counts for the others too."""
    for each in label.owners:
        label = released(label, each, added)
    return label


WEAKENED = {
    "a label that a requester or a receipt claims is believed": Rules(recomputed=False),
    "a join is a union": Rules(join=_union),
    "one owner's list is enough": Rules(may_hold=_any_owner),
    "one owner's release is enough": Rules(release=_for_all),
    "bytes that lie here are taken from whoever claims to have made them": Rules(from_its_maker=False),
}


@pytest.mark.parametrize("weakness", WEAKENED)
def test_with_a_rule_weakened_it_finds_a_way(weakness: str) -> None:
    """Else the checker finds nothing because it looks at nothing."""
    leak, _ = explore(WEAKENED[weakness])
    assert leak is not None
    assert not leak.value.owed(leak.site)


# --- and the evidence beside an order says the same -------------------------------------------------------------------

NODES = {site: PrivateKey(bytes([number]) * 32) for number, site in enumerate(SITES, 11)}
SUBMISSION, BLOCK = Cid.of(b"a submission"), Cid.of(b"a block")
BUS = PrivateKey(b"5" * 32)
SALT = bytes([6]) * 32


def _index() -> Index:
    """The three sites' catalogs: a node, a steward, datasets; and the block, which everybody reads."""
    index = Index(SITES)
    for site, root in ROOTS.items():
        block = BlockFields(cid=BLOCK, name="block", label=OPEN, description="", outputs={"out": "table"})
        node = KeyFields(did=NODES[site].did, role=Role.NODE, name="node", x25519=bytes(32))
        steward = KeyFields(did=BUS.did, role=Role.STEWARD, name="steward", x25519=bytes(32))
        datasets = [_published(number, label) for number, (owner, label) in enumerate(DATA) if owner == site]
        entries = [("key", node, root), ("key", steward, root), *(("dataset", each, BUS) for each in datasets)]
        entries.append(("block", block, BUS))
        for place, (kind, fields, key) in enumerate(entries):
            body = write_body(kind, fields, site=site, at=1, by=key)
            assert index.site(site).add(place, kind, body) is not None
    return index


def _published(number: int, label: Label) -> DatasetFields:
    level = Level.SHARED if label.owners else Level.OPEN
    return DatasetFields(
        cid=Cid.of(b"data %d" % number),
        name="data",
        level=level,
        label=label,
        purposes=(),
        description="",
        media_type="text/csv",
        size=1,
    )


@dataclass(slots=True)
class Chain:
    """Steps that were carried out, with their receipts; and what the model makes of each value."""

    random: random.Random
    known: list[tuple[Data, Value, tuple[Cid, ...]]]
    proofs: list[tuple[Order, Receipt]]

    @classmethod
    def begun(cls, seed: int) -> Chain:
        """Nothing but the datasets."""
        known = [
            (Data(site=owner, cid=Cid.of(b"data %d" % number), name="d"), _dataset(label), ())
            for number, (owner, label) in enumerate(DATA)
        ]
        return cls(random.Random(seed), known, [])

    def step(self) -> None:
        """One more step anywhere, of one to three values, released by the site that made it and other owners or not."""
        number, site = len(self.proofs), self.random.choice(SITES)
        inputs = self.random.sample(self.known, self.random.randint(1, min(3, len(self.known))))
        named = dict.fromkeys(cid for _, _, proofs in inputs for cid in proofs)
        order = signed(
            Order(
                consortium=Cid.of(b"ours"),
                epoch=0,
                submission=SUBMISSION,
                step="step",
                shard=number,
                attempt=1,
                site=site,
                bus=BUS.did,
                block=BLOCK,
                inputs={"in": Many(items=tuple(data for data, _, _ in inputs))},
                proofs=tuple(named),
                outputs={"out": Wanted(type="table", readers=READERS)},
                max_cost=0,
                not_after=1,
                sig=UNSIGNED,
            ),
            BUS,
        )
        label = joined(value.label for _, value, _ in inputs)
        cid, reader = Cid.of(f"value {number}".encode()), self.random.choice(READERS)
        release = self._release(order, cid, site, reader) if self.random.random() < 0.7 else None
        others = [owner for owner in label.owners if owner != site and self.random.random() < 0.5]
        further = tuple(self._release(order, cid.keyed(SALT), owner, reader) for owner in others)
        for each in (release, *further):
            if each is not None and each.owner in label.owners:
                label = released(label, each.owner, [reader])
        receipt = _receipt(order, cid, release, further)
        self.proofs.append((order, receipt))
        self.known.append((Data(site=site, cid=cid, name="v"), Value(frozenset(), label), (cid_of(receipt),)))

    def _release(self, order: Order, cid: Cid, owner: str, reader: str) -> Release:
        return signed(
            Release(
                order=cid_of(order),
                output="out",
                handle=handle(order.site, bytes(16)),
                value=cid,
                owner=owner,
                added=(reader,),
                policy=0,
                report="",
                ledger=0,
                sig=UNSIGNED,
            ),
            NODES[owner],
        )


def _receipt(order: Order, cid: Cid, release: Release | None, further: tuple[Release, ...]) -> Receipt:
    output = Output(
        handle=handle(order.site, bytes(16)),
        type="table",
        name="v",
        cid=cid,
        size=1,
        release=release,
        reason="",
        further=further,
        salt=SALT,
    )
    return signed(
        Receipt(
            order=cid_of(order),
            site=order.site,
            node=NODES[order.site].did,
            previous=None,
            status=Status.DONE,
            decision=None,
            place=Place(epoch=0, index=0),
            outputs={"out": output},
            spent=None,
            cost=0,
            reason="",
            at=0,
            sig=UNSIGNED,
        ),
        NODES[order.site],
    )


def test_evidence_finds_the_labels_of_the_model_and_nothing_where_a_receipt_is_left_out() -> None:
    """Else what the checker says of its model says nothing of the node."""
    index, refused = _index(), 0
    for seed in range(150):
        chain = Chain.begun(seed)
        for _ in range(STEPS):
            chain.step()
        evidence = Evidence(index, SUBMISSION, chain.proofs)
        for data, value, _ in chain.known:
            assert evidence.label(data) == value.label, seed
            assert effective_readers(evidence.label(data)) == effective_readers(value.label)
        left_out = chain.random.randrange(STEPS)
        rest = [proof for number, proof in enumerate(chain.proofs) if number != left_out]
        gone = chain.known[len(DATA) + left_out]
        try:
            lacking = Evidence(index, SUBMISSION, rest)
        except Denied:
            refused += 1  # a later step was made of it
        else:
            with pytest.raises(Denied):
                lacking.label(gone[0])
    assert 20 < refused < 150
