"""The root key's file: useless without its passphrase, and never half written."""

import os
import re
import shutil
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest

from catalog.error import BadInput, Conflict, NotFound
from cli.rootkey import root_of
from node import rootkey
from node.config import Address, Folder
from node.keyfile import Identity, write_secret
from node.rootkey import LEAST, MODERATE, Passphrase, is_loose, new_passphrase, read_passphrase, read_root, write_root
from node.setup import init_site

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


def test_a_key_is_never_replaced_and_no_link_is_written_through(made):
    path, identity = made
    link = path.with_name("link.key")
    link.symlink_to(path.with_name("elsewhere.key"))
    for there in (path, link):
        with pytest.raises(Conflict, match="already"):
            write_root(there, identity, PASSPHRASE)
    assert not path.with_name("elsewhere.key").exists()
    with pytest.raises(NotFound):
        read_root(path.with_name("none"), PASSPHRASE.text)
    with pytest.raises(BadInput, match="cannot be read"):
        read_root(path.parent, PASSPHRASE.text)


def test_a_file_that_others_can_read_is_read_and_told_of_where_its_disk_has_modes(made, monkeypatch, capsys):
    """Lost: a root key on a stick, whose file system shows 0755 for all and knows no chmod, opens nothing."""
    path, identity = made
    passphrase = path.with_name("passphrase")
    write_secret(passphrase, PASSPHRASE.text)
    session: object = None
    assert root_of(session, path, passphrase).did == identity.did
    assert "warning" not in capsys.readouterr().err
    path.chmod(0o755)
    assert root_of(session, path, passphrase).did == identity.did
    told = capsys.readouterr().err
    assert f"warning: {path} can be read by others, who may guess its passphrase; run: chmod 600 {path}" in told
    # As on a stick, of which most test machines have neither one nor its driver; see the test below for a real one.
    monkeypatch.setattr(rootkey, "_kind_of", lambda _device: "vfat")
    assert root_of(session, path, passphrase).did == identity.did
    assert "warning" not in capsys.readouterr().err


def test_the_kind_of_a_disk_is_what_the_system_says(tmp_path):
    assert rootkey._kind_of(Path("/proc").stat().st_dev) == "proc"
    assert rootkey._kind_of(0xFFFFF) == ""


@pytest.fixture
def stick(tmp_path):
    """A real FAT file system, with the mode that Linux gives all of it by default, mounted in user space."""
    tools = [
        shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") for name in ("mkfs.vfat", "fusefat", "fusermount")
    ]
    if None in tools or not os.access("/dev/fuse", os.W_OK):
        pytest.skip("a real FAT file system needs dosfstools, fusefat and /dev/fuse")
    make, mount, unmount = tools
    image, place = tmp_path / "image", tmp_path / "stick"
    image.write_bytes(bytes(8 << 20))
    place.mkdir()
    subprocess.run([make, str(image)], check=True, capture_output=True)
    subprocess.run([mount, "-o", "rw+,umask=022", str(image), str(place)], check=True, capture_output=True)
    try:
        yield place
    finally:
        subprocess.run([unmount, "-u", str(place)], check=True)


def test_a_site_is_made_with_its_root_key_on_a_real_stick(stick, tmp_path):
    """Lost: what the guide tells operators to do fails on the file system that sticks come with."""
    path, here = stick / "anna.root.key", Address("127.0.0.1", 1)
    made = init_site(Folder(tmp_path / "site"), "St. Anna", "Ada", here, here, here, PASSPHRASE, root_key=path)
    assert path.stat().st_mode & 0o077
    with pytest.raises(OSError, match="not implemented"):
        path.chmod(0o600)
    assert read_root(path, PASSPHRASE.text).did == made.root
    assert not is_loose(path)
    with pytest.raises(Conflict):
        write_root(path, Identity.new("another"), PASSPHRASE)


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
