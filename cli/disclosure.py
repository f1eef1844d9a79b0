"""``comity disclosure``: what left this site about which people, what was held back of it, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from msgspec import structs

from catalog.error import NotFound
from catalog.plural import counted
from cli.output import say, show, table
from cli.session import Session, Verbs, pass_session

if TYPE_CHECKING:
    from node.api.client import Node
    from node.api.disclosed import ExaminationView


@click.group(cls=Verbs)
def group() -> None:
    """What left this site about which people, and what was held back."""


@group.command()
@click.option("--population", help="Only what is about these people: a population, or the name or CID of a dataset.")
@click.option("--found", is_flag=True, help="Say of each what was found in it, with the small counts themselves.")
@pass_session
def ledger(session: Session, population: str | None, found: bool) -> None:
    """List what was examined before it left, or waited for a steward, the newest thousand; for stewards."""
    with session.node() as node:
        every = node.examinations()
        rows = [each for each in every if population is None or _is_about(each, population)]
        if population is not None and not rows:
            _check_known(node, population)
    # The small counts themselves are for whoever asks for them.
    told = rows if found else [structs.replace(each, found=()) for each in rows]

    def tell() -> None:
        from node.api.quantity import clock_text

        lines = [
            (
                str(each.index),
                clock_text(each.at),
                _about(each),
                f"{each.person_name} at {each.home_name}" if each.person_name else "–",
                each.project.name if each.project is not None else "–",
                _table(each),
                "left" if each.released else "a steward was asked",
                _withheld(each),
            )
            for each in rows
        ]
        table(
            ("row", "when", "people", "who asked", "project", "output", "", "withheld"), lines, "nothing was examined"
        )
        for each in rows if found else ():
            for finding in each.found:
                say(f"row {each.index}: {finding.words} ({finding.reason})")

    show(session, told, tell)


def _check_known(node: Node, population: str) -> None:
    """Say so where there are no such people, before somebody takes it that nothing of them left."""
    known = {
        name for each in node.datasets() for name in (str(each.fields.cid), each.fields.name, each.fields.population)
    }
    if population not in known:
        raise NotFound(f"there is no dataset or population «{population}»; see «comity dataset list»")


def _is_about(each: ExaminationView, population: str) -> bool:
    return population in (each.population, *each.datasets, *each.datasets.values())


def _about(each: ExaminationView) -> str:
    """The population that was declared, or the datasets."""
    declared = not set(each.population.split(", ")) <= set(each.datasets)
    names = ", ".join(name or cid for cid, name in each.datasets.items())
    return each.population if declared else names or "no data of this site"


def _table(each: ExaminationView) -> str:
    by = f" by {', '.join(each.by)}" if each.by else ""
    where = "".join(f", {column} {' or '.join(values)}" for column, values in (each.where or {}).items())
    return f"{each.output} of {each.block_name or 'a block'}{by}{where}"


def _withheld(each: ExaminationView) -> str:
    """How much, and why, without what is in it."""
    if each.lost:
        return "unknown: its record is lost"
    reasons = ", ".join(dict.fromkeys(finding.reason for finding in each.found))
    if each.line.startswith("not released"):
        return f"nothing, by a steward's word: {reasons}" if each.released else f"all: {reasons}"
    return f"{counted(each.withheld, 'cell')}: {reasons}" if each.withheld else "nothing"
