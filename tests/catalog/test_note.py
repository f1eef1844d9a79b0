import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.error import BadInput, VerificationFailed
from catalog.key import PrivateKey, did_of
from catalog.note import (
    ED25519,
    MAX_NOTE,
    MAX_SIGNATURES,
    Note,
    NoteSignature,
    key_id,
    parse_line,
    parse_note,
    sign_note,
    verify_note,
)

# The test key and note of golang.org/x/mod/sumdb/note, as its package documentation publishes them.
PETER = base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")[1:]
PETER_SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
NOTE = (
    TEXT
    + "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
KEY = PrivateKey(b"\7" * 32)
LINE = "— k " + base64.b64encode(bytes(68)).decode()


def test_the_published_go_note_is_read_verified_and_made_again_byte_for_byte():
    """Lost: notes that Go's tools sign or read."""
    assert key_id("PeterNeumann", ED25519, PETER).hex() == "c74f20a3"
    note = parse_note(NOTE)
    assert note.text == TEXT
    assert str(note) == NOTE
    verify_note(note, "PeterNeumann", did_of(PETER))
    assert sign_note(TEXT, "PeterNeumann", PrivateKey(PETER_SEED)) == NOTE


def test_the_example_of_the_specification_verifies():
    """Lost: agreement with C2SP signed-note, section «Example»."""
    data = base64.b64decode("AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
    note = (
        "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZ"
        "XsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
    )
    assert key_id("example.com/foo", data[0], data[1:]).hex() == "530d903a"
    verify_note(parse_note(note), "example.com/foo", did_of(data[1:]))


def test_a_flipped_bit_anywhere_is_refused():
    """Lost: the text of a note could be changed under its signature."""
    good, did = NOTE.encode(), did_of(PETER)
    for at in range(len(good)):
        for bit in (1, 32):
            bad = bytearray(good)
            bad[at] ^= bit
            with pytest.raises((VerificationFailed, UnicodeDecodeError)):
                verify_note(parse_note(bad.decode()), "PeterNeumann", did)


def test_another_key_or_another_name_does_not_count():
    """Lost: whoever signs a note could claim to be the log."""
    note = parse_note(NOTE)
    for name, did in (("PeterNeumann", KEY.did), ("Peter", did_of(PETER))):
        with pytest.raises(VerificationFailed, match="not signed by"):
            verify_note(note, name, did)


def test_unknown_lines_count_for_nothing_and_a_false_line_of_a_known_key_fails_the_note():
    """Lost: cosigned notes would be unreadable, or a false signature would pass beside a true one."""
    note = parse_note(NOTE)
    stranger = NoteSignature("someone", b"\1\2\3\4", bytes(2000))
    verify_note(Note(note.text, (stranger, *note.signatures, stranger)), "PeterNeumann", did_of(PETER))
    false = NoteSignature("PeterNeumann", note.signatures[0].key_id, bytes(64))
    with pytest.raises(VerificationFailed):
        verify_note(Note(note.text, (*note.signatures, false)), "PeterNeumann", did_of(PETER))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "text\n",
        "text\n\n",
        "\n\n" + LINE + "\n",
        "text\n\n" + LINE,
        "text\n" + LINE + "\n",
        "te\0xt\n\n" + LINE + "\n",
        "te\rxt\n\n" + LINE + "\n",
        "te\ud800xt\n\n" + LINE + "\n",
        "text\n\n" + LINE + "\n" + "garbage\n",
        "text\n\n" + LINE + "\n\n",
        "text\n\n" + (LINE + "\n") * (MAX_SIGNATURES + 1),
        "x" * MAX_NOTE + "\n\n" + LINE + "\n",
        "é" * (MAX_NOTE // 2) + "\n\n" + LINE + "\n",
    ],
)
def test_a_malformed_or_oversized_note_is_refused(text):
    """Lost: a peer's garbage would reach the code behind, or fill memory."""
    with pytest.raises(VerificationFailed):
        parse_note(text)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "—",
        "- k AAAAAAAA",
        "— k",
        "—  AAAAAAAA",
        "— a+b AAAAAAAA",
        "— a\u00a0b AAAAAAAA",
        "— k AAAA",
        "— k AAAAAA",
        "— k AAAAAAA=\n",
        "— k AAAAAAB=",
        "— k AAAAAAA= ",
        "— k AAAA-_AA",
        "— " + "k" * 300 + " AAAAAAAA",
        "— k " + "A" * 10_000,
    ],
)
def test_a_malformed_line_is_refused(line):
    """Lost: one signature could be written in many ways, and a name could break the line."""
    with pytest.raises(VerificationFailed):
        parse_line(line)


def test_as_many_signatures_as_promised_are_read():
    """Lost: consortia whose witnesses fit the promised bound."""
    lines = "".join(f"— k{number} " + base64.b64encode(bytes(76)).decode() + "\n" for number in range(MAX_SIGNATURES))
    assert len(parse_note("text\n\n" + lines).signatures) == MAX_SIGNATURES


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"], include_characters="\n"), min_size=1, max_size=200))
def test_whatever_text_can_stand_in_a_note_comes_back(text):
    """Lost: a text with empty lines or letters beyond ASCII."""
    note = sign_note(text + "\n", "example.com/log", KEY)
    parsed = parse_note(note)
    assert parsed.text == text + "\n"
    verify_note(parsed, "example.com/log", KEY.did)


@pytest.mark.parametrize(("text", "name"), [("a", "k"), ("a\n", ""), ("a\n", "k k"), ("a\n", "k+"), ("\0\n", "k")])
def test_what_no_note_may_hold_is_not_signed(text, name):
    """Lost: our own key would sign what others must refuse."""
    with pytest.raises(BadInput):
        sign_note(text, name, KEY)
