"""``comity submission logs``: what the commands of steps that failed wrote last, as text that steers no terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import completing
from cli.output import document, say, show
from cli.session import Session, Verb, pass_session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from node.api.logs import LogView


@click.command(cls=Verb)
@click.argument("submission", shell_complete=completing.submissions)
@click.argument("step", default="")
@pass_session
def logs(session: Session, submission: str, step: str) -> None:
    """Show what the failed steps of SUBMISSION wrote to standard error last, or STEP alone, or STEP[SHARD].

    The site that ran it tells it to whom all may read that the step read. Its stewards may ask there, by the whole
    CID of the submission. Who reads it is written down.
    """
    with session.node() as node:
        told = node.logs(submission, step)
    show(session, told, lambda: _tell(told))
    _check(told)


def _tell(told: Sequence[LogView]) -> None:
    for each in told:
        where = f"{each.step}[{each.shard}] at {each.site_name}, try {each.attempt}"
        if each.kind:
            say(f"{where}: not told: {each.reason}")
        elif not each.data:
            say(f"{where}: it wrote nothing to standard error")
        else:
            say(f"{where}:")
            document(each.data.decode(errors="replace"))


def _check(told: Sequence[LogView]) -> None:
    """Fail where nothing is told at all.

    Raises:
        Denied, Unreachable, ComityError: as the first one was not told.
    """
    from catalog.error import ComityError, Denied, Unreachable

    if all(each.kind for each in told):
        kind = {"Denied": Denied, "Unreachable": Unreachable}.get(told[0].kind, ComityError)
        raise kind("nothing of what the failed steps wrote is told; the reasons stand beside them")
