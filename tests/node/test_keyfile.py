"""Key files: secret, whole or not at all, and read back for every name that people have."""

import os
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from crypt4gh.keys import get_private_key
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.error import BadInput, ComityError, Conflict, NotFound
from catalog.key import PrivateKey
from node.keyfile import Identity, read_identity, slug, write_crypt4gh, write_identity, write_secret


@pytest.fixture
def wide_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("wide_umask")
def test_a_secret_is_its_owner_s_whatever_the_umask(tmp_path):
    """Lost: every user of the machine reads the key that signs for the site."""
    write_secret(tmp_path / "token", b"secret")
    write_identity(tmp_path / "a.key", Identity.new("Ada"))
    assert mode(tmp_path / "token") == mode(tmp_path / "a.key") == 0o600


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_a_key_is_read_back_under_any_name(tmp_path, name):
    """Lost: a key that was written and can never be read again, and with it its owner's standing."""
    path = tmp_path / "a.key"
    path.unlink(missing_ok=True)
    made = Identity.new(name)
    write_identity(path, made)
    again = read_identity(path)
    assert (again.name, again.did, again.x25519) == (name, made.did, made.x25519)
    assert again.key.seed == made.key.seed


@pytest.mark.parametrize(
    "name", ['a"\ned25519 = "AAAA', "a\nb", 'a"b\\', "a\x00\x7f\x1f\x85\u2028", "«Süd» 京都 👩🏽", "'''", '"""', ""]
)
def test_a_name_is_text_and_never_a_line_of_the_file(tmp_path, name):
    write_identity(tmp_path / "a.key", Identity.new(name))
    table = tomllib.loads((tmp_path / "a.key").read_text(encoding="utf-8"))
    assert set(table) == {"name", "did", "ed25519", "x25519"}
    assert table["name"] == name


def test_a_name_that_is_no_text_leaves_nothing(tmp_path):
    with pytest.raises(UnicodeEncodeError):
        write_identity(tmp_path / "a.key", Identity.new("\udcff"))
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_ever_replaced(tmp_path):
    """Lost: a key of which there is no other copy."""
    write_secret(tmp_path / "a", b"first")
    with pytest.raises(Conflict, match="is there already"):
        write_secret(tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"first"
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Conflict):
        write_secret(tmp_path / "link", b"x")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("failing", [1, 2])
def test_a_disk_that_refuses_leaves_no_half_key(tmp_path, monkeypatch, failing):
    """Lost: half a key under a name that is then taken for ever. The file is flushed, then its folder."""
    real, calls = os.fsync, []

    def fsync(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == failing:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space"):
        write_identity(tmp_path / "a.key", Identity.new("Ada"))
    assert list(tmp_path.iterdir()) == []
    write_identity(tmp_path / "a.key", Identity.new("Ada"))
    assert read_identity(tmp_path / "a.key").name == "Ada"


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o602, 0o644, 0o666])
def test_a_key_that_others_can_reach_is_refused_with_the_remedy(tmp_path, bits):
    path = tmp_path / "a.key"
    write_identity(path, Identity.new("Ada"))
    path.chmod(bits)
    with pytest.raises(BadInput, match=f"chmod 600 {path}"):
        read_identity(path)


def test_no_key_and_no_file_say_which(tmp_path):
    with pytest.raises(NotFound, match=r"a\.key"):
        read_identity(tmp_path / "a.key")
    (tmp_path / "b.key").mkdir()
    with pytest.raises(BadInput, match=r"b\.key"):
        read_identity(tmp_path / "b.key")
    with pytest.raises(ComityError):
        read_identity(tmp_path / "none" / "a.key")


LINES = {
    "name": 'name = "Ada"',
    "did": f'did = "{PrivateKey(bytes(32)).did}"',
    "ed25519": 'ed25519 = "' + "A" * 43 + '="',
    "x25519": 'x25519 = "' + "A" * 43 + '="',
}


def lines(**changes: str) -> bytes:
    return "\n".join(line for line in (LINES | changes).values() if line).encode()


def test_the_example_that_the_damage_is_done_to_is_whole(tmp_path):
    write_secret(tmp_path / "a.key", lines())
    assert read_identity(tmp_path / "a.key").name == "Ada"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"a = " + b"[" * 4000,
        b"#" * 10_000,
        lines()[:-9],
        *(lines(**{name: ""}) for name in LINES),
        lines(ed25519="ed25519 = 5"),
        lines(ed25519='ed25519 = "AAAA"'),
        lines(ed25519='ed25519 = "~"'),
        lines(x25519='x25519 = "AAAA"'),
        lines(x25519="x25519 = []"),
        lines(did=f'did = "{PrivateKey(bytes([1]) * 32).did}"'),
        lines(ed25519='ed25519 = "' + "B" * 43 + '="'),
    ],
)
def test_a_damaged_key_is_named_and_its_secret_is_not(tmp_path, data):
    """Lost: a piece of the secret in a terminal, a log, a bug report."""
    path = tmp_path / "a.key"
    write_secret(path, data)
    with pytest.raises(BadInput, match=r"a\.key is damaged") as refusal:
        read_identity(path)
    assert refusal.value.__cause__ is None
    assert "AAAA" not in str(refusal.value)
    assert str(refusal.value).isprintable()


def test_an_identity_shows_no_secret():
    made = Identity.new("Ada")
    assert made.key.seed.hex() not in repr(made)
    assert bytes(made.encryption).hex() not in repr(made)
    assert made.did in repr(made)


@given(st.text(max_size=200))
def test_a_file_name_stays_in_its_folder(name):
    found = slug(name)
    assert 0 < len(found) <= 60
    assert all(c.isascii() and (c.isalnum() or c == "-") for c in found)


@pytest.mark.parametrize("passphrase", [b"", "wörter zum merken".encode()])
def test_the_reference_program_reads_an_exported_key(tmp_path: Path, passphrase: bytes) -> None:
    """Lost: a researcher opens shared data with nothing but this product."""
    identity, path = Identity.new("Mara"), tmp_path / "mara.c4gh"
    write_crypt4gh(path, identity, passphrase)
    assert path.stat().st_mode & 0o777 == 0o600
    assert bytes(get_private_key(path, passphrase.decode)) == bytes(identity.encryption)
    with pytest.raises(Conflict):
        write_crypt4gh(path, identity, passphrase)
