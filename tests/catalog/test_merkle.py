import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog import merkle
from catalog.error import BadInput, VerificationFailed
from catalog.merkle import EMPTY_ROOT, Frontier, leaf_hash

LEAVES = [leaf_hash(b"leaf %d" % number) for number in range(2100)]


def oracle(hashes):
    """The root as RFC 9162 section 2.1.1 defines it, by plain recursion."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while 2 * k < len(hashes):
        k *= 2
    return hashlib.sha256(b"\x01" + oracle(hashes[:k]) + oracle(hashes[k:])).digest()


def oracle_path(m, hashes):
    """PATH(m, D) of section 2.1.3.1."""
    if len(hashes) == 1:
        return []
    k = 1
    while 2 * k < len(hashes):
        k *= 2
    if m < k:
        return [*oracle_path(m, hashes[:k]), oracle(hashes[k:])]
    return [*oracle_path(m - k, hashes[k:]), oracle(hashes[:k])]


def oracle_subproof(m, hashes, whole=True):
    """SUBPROOF(m, D, b) of section 2.1.4.1."""
    if m == len(hashes):
        return [] if whole else [oracle(hashes)]
    k = 1
    while 2 * k < len(hashes):
        k *= 2
    if m <= k:
        return [*oracle_subproof(m, hashes[:k], whole), oracle(hashes[k:])]
    return [*oracle_subproof(m - k, hashes[k:], False), oracle(hashes[:k])]


def subtree(height, index):
    return oracle(LEAVES[index << height : (index + 1) << height])


ROOTS = [oracle(LEAVES[:size]) for size in range(71)]


def test_hashes_are_those_of_the_specification():
    """Lost: any other implementation could check our logs (values as in certificate-transparency's test data)."""
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    inputs = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
    inputs.append(bytes.fromhex("606162636465666768696a6b6c6d6e6f"))
    root = Frontier().extend(map(leaf_hash, inputs)).root
    assert root.hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


def test_every_small_tree_has_the_root_of_the_definition():
    """Lost: the root of a log of an awkward size."""
    frontier = Frontier()
    for size in range(71):
        assert frontier.root == merkle.root_of(size, subtree) == ROOTS[size]
        assert len(frontier.peaks) == size.bit_count()
        frontier = frontier.append(LEAVES[size])


def test_every_small_inclusion_proof_is_the_defined_one_and_verifies():
    """Lost: proofs that other verifiers accept."""
    for size in range(1, 71):
        for index in range(size):
            proof = merkle.prove_inclusion(index, size, subtree)
            assert proof == oracle_path(index, LEAVES[:size])
            merkle.verify_inclusion(LEAVES[index], index, size, ROOTS[size], proof)


def test_every_small_consistency_proof_is_the_defined_one_and_verifies():
    """Lost: a replica would call an honest log a fork."""
    for new in range(71):
        for old in range(new + 1):
            proof = merkle.prove_consistency(old, new, subtree)
            assert proof == (oracle_subproof(old, LEAVES[:new]) if old else [])
            merkle.verify_consistency(old, ROOTS[old], new, ROOTS[new], proof)


@given(st.data())
def test_large_trees_agree_with_the_definition(data):
    """Lost: what holds for seventy leaves but not for two thousand."""
    new = data.draw(st.integers(71, 2000))
    old, index = data.draw(st.integers(1, new)), data.draw(st.integers(0, new - 1))
    root = Frontier().extend(LEAVES[:new]).root
    assert root == oracle(LEAVES[:new])
    path = merkle.prove_inclusion(index, new, subtree)
    assert path == oracle_path(index, LEAVES[:new])
    merkle.verify_inclusion(LEAVES[index], index, new, root, path)
    proof = merkle.prove_consistency(old, new, subtree)
    assert proof == oracle_subproof(old, LEAVES[:new])
    merkle.verify_consistency(old, oracle(LEAVES[:old]), new, root, proof)


def _mutations(proof):
    yield [*proof, bytes(32)]
    yield [*proof, *([bytes(32)] * 200)]
    if proof:
        yield proof[:-1]
        yield proof[1:]
        yield [*proof, proof[-1]]
        yield [proof[0][:-1], *proof[1:]]
        yield [bytes([proof[0][0] ^ 1]) + proof[0][1:], *proof[1:]]
        yield [*proof[:-1], proof[-1][:-1] + bytes([proof[-1][-1] ^ 128])]
    if len(proof) > 1:
        yield proof[::-1]


def test_an_altered_inclusion_proof_is_refused():
    """Lost: a site could prove what is not in its log."""
    for size in (1, 2, 3, 7, 8, 13, 33, 64, 70):
        for index in range(size):
            proof = merkle.prove_inclusion(index, size, subtree)
            for altered in _mutations(proof):
                with pytest.raises(VerificationFailed):
                    merkle.verify_inclusion(LEAVES[index], index, size, ROOTS[size], altered)
            wrong = [(index + 1, size), (index - 1, size), (index, -1), (index, 0), (size, size), (index, 1 << 63)]
            for other, total in wrong:
                with pytest.raises(VerificationFailed):
                    merkle.verify_inclusion(LEAVES[index], other, total, ROOTS[size], proof)
            with pytest.raises(VerificationFailed):
                merkle.verify_inclusion(LEAVES[index + 1], index, size, ROOTS[size], proof)


def test_an_altered_consistency_proof_is_refused():
    """Lost: a site could rewrite its log under a proof."""
    pick = random.Random(6962)
    for new in (1, 2, 3, 7, 8, 13, 33, 64, 70):
        for old in range(new + 1):
            proof = merkle.prove_consistency(old, new, subtree)
            for altered in _mutations(proof):
                with pytest.raises(VerificationFailed):
                    merkle.verify_consistency(old, ROOTS[old], new, ROOTS[new], altered)
            other = pick.choice([size for size in range(1, 71) if size not in (old, new)])
            with pytest.raises(VerificationFailed):
                merkle.verify_consistency(old, ROOTS[other], new, ROOTS[new], proof)
            if old:
                with pytest.raises(VerificationFailed):
                    merkle.verify_consistency(old, ROOTS[old], new, ROOTS[other], proof)


def test_a_shrinking_log_is_refused():
    """Lost: a site could take leaves back."""
    with pytest.raises(VerificationFailed, match="shrank"):
        merkle.verify_consistency(5, ROOTS[5], 4, ROOTS[4], [])
    with pytest.raises(VerificationFailed):
        merkle.verify_consistency(-1, ROOTS[0], 4, ROOTS[4], [])
    with pytest.raises(VerificationFailed):
        merkle.verify_consistency(0, EMPTY_ROOT, 0, ROOTS[1], [])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (4, 4), (-1, 4)])
def test_a_proof_of_nothing_is_not_made(index, size):
    """Lost: the caller's mistake would come back as a proof that nobody accepts."""
    with pytest.raises(BadInput):
        merkle.prove_inclusion(index, size, subtree)
    with pytest.raises(BadInput):
        merkle.prove_consistency(size + 1, size, subtree)
