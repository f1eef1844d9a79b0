"""What the options before the verb say: which site, as whom, and whether to answer in JSON."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from catalog.error import BadInput

if TYPE_CHECKING:
    # Importing the client takes longer than showing help may.
    from node.api.client import Node
    from node.config import Folder


@dataclass(slots=True)
class Session:
    """One run of the command."""

    site: str | None = None
    person: str | None = None
    json: bool = False

    def node(self) -> Node:
        """The node that is meant, asked as the person that is meant; a context manager.

        Raises:
            BadInput: no site is named. NotFound: no such site or person. Unreachable: no node runs there.
        """
        from node.api.client import Node

        return Node.at(self.site, self.person)

    def folder(self, given: str | None = None) -> Folder:
        """The site's folder, for what works on a folder and not on a running node.

        Raises:
            BadInput: none is named, or an address is.
        """
        from node.config import Folder

        where = given or self.site or os.environ.get("COMITY_SITE")
        if not where:
            raise BadInput("no site is named; give its folder, or --site DIR, or set COMITY_SITE")
        if "://" in where:
            raise BadInput(f"this works on a site's folder, and {where} is an address; give --site DIR")
        return Folder(Path(where))


pass_session = click.make_pass_decorator(Session)
"""Gives a verb its session as first argument."""


def persons_here(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """The names of people whose keys lie here, for completion in a shell."""
    from node.api.person import Persons

    return [name for name in Persons.here().names() if name.startswith(begun)]


class Verb(click.Command):
    """A verb: every one takes the options of ``comity`` itself, after it as well as before."""

    def __init__(self, *args: object, **settings: object) -> None:
        super().__init__(*args, **settings)  # type: ignore[arg-type]  # handed through to click as they came
        self.params.append(
            click.Option(["--json"], is_flag=True, expose_value=False, callback=_wants_json, help="Answer in JSON.")
        )
        self.params += [
            click.Option([name], hidden=True, expose_value=False, callback=callback, help=told, shell_complete=complete)
            for name, callback, told, complete in (
                ("--site", _wants_site, "The site's folder, or its node's address.", None),
                ("--as", _wants_person, "Whose key signs.", persons_here),
            )
        ]


class Verbs(click.Group):
    """A group of verbs."""

    command_class = Verb

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs with their first sentences, wrapped and not cut off."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(400)) for name, each in found if each is not None])


def _wants_json(context: click.Context, _option: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Session).json = True


def _wants_site(context: click.Context, _option: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.ensure_object(Session).site = value


def _wants_person(context: click.Context, _option: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.ensure_object(Session).person = value
