"""The root key's file: useless without its passphrase, and never half written."""

import re
import stat
import tomllib

import pytest

from catalog.error import BadInput, Conflict, NotFound
from node.keyfile import Identity, write_secret
from node.rootkey import LEAST, MODERATE, Passphrase, new_passphrase, read_passphrase, read_root, write_root

PASSPHRASE = Passphrase(b"correct horse battery staple", LEAST)


@pytest.fixture
def made(tmp_path):
    identity = Identity.new("St. Anna")
    write_root(tmp_path / "root.key", identity, PASSPHRASE)
    return tmp_path / "root.key", identity


def test_it_is_read_back_with_its_passphrase_and_with_no_other(made):
    """Lost: whoever finds the USB stick is the site."""
    path, identity = made
    again = read_root(path, PASSPHRASE.text)
    assert (again.name, again.did, again.x25519) == (identity.name, identity.did, identity.x25519)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for wrong in (b"Correct horse battery staple", PASSPHRASE.text + b" ", b"x"):
        with pytest.raises(BadInput, match="passphrase does not open") as refusal:
            read_root(path, wrong)
        assert refusal.value.__cause__ is None
    for none in (b"", b"x" * 2000):
        with pytest.raises(BadInput):
            read_root(path, none)


def test_the_file_holds_nothing_of_the_secret(made):
    path, identity = made
    data = path.read_bytes()
    table = tomllib.loads(data.decode())
    assert set(table) == {"name", "did", "passes", "memory", "salt", "sealed"}
    assert identity.key.seed not in data
    assert PASSPHRASE.text not in data
    assert "horse" not in repr(PASSPHRASE)
    other = path.with_name("other.key")
    write_root(other, identity, PASSPHRASE)
    assert tomllib.loads(other.read_text())["sealed"] != table["sealed"]


def test_what_people_think_of_is_stretched(tmp_path):
    """Lost: a weak passphrase is guessed at a billion tries a second."""
    assert Passphrase(b"x").stretch == MODERATE
    assert MODERATE.memory >= 256 << 20
    assert new_passphrase().text != new_passphrase().text
    assert len(new_passphrase().text) >= 43


def test_a_key_is_never_replaced_and_one_that_others_can_read_is_refused(made):
    path, identity = made
    with pytest.raises(Conflict, match="already"):
        write_root(path, identity, PASSPHRASE)
    path.chmod(0o640)
    with pytest.raises(BadInput, match="chmod 600"):
        read_root(path, PASSPHRASE.text)
    with pytest.raises(NotFound):
        read_root(path.with_name("none"), PASSPHRASE.text)


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        (r"passes = .*", "passes = 1000000000"),
        (r"memory = .*", "memory = 1099511627776"),
        (r"memory = .*", 'memory = "much"'),
        (r"salt = .*", 'salt = "AAAA"'),
        (r"salt = .*", ""),
        (r"sealed = .*", 'sealed = "~"'),
        (r"did = .*", 'did = "did:key:z6Mkother"'),
        (r"sealed = .*", 'sealed = "AAAA"'),
    ],
)
def test_a_changed_file_is_named_and_costs_nothing(made, line, instead):
    """Lost: a file from elsewhere makes the command take all memory, or another key passes for the site's."""
    path, _ = made
    changed = re.sub(line, instead, path.read_text())
    path.write_text(changed)
    with pytest.raises(BadInput, match=r"root\.key"):
        read_root(path, PASSPHRASE.text)


def test_a_passphrase_file_is_its_owner_s_and_one_line(tmp_path):
    write_secret(tmp_path / "p", b"several words\r\n")
    assert read_passphrase(tmp_path / "p") == b"several words"
    write_secret(tmp_path / "empty", b"\n")
    with pytest.raises(BadInput, match="empty"):
        read_passphrase(tmp_path / "empty")
    (tmp_path / "p").chmod(0o644)
    with pytest.raises(BadInput, match="chmod 600"):
        read_passphrase(tmp_path / "p")
