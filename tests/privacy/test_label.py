"""Labels: if a law here breaks, a value reaches somebody whom one of its owners did not allow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.dagcbor import decode, encode
from catalog.error import BadInput, VerificationFailed
from catalog.key import PrivateKey
from catalog.label import MAX_OWNERS, MAX_READERS, Label
from privacy.label import (
    OPEN,
    effective_readers,
    flows_to,
    join,
    joined,
    label_of,
    may_hold,
    person_at,
    released,
    resident,
    shared,
    site_of,
    withheld,
)

DIDS = [PrivateKey(bytes([number]) * 32).did for number in range(1, 6)]
A, B, C, D, PERSON = DIDS
SITES = [A, B, C, D]
READERS = [*SITES, *(person_at(PERSON, site) for site in SITES)]

labels = st.dictionaries(st.sampled_from(SITES), st.sets(st.sampled_from(READERS)), max_size=4).map(label_of)


@given(labels, labels, labels)
def test_join_is_a_semilattice(a: Label, b: Label, c: Label) -> None:
    assert join(a, b) == join(b, a)
    assert join(a, join(b, c)) == join(join(a, b), c)
    assert join(a, a) == a
    assert join(a, OPEN) == a
    assert joined([a, b, c]) == join(join(a, b), c)


@given(labels, labels, labels)
def test_join_is_the_least_label_that_both_flow_to(a: Label, b: Label, c: Label) -> None:
    top = join(a, b)
    assert flows_to(a, top)
    assert flows_to(b, top)
    assert (flows_to(a, c) and flows_to(b, c)) == flows_to(top, c)


@given(labels, labels, labels)
def test_flows_to_is_an_order_and_join_keeps_it(a: Label, b: Label, c: Label) -> None:
    assert flows_to(a, a)
    assert flows_to(OPEN, a)
    if flows_to(a, b) and flows_to(b, c):
        assert flows_to(a, c)
    if flows_to(a, b) and flows_to(b, a):
        assert a == b
    if flows_to(a, b):
        assert flows_to(join(a, c), join(b, c))


def reads(label: Label, reader: str) -> bool:
    """Whether it is one of the effective readers: everyone is of a label without owners."""
    readers = effective_readers(label)
    return readers is None or reader in readers


@given(labels, labels, st.sampled_from(READERS))
def test_no_one_gains_by_joining_or_flowing(a: Label, b: Label, reader: str) -> None:
    assert reads(join(a, b), reader) <= (reads(a, reader) and reads(b, reader))
    if flows_to(a, b):
        assert reads(b, reader) <= reads(a, reader)


@given(labels, st.sampled_from(SITES), st.sets(st.sampled_from(READERS)))
def test_a_release_takes_from_nobody_and_gives_only_what_was_named(label: Label, owner: str, added: set[str]) -> None:
    if owner not in label.owners:
        with pytest.raises(BadInput, match="owns none of it"):
            released(label, owner, added)
        return
    after = released(label, owner, added)
    before, now = effective_readers(label), effective_readers(after)
    assert before is not None
    assert now is not None
    assert before <= now <= before | added
    assert {**after.owners, owner: ()} == {**label.owners, owner: ()}


@given(labels, labels)
def test_who_reads_a_join_reads_both_and_nobody_else(a: Label, b: Label) -> None:
    """The effective readers of a join are the intersection; an open label takes nobody away."""
    both = [readers for readers in (effective_readers(a), effective_readers(b)) if readers is not None]
    assert effective_readers(join(a, b)) == (frozenset.intersection(*both) if both else None)


@given(labels, labels, st.sampled_from(SITES))
def test_a_site_holds_a_join_only_if_it_may_hold_both(a: Label, b: Label, site: str) -> None:
    assert may_hold(join(a, b), site) <= (may_hold(a, site) and may_hold(b, site))
    assert may_hold(a, site) is any(reads(a, reader) for reader in READERS if site_of(reader) == site)


@given(labels, labels)
def test_what_is_withheld_is_for_a_sole_owner_or_for_nobody(a: Label, b: Label) -> None:
    """It takes nothing but readers: it is the greatest label of the same owners."""
    kept = withheld(a)
    assert kept.owners.keys() == a.owners.keys()
    assert flows_to(a, kept)
    assert withheld(kept) == kept
    assert effective_readers(kept) == (
        None if not a.owners else frozenset(a.owners) if len(a.owners) == 1 else frozenset()
    )
    if flows_to(a, b) and a.owners.keys() == b.owners.keys():
        assert flows_to(b, kept)
    assert withheld(join(a, b)) == join(withheld(a), withheld(b))


@given(labels, st.data())
def test_releases_come_in_any_order_and_twice_is_once(label: Label, data: st.DataObject) -> None:
    """Owners need not wait for each other, and a statement that comes again adds nothing."""
    if not label.owners:
        return
    owners, some = st.sampled_from(sorted(label.owners)), st.sets(st.sampled_from(READERS))
    one, other, first, second = data.draw(owners), data.draw(owners), data.draw(some), data.draw(some)
    both = released(released(label, one, first), other, second)
    assert both == released(released(label, other, second), one, first)
    assert released(both, one, first) == both
    assert flows_to(both, label)


@given(labels, labels, st.data())
def test_no_owner_releases_for_another(a: Label, b: Label, data: st.DataObject) -> None:
    """After releases by some owners nobody reads whom an owner that released nothing did not allow."""
    whole = join(a, b)
    if not whole.owners:
        return
    silent = data.draw(st.sampled_from(sorted(whole.owners)))
    after = whole
    for owner in whole.owners.keys() - {silent}:
        after = released(after, owner, READERS)
    readers = effective_readers(after)
    assert readers is not None
    assert readers <= set(whole.owners[silent])
    assert released(after, silent, READERS) == label_of(dict.fromkeys(whole.owners, READERS))


@given(labels)
def test_the_wire_form_is_one_and_comes_back(label: Label) -> None:
    again = decode(Label, encode(label))
    assert again == label
    assert encode(again) == encode(label)
    assert hash(again) == hash(label)


def test_an_owner_reads_its_own_and_nobody_elses() -> None:
    assert effective_readers(resident(A)) == frozenset({A})
    assert effective_readers(join(resident(A), resident(B))) == frozenset()
    assert effective_readers(join(shared(A, [B]), shared(B, [A]))) == frozenset({A, B})
    assert effective_readers(OPEN) is None
    assert may_hold(OPEN, D)


def test_a_pooling_site_does_not_show_intermediates_to_its_persons() -> None:
    researcher = person_at(PERSON, B)
    assert not reads(shared(A, [B]), researcher)
    assert may_hold(shared(A, [researcher]), B)
    assert not reads(shared(A, [researcher]), B)
    assert site_of(researcher) == B
    assert site_of(B) == B


@pytest.mark.parametrize(
    "owners",
    [
        {A: sorted([A, B], reverse=True)},
        {A: [A, A]},
        {A: sorted([B, C])},
        {A: []},
        {A: sorted([A, "everyone"])},
        {A: sorted([A, B + "\n"])},
        {A: sorted([A, f"{PERSON}@{B}@{C}"])},
        {A + "\n": [A + "\n"]},
        {A: [*sorted(READERS), *(str(number) for number in range(MAX_READERS))]},
    ],
)
def test_a_label_written_in_another_way_is_refused(owners: dict[str, list[str]]) -> None:
    """Two spellings of one label would give one value two CIDs, and a sloppy reader a hole."""
    with pytest.raises(VerificationFailed):
        decode(Label, encode({"owners": owners}))


def test_more_owners_than_the_bound_are_refused_at_decoding_and_at_joining() -> None:
    dids = [PrivateKey(number.to_bytes(32, "big")).did for number in range(1, MAX_OWNERS + 2)]
    with pytest.raises(BadInput, match="257 owners"):
        joined(resident(did) for did in dids)
    with pytest.raises(VerificationFailed):
        decode(Label, encode({"owners": {did: [did] for did in dids}}))


def test_more_readers_than_the_bound_are_refused_wherever_they_come_from() -> None:
    """A release in small parts gives no label that no other site would read."""
    many = [person_at(PERSON, PrivateKey(number.to_bytes(32, "big")).did) for number in range(1, MAX_READERS + 1)]
    with pytest.raises(BadInput, match="names at most 1,024"):
        shared(A, many)
    label = shared(A, many[:-1])
    assert len(label.owners[A]) == MAX_READERS
    with pytest.raises(BadInput, match="names at most 1,024"):
        released(label, A, many[-1:])
    assert released(label, A, many[:1]) == label
    assert join(label, resident(A)) == resident(A)


def test_label_of_refuses_what_is_no_reader() -> None:
    with pytest.raises(BadInput, match="neither a site's did:key nor PERSON@SITE"):
        shared(A, ["St. Anna"])
    with pytest.raises(BadInput, match="not a site's did:key"):
        resident(person_at(PERSON, A))
