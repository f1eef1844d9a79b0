"""What was erased and ended after a backup is erased and ended again by the site that comes back from it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from devnet.patience import eventually
from devnet.process import end
from devnet.publication import as_researcher, as_steward, open_projects, publish_sites, write_tables
from devnet.topology import PROJECT
from node.api.person import card_of
from node.keyfile import Identity
from tests.devnet.consortium import publish_workflow, run
from tests.devnet.test_restore import Net, cosigned

NILS = "nils"


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    made = Net(tmp_path / "net")
    try:
        write_tables(made.places, made.known)
        publish_sites(made.places, made.known)
        open_projects(made.places, made.known)
        yield made
    finally:
        end(made.processes.values())


def holding(folder: Path, text: bytes) -> list[str]:
    """The files of a site that have ``text``, but for its audit log, which keeps what people did."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and "audit" not in path.parts)
    return [str(path.relative_to(folder)) for path in files if text in path.read_bytes()]


def values(folder: Path) -> list[str]:
    """The files of what a site's steps made, and of the keys that open them."""
    found = (path for below in ("blobs/held", "keys/projects") for path in sorted((folder / below).rglob("*")))
    return [str(path.relative_to(folder)) for path in found if path.is_file()]


def test_erasures_and_ends_are_done_again_before_a_restored_site_serves_anything(net: Net) -> None:
    """Lost: a backup brings back a person who was erased, and a value whose destruction was certified."""
    nils = Identity.new(NILS)
    workflow = publish_workflow(net.places, net.known, "quick")
    with as_steward(net.places, net.anna) as steward:
        card = card_of(nils)
        steward.enrol(card.name, card.did, card.x25519)
        with as_researcher(net.places, net.known) as mara:
            assert run(mara, workflow, [net.anna.dataset]).state == "done"
        eventually(lambda: cosigned(steward), "the others' cosignatures")
    net.stop()
    backup = net.folder.parent / "backup.tar"
    assert net.comity("site", "backup", str(backup)).returncode == 0
    assert holding(net.folder, nils.did.encode())
    assert values(net.folder)
    net.start()
    with as_steward(net.places, net.anna) as steward:
        steward.forget_person(nils.did)
        with as_steward(net.places, net.known.institute) as institute:
            institute.end_project(PROJECT)

        def certified() -> bool | None:
            parts = steward.registered(PROJECT).parts
            return any(part.site == steward.site and part.certified for part in parts) or None

        eventually(certified, "the certificate of destruction")
        eventually(lambda: not holding(net.folder, nils.did.encode()) or None, "the erasure")
        assert values(net.folder) == []
        eventually(lambda: cosigned(steward), "the others' cosignatures")
    net.stop()
    shutil.rmtree(net.folder)
    shutil.unpack_archive(backup, net.folder, filter="fully_trusted")
    assert holding(net.folder, nils.did.encode())
    assert values(net.folder) == [], "a backup has neither"
    restored = net.comity("site", "restore", "--passphrase-file", str(net.places.passphrase))
    assert restored.returncode == 0, restored.stderr
    net.start()
    with as_steward(net.places, net.anna) as steward:
        eventually(lambda: not holding(net.folder, nils.did.encode()) or None, "the erasure")
        eventually(lambda: values(net.folder) == [] or None, "the destruction")
        # All of that while the site is halted: nothing is handed out before a steward has looked.
        assert [line for line in steward.status().halted if "restored" in line]
        assert steward.registered(PROJECT).state == "ended"


def test_what_was_held_before_a_restore_is_made_again_for_who_asks_anew(net: Net) -> None:
    """Lost: a restored site charges or releases twice; or a step fails for good of what no backup brings back."""
    workflow = publish_workflow(net.places, net.known, "quick")
    institute = net.places.site(net.known.institute).path
    with as_researcher(net.places, net.known) as mara:
        first = run(mara, workflow, [net.anna.dataset])
        assert first.state == "done"
        result = mara.result(first.submission)
        assert holding(institute, result) == holding(net.folder, result) == [], "it lies in the clear"
    with as_steward(net.places, net.anna) as steward:
        eventually(lambda: cosigned(steward), "the others' cosignatures")
    net.back_up()
    net.lose()
    assert values(net.folder) == []
    restored = net.comity("site", "restore", "--passphrase-file", str(net.places.passphrase))
    assert restored.returncode == 0, restored.stderr
    net.start()
    with as_steward(net.places, net.anna) as steward, as_researcher(net.places, net.known) as mara:
        steward.halt("looked at", resume=True)
        eventually(lambda: all(m.here or m.connected for m in mara.members()) or None, "the node that came back")
        assert mara.result(first.submission) == result, "what was delivered elsewhere is there"
        again = run(mara, workflow, [net.anna.dataset])
        assert (again.state, mara.result(again.submission)) == ("done", result)
        rows = [row for row in steward.audit(net.anna.dataset).rows if row.site_name == net.anna.name]
    made = [row for row in rows if row.kind in ("release", "result")]
    assert [row.kind for row in made] == ["release", "result", "release", "result"], "one of each, for each submission"
