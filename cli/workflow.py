"""``comity workflow``: check, plan and submit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from catalog.error import BadInput
from cli import completing
from cli.output import say, show, table, working
from cli.session import Session, Verbs, pass_session

if TYPE_CHECKING:
    from node.api.client import Node
    from node.api.view import Plan

F = TypeVar("F", bound=Callable[..., object])
MAX_TEXT = 256 << 10


@click.group(cls=Verbs)
def group() -> None:
    """Check, plan and submit workflows."""


def _request(verb: F) -> F:
    """The options by which a workflow is asked for."""
    options = (
        click.option("--job", type=click.Path(path_type=Path), help="The inputs, a CWL job in JSON."),
        click.option(
            "--data",
            multiple=True,
            metavar="INPUT=DATASET",
            help="A dataset, or NAME@*, all of that name; repeated, a list.",
        ),
        click.option("--value", multiple=True, metavar="INPUT=JSON", help="A number, text or list."),
        click.option(
            "--project",
            required=True,
            help="The project that it is for: NAME, or NAME@SITE.",
            shell_complete=completing.projects,
        ),
        click.option("--deadline", required=True, help="Until when: 10m, 2h, or 2026-12-01T12:00."),
        click.option("--budget", required=True, help="What it may cost, such as 2.50."),
        click.option("--min-sites", type=click.IntRange(1), help="How many shards must deliver; all otherwise."),
        click.option(
            "--objective",
            type=click.Choice(["finish", "cost", "both"]),
            default="finish",
            help="What is made least within the limits; both lists the plans to choose from.",
        ),
        click.option(
            "--improve",
            type=click.FloatRange(0, 600),
            default=0.0,
            metavar="SECONDS",
            help="How long a better plan may be looked for.",
        ),
        click.option("--ask/--no-ask", default=True, help="Ask sites in advance what their policies say (default)."),
    )
    for option in reversed(options):
        verb = option(verb)
    return verb


@group.command()
@click.argument("file", type=click.Path(path_type=Path))
@pass_session
def check(session: Session, file: Path) -> None:
    """Check the CWL workflow or tool in FILE, without a node."""
    text = _read(file)
    from workflow.cwl import read_header
    from workflow.flow import parse_workflow
    from workflow.parse import parse_tool

    if (kind := read_header(text, str(file)).kind) in ("CommandLineTool", "ExpressionTool"):
        tool = parse_tool(text, str(file))
        told = {
            "class": kind,
            "inputs": [i.name for i in tool.inputs],
            "outputs": [o.name for o in tool.outputs],
        }
        hints = tool.ignored_hints
    else:
        flow = parse_workflow(text, str(file))
        told = {
            "class": "Workflow",
            "inputs": [each.name for each in flow.inputs],
            "steps": [each.id for each in flow.steps],
            "outputs": [each.name for each in flow.outputs],
        }
        hints = flow.ignored_hints

    def tell() -> None:
        parts = (f"{name}: {', '.join(each) or 'none'}" for name, each in told.items() if isinstance(each, list))
        say(f"{file}: a {told['class']}, no fault; {'; '.join(parts)}")
        for hint in hints:
            say(f"the hint {hint} is not acted on")

    show(session, told | {"ignored_hints": list(hints)}, tell)


@group.command()
@click.argument("file", type=click.Path(path_type=Path))
@_request
@pass_session
def plan(
    session: Session,
    file: Path,
    job: Path | None,
    data: tuple[str, ...],
    value: tuple[str, ...],
    project: str,
    deadline: str,
    budget: str,
    min_sites: int | None,
    objective: str,
    improve: float,
    ask: bool,
) -> None:
    """Show where the steps of the workflow in FILE would run, at what cost, and why not elsewhere."""
    with session.node() as node, working("planning …"):
        made = _plan(node, file, job, data, value, project, deadline, budget, min_sites, objective, improve, ask)
    show(session, made.view, lambda: _tell(made))


@group.command()
@click.argument("file", type=click.Path(path_type=Path))
@_request
@click.option("--wait", is_flag=True, help="Wait until it has ended; fails as it failed.")
@pass_session
def submit(
    session: Session,
    file: Path,
    job: Path | None,
    data: tuple[str, ...],
    value: tuple[str, ...],
    project: str,
    deadline: str,
    budget: str,
    min_sites: int | None,
    objective: str,
    improve: float,
    ask: bool,
    wait: bool,
) -> None:
    """Plan the workflow in FILE, sign its submission with your key, and hand it to this site's node."""
    with session.node() as node:
        with working("planning …"):
            made = _plan(node, file, job, data, value, project, deadline, budget, min_sites, objective, improve, ask)
        cid = node.submit(made)
        from cli.submission import carried_on, tell_run, told

        if not wait:
            show(session, {"submission": str(cid)}, lambda: told(str(cid)))
            return
        with carried_on(str(cid)), working(f"running {cid} …"):
            run = node.wait(cid)
    show(session, run.view, lambda: tell_run(run))
    run.check()


