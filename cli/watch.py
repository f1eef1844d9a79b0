"""``comity submission watch`` and ``picture``: a submission on its way, as a table that lives, as lines, as SVG."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from catalog.plural import counted
from cli import completing
from cli.fetch import write_out
from cli.output import clean, rich_table, show
from cli.session import Session, Verb, pass_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from node.api.client import Node
    from node.api.progress import Attempt, Progress
    from node.api.view import Run
    from node.api.watched import EventsPage, EventView, GraphView
    from workflow.picture.gantt import Bar
    from workflow.picture.graph import Box

HEAD = ("step", "site", "state", "time", "cost", "reason")
_RANK = ("failed", "denied", "unreachable", "held", "running", "waiting", "cancelled", "skipped", "done")
"""What is said first of a step whose instances stand differently."""


def watched(session: Session, node: Node, submission: str, after: int) -> Run:
    """The submission once it has ended; shown on the way on a screen, or as a line of JSON for each event."""
    run = node.run(submission)
    pages = node.event_pages(run.submission, after)
    if session.json:
        for page in pages:
            for event in page.events:
                show(session, event, lambda: None)
    elif sys.stderr.isatty():
        _live(node, run, pages)
    else:
        for _ in pages:
            pass
    return node.run(run.submission)


def _live(node: Node, run: Run, pages: Iterator[EventsPage]) -> None:
    from rich.console import Console
    from rich.live import Live

    from node.api.progress import Progress

    now = [run]
    progress = Progress()
    drawn: Callable[[], RenderableType] = lambda: _drawn(now[0], progress)  # noqa: E731  # read anew once a second
    with Live(
        console=Console(stderr=True),
        transient=True,
        get_renderable=drawn,
        refresh_per_second=1,
        vertical_overflow="crop",
    ):
        for page in pages:
            for event in page.events:
                progress.take(event)
            if page.events:
                now[0] = node.run(run.submission)


def _drawn(run: Run, progress: Progress) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    from node.api.publish import now

    at = now()
    return Group(rich_table(HEAD, rows(run, progress, at)), Text(standing(run, at)))


def rows(run: Run, progress: Progress, at: int) -> list[tuple[str, ...]]:
    """A row for each instance, planned or ordered: how long it took or has taken by ``at``, and its cost so far."""
    from node.api.quantity import money, span_text

    newest = progress.newest()
    found: list[tuple[str, ...]] = []
    for each in run.view.instances:
        attempt = newest.get((each.step, each.shard))
        if attempt is None:
            time = "–"
        else:
            time = span_text(max((attempt.ended if attempt.ended is not None else at) - attempt.began, 0))
        state = each.status if attempt is None or attempt.attempt == 1 else f"{each.status}, try {attempt.attempt}"
        name = f"{each.step}[{each.shard}]"
        found.append((name, each.site_name, state, time, money(each.cost), clean(each.reason) or "–"))
    return found


def standing(run: Run, at: int) -> str:
    """One line: how many instances are done, what was spent, and how much time is left."""
    from node.api.quantity import money, span_text

    view = run.view
    done = sum(each.status == "done" for each in view.instances)
    left = view.deadline - at
    time = f"{span_text(left // 1000 * 1000)} left" if left >= 1000 else "the deadline has passed"
    spent = f"{money(view.spent)} of {money(view.budget)} spent"
    return f"{view.state}: {done:,} of {len(view.instances):,} done, {spent}, {time}"


@click.command(cls=Verb)
@click.argument("submission", shell_complete=completing.submissions)
@click.option("--of", "of", type=click.Choice(["times", "steps"]), default="times", show_default=True,
              help="When what ran, or what feeds what.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="The SVG file to write; standard output otherwise.")
@pass_session
def picture(session: Session, submission: str, of: str, out: Path | None) -> None:
    """Draw SUBMISSION as SVG as it stands now: when each step ran and where, or the graph of its steps."""
    from catalog.error import BadInput
    from node.api.progress import Progress
    from node.api.publish import now

    if session.json and out is None:
        raise BadInput("with --json the picture needs a file; give --out FILE")
    with session.node() as node:
        run = node.run(submission)
        if of == "steps":
            drawn = _graph(run, node.graph(run.submission))
        else:
            drawn = _times(run, Progress(_so_far(node, run)), now())
    write_out(session, drawn.encode(), out)


def _so_far(node: Node, run: Run) -> Iterator[EventView]:
    for page in node.event_pages(run.submission, seconds=0):
        yield from page.events
        if not page.events:
            return


def _title(run: Run) -> str:
    return f"{run.view.project} · submission …{str(run.submission)[-8:]}"


def _times(run: Run, progress: Progress, at: int) -> str:
    from catalog.error import NotFound
    from node.api.quantity import clock_text, money, span_text
    from workflow.picture.gantt import gantt

    if not progress.began:
        raise NotFound("nothing was noted of this submission: it is from before this node kept events")
    end = progress.ended or at
    view = run.view
    spent = f"{money(view.spent)} of {money(view.budget)} spent"
    took = f"{'took' if progress.ended else 'for'} {span_text(end - progress.began)}"
    told = f"{view.state}; began {clock_text(progress.began)}, {took}, {spent}"
    return gantt(_title(run), told, [_bar(each, end) for each in progress.attempts], progress.began, end)


def _bar(each: Attempt, end: int) -> Bar:
    from node.api.quantity import money
    from workflow.picture.gantt import Bar

    again = f", try {each.attempt}" if each.attempt > 1 else ""
    note = "; ".join(filter(None, (f"cost {money(each.cost)}" if each.cost else "", each.reason)))
    name = f"{each.step}[{each.shard}]{again}"
    return Bar(name, each.site_name, each.began, each.ended if each.ended is not None else end, each.status, note)


def _graph(run: Run, steps: GraphView) -> str:
    from workflow.picture.graph import Box, graph

    stand: dict[str, Counter[str]] = {}
    for each in run.view.instances:
        stand.setdefault(each.step, Counter())[each.status] += 1
    boxes: list[Box] = []
    for step in steps.steps:
        had = stand.get(step.step, Counter())
        said = [f"{had[status]:,} {status}" for status in _RANK if had[status]]
        worst = next((status for status in _RANK if had[status]), "waiting")
        boxes.append(Box(step.step, step.label, step.after, ", ".join(said) or "not planned", worst))
    told = f"{run.state}; {counted(len(boxes), 'step')}, {counted(len(run.view.instances), 'instance')}"
    return graph(steps.label or _title(run), told, boxes)
