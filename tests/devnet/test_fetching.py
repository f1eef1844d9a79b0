"""Open data as people fetch them: folders, files of any size, after a crash in the middle; and what they are told."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.cid import Cid
from devnet import faults
from devnet.patience import eventually
from devnet.topology import Institution
from tests.devnet.consortium import ROOT, Consortium


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of many small files, some in folders, with empty ones, and a file that does not come at once."""
    made = tmp_path_factory.mktemp("open") / "source"
    for ward in range(20):
        (made / f"ward {ward:02}" / "scans").mkdir(parents=True)
        for number in range(100):
            (made / f"ward {ward:02}" / f"{number:03}.csv").write_bytes(secrets.token_bytes(number))
    (made / "empty" / "within").mkdir(parents=True)
    (made / "ünïcode").write_text("names")
    (made / "large.bin").write_bytes(os.urandom(20 << 20))
    return made


def add(consortium: Consortium, path: Path) -> Cid:
    """Publish ``path`` openly at the first hospital; the institute knows it when this returns."""
    name = f"open-{secrets.token_hex(4)}"
    done = consortium.command(
        "dataset", "add", str(path), "--level", "open", "--name", name, "--json", at=consortium.small
    )
    assert done.returncode == 0, done.stderr
    cid = Cid.parse(json.loads(done.stdout)["cid"])
    with consortium.researcher() as mara:
        eventually(lambda: any(each.fields.cid == cid for each in mara.datasets()) or None, "the dataset")
    return cid


def in_it(folder: Path) -> dict[str, bytes | None]:
    return {str(each.relative_to(folder)): each.read_bytes() if each.is_file() else None for each in folder.rglob("*")}


def rows(consortium: Consortium, cid: Cid) -> list[tuple[str, str]]:
    """Where a fetch is written down, and of whom."""
    done = consortium.command("audit", "who", str(cid), "--strict", "--json", at=consortium.small)
    assert done.returncode == 0, done.stdout + done.stderr
    told = [row for row in json.loads(done.stdout)["rows"] if row["kind"] == "fetch"]
    return sorted((row["site_name"], row["reason"].partition(";")[0]) for row in told)


def once(consortium: Consortium) -> list[tuple[str, str]]:
    """The rows of one fetch by the researcher."""
    there, here = consortium.small.name, consortium.known.institute.name
    return sorted([(there, "bytes were given"), (here, f"bytes came from {there}"), (here, "bytes were given")])


def test_an_open_folder_is_fetched_as_it_is_and_written_down_once(
    consortium: Consortium, source: Path, tmp_path: Path
) -> None:
    """Lost: an open folder cannot be had; or fills an audit log with a row for each file."""
    cid = add(consortium, source)
    done = consortium.command("dataset", "fetch", str(cid), "--out", str(tmp_path / "all"))
    assert done.returncode == 0, done.stderr
    assert in_it(tmp_path / "all") == in_it(source)
    assert "2,002 files" in done.stdout
    assert rows(consortium, cid) == once(consortium)
    part = consortium.command("dataset", "fetch", str(cid), "ward 03", "--out", str(tmp_path / "part"))
    assert part.returncode == 0, part.stderr
    assert in_it(tmp_path / "part") == in_it(source / "ward 03")
    for where in ("all", "part"):
        again = consortium.command("dataset", "fetch", str(cid), "--out", str(tmp_path / where))
        assert (again.returncode, "is there already" in again.stderr) == (2, True), again.stderr
    wrong = consortium.command("dataset", "fetch", str(cid), "ward 3", "--out", str(tmp_path / "no"))
    assert (wrong.returncode, "there: empty, large.bin, ward 00, " in wrong.stderr) == (1, True), wrong.stderr
    printed = consortium.command("dataset", "fetch", str(cid))
    assert (printed.returncode, "is a folder" in printed.stderr) == (2, True), printed.stderr
    assert sorted(each.name for each in tmp_path.iterdir()) == ["all", "part"]


