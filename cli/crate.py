"""``comity submission export``, ``verify`` and ``rerun``: crates of submissions, made, checked, and run again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from catalog.plural import counted
from cli import completing
from cli.output import pairs, say, show, table, working
from cli.session import Session, Verb, pass_session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalog.cid import Cid
    from node.api.client import Node
    from workflow.crate.check import Report
    from workflow.crate.compare import Compared
    from workflow.crate.layout import Bundle
    from workflow.graph import WorkflowOutput


@click.command(cls=Verb)
@click.argument("submission", shell_complete=completing.submissions)
@click.option(
    "--to", "to", type=click.Path(path_type=Path), help="A new FILE.zip or folder; SUBMISSION.zip here otherwise."
)
@click.option("--results", is_flag=True, help="Pack the bytes of the results that you may read, too.")
@pass_session
def export(session: Session, submission: str, to: Path | None, results: bool) -> None:
    """Write a Workflow Run RO-Crate of SUBMISSION, which has ended: what ran where, with all that proves it."""
    from catalog.error import VerificationFailed
    from node.crates import check, with_metadata, write_crate

    with session.node() as node, working("collecting what was signed …"):
        run = node.run(submission)
        files, folders = node.evidence(run.submission), list[str]()
        if results:
            made, folders = _results(node, str(run.submission))
            files |= made
    files = with_metadata(files)
    report = check(files)
    if report.wrong:
        raise VerificationFailed(f"what the node gave does not hold, and nothing was written: {report.wrong[0]}")
    target = to or Path(f"{run.submission}.zip")
    write_crate(files, target)
    told = {"crate": str(target), "files": len(files), "bytes": sum(map(len, files.values()))}

    def tell() -> None:
        say(f"{target} has {counted(len(files), 'file')}.")
        for name in folders:
            say(f"«{name}» is a folder and not in it: comity submission result {run.submission} {name} --out FOLDER")
        _tell_unchecked(report)
        say(f"next: comity submission verify {target}")

    show(session, {**told, "folders": folders, "unchecked": report.unchecked}, tell)


def _results(node: Node, submission: str) -> tuple[dict[str, bytes], list[str]]:
    """The files of a crate that results are, and the names of those that are folders: a crate has none."""
    from workflow.crate.layout import result_path

    found: dict[str, bytes] = {}
    folders = []
    for each in node.run(submission).results:
        if node.is_folder(submission, each.name):
            folders.append(each.name)
        else:
            found[result_path(each.cid)] = node.result(submission, each.name)
    return found, folders


@click.command(cls=Verb)
@click.argument("crate", type=click.Path(path_type=Path))
@click.option("--consortium", help="The CID that the crate's consortium must have, from whom you trust.")
@pass_session
def verify(session: Session, crate: Path, consortium: str | None) -> None:
    """Check CRATE from scratch: every signature, order, receipt, release and proof. It needs no node and no network."""
    from catalog.error import VerificationFailed

    with working(f"checking {crate} …"):
        _, report = _checked(crate)
    if consortium is not None and str(report.consortium_cid) != consortium:
        report.wrong.append(f"the crate is of the consortium {report.consortium_cid}, not of {consortium}")
    show(session, _view(report), lambda: _tell(report))
    if report.wrong:
        raise VerificationFailed(f"{crate} does not hold ({counted(len(report.wrong), 'fault')}): {report.wrong[0]}")


def _checked(crate: Path) -> tuple[dict[str, bytes], Report]:
    from node.crates import check, read_crate

    files = read_crate(crate)
    return files, check(files)


def _view(report: Report) -> dict[str, object]:
    return {
        "consortium": str(report.consortium_cid),
        "submission": str(report.submission),
        "orders": report.orders,
        "receipts": report.receipts,
        "releases": report.releases,
        "entries": report.entries,
        "rows": report.rows,
        "wrong": report.wrong,
        "unchecked": report.unchecked,
    }


def _tell(report: Report) -> None:
    from workflow.crate.check import summary

    for each in report.wrong:
        say(f"✗ {each}")
    if not report.wrong:
        say(f"✓ {summary(report)}: all hold")
    _tell_unchecked(report)
    pairs(
        [
            ("submission", str(report.submission)),
            ("consortium", f"«{report.consortium}» {report.consortium_cid}: compare with what you know"),
        ]
    )


def _tell_unchecked(report: Report) -> None:
    for each in report.unchecked:
        say(f"– not checked: {each}")


@click.command(cls=Verb)
@click.argument("crate", type=click.Path(path_type=Path))
@click.option("--to", "to", type=click.Path(path_type=Path), required=True, help="A new FILE.zip or folder.")
@pass_session
def prove(session: Session, crate: Path, to: Path) -> None:
    """Ask every member for what it wrote down of the orders in CRATE, and write a crate that has these rows too.

    For auditors and stewards, whom policies let see audit logs.
    """
    from catalog.error import Denied, VerificationFailed
    from node.crates import check, only_signed, read_bundle, with_metadata, write_crate

    with working(f"checking {crate} …"):
        files, report = _checked(crate)
    if report.wrong:
        raise VerificationFailed(f"{crate} does not hold, and nobody was asked: {report.wrong[0]}")
    with session.node() as node, working("asking every member …"):
        rows, away = _rows(node, read_bundle(files).bundle)
    if not rows:
        raise Denied(f"no member showed a row, and nothing was written: {'; '.join(away) or 'they have none of them'}")
    whole = with_metadata({**only_signed(files), **rows})
    after = check(whole)
    if after.wrong:
        raise VerificationFailed(f"what the members answered does not fit the crate: {after.wrong[0]}")
    write_crate(whole, to)

    def tell() -> None:
        say(f"{to} has {counted(after.rows, 'audit row')}.")
        for each in away:
            say(f"– no answer: {each}")
        _tell_unchecked(after)

    show(session, {"crate": str(to), "rows": after.rows, "away": away, "unchecked": after.unchecked}, tell)


def _rows(node: Node, bundle: Bundle) -> tuple[dict[str, bytes], list[str]]:
    """The files of the rows about the orders of a crate, and who did not answer, with the reason."""
    from datetime import UTC, datetime

    from catalog.error import VerificationFailed
    from node.api.view import Absent
    from workflow.crate.layout import Shown, files_of
    from workflow.crate.rows import of_orders

    asked = bundle.submission
    if asked is None:
        raise VerificationFailed("the crate has no submission")
    rows: list[Shown] = []
    away: list[str] = []
    since = datetime.fromtimestamp(asked.not_before / 1000, UTC)
    for told, account in node.audit_export(person=asked.person, since=since):
        if isinstance(told, Absent):
            away.append(f"{told.site_name}: {told.reason}")
        if account is not None and account.proof is not None and of_orders(account.kind, account.fields, bundle):
            rows.append(account.shown())
    return files_of(rows), away


@click.command(cls=Verb)
@click.argument("crate", type=click.Path(path_type=Path))
@click.option("--deadline", help="When it must have ended, such as 10m; as long as before otherwise.")
@click.option("--budget", help="What it may cost; as much as before otherwise.")
@pass_session
def rerun(session: Session, crate: Path, deadline: str | None, budget: str | None) -> None:
    """Submit what CRATE was made of once more, wait, and compare the CIDs of all that comes of it."""
    from catalog.error import VerificationFailed
    from cli.submission import carried_on
    from node.crates import read_bundle
    from workflow.crate.compare import compare

    with working(f"checking {crate} …"):
        files, report = _checked(crate)
    if report.wrong:
        raise VerificationFailed(f"{crate} does not hold, and nothing was submitted: {report.wrong[0]}")
    before = read_bundle(files)
    with session.node() as node:
        with working("planning …"):
            cid = _submit_again(node, before.bundle, deadline, budget)
        with carried_on(str(cid)), working(f"running {cid} …"):
            run = node.wait(cid)
        run.check()
        now = read_bundle(node.evidence(cid))
    compared = compare(before.bundle, now.bundle, before.tools, before.environments)
    show(session, {"submission": str(cid), "outputs": compared}, lambda: _tell_compared(str(cid), compared))
    differ = [each for each in compared if each.before is not None and not each.same]
    if differ:
        first = f"{differ[0].step}[{differ[0].shard}]"
        raise VerificationFailed(f"the rerun differs in {counted(len(differ), 'output')}, of {first}: {differ[0].why}")


def _submit_again(node: Node, bundle: Bundle, deadline: str | None, budget: str | None) -> Cid:
    from datetime import timedelta

    from catalog.error import VerificationFailed
    from node.api.agreed import GRACE_MILLIS
    from node.api.quantity import money
    from workflow.crate.compare import job_of

    asked = bundle.submission
    if asked is None or bundle.workflow is None:
        raise VerificationFailed("the crate has no submission")
    span = timedelta(milliseconds=asked.deadline - asked.not_before - GRACE_MILLIS)
    return node.submit(
        node.plan(
            bundle.workflow,
            job_of(bundle),
            project=asked.project.name,
            deadline=deadline or span,
            budget=budget or money(asked.budget),
            min_sites=asked.min_sites,
        )
    )


def _tell_compared(cid: str, compared: list[Compared]) -> None:
    rows = [
        (
            f"{each.step}[{each.shard}]/{each.output}",
            "same" if each.same else "held" if each.before is None else "differs",
            str(each.before or "–"),
            str(each.now or "–"),
            "remembered, not run again" if each.remembered and each.same else each.why or "–",
        )
        for each in compared
    ]
    table(("output", "is", "before", "now", "why"), rows, "nothing was delivered before")
    same = sum(each.same for each in compared)
    say(f"{same:,} of {counted(len(compared), 'output')} are the same; the rerun is {cid}")


def publish(session: Session, crate: Path, name: str | None, dataset: str, out: Path | None, level: str | None) -> None:
    """Publish the result ``name`` in ``crate`` as ``dataset`` of this site: its bytes go to ``out`` and stay there.

    Raises:
        VerificationFailed: the crate does not hold, or is another consortium's. Denied: the label forbids it, or this
            person is no steward. BadInput: no place for the bytes, or the crate has none of that result.
    """
    from catalog.dataset import Level
    from catalog.error import BadInput, VerificationFailed
    from node.crates import read_bundle
    from workflow.crate.lineage import label_as, made

    if out is None:
        raise BadInput("data that are published stay where they are on the node's machine; say where: --out FILE")
    files, report = _checked(crate)
    if report.wrong:
        raise VerificationFailed(f"{crate} does not hold, and nothing was published: {report.wrong[0]}")
    read = read_bundle(files)
    found = made(read.told, name or _only(read.told.workflow.outputs))
    data = read.bundle.results.get(found.output.cid) if found.output.cid is not None else None
    if data is None:
        raise BadInput(
            f"the bytes of «{found.name}» are not in {crate}; export it with --results. A folder is in no crate:"
            " save it with «comity submission result», and publish that with «comity dataset add»"
        )
    if not found.purposes:
        raise BadInput("what it was made from has different purposes; publish it with «comity dataset add --purpose»")
    with session.node() as node:
        status = node.status()
        if status.consortium_cid != str(report.consortium_cid):
            raise VerificationFailed(f"{crate} is of another consortium than this node's, and nothing was published")
        names = {each.site: each.name for each in node.members()}
        label = label_as(found.label, Level(level or Level.RESIDENT), node.site, names)
        with _written(out, data):
            published = node.publish_made(
                out, dataset, Level(level or Level.RESIDENT), label, found.purposes, found.lineage
            )

    def tell() -> None:
        say(f"«{published.name}» is published ({counted(published.size, 'byte')}), from {out}, which stays there:")
        say(str(published.cid))
        say(found.lineage)
        owners = ", ".join(sorted(names.get(each, each) for each in label.owners))
        say(f"its owners: {owners or 'none; everyone may read it'}")

    show(session, published, tell)


def _only(outputs: Sequence[WorkflowOutput]) -> str:
    from catalog.error import BadInput

    if len(outputs) != 1:
        raise BadInput(f"which result? Name it: {', '.join(each.name for each in outputs)}")
    return outputs[0].name


@contextmanager
def _written(out: Path, data: bytes) -> Iterator[None]:
    """The bytes lie in a new file within; it goes again where what is done with it fails."""
    from catalog.error import ComityError
    from node.plainfiles import new_place, write_new

    with new_place(out) as place:
        write_new(place, iter([data]))
    try:
        yield
    except ComityError:
        out.unlink(missing_ok=True)
        raise
