"""An answer of audit logs on a terminal: rows as they come, who still owes an answer, what is missing in the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from catalog.error import Denied, Unreachable, VerificationFailed
from cli.output import clean, counted, footer, say, show
from cli.session import Session

if TYPE_CHECKING:
    from node.api.client import Node
    from node.api.trail import Told
    from node.api.view import Absent, AuditRow, Blanks, Lone

_HEAD = ("when", "site", "who", "what", "project", "block", "purpose", "proof", "decision")


@dataclass(slots=True)
class Answer:
    """What came, by its kind: rows, and what is missing."""

    asked: Sequence[str]
    rows: list[AuditRow] = field(default_factory=list)
    absent: list[Absent] = field(default_factory=list)
    blanks: list[Blanks] = field(default_factory=list)
    lone: list[Lone] = field(default_factory=list)

    def say(self) -> None:
        """What stands below the rows."""
        answered = len(self.asked) - len({each.site for each in self.absent})
        sites = f"{answered} of {counted(len(self.asked), 'site')} answered"
        say(f"{counted(len(self.rows), 'row')}, each verified against its site's log; {sites}.")
        below = sum(len(each.cosigners) < each.quorum for each in self.rows)
        if below:
            say(f"{below} of them stand under checkpoints that fewer members than the quorum have cosigned")
        for away in self.absent:
            say(f"{away.site_name} {'refused' if away.denied else 'gave no answer'}: {away.reason}")
        for held in self.blanks:
            say(f"{held.site_name}: {counted(held.count, 'further row')}, erased or not for you")
        for odd in self.lone:
            say(f"no counterpart: {odd}")

    def check(self, strict: bool) -> None:
        """Fail where nothing is known, or, if ``strict``, where anything is missing.

        Raises:
            Denied: whoever gave no answer refuses one. Unreachable: some may give one later.
            VerificationFailed: rows have no counterpart.
        """
        away = ", ".join(dict.fromkeys(each.site_name for each in self.absent))
        refused = all(each.denied for each in self.absent)
        if not self.rows and len({each.site for each in self.absent}) == len(self.asked):
            if refused:
                raise Denied(f"no site lets you ask that, so nothing is known: {self.absent[0].reason}")
            raise Unreachable("no site gave an answer, so nothing is known; ask again later")
        if away and strict:
            if refused:
                raise Denied(f"{away} refused, so the list may lack rows: {self.absent[0].reason}")
            raise Unreachable(f"{away} gave no answer, so the list may lack rows; ask again later")
        if self.lone and strict:
            raise VerificationFailed(
                f"{counted(len(self.lone), 'row')} without a counterpart; the first: {self.lone[0]}"
            )


def tell_rows(
    session: Session,
    node: Node,
    about: dict[str, object],
    told: Iterable[Told],
    strict: bool,
    asked: Sequence[str] = (),
) -> None:
    """Print each row as it comes, then what is missing: sites, rows that are not shown, rows without a counterpart.

    On a screen a line below says which of the sites that were ``asked`` (all members, if none are named) still owe an
    answer.
    """
    from node.api.view import Absent, Answered, AuditRow, Blanks

    members = [each.name for each in node.members()]
    answer, waiting = Answer(asked or members), dict.fromkeys(asked or members)
    widths = () if session.json else _widths(node, members)
    with footer() as foot:
        foot.show(_waiting_for(waiting))
        for each in told:
            match each:
                case AuditRow():
                    if not session.json:
                        with foot.cleared():
                            _print(each, widths, first=not answer.rows)
                    answer.rows.append(each)
                case Answered(site_name=name):
                    waiting.pop(name, None)
                case Absent(site_name=name):
                    waiting.pop(name, None)
                    answer.absent.append(each)
                case Blanks():
                    answer.blanks.append(each)
                case _:
                    answer.lone.append(each)
            foot.show(_waiting_for(waiting))
    found = {"rows": answer.rows, "absent": answer.absent, "blanks": answer.blanks, "lone": answer.lone}
    show(session, {**about, **found}, answer.say)
    answer.check(strict)


def _waiting_for(sites: Iterable[str]) -> str:
    names = ", ".join(sites)
    return f"waiting for {names} …" if names else ""


def _print(row: AuditRow, widths: tuple[int, ...], *, first: bool) -> None:
    if first:
        _line(_HEAD, widths)
    _line(_cells(row), widths)


def _cells(row: AuditRow) -> tuple[str, ...]:
    from node.api.quantity import clock_text

    where = f"{row.who}@{row.home_name}" if row.home_name and row.home_name != row.who else row.who
    return (
        clock_text(row.at),
        row.site_name,
        where,
        row.kind,
        row.project or "–",
        row.block_name or "–",
        row.purpose or "–",
        row.proof,
        row.verdict or "–",
    )


def _widths(node: Node, sites: Sequence[str]) -> tuple[int, ...]:
    """Of the columns, from what may stand in them: the rows themselves are not known before they are printed."""
    from catalog.project import ProjectFields

    people = [f"{each.fields.name}@{each.site_name}" for each in node.people() if each.fields.role != "node"]
    projects = [each.fields.name for each in node.listed("project", ProjectFields)]
    blocks = [each.fields.name for each in node.blocks()]
    site, project = max(map(len, (*sites, "site"))), max(map(len, (*projects, "project")))
    return (19, site, max(site, *map(len, people), 0), 8, project, max(map(len, (*blocks, "…12345678"))), 11, 30, 0)


def _line(cells: tuple[str, ...], widths: tuple[int, ...]) -> None:
    shown = (clean(cell).ljust(width) for cell, width in zip(cells, widths, strict=True))
    print("  ".join(shown).rstrip(), flush=True)
