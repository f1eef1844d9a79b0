"""Making a site: whole or not at all, and nobody else's to read."""

import os
import shutil
import stat

import pytest
import trio

from catalog.error import BadInput, ComityError, Conflict
from catalog.index import SiteIndex
from catalog.member import Role
from catalog.origin import LogName, origin_of
from node.config import Address, Folder, read_config
from node.keyfile import read_identity
from node.replicate.indexing import index_log
from node.rootkey import new_passphrase, read_root
from node.setup import SiteMade, init_site
from node.storage.log import DiskLog
from node.system import SystemRandom

PASSPHRASE = new_passphrase()


def make(folder: Folder, name: str = "St. Anna", steward: str = "Ada") -> SiteMade:
    return init_site(folder, name, steward, *(Address("127.0.0.1", port) for port in (4101, 4102, 4103)), PASSPHRASE)


def index_of(folder: Folder, made: SiteMade) -> SiteIndex:
    index = SiteIndex(made.root)

    async def main() -> None:
        node = read_identity(folder.node_key).key
        origin = origin_of(made.root, LogName.CATALOG)
        async with await DiskLog.open(folder.catalog, origin, 0, node, SystemRandom()) as log:
            await index_log(log, index)

    trio.run(main)
    return index


@pytest.mark.parametrize(
    ("name", "steward"), [("St. Anna", "Ada"), ('«Süd» "\\ 京', 'O\'Neill "x"'), ("x" * 120, "y" * 120)]
)
def test_a_new_site_has_its_keys_its_settings_and_a_steward_who_counts(tmp_path, name, steward):
    """Lost: a site that nobody can ever use, since its first steward's entry does not count."""
    folder = Folder(tmp_path / "site")
    made = make(folder, name, steward)
    config = read_config(folder)
    assert (config.name, config.root) == (name, made.root)
    assert read_root(folder.root_key, PASSPHRASE.text).did == made.root
    assert read_identity(folder.node_key).did == made.node
    index = index_of(folder, made)
    assert index.faults == {}
    assert index.node() == made.node
    found = index.key(made.steward.did)
    assert found is not None
    assert (found.role, found.name, found.x25519) == (Role.STEWARD, steward, made.steward.x25519)


def test_no_other_user_reads_anything_and_the_steward_s_key_is_not_there(tmp_path):
    before = os.umask(0)
    try:
        folder = Folder(tmp_path / "site")
        made = make(folder)
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    for secret in (folder.root_key, folder.node_key, folder.token):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert len(folder.token.read_text()) >= 40
    seed = made.steward.key.seed
    for path in folder.path.rglob("*"):
        assert not path.is_file() or seed not in path.read_bytes()


def test_an_empty_folder_is_taken_and_one_with_anything_in_it_is_left(tmp_path):
    """Lost: an operator's files, or a site's keys, under a new site."""
    folder = Folder(tmp_path / "site")
    folder.path.mkdir()
    made = make(folder)
    with pytest.raises(Conflict, match="is a site already"):
        make(folder)
    assert read_root(folder.root_key, PASSPHRASE.text).did == made.root
    other = Folder(tmp_path / "other")
    other.path.mkdir()
    (other.path / ".hidden").write_text("mine")
    with pytest.raises(Conflict, match="not empty"):
        make(other)
    assert [path.name for path in other.path.iterdir()] == [".hidden"]
    (tmp_path / "file").write_text("mine")
    with pytest.raises(Conflict):
        make(Folder(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"site", "other", "file"}


@pytest.mark.parametrize("name", ["", "x" * 121, "a\nb", "a\x1b[2J", "\u202e", "\udcff"])
def test_a_name_that_could_not_stand_in_the_log_makes_no_site(tmp_path, name):
    for names in ((name, "Ada"), ("St. Anna", name)):
        with pytest.raises(BadInput, match="name is 1 to 120"):
            make(Folder(tmp_path / "site"), *names)
    assert list(tmp_path.iterdir()) == []


class Failing:
    """Stands for a function of ``os`` and fails at its ``at``-th call."""

    def __init__(self, call: str, at: int) -> None:
        self.real, self.at, self.calls = getattr(os, call), at, 0

    def __call__(self, *arguments, **options):
        self.calls += 1
        if self.calls == self.at:
            raise OSError(28, "No space left on device")
        return self.real(*arguments, **options)


@pytest.mark.parametrize("call", ["fsync", "rename", "mkdir", "replace", "open"])
def test_a_failure_at_any_step_leaves_nothing(tmp_path, monkeypatch, call):
    """Lost: half a site, which neither runs nor can be made again."""
    folder = Folder(tmp_path / "site")
    refused = 0
    for at in range(1, 200):
        failing = Failing(call, at)
        with monkeypatch.context() as patch:
            patch.setattr(os, call, failing)
            try:
                made = make(folder)
            except ComityError:
                made = None
        if made is not None:
            assert index_of(folder, made).faults == {}
            if failing.calls < at:
                break
            shutil.rmtree(folder.path)  # the failure did not matter: a folder that is there already, say
        else:
            refused += 1
            assert list(tmp_path.iterdir()) == []
    else:
        pytest.fail("it never came to an end")
    assert refused


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="could not be made"):
        make(Folder(tmp_path / "file" / "site"))
