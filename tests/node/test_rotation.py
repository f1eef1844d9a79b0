"""A node's new key: whole or not at all, whatever breaks in between, and its logs readable by both keys' friends."""

from functools import partial
from pathlib import Path

import pytest
import trio

from catalog.checkpoint import open_checkpoint
from catalog.error import BadInput, Conflict, Denied, VerificationFailed
from catalog.key import UNSIGNED, PrivateKey, signed
from catalog.merkle import EMPTY_ROOT
from catalog.origin import LogName, origin_of
from catalog.reopening import Reopening
from node.config import Address, Folder
from node.keyfile import read_identity
from node.rootkey import new_passphrase, read_root
from node.rotating import rotate_node
from node.rotation import carry_out, is_ready, next_key, prepare, read_own, ready
from node.setup import init_site
from node.storage.log import DiskLog
from node.storage.reopened import reopen
from node.system import SystemRandom

PASSPHRASE = new_passphrase()


class Made:
    """A site whose node does not run."""

    def __init__(self, path: Path) -> None:
        self.folder = Folder(path / "site")
        here = (Address("127.0.0.1", port) for port in (1, 2, 3))
        self.site = init_site(self.folder, "St. Anna", "Ada", *here, PASSPHRASE)
        self.root = read_root(self.folder.root_key, PASSPHRASE.text).key

    def note(self, log: LogName) -> str:
        folder = self.folder.catalog if log is LogName.CATALOG else self.folder.audit
        return (folder / "checkpoint").read_text()

    def opens(self, did: str) -> list[bool]:
        found = []
        for log in (LogName.CATALOG, LogName.AUDIT):
            try:
                open_checkpoint(self.note(log), origin_of(self.site.root, log), did)
                found.append(True)
            except VerificationFailed:
                found.append(False)
        return found

    async def append_audit(self, key: PrivateKey) -> None:
        origin = origin_of(self.site.root, LogName.AUDIT)
        log = await DiskLog.open(self.folder.audit, origin, 0, key, SystemRandom(), (self.site.node,))
        async with log:
            await log.append([("intent", b"x")])


@pytest.fixture
def made(tmp_path):
    return Made(tmp_path)


def test_a_planned_change_is_signed_by_both_keys_and_the_old_secret_is_gone(made):
    """Lost: members that know only the old key cannot go along; or a copy of the old key still stands in."""
    node = rotate_node(made.folder, made.root)
    assert node != made.site.node
    assert read_identity(made.folder.node_key).did == node
    assert not is_ready(made.folder)
    assert not next_key(made.folder).exists()
    assert made.opens(node) == made.opens(made.site.node) == [True, True]
    index, catalog, audit, epoch = trio.run(read_own, made.folder)
    assert (index.node(), set(index.nodes()), index.faults) == (node, {node, made.site.node}, {})
    assert (catalog, audit, epoch) == (4, 0, 0)
    assert index.signs(made.site.node, LogName.CATALOG, 1)
    assert not index.signs(made.site.node, LogName.CATALOG, 2)
    assert not index.signs(made.site.node, LogName.AUDIT, 0)
    again = rotate_node(made.folder, made.root)
    assert trio.run(read_own, made.folder)[0].node() == again


def test_a_log_that_was_begun_anew_is_signed_anew_under_its_own_epoch(made):
    """Lost: after a restore a site could never change its node's key again, or would sign the epoch that is closed."""
    reopening = Reopening(
        site=made.site.root,
        log=LogName.AUDIT,
        number=1,
        size=0,
        root=EMPTY_ROOT,
        node=made.site.node,
        lost=3,
        reason="restored from a backup",
        sig=UNSIGNED,
    )
    key = read_identity(made.folder.node_key).key
    reopen(made.folder.audit, signed(reopening, made.root), key, (), (made.site.root,))
    node = rotate_node(made.folder, made.root)
    for did in (node, made.site.node):
        assert open_checkpoint(made.note(LogName.AUDIT), origin_of(made.site.root, LogName.AUDIT, 1), did).size == 0
        assert open_checkpoint(made.note(LogName.CATALOG), origin_of(made.site.root, LogName.CATALOG), did).size == 4
    assert not made.opens(node)[1]
    assert trio.run(read_own, made.folder)[0].node() == node


def test_a_lost_key_is_replaced_without_it(made):
    made.folder.node_key.unlink()
    node = rotate_node(made.folder, made.root, lost=True)
    assert read_identity(made.folder.node_key).did == node
    assert made.opens(node) == [True, True]
    assert made.opens(made.site.node) == [False, False]