def _plan(
    node: Node,
    file: Path,
    job: Path | None,
    data: tuple[str, ...],
    value: tuple[str, ...],
    project: str,
    deadline: str,
    budget: str,
    min_sites: int | None,
    objective: str,
    improve: float,
    ask: bool,
) -> Plan:
    from node.api.quantity import micros, moment

    # Before anything is asked, so that wrong words are wrong use and never a refusal.
    micros(budget)
    moment(deadline, 0)
    inputs = _job(job) if job else {}
    for name, given in _named(value, "JSON"):
        inputs[name] = _json(given, f"input «{name}»")
    text = _read(file)
    lists = _lists(text, file) if data else set()
    for name, given in _named(data, "DATASET"):
        found = [each.fields.cid for each in (node.datasets_like(given) if "*" in given else [node.dataset(given)])]
        before = inputs.get(name)
        if before is None:
            inputs[name] = found if name in lists or "*" in given else found[0]
        else:
            inputs[name] = [*(before if isinstance(before, list) else [before]), *found]
    return node.plan(
        text,
        inputs,
        project=project,
        deadline=deadline,
        budget=budget,
        min_sites=min_sites,
        objective=objective,
        improve=improve,
        ask=ask,
    )


def _lists(text: str, file: Path) -> set[str]:
    """The inputs that are lists, for which one dataset is a list of one."""
    from workflow.flow import parse_workflow

    try:
        return {each.name for each in parse_workflow(text, str(file)).inputs if each.type.depth}
    except BadInput:
        # For the node to refuse, which reads it again.
        return set()


def _named(given: tuple[str, ...], what: str) -> list[tuple[str, str]]:
    for each in given:
        if "=" not in each or each.startswith("="):
            raise BadInput(f"«{each}» is not INPUT={what}")
    return [(name, text) for name, _, text in (each.partition("=") for each in given)]


def _job(path: Path) -> dict[str, object]:
    found = _json(_read(path), str(path))
    if not isinstance(found, dict):
        raise BadInput(f"{path} is not a job: an object of inputs by name is expected")
    return found


def _json(text: str, what: str) -> object:
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{what} is not JSON: {error}") from error
    return found


def _read(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_TEXT + 1)
        text = data.decode()
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{file} is not text in UTF-8") from error
    if len(data) > MAX_TEXT:
        raise BadInput(f"{file} is too large: at most {MAX_TEXT:,} bytes are read")
    return text


def _tell(made: Plan) -> None:
    from catalog.plural import counted
    from node.api.quantity import clock_text, money, span_text
    from node.api.view import gap_text, reasons, sure_text

    view = made.view
    rows = [
        (
            f"{each.step}[{each.shard}]",
            each.site_name,
            each.said or "–",
            ", ".join(each.data) or "–",
            f"{each.moved:,} B" if each.moved else "–",
            money(each.cost),
            f"{span_text(each.start)} – {span_text(each.finish)}",
            sure_text(each),
            reasons(each.elsewhere),
        )
        for each in view.steps
    ]
    table(("step", "site", "policy", "data", "moved", "cost", "from – to", "by", "why not elsewhere"), rows)
    for left in view.absent:
        say(f"{left.step}[{left.shard}] is left out ({', '.join(left.data) or 'no data'}): {reasons(left.reasons)}")
    if view.absent:
        say(f"of a scattered step {counted(view.min_sites, 'shard')} must deliver")
    if view.unforeseen:
        told = ", ".join(f"«{each}»" for each in view.unforeseen)
        say(f"how often {told} will run is known when the list is made: planned as if once, within the same budget")
    say(f"cost {money(view.cost)} of a budget of {money(view.budget)}; {gap_text(view.cost, view.least_cost, money)}")
    ends = f"expected to end {span_text(view.finish)} after its start; the deadline is {clock_text(view.deadline)}"
    say(f"{ends}; {gap_text(view.finish, view.least_finish, span_text)}")
    if len(view.front) > 1:
        table(("ends after", "costs"), [(span_text(each.finish), money(each.cost)) for each in view.front])
        say("choose one of these by --deadline or --budget, with --objective cost or finish")
