"""``comity submission``: follow submissions, fetch their results, end them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from catalog.plural import counted
from cli import completing
from cli.crate import export, rerun, verify
from cli.logs import logs
from cli.output import clean, pairs, say, show, table, working
from cli.result import result
from cli.session import Session, Verbs, pass_session
from cli.watch import picture, watched

if TYPE_CHECKING:
    from node.api.schema import ResultView
    from node.api.view import Run

_HEAD = ("step", "site", "status", "allowed by", "cost", "reason")
_AGAIN = ("denied", "failed", "unreachable")
"""How submissions end that may be asked for once more."""


@click.group(cls=Verbs)
def group() -> None:
    """Follow submissions, fetch their results, end them."""


for command in (export, verify, rerun, picture, logs, result):
    group.add_command(command)


@group.command("list")
@pass_session
def list_(session: Session) -> None:
    """List your submissions, newest first."""
    with session.node() as node:
        runs = node.runs()

    def tell() -> None:
        from node.api.quantity import clock_text, money

        rows = [
            (clock_text(run.view.began), run.view.project, run.state, money(run.view.spent), str(run.submission))
            for run in runs
        ]
        table(("began", "project", "state", "spent", "submission"), rows, "no submissions")

    show(session, [run.view for run in runs], tell)


@group.command("show")
@click.argument("submission", shell_complete=completing.submissions)
@pass_session
def show_(session: Session, submission: str) -> None:
    """Show SUBMISSION as it stands: its steps, where they ran, and why they were allowed."""
    with session.node() as node:
        run = node.run(submission)
    show(session, run.view, lambda: tell_run(run))


@group.command()
@click.argument("submission", shell_complete=completing.submissions)
@click.option("--after", type=click.IntRange(min=0), default=0, help="With --json: the event that you had last.")
@pass_session
def watch(session: Session, submission: str, after: int) -> None:
    """Follow SUBMISSION until it has ended; fails as it failed. With --json, a line for each event."""
    with session.node() as node, carried_on(submission):
        run = watched(session, node, submission, after)
    if not session.json:
        tell_run(run)
    run.check()


@group.command()
@click.argument("submission", shell_complete=completing.submissions)
@pass_session
def cancel(session: Session, submission: str) -> None:
    """End SUBMISSION: no further step is ordered, and each site ends what it runs of it. Yours alone, and for good."""
    with session.node() as node:
        run = node.cancel(submission)
    show(session, run.view, lambda: _cancelled(run))


@group.command()
@click.argument("submission", shell_complete=completing.submissions)
@pass_session
def pause(session: Session, submission: str) -> None:
    """Order no further step of SUBMISSION until it is resumed. What runs goes on; so does its deadline."""
    with session.node() as node:
        run = node.pause(submission)
    show(session, run.view, lambda: _paused(run))


@group.command()
@click.argument("submission", shell_complete=completing.submissions)
@pass_session
def resume(session: Session, submission: str) -> None:
    """Go on with SUBMISSION, which is paused."""
    with session.node() as node:
        run = node.resume(submission)
    show(session, run.view, lambda: tell_run(run))


@group.command()
@click.argument("submission", shell_complete=completing.submissions)
@click.option("--deadline", help="Until when: 10m, 2h, or 2026-12-01T12:00; else it has as long as it had.")
@click.option("--budget", help="What it may cost, such as 2.50; else as much as before.")
@click.option("--wait", is_flag=True, help="Wait until it has ended; fails as it failed.")
@pass_session
def retry(session: Session, submission: str, deadline: str | None, budget: str | None, wait: bool) -> None:
    """Submit once more what SUBMISSION asked for. What was delivered is neither run nor charged again."""
    with session.node() as node:
        cid = str(node.submit(node.again(submission, deadline=deadline, budget=budget)))
        if not wait:
            show(session, {"submission": cid}, lambda: told(cid))
            return
        with carried_on(cid), working(f"running {cid} …"):
            run = node.wait(cid)
    show(session, run.view, lambda: tell_run(run))
    run.check()


def told(cid: str) -> None:
    """Say a new submission's CID, and how to follow it."""
    say(cid)
    say(f"next: comity submission watch {cid}")


def _paused(run: Run) -> None:
    tell_run(run)
    say(f"next: comity submission resume {run.submission}")


def _cancelled(run: Run) -> None:
    tell_run(run)
    if not run.done:
        say(f"next: comity submission watch {run.submission}")


@contextmanager
def carried_on(submission: str) -> Iterator[None]:
    """Whoever stops waiting for a submission is told that nothing else stops.

    Raises:
        click.Abort: they did.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        again = f"comity submission watch {submission}"
        raise click.Abort(f"interrupted; the node carries on with it; look again with: {again}") from stop


def _rows(run: Run) -> list[tuple[str, ...]]:
    from node.api.quantity import money

    return [
        (
            f"{each.step}[{each.shard}]",
            each.site_name,
            each.status,
            ", ".join(each.rules) or "–",
            money(each.cost),
            clean(each.reason) or "–",
        )
        for each in run.view.instances
    ]


def tell_run(run: Run) -> None:
    """Show a submission as a table, with how it ended."""
    from node.api.quantity import money

    view = run.view
    table(_HEAD, _rows(run), "no step has been ordered yet")
    pairs(
        [
            ("submission", str(view.submission)),
            ("state", f"{view.state}: {view.reason}" if view.reason else view.state),
            ("spent", f"{money(view.spent)} of {money(view.budget)}"),
            *([("took part", ", ".join(view.took_part))] if view.took_part else []),
            *(("absent", f"{each.site}: {each.reason}") for each in view.absent),
            *(
                ("result", f"{each.name} ({_file_of(each)}, {counted(each.size, 'byte')}) {each.cid}")
                for each in view.results
            ),
        ]
    )
    if view.results:
        say(f"next: comity submission result {view.submission} {view.results[0].name} --out PLACE")
    elif any(each.status == "failed" for each in view.instances):
        say(f"next: comity submission logs {view.submission}")
    elif view.state in _AGAIN:
        say(f"next: comity submission retry {view.submission}, once the reason above is gone")


def _file_of(result: ResultView) -> str:
    return result.file if result.form == "file" else f"a {result.form}"
