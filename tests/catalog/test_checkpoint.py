import pytest

from catalog.checkpoint import (
    Checkpoint,
    add_line,
    cosign,
    cosigners,
    open_checkpoint,
    sign_checkpoint,
    verify_cosignature,
)
from catalog.error import BadInput, VerificationFailed
from catalog.key import PrivateKey
from catalog.note import MAX_SIGNATURES, parse_note

LOG, WITNESS = PrivateKey(b"\7" * 32), PrivateKey(b"\x09" * 32)
ORIGIN, NAME = "example.com/log", "witness.example/w1"
# Made by Go: the checkpoint by filippo.io/torchwood 0.9.0 and golang.org/x/mod/sumdb/note, the cosignature by
# github.com/transparency-dev/formats, over a tree of 300 leaves, with the two keys above.
COSIGNED = """example.com/log
300
56/ILTiUT8eTBUUygJHUWCMojB9zTL2sBjlnE+vUtdU=

— example.com/log cC88cLfi6IFg0hLgAuv5SGdCyOuXDVVFfG6EngY9HVoI3G/bQgjZzLpzDE1LH6UUbi2j1p4Tc4AfAywRqQfHCuNTSQ4=
— witness.example/w1 JLXZ/gAAAABrBLRN3bmB7V5gN5g2zYGidfPcbMS8pR0UVSY/\
DgQ7gT11Cy6Zvsn8CksYXAj88x1rNE6cY6/cIF1WNLXvz70fweKMBw==
"""
SECONDS = 0x6B04B44D
SIGNED = "".join(COSIGNED.splitlines(keepends=True)[:-1])
CHECKPOINT = Checkpoint.parse(parse_note(COSIGNED).text)


def test_what_go_signed_opens_here_and_is_made_again_byte_for_byte():
    """Lost: witnesses and monitors that others run could not check our logs, nor we theirs."""
    checkpoint = open_checkpoint(COSIGNED, ORIGIN, LOG.did)
    assert (checkpoint.origin, checkpoint.size) == (ORIGIN, 300)
    assert verify_cosignature(COSIGNED, NAME, WITNESS.did) == SECONDS
    assert sign_checkpoint(checkpoint, LOG) == SIGNED
    assert add_line(SIGNED, cosign(SIGNED, NAME, WITNESS, SECONDS)) == COSIGNED


def test_the_example_of_the_specification_parses():
    """Lost: agreement with C2SP tlog-checkpoint on the text."""
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    checkpoint = Checkpoint.parse(text)
    assert checkpoint.size == 20852163
    assert checkpoint.text == text


def _verify_both(note):
    open_checkpoint(note, ORIGIN, LOG.did)
    verify_cosignature(note, NAME, WITNESS.did)


def test_a_flipped_bit_anywhere_is_refused():
    """Lost: the size, the root or the time could be changed under the signatures."""
    good = COSIGNED.encode()
    for at in range(len(good)):
        bad = bytearray(good)
        bad[at] ^= 1
        with pytest.raises((VerificationFailed, UnicodeDecodeError)):
            _verify_both(bad.decode())


@pytest.mark.parametrize(
    "text",
    [
        "example.com/log\n300\n",
        "example.com/log\n0300\n56/ILTiUT8eTBUUygJHUWCMojB9zTL2sBjlnE+vUtdU=\n",
        "example.com/log\n-1\n56/ILTiUT8eTBUUygJHUWCMojB9zTL2sBjlnE+vUtdU=\n",
        "example.com/log\n٣\n56/ILTiUT8eTBUUygJHUWCMojB9zTL2sBjlnE+vUtdU=\n",
        "example.com/log\n9999999999999999999\n56/ILTiUT8eTBUUygJHUWCMojB9zTL2sBjlnE+vUtdU=\n",
        "example.com/log\n" + "9" * 5000 + "\n56/ILTiUT8eTBUUygJHUWCMojB9zTL2sBjlnE+vUtdU=\n",
        "example.com/log\n300\n56/ILTiUT8eTBUUygJHUWCMojB9zTL2sBjlnE+vUtdU=\nextension\n",
        "example.com/log\n300\n56/ILTiUT8eTBUUygJHUWCMojB9zTL2sBjlnE+vUtdV=\n",
        "example.com/log\n300\nAAAA\n",
        "\n300\n56/ILTiUT8eTBUUygJHUWCMojB9zTL2sBjlnE+vUtdU=\n",
        "a log\n300\n56/ILTiUT8eTBUUygJHUWCMojB9zTL2sBjlnE+vUtdU=\n",
    ],
)
def test_a_malformed_checkpoint_is_refused(text):
    """Lost: two readings of one checkpoint, or a size without bound."""
    with pytest.raises(VerificationFailed):
        Checkpoint.parse(text)