def test_what_an_open_folder_holds_and_who_holds_it_is_shown(consortium: Consortium, source: Path) -> None:
    """Lost: nobody knows what is in a dataset, or whom to ask, before all of it is there."""
    cid = add(consortium, source / "ward 05")
    shown = consortium.command("dataset", "show", str(cid))
    assert shown.returncode == 0, shown.stderr
    told = [line.split() for line in shown.stdout.splitlines()]
    assert ["holders", *consortium.small.name.split()] in told
    assert ["holds", "101", "names"] in told
    assert ["000.csv"] in told
    assert ["and", "81", "more"] in told
    assert "scans" not in shown.stdout, "only the first are shown"


def test_parts_of_any_size_and_none_of_what_has_no_parts(consortium: Consortium, source: Path, tmp_path: Path) -> None:
    """Lost: --bytes is passed over in silence, or ends at 16 MiB without saying so."""
    cid = add(consortium, source / "large.bin")
    large = (source / "large.bin").read_bytes()
    at = consortium.known.hospitals[1]
    out = tmp_path / "part"
    done = consortium.command("dataset", "fetch", str(cid), "--bytes", f"7-{18 << 20}", "--out", str(out), at=at)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == large[7 : (18 << 20) + 1]
    printed = consortium.command("dataset", "fetch", str(cid), "--bytes", f"7-{18 << 20}", at=at)
    assert (printed.returncode, "16 MiB; give --out" in printed.stderr) == (2, True), printed.stderr
    assert consortium.command("audit", "who", str(cid), "--strict", at=consortium.small).returncode == 0, "both sides"
    resident = consortium.command("dataset", "fetch", consortium.small.dataset, "--out", str(tmp_path / "no"), at=at)
    assert (resident.returncode, "is resident" in resident.stderr) == (2, True), resident.stderr
    assert not (tmp_path / "no").exists()


@pytest.fixture
def institute_back(consortium: Consortium) -> Iterator[Institution]:
    """The institute, whose node a test kills; it runs again afterwards."""
    yield consortium.known.institute
    with consortium.steward(consortium.small) as steward:
        eventually(lambda: all(m.here or m.connected for m in steward.members()) or None, "the node that came back")


def test_a_fetch_goes_on_after_its_own_node_was_killed(
    consortium: Consortium, institute_back: Institution, tmp_path: Path
) -> None:
    """Lost: hundreds of gigabytes begin anew with each break, and each break is a row more."""
    path = tmp_path / "source.bin"
    path.write_bytes(os.urandom(160 << 20))
    cid = add(consortium, path)
    place = consortium.places.site(institute_back).path
    environment = {
        **os.environ, "COMITY_HOME": str(consortium.places.home), "COMITY_SITE": str(place), "COMITY_PERSON": "mara",
    }  # fmt: skip
    command = [sys.executable, "-m", "cli.main", "dataset", "fetch", str(cid), "--out", str(tmp_path / "out")]
    arriving = place / "blobs" / "arriving"
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as fetching:
        eventually(lambda: any(arriving.glob(f"{cid}*/*")) or None, "the first of it")
        faults.strike(consortium.places, "kill", institute_back.handle)
        told = fetching.communicate(timeout=60)[1]
    assert fetching.returncode == 4, told
    assert sorted(each.name for each in tmp_path.iterdir()) == ["source.bin"], "half a file stayed"
    faults.strike(consortium.places, "resume", institute_back.handle)
    with consortium.researcher() as mara:
        eventually(lambda: all(m.here or m.connected for m in mara.members()) or None, "the others")
    done = consortium.command(*command[3:])
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out").read_bytes() == path.read_bytes()
    assert [row for row in rows(consortium, cid) if row[0] == institute_back.name] == [
        row for row in once(consortium) if row[0] == institute_back.name
    ]
