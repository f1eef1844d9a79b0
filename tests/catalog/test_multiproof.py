"""One proof for many leaves, and the map of chains' heads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from catalog.error import BadInput, VerificationFailed
from catalog.headmap import Head, HeadMap, HeadProof, subject_hash, verify_head
from catalog.merkle import EMPTY_ROOT, Frontier, leaf_hash, node_hash, prove_inclusion, verify_inclusion
from catalog.multiproof import paths_of, prove_many, root_of_many

SIZES = some.integers(1, 300)


def tree(size: int) -> list[bytes]:
    return [leaf_hash(number.to_bytes(2, "big")) for number in range(size)]


def subtree_of(leaves: list[bytes]):
    def subtree(height: int, index: int) -> bytes:
        return (
            leaves[index]
            if not height
            else node_hash(subtree(height - 1, 2 * index), subtree(height - 1, 2 * index + 1))
        )

    return subtree


@given(SIZES, some.data())
def test_it_leads_to_the_root_and_gives_each_leaf_its_own_path(size: int, data: some.DataObject) -> None:
    leaves = tree(size)
    indexes = sorted(data.draw(some.sets(some.integers(0, size - 1), max_size=12)))
    proof = prove_many(indexes, size, subtree_of(leaves))
    root = Frontier().extend(leaves).root
    shown = {index: leaves[index] for index in indexes}
    assert root_of_many(shown, size, proof) == root
    for index, path in paths_of(shown, size, proof).items():
        verify_inclusion(leaves[index], index, size, root, path)
        assert list(path) == prove_inclusion(index, size, subtree_of(leaves))


@given(SIZES, some.data())
def test_another_leaf_place_or_proof_leads_elsewhere(size: int, data: some.DataObject) -> None:
    """Lost: a row that is in no log passes among rows that are."""
    leaves = tree(size)
    index = data.draw(some.integers(0, size - 1))
    proof = prove_many([index], size, subtree_of(leaves))
    root = Frontier().extend(leaves).root
    assert root_of_many({index: bytes(32)}, size, proof) != root
    with pytest.raises(VerificationFailed):
        root_of_many({index: leaves[index]}, size, proof + bytes(32))
    with pytest.raises(VerificationFailed):
        root_of_many({index: leaves[index]}, size, proof[:-1] if proof else b"x")
    with pytest.raises(VerificationFailed):
        root_of_many({size: leaves[index]}, size, proof)
    with pytest.raises(BadInput):
        prove_many([index, index], size, subtree_of(leaves))


def heads(count: int) -> HeadMap:
    return HeadMap.of(Head(subject=subject_hash(f"s{number}"), index=number, count=1) for number in range(count))


@given(some.integers(0, 60), some.integers(0, 90))
def test_a_subject_s_head_or_that_it_has_none(count: int, number: int) -> None:
    made = heads(count)
    found = verify_head(f"s{number}", made.root, count, made.prove(f"s{number}"))
    assert (found.index if found else None) == (number if number < count else None)
    assert made.root == Frontier().extend([head.leaf for head in made.heads]).root


@given(some.integers(1, 60), some.data())
def test_no_proof_denies_a_head_that_is_there(count: int, data: some.DataObject) -> None:
    """Lost: a site says that a dataset was never accessed, and proves it."""
    made = heads(count)
    subject = f"s{data.draw(some.integers(0, count - 1))}"
    for other in range(count + 30):
        proof = made.prove(f"s{other}")
        if proof == made.prove(subject):
            continue
        with pytest.raises(VerificationFailed):
            verify_head(subject, made.root, count, proof)
    with pytest.raises(VerificationFailed):
        verify_head(subject, made.root, count, HeadProof(heads=()))
    with pytest.raises(VerificationFailed):
        verify_head(subject, EMPTY_ROOT, count, HeadProof(heads=()))
