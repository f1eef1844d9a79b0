"""The demonstration: three hospitals, one institute, one question, told in the terminal and kept as a report."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from catalog.error import ComityError, NotFound, VerificationFailed
from catalog.member import consortium_cid
from devnet.command import clear, made
from devnet.founding import found
from devnet.launch import make_sites, start_nodes
from devnet.notebook import Pages, opened
from devnet.patience import eventually
from devnet.process import end
from devnet.publication import as_researcher, as_steward, endorse, open_projects, publish_sites, write_tables
from devnet.report import Comparison, Hospital, Offline, Tale, report, verdict
from devnet.runner import Chosen
from devnet.state import read_state
from devnet.story import Story
from devnet.topology import CONSORTIUM, RESEARCHER, Institution, Places, Topology, topology
from node.api.client import Node
from node.api.quantity import clock_text
from node.api.view import AuditTable, Run

NOTEBOOK: Final = Path(__file__).resolve().parents[1] / "examples" / "three_hospitals.ipynb"
SITES: Final = 4
BLOCK: Final = "sums of a table"


def tell(path: Path, runner: Chosen) -> Path:
    """Tell the whole story, whose steps run in ``runner``; the report's place, ``path``.

    What it was made from stays in «comity-demo» beside it.

    Raises:
        ComityError: something did not hold. NotFound: the notebook is missing.
    """
    if not NOTEBOOK.is_file():
        raise NotFound(f"there is no {NOTEBOOK}; the demonstration runs from a checkout of the repository")
    known = topology(SITES)
    # A name of its own: what stands in this folder is removed at the next telling.
    beside = path.with_name("comity-demo")
    places = Places(beside / "devnet")
    story = Story()
    story.open(
        "Comity: three hospitals, one institute, nobody in the middle",
        [
            "Each hospital holds a part of a table of 569 breast tumours that nobody else may read. A researcher",
            "needs the statistics of the whole. What follows is real: processes, keys, sandboxes, signed logs.",
        ],
    )
    with _ends_on_termination():
        _take_away(places)
        shutil.rmtree(beside, ignore_errors=True)
        try:
            with made(places, known), _logs_kept(places, beside / "logs"):
                tale = _acts(story, places, known, runner, beside)
        finally:
            _take_away(places)
    path.write_text(report(tale))
    story.close([f"{story.seconds:.0f} s in all. The report, with its figures: {path}"])
    return path


def _acts(story: Story, places: Places, known: Topology, runner: Chosen, beside: Path) -> Tale:
    first, *_, last = known.hospitals
    with story.act("Four institutions and a witness, five nodes"):
        rows = _start(story, places, known, runner)
    with story.act("They found a consortium"):
        consortium = str(consortium_cid(found(places, known)))
        story.tell(f"«{CONSORTIUM}»: five root keys signed one document, and its CID is the consortium's name:")
        story.tell(consortium, "cyan")
        story.tell("No server, no coordinator: from now on each node follows and verifies the others' logs. With a")
        story.tell("fifth member that only cosigns them, one may be away, or lie, and the others go on.")
    with story.act("The stewards publish"):
        hospitals = _publish(story, places, known, rows)
    with opened(NOTEBOOK, _environment(places, known)) as pages:
        with story.act(f"{RESEARCHER.capitalize()} looks around, in her notebook"):
            pages.until("connect")
            story.quote(pages.until("find").text)
        with story.act("She makes two blocks, and stewards read them"):
            _endorse(story, places, known, pages)
        with story.act("The plan: the code goes to the data"):
            plan = pages.until("plan")
            story.quote(plan.text)
        with story.act(f"First run: {last.name} holds its output back"):
            story.quote(pages.until("first run").text)
        with story.act("Its steward reads and endorses the block; second run"):
            endorse(places, known, last, _block(places, known))
            again = pages.until("second run")
            story.quote(again.text)
        with story.act("Is it right? The same numbers from the whole table"):
            compared = pages.until("compare")
            story.quote(compared.text)
            figure = pages.until("figure")
        with story.act("A request that a hospital refuses"):
            refused = pages.until("refused").text
            story.quote(refused)
        pages.save(beside / NOTEBOOK.name)
    with story.act(f"Who accessed {first.name}'s table?"):
        audit = _audit(story, places, known, first)
        runs = _runs(places, known)
        _tell_results(story, runs)
    with story.act("The logs, checked without any node"):
        offline = _offline(story, places, first, beside / "copy")
    return Tale(
        consortium=consortium,
        hospitals=hospitals,
        institute=known.institute.name,
        researcher=RESEARCHER,
        plan=plan.html[0],
        second_run=again.html[0],
        runs=runs,
        compared=Comparison(compared.text.strip(), compared.text.split()[-1]),
        figure=figure.svg[0],
        refused=refused.strip(),
        asked=first.name,
        audit=audit,
        offline=offline,
        acts=tuple(story.acts),
    )


def _start(story: Story, places: Places, known: Topology, runner: Chosen) -> dict[str, int]:
    rows = write_tables(places, known)
    make_sites(places, known, runner)
    state = start_nodes(places, known)
    story.table(
        ("site", "process", "what it has"),
        [
            (
                each.name,
                str(state.processes[each.handle].pid),
                _has(each, rows),
            )
            for each in known.sites
        ],
    )
    return rows


def _has(institution: Institution, rows: Mapping[str, int]) -> str:
    if institution.witness:
        return "nothing: it cosigns the others' logs"
    return f"{rows[institution.handle]} tumours, resident" if institution.hospital else f"a researcher, {RESEARCHER}"


def _publish(story: Story, places: Places, known: Topology, rows: Mapping[str, int]) -> tuple[Hospital, ...]:
    published = publish_sites(places, known)
    open_projects(places, known)
    story.tell("Policy, price, data and grants: each is signed by a steward's own key into the site's own log.")
    story.tell("A resident table is named by a keyed CID, which tells nobody what is inside:")
    story.table(
        ("hospital", "dataset", "named outside as"),
        [(each.name, each.dataset, _shortened(str(published[each.handle].cid))) for each in known.hospitals],
    )
    return tuple(
        Hospital(each.name, each.dataset, rows[each.handle], published[each.handle].size) for each in known.hospitals
    )


def _endorse(story: Story, places: Places, known: Topology, pages: Pages) -> None:
    story.quote(pages.until("blocks").text)
    block = _block(places, known)
    *willing, unwilling = known.hospitals
    for each in willing:
        endorse(places, known, each, block)
    story.tell(f"Without a steward's endorsement nothing leaves. {unwilling.name}'s has not read the code yet:")
    story.quote(pages.until("endorsed").text)


def _audit(story: Story, places: Places, known: Topology, institution: Institution) -> AuditTable:
    handles = {each.name: each.handle for each in known.sites}
    with as_steward(places, institution) as steward:
        eventually(lambda: _cosigned(steward), f"the others' signatures under {institution.name}'s audit log")
        audit = steward.audit(institution.dataset)
    least = min(len(row.cosigners) for row in audit.rows)
    story.tell("Every member is asked. Each row was verified first: its leaf is in that site's signed log,")
    others = "1 other site has" if least == 1 else f"{least} other sites have"
    story.tell(f"under a checkpoint that at least {others} cosigned.")
    story.table(
        ("when", "where", "who", "what", "block", "purpose", "decision", "leaf"),
        [
            (
                clock_text(row.at)[11:],
                handles.get(row.site_name, row.site_name),
                handles.get(row.who, row.who),
                row.kind,
                row.block_name,
                row.purpose,
                verdict(row),
                str(row.index),
            )
            for row in audit.rows
        ],
    )
    for away in audit.absent:
        story.tell(f"{away.site_name} gave no answer: {away.reason}", "yellow")
    if audit.absent or not any(row.allowed is False for row in audit.rows):
        raise VerificationFailed("the audit lacks a site's answer, or the denial; the demonstration did not hold")
    return audit


def _runs(places: Places, known: Topology) -> tuple[Run, ...]:
    with as_researcher(places, known) as researcher:
        return tuple(reversed(researcher.runs()))


def _tell_results(story: Story, runs: tuple[Run, ...]) -> None:
    """The last results that were released, by their content: the same ones, whatever steps ran in."""
    released = [result for run in runs for result in run.results]
    story.tell("What left in the end is named by its content, which is the same wherever steps run:")
    for name, cid in {result.name: str(result.cid) for result in released}.items():
        story.tell(f"«{name}» {cid}", "cyan")


def _offline(story: Story, places: Places, institution: Institution, copy: Path) -> Offline:
    """Stop all nodes, copy a site's folder, verify it, change one byte of the copy's audit log, verify it again."""
    end(read_state(places).processes.values())
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(places.site(institution).path, copy, ignore=shutil.ignore_patterns("keys", "*.token", "*.lock"))
    story.tell(f"All nodes have stopped. An auditor checks a copy of {institution.name}'s folder:")
    code, sound = _verify(copy)
    story.quote(f"$ comity audit verify {copy.name}\n{sound}")
    if code:
        raise VerificationFailed(f"the copy of {institution.name}'s logs did not verify; see {copy}")
    tile = max((copy / "logs" / "audit" / "tile" / "entries").rglob("*"), key=lambda path: path.is_file())
    at = tile.stat().st_size // 2
    _flip(tile, at)
    changed = f"one bit of byte {at:,} of {tile.relative_to(copy)}"
    story.tell(f"Now somebody changes {changed}:")
    code, broken = _verify(copy)
    broken = "\n".join(line for line in broken.splitlines() if line.startswith("FAULT"))
    story.quote(f"$ comity audit verify {copy.name}\n{broken}")
    if code != VerificationFailed.exit_code:
        raise VerificationFailed(f"a changed byte went unnoticed in {copy}")
    return Offline(sound, changed, broken)


def _verify(folder: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "audit", "verify", str(folder)], capture_output=True, text=True, check=False
    )
    return done.returncode, (done.stdout + done.stderr).replace(str(folder), folder.name).strip()


def _flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def _block(places: Places, known: Topology) -> str:
    with as_researcher(places, known) as researcher:
        return str(researcher.block_entry(BLOCK).fields.cid)


def _cosigned(node: Node) -> bool | None:
    """Whether the other members have signed both logs of this site as they are now."""
    return all(log.cosigned_size >= log.size for log in node.status().logs) or None


def _shortened(text: str) -> str:
    return f"{text[:20]}…{text[-8:]}"


def _environment(places: Places, known: Topology) -> dict[str, str]:
    return {
        **os.environ,
        "COMITY_HOME": str(places.home),
        "COMITY_SITE": str(places.site(known.institute).path),
        "COMITY_PERSON": RESEARCHER,
    }


def _take_away(places: Places) -> None:
    """Stop and remove what an earlier or this telling left, even one that was killed."""
    with suppress(NotFound):
        clear(places)


@contextmanager
def _logs_kept(places: Places, copy: Path) -> Iterator[None]:
    """If the story breaks off with an error, what the nodes printed stays in ``copy``, and the error says so."""
    try:
        yield
    except ComityError as error:
        if places.logs.is_dir():
            shutil.copytree(places.logs, copy)
        raise type(error)(f"{error} (what the nodes printed is in {copy})") from error


@contextmanager
def _ends_on_termination() -> Iterator[None]:
    """Whoever ends this process with SIGTERM ends the nodes too: it is raised here as an exit."""

    def leave(number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