def test_a_stolen_key_counts_up_to_the_places_given(made):
    """Lost: what the thief signed counts, or everything before falls too."""
    old = read_identity(made.folder.node_key).key
    for _ in range(3):
        trio.run(made.append_audit, old)
    rotate_node(made.folder, made.root, since=1, audit_since=2)
    index = trio.run(read_own, made.folder)[0]
    assert [index.signs(made.site.node, LogName.CATALOG, at) for at in (0, 1)] == [True, False]
    assert [index.signs(made.site.node, LogName.AUDIT, at) for at in (1, 2)] == [True, False]
    assert made.opens(made.site.node) == [False, False]


@pytest.mark.parametrize(("since", "audit"), [(999, None), (1, 999)])
def test_a_place_behind_the_log_takes_nothing_back_and_is_refused(made, since, audit):
    """Lost: a slip of the pen, and all that a thief signed counts on."""
    with pytest.raises(BadInput, match="ends with entry"):
        rotate_node(made.folder, made.root, since=since, audit_since=audit)
    assert made.opens(made.site.node) == [True, True]


@pytest.mark.parametrize("breaks", ["before the first entry", "between the two logs", "at the end"])
def test_a_crash_at_any_step_is_gone_on_from_and_nothing_is_written_twice(made, monkeypatch, breaks):
    """Lost: a site with two node keys, or with none that anybody knows."""
    real_append, real_sign, signed = DiskLog.append, DiskLog.sign_anew, []

    class Crash(Exception):
        pass

    async def append(self, entries):
        if breaks == "before the first entry":
            raise Crash
        return await real_append(self, entries)

    async def sign_anew(self, also=None):
        signed.append(self)
        if breaks == "between the two logs" and len(signed) == 2:
            raise Crash
        await real_sign(self, also)

    def take_place(_folder):
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(DiskLog, "append", append)
        patch.setattr(DiskLog, "sign_anew", sign_anew)
        if breaks == "at the end":
            patch.setattr("node.rotation._take_place", take_place)
        with pytest.raises(Crash):
            rotate_node(made.folder, made.root)
    assert is_ready(made.folder)
    assert read_identity(made.folder.node_key).did == made.site.node
    with pytest.raises(Conflict, match="lies ready"):
        rotate_node(made.folder, made.root)
    assert "new key" in trio.run(carry_out, made.folder)
    node = read_identity(made.folder.node_key).did
    index, catalog, _, _ = trio.run(read_own, made.folder)
    assert (index.node(), catalog, index.faults) == (node, 4, {})
    assert made.opens(node) == [True, True]
    assert trio.run(carry_out, made.folder) == ""


def test_a_row_that_came_meanwhile_is_not_lost_the_old_key_stays(made, monkeypatch):
    """Lost: rows that the old key signed after it was counted are void."""
    old = read_identity(made.folder.node_key).key

    def prepare_and_grow(folder, rotation, node):
        prepare(folder, rotation, node)
        trio.run(made.append_audit, old)

    with monkeypatch.context() as patch:
        patch.setattr("node.rotating.prepare", prepare_and_grow)
        with pytest.raises(Conflict, match="faster"):
            rotate_node(made.folder, made.root)
    assert read_identity(made.folder.node_key).did == made.site.node
    assert not ready(made.folder).exists()
    assert rotate_node(made.folder, made.root) == read_identity(made.folder.node_key).did


def test_only_the_root_changes_the_node_s_key(made):
    with pytest.raises(Denied, match="does not act as the root"):
        rotate_node(made.folder, made.site.steward.key)
    with pytest.raises(Denied):
        rotate_node(made.folder, PrivateKey(b"x" * 32))
    assert not is_ready(made.folder)


def test_what_lies_ready_and_would_not_count_changes_nothing(made, monkeypatch):
    """Lost: a damaged or foreign rotation leaves a site without a node key that counts."""
    thief = PrivateKey(b"x" * 32)
    monkeypatch.setattr("node.rotating.signed_bodies", partial(_signed_by, thief))
    with pytest.raises(BadInput, match="would not count"):
        rotate_node(made.folder, made.root)
    assert read_identity(made.folder.node_key).did == made.site.node
    assert made.opens(made.site.node) == [True, True]
    assert not is_ready(made.folder)


def _signed_by(thief, site, _root, at, entries):
    from node.rotation import signed_bodies

    return signed_bodies(site, thief, at, entries)
