"""``comity devnet``: a whole consortium on this machine, each member a node of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from catalog.error import ComityError
from catalog.plural import counted
from cli.output import say, show, table, working
from cli.session import Session, Verbs, pass_session
from node.stepsettings import RUNNERS

if TYPE_CHECKING:
    from devnet.command import DevnetView


@click.group(cls=Verbs)
def group() -> None:
    """A whole consortium on this machine, each member a node of its own."""


_RUNNER = click.option(
    "--runner", type=click.Choice(RUNNERS), default=RUNNERS[0], show_default=True, help="What steps run in."
)
_SETTINGS = click.option(
    "--settings",
    type=click.Path(path_type=Path),
    envvar="COMITY_RUNNER_SETTINGS",
    help="A file with the runner's section, as in site.toml, for all sites.",
)


@group.command()
@click.option("--sites", type=click.IntRange(2, 16), default=4, show_default=True, help="One is the institute.")
@_RUNNER
@_SETTINGS
@pass_session
def up(session: Session, sites: int, runner: str, settings: Path | None) -> None:
    """Make and start a consortium with data, policies and projects to play with.

    From four sites on, a fifth member only witnesses the others' logs.
    """
    from devnet import command

    with working(f"starting {sites} nodes …"):
        view = command.up(sites, runner, settings)
    show(session, view, lambda: _tell(view))


@group.command()
@pass_session
def down(session: Session) -> None:
    """Stop every process of the devnet and remove its folder."""
    from devnet import command

    ended = command.down()
    show(session, {"stopped": ended}, lambda: say(f"{counted(len(ended), 'node')} stopped, their folders gone."))


@group.command()
@pass_session
def status(session: Session) -> None:
    """Show the devnet's sites and whether their processes live."""
    from devnet import command

    view = command.status()
    show(session, view, lambda: _tell(view))


def _handles(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """The devnet's sites, for completion in a shell; none where no devnet is up."""
    from devnet import command

    try:
        found = command.status().sites
    except ComityError:
        return []
    return [each.handle for each in found if each.handle.startswith(begun)]


@group.command()
@click.argument("name", shell_complete=_handles)
@pass_session
def env(session: Session, name: str) -> None:
    """Print the exports for a shell that is to act at a site, for eval "$(comity devnet env NAME)"."""
    from devnet import command

    exports = command.env(name)
    show(session, {"exports": exports}, lambda: print(exports, end=""))


@group.command()
@click.argument("what", type=click.Choice(["kill", "stop", "resume"]))
@click.argument("name", shell_complete=_handles)
@pass_session
def fault(session: Session, what: str, name: str) -> None:
    """Kill the node of the site NAME, stop it cleanly, or start it again (resume)."""
    from devnet import command

    view = command.fault(what, name)
    show(session, view, lambda: _tell(view))


@group.command()
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    default=Path("out/demo/report.html"),
    show_default=True,
    help="Where the report is left.",
)
@_RUNNER
@_SETTINGS
@pass_session
def demo(session: Session, report: Path, runner: str, settings: Path | None) -> None:
    """Tell the story of three hospitals and an institute, and leave a report."""
    from devnet import command

    made = command.demo(report, runner, settings)
    show(session, {"report": str(made)}, lambda: None)


def _tell(view: DevnetView) -> None:
    rows = [
        (each.handle, each.name, str(each.pid), "runs" if each.alive else "is gone", each.folder) for each in view.sites
    ]
    table(("site", "name", "process", "state", "folder"), rows)
    gone = [each.handle for each in view.sites if not each.alive]
    if gone:
        say(f"next: comity devnet fault resume {gone[0]}")
    elif view.sites:
        say('next: eval "$(comity devnet env institute)"')
