"""Completion of what a node knows by name, for shells: datasets, blocks, projects, submissions.

A shell asks at each Tab, and has no place for an error: where no node answers nothing is offered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

from catalog.error import ComityError
from cli.session import Session

if TYPE_CHECKING:
    from node.api.client import Node

Completion = Callable[[click.Context, click.Parameter, str], list[str]]
"""What click asks with what was typed so far."""


def _completion(names: Callable[[Node], Iterable[str]]) -> Completion:
    def complete(context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
        try:
            with _session(context).node() as node:
                return sorted({name for name in names(node) if name.startswith(begun)})
        except (ComityError, OSError):
            return []

    return complete


def _session(context: click.Context) -> Session:
    """The session of the words so far: no verb has run that would have made one."""
    session, given = context.find_object(Session) or Session(), context.find_root().params
    return Session(session.site or given.get("site"), session.person or given.get("person"))


datasets = _completion(lambda node: (each.fields.name for each in node.datasets()))
blocks = _completion(lambda node: (each.fields.name for each in node.blocks()))
projects = _completion(lambda node: (each.fields.name for each in node.projects()))
submissions = _completion(lambda node: (str(each.submission) for each in node.runs()))