def test_another_logs_checkpoint_is_refused():
    """Lost: a site's audit checkpoint could stand for its catalog."""
    with pytest.raises(VerificationFailed, match="expected"):
        open_checkpoint(COSIGNED, "example.com/other", LOG.did)
    with pytest.raises(VerificationFailed):
        open_checkpoint(COSIGNED, ORIGIN, WITNESS.did)


def test_a_log_signature_is_no_cosignature_and_the_other_way_round():
    """Lost: a log could witness itself with the signature that it makes anyway."""
    with pytest.raises(VerificationFailed):
        verify_cosignature(SIGNED, ORIGIN, LOG.did)
    only = add_line(sign_checkpoint(CHECKPOINT, WITNESS), cosign(SIGNED, ORIGIN, LOG, 1))
    with pytest.raises(VerificationFailed):
        open_checkpoint(only, ORIGIN, LOG.did)


def test_only_known_witnesses_count_and_a_false_line_of_one_fails_the_note():
    """Lost: a quorum of strangers."""
    other = PrivateKey(b"\x0a" * 32)
    assert cosigners(COSIGNED, {NAME: WITNESS.did, "w2": other.did}) == {NAME: SECONDS}
    assert cosigners(COSIGNED, {NAME: other.did}) == {}
    both = add_line(COSIGNED, cosign(COSIGNED, "w2", other, 5))
    assert cosigners(both, {NAME: WITNESS.did, "w2": other.did}) == {NAME: SECONDS, "w2": 5}
    larger = sign_checkpoint(Checkpoint(ORIGIN, 301, CHECKPOINT.root), LOG)
    stolen = add_line(larger, COSIGNED.splitlines()[-1])
    with pytest.raises(VerificationFailed):
        cosigners(stolen, {NAME: WITNESS.did})


def test_cosigning_again_renews_nothing():
    """Lost: a revoked authority could be kept fresh by cosigning one old checkpoint for ever."""
    again = add_line(COSIGNED, cosign(COSIGNED, NAME, WITNESS, SECONDS + 100))
    assert verify_cosignature(again, NAME, WITNESS.did) == SECONDS


def test_a_line_is_added_once_and_only_where_there_is_room():
    """Lost: a note could grow beyond what others read."""
    assert add_line(COSIGNED, COSIGNED.splitlines()[-1]) == COSIGNED
    note = SIGNED
    for number in range(MAX_SIGNATURES - 1):
        note = add_line(note, cosign(SIGNED, f"w{number}", WITNESS, number))
    assert len(cosigners(note, {f"w{number}": WITNESS.did for number in range(MAX_SIGNATURES)})) == MAX_SIGNATURES - 1
    with pytest.raises(VerificationFailed):
        add_line(note, cosign(SIGNED, "one-more", WITNESS, 0))


def test_what_is_no_checkpoint_is_not_cosigned():
    """Lost: a witness's signature under a text of someone's choice."""
    with pytest.raises(VerificationFailed):
        cosign("any text\n\n" + COSIGNED.splitlines()[-1] + "\n", NAME, WITNESS, 1)
    for name, seconds in (("a b", 1), (NAME, -1), (NAME, 1 << 63)):
        with pytest.raises(BadInput):
            cosign(SIGNED, name, WITNESS, seconds)
