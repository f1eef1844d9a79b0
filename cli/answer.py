"""An answer of audit logs on a terminal: rows as they come, who still owes an answer, what is missing in the end."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from catalog.error import Denied, Unreachable, VerificationFailed
from catalog.plural import counted
from cli.output import clean, footer, say, show
from cli.session import Session

if TYPE_CHECKING:
    from node.api.client import Node
    from node.api.trail import Told
    from node.api.view import Absent, AuditRow, Blanks, Lone

_HEAD = ("when", "site", "who", "what", "data", "project", "block", "purpose", "proof", "decision")
_BELOW = 4
"""From this column on, what stands below the others where a screen is too narrow for all."""


@dataclass(slots=True)
class Missing:
    """What an answer of the sites ``asked`` (by name) lacks, by its kind."""

    asked: Sequence[str]
    absent: list[Absent] = field(default_factory=list)
    blanks: list[Blanks] = field(default_factory=list)
    lone: list[Lone] = field(default_factory=list)

    def take(self, told: Absent | Blanks | Lone) -> None:
        """Take one thing that is missing."""
        from node.api.view import Absent, Blanks

        match told:
            case Absent():
                self.absent.append(told)
            case Blanks():
                self.blanks.append(told)
            case _:
                self.lone.append(told)

    @property
    def found(self) -> dict[str, object]:
        """All of it, for JSON."""
        return {"absent": self.absent, "blanks": self.blanks, "lone": self.lone}

    @property
    def answered(self) -> str:
        """How many of the sites answered."""
        answered = len(self.asked) - len({each.site for each in self.absent})
        return f"{answered} of {counted(len(self.asked), 'site')} answered"

    def say(self) -> None:
        """What stands below the rows; sites that say the same are told of together."""
        alike: dict[tuple[bool, str], list[str]] = {}
        for away in self.absent:
            alike.setdefault((away.denied, away.reason), []).append(away.site_name)
        for (denied, reason), names in alike.items():
            say(f"{', '.join(names)} {'refused' if denied else 'gave no answer'}: {reason}")
        for held in self.blanks:
            say(f"{held.site_name}: {counted(held.count, 'further row')}, erased or not for you")
        for odd in self.lone:
            say(f"no counterpart: {odd}")

    def check(self, rows: int, strict: bool) -> None:
        """Fail where nobody answered and no ``rows`` came, or, if ``strict``, where anything is missing.

        Raises:
            Denied: whoever gave no answer refuses one. Unreachable: some may give one later.
            VerificationFailed: rows have no counterpart.
        """
        away = ", ".join(dict.fromkeys(each.site_name for each in self.absent))
        refused = all(each.denied for each in self.absent)
        if not rows and self.absent and len({each.site for each in self.absent}) == len(self.asked):
            if refused:
                raise Denied(f"no site lets you ask that, so nothing is known: {self.absent[0].reason}")
            raise Unreachable("no site gave an answer, so nothing is known; ask again later")
        if self.lone and strict:
            raise VerificationFailed(
                f"{counted(len(self.lone), 'row')} without a counterpart; the first: {self.lone[0]}"
                + (f"; and {away} gave no answer" if away else "")
            )
        if away and strict:
            if refused:
                raise Denied(f"{away} refused, so the list may lack rows: {self.absent[0].reason}")
            raise Unreachable(f"{away} gave no answer, so the list may lack rows; ask again later")


def asked_of(node: Node) -> list[str]:
    """The names of the members that are asked who did what: those that only witness logs hold no data."""
    return [each.name for each in node.members() if not each.witness_only]


def tell_rows(
    session: Session,
    node: Node,
    about: dict[str, object],
    told: Iterable[Told],
    strict: bool,
    asked: Sequence[str] = (),
) -> None:
    """Print each row as it comes, then what is missing: sites, rows that are not shown, rows without a counterpart.

    On a screen a line below says which of the sites that were ``asked`` (all that may hold data, if none are named)
    still owe an answer.
    """
    from node.api.view import Absent, Answered, AuditRow

    asked = asked or asked_of(node)
    rows: list[AuditRow] = []
    missing, waiting = Missing(asked), dict.fromkeys(asked)
    widths = () if session.json else _widths(node, [each.name for each in node.members()])
    with footer() as foot:
        foot.show(_waiting_for(waiting))
        for each in told:
            match each:
                case AuditRow():
                    if not session.json:
                        with foot.cleared():
                            _print(each, widths, first=not rows)
                    rows.append(each)
                case Answered(site_name=name):
                    waiting.pop(name, None)
                case _:
                    if isinstance(each, Absent):
                        waiting.pop(each.site_name, None)
                    missing.take(each)
            foot.show(_waiting_for(waiting))
    show(session, {**about, "rows": rows, **missing.found}, lambda: _below(rows, missing))
    missing.check(len(rows), strict)


def _below(rows: Sequence[AuditRow], missing: Missing) -> None:
    say(f"{counted(len(rows), 'row')}, each verified against its site's log; {missing.answered}.")
    below = sum(len(each.cosigners) < each.quorum for each in rows)
    if below:
        say(f"{below} of them stand under checkpoints that fewer members than the quorum have cosigned")
    missing.say()


def _waiting_for(sites: Iterable[str]) -> str:
    names = ", ".join(sites)
    return f"waiting for {names} …" if names else ""


def _print(row: AuditRow, widths: tuple[int, ...], *, first: bool) -> None:
    room = shutil.get_terminal_size().columns
    if sys.stdout.isatty() and sum(widths) + 2 * len(widths) > room:
        for line in _stacked(_cells(row), room):
            print(line, flush=True)
        return
    if first:
        _line(_HEAD, widths)
    _line(_cells(row), widths)


def _stacked(cells: tuple[str, ...], room: int) -> Iterator[str]:
    """A row on several lines: what it is in short, below it in smaller pieces what it says."""
    cleaned = [clean(cell) for cell in cells]
    named = [f"{name} {cell}" for name, cell in zip(_HEAD[_BELOW:-2], cleaned[_BELOW:-2], strict=True) if cell != "–"]
    for at, line in enumerate(("  ".join(cleaned[:_BELOW]), ", ".join(named), cleaned[-1], cleaned[-2])):
        indent = "  " if at else ""
        yield from textwrap.wrap(line, room, initial_indent=indent, subsequent_indent="    ", break_on_hyphens=False)


def _cells(row: AuditRow) -> tuple[str, ...]:
    from node.api.quantity import clock_text

    where = f"{row.who}@{row.home_name}" if row.home_name and row.home_name != row.who else row.who
    return (
        clock_text(row.at),
        row.site_name,
        where,
        row.kind,
        ", ".join(row.data) or "–",
        row.project or "–",
        row.block_name or "–",
        row.purpose or "–",
        row.proof,
        row.verdict or "–",
    )


def _widths(node: Node, sites: Sequence[str]) -> tuple[int, ...]:
    """Of the columns, from what may stand in them: the rows themselves are not known before they are printed."""
    from catalog.dataset import DatasetFields
    from catalog.project import ProjectFields

    people = [f"{each.fields.name}@{each.site_name}" for each in node.people() if each.fields.role != "node"]
    projects = [each.fields.name for each in node.listed("project", ProjectFields)]
    blocks = [each.fields.name for each in node.blocks()]
    data = [each.fields.name for each in node.listed("dataset", DatasetFields)]
    site, project = max(map(len, (*sites, "site"))), max(map(len, (*projects, "project")))
    block, dataset = (max(map(len, (*names, "…12345678"))) for names in (blocks, data))
    return (19, site, max(site, *map(len, people), 0), 8, dataset, project, block, 11, 30, 0)


def _line(cells: tuple[str, ...], widths: tuple[int, ...]) -> None:
    shown = (clean(cell).ljust(width) for cell, width in zip(cells, widths, strict=True))
    print("  ".join(shown).rstrip(), flush=True)
