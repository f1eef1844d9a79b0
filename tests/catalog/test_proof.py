import base64

import pytest

from catalog.checkpoint import cosigners, open_checkpoint
from catalog.error import VerificationFailed
from catalog.key import PrivateKey
from catalog.merkle import EMPTY_ROOT, Frontier, leaf_hash, prove_consistency, prove_inclusion
from catalog.proof import MAX_PROOF, Proof, parse_proof, verify_proof, write_proof

LOG, WITNESS = PrivateKey(b"\7" * 32), PrivateKey(b"\x09" * 32)
# Made by Go (filippo.io/torchwood 0.9.0 FormatProof): leaf 123 of the 300 leaves «leaf 0» to «leaf 299».
TEXT = """c2sp.org/tlog-proof@v1
index 123
BYrFDN48FRlN5sej8LnM/v/F3tY1TCMcuZscBHeP03I=
9BGeunPsS3PkHbF/ePet4cBrI9IfWpf4UNiZ2aUSys8=
q2E5FcC+wFq8aNqbGsRKLw7tEnVIcuEtXlkXP/CbYsk=
qvLsXiwNnEtm92lORUEAJhTAVCk+Ml3Qe5QVomEtI5U=
6YyTlgJYikZLdfyMsEqjkDPisA/rlM6I6hrCg8Ze4SE=
U3A9+rI/wMUiV12V1nEqXjo3o/dJE7PAONsTmYkJzdQ=
8mHiNpLZeP2sP9lJ21SVlApDeuZxuabd6aphGNADZS8=
TndYvhQHCGQLIOAoJoyUaxKGfXKHvJn6bfGegnsNkAo=
d3QiiY7L9//1QBZZ1AvIEHfvfsF/o9uNqPnP6JKjWfg=

example.com/log
300
56/ILTiUT8eTBUUygJHUWCMojB9zTL2sBjlnE+vUtdU=

— example.com/log cC88cLfi6IFg0hLgAuv5SGdCyOuXDVVFfG6EngY9HVoI3G/bQgjZzLpzDE1LH6UUbi2j1p4Tc4AfAywRqQfHCuNTSQ4=
— witness.example/w1 JLXZ/gAAAABrBLRN3bmB7V5gN5g2zYGidfPcbMS8pR0UVSY/\
DgQ7gT11Cy6Zvsn8CksYXAj88x1rNE6cY6/cIF1WNLXvz70fweKMBw==
"""
# tlog.ProveTree(300, 77) over the same leaves.
TREE_PROOF = """\
3f2c7f93db0df34d020e02c53abd9910b3a755c7cd89b3b15c964cef1f17fb6f
bd752c8289514e5603bd9c6d7d2af48d666fdd62a05c6c54d136638705e9160f
cc15ba42bf68cf706139abcb4a8034de71adf2aae6b3587d144633278d12b6e0
f25bb6c6a5bf9c0944a8c48b381e065256e9f3d074b334bb1dae0f16f53ac2a1
c87455aec7c6bd330086113e532b497c23dac6626ce1ef34b6c5e4db705e597c
47d83ece5ce5027a017d7e3f494e693a4da2ff752a3985fb032e8550bb039eb0
b888307946e1f1b8f2a6837830d8aeb022051e98151f2c6a0f51a223287832e8
f261e23692d978fdac3fd949db5495940a437ae671b9a6dde9aa6118d003652f
4e7758be140708640b20e028268c946b12867d7287bc99fa6df19e827b0d900a
777422898ecbf7fff5401659d40bc81077ef7ec17fa3db8da8f9cfe892a359f8"""


def subtree(height, index):
    hashes = [leaf_hash(b"leaf %d" % number) for number in range(index << height, (index + 1) << height)]
    return Frontier().extend(hashes).root


def test_a_proof_that_go_wrote_verifies_and_ours_is_the_same_text():
    """Lost: an auditor's own tools could not read the proofs in our exports."""
    proof = parse_proof(TEXT)
    assert write_proof(proof) == TEXT
    checkpoint = verify_proof(proof, b"leaf 123", "example.com/log", LOG.did)
    assert checkpoint == open_checkpoint(proof.checkpoint, "example.com/log", LOG.did)
    assert cosigners(proof.checkpoint, {"witness.example/w1": WITNESS.did})
    assert prove_inclusion(123, 300, subtree) == list(proof.hashes)
    assert [step.hex() for step in prove_consistency(77, 300, subtree)] == TREE_PROOF.split()


def test_extra_data_and_an_empty_path_come_back():
    """Lost: proofs for the first leaf of a log, and what an application sends along."""
    for extra in (None, b"", b"\0" * 100):
        proof = Proof(0, (), "note", extra)
        assert parse_proof(write_proof(proof)) == proof


@pytest.mark.parametrize(("index", "leaf"), [(122, b"leaf 123"), (123, b"leaf 122"), (300, b"leaf 123")])
def test_another_leaf_or_place_is_refused(index, leaf):
    """Lost: a site could prove one entry with another's path."""
    proof = parse_proof(TEXT)
    with pytest.raises(VerificationFailed):
        verify_proof(Proof(index, proof.hashes, proof.checkpoint), leaf, "example.com/log", LOG.did)


def test_a_flipped_bit_anywhere_but_in_an_unknown_signature_is_refused():
    """Lost: a proof in an export could be altered."""
    good = TEXT[: TEXT.index("— witness")].encode()
    for at in range(len(good)):
        bad = bytearray(good)
        bad[at] ^= 1
        with pytest.raises((VerificationFailed, UnicodeDecodeError)):
            verify_proof(parse_proof(bad.decode()), b"leaf 123", "example.com/log", LOG.did)


HASH = base64.b64encode(EMPTY_ROOT).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "c2sp.org/tlog-proof@v1",
        "c2sp.org/tlog-proof@v1\n\nnote",
        "c2sp.org/tlog-proof@v2\nindex 1\n\nnote",
        "c2sp.org/tlog-proof@v1\nindex 01\n\nnote",
        "c2sp.org/tlog-proof@v1\nindex -1\n\nnote",
        "c2sp.org/tlog-proof@v1\nindex 9999999999999999999\n\nnote",
        "c2sp.org/tlog-proof@v1\nextra A\nindex 1\n\nnote",
        "c2sp.org/tlog-proof@v1\nindex 1\nextra AAAA\n\nnote",
        "c2sp.org/tlog-proof@v1\nindex 1\nAAAA\n\nnote",
        f"c2sp.org/tlog-proof@v1\nindex 1\n{HASH}\nnote",
        f"c2sp.org/tlog-proof@v1\r\nindex 1\n{HASH}\n\nnote",
        "c2sp.org/tlog-proof@v1\nindex 1\n\n" + "x" * MAX_PROOF,
    ],
)
def test_a_malformed_proof_is_refused(text):
    """Lost: bounds on what a reader of proofs takes in."""
    with pytest.raises(VerificationFailed):
        parse_proof(text)
