"""What the client gives back: plans, runs and audit rows, readable as text and in a notebook."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Generic, TypeVar

from catalog.cid import Cid
from catalog.dagcbor import Value
from catalog.error import ComityError, Conflict, Denied, Unreachable
from catalog.plural import counted
from node.api.agreed import Asked
from node.api.plans import PlannedView, PlanView
from node.api.quantity import clock_text, money, span_text
from node.api.schema import ElsewhereView, ResultView, SubmissionView
from workflow.submission import Submission

F = TypeVar("F", bound=Value, covariant=True)

_FAILURES = {"denied": Denied, "unreachable": Unreachable, "failed": ComityError, "cancelled": Conflict}


@dataclass(frozen=True, slots=True)
class Listing(Generic[F]):
    """A catalog entry that counts now: its site and place, who signed it, and its typed fields.

    ``left``: its site left the consortium, so that nobody can use what it published.
    """

    site: str
    site_name: str
    index: int
    subject: str
    actor: str
    at: int
    audience: tuple[str, ...] | None
    fields: F
    left: bool


@dataclass(frozen=True, slots=True)
class Published:
    """What was put into the catalog: its CID, its name, and its index in this site's log."""

    cid: Cid
    name: str
    index: int
    size: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class Plan:
    """A plan, with the submission that would carry it out, not yet signed, and what it was asked for with."""

    view: PlanView
    submission: Submission
    asked: Asked

    @property
    def workflow(self) -> str:
        """The CWL text."""
        return self.asked.workflow

    @property
    def cost(self) -> int:
        """Millionths of the consortium's unit."""
        return self.view.cost

    @property
    def finish(self) -> int:
        """Expected milliseconds from start to result."""
        return self.view.finish

    def __repr__(self) -> str:
        steps = ", ".join(f"{each.step}[{each.shard}] at {each.site_name}" for each in self.view.steps)
        return f"Plan({steps}; {self._sum()})"

    def _repr_html_(self) -> str:
        rows = [
            (
                f"{each.step}[{each.shard}]",
                each.site_name,
                ", ".join(each.data),
                money(each.cost),
                f"{span_text(each.start)} – {span_text(each.finish)}",
                reasons(each.elsewhere),
            )
            for each in self.view.steps
        ]
        head = ("step", "site", "data", "cost", "from – to", "why not elsewhere")
        return html_table(head, rows, self._sum())

    def _sum(self) -> str:
        return (
            f"cost {money(self.view.cost)} of a budget of {money(self.view.budget)}; expected to end "
            f"{span_text(self.view.finish)} after its start, deadline {clock_text(self.view.deadline)}"
        )


@dataclass(frozen=True, slots=True, repr=False)
class Run:
    """A submission as it stood when it was asked for."""

    view: SubmissionView

    @property
    def submission(self) -> Cid:
        """By which it is asked for again."""
        return self.view.submission

    @property
    def state(self) -> str:
        """``running``, ``paused``, ``cancelling``; ``done``, ``denied``, ``failed``, ``unreachable``, ``cancelled``."""
        return self.view.state

    @property
    def reason(self) -> str:
        """Why it ended as it did; empty when all is well."""
        return self.view.reason

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self.view.state not in ("running", "paused", "cancelling")

    @property
    def results(self) -> tuple[ResultView, ...]:
        """The outputs that were released to the asker."""
        return self.view.results

    @property
    def took_part(self) -> tuple[str, ...]:
        """The sites whose data stand in the result."""
        return self.view.took_part

    @property
    def absent(self) -> tuple[ElsewhereView, ...]:
        """The sites that were asked and whose data do not stand in the result, with the reason."""
        return self.view.absent

    def check(self) -> Run:
        """Itself, if it did not fail.

        Raises:
            Denied, Unreachable, Conflict, ComityError: as it ended, with its reason; Conflict if it was cancelled.
        """
        failure = _FAILURES.get(self.state)
        if failure is not None:
            raise failure(f"the submission {self.submission} ended {self.state}: {self.reason or 'no reason given'}")
        return self

    def __repr__(self) -> str:
        return f"Run({self.submission}, {self._sum()})"

    def _repr_html_(self) -> str:
        rows = [
            (
                f"{each.step}[{each.shard}]",
                each.site_name,
                each.status,
                ", ".join(each.rules),
                each.reason,
                money(each.cost),
            )
            for each in self.view.instances
        ]
        return html_table(("step", "site", "status", "allowed by", "reason", "cost"), rows, self._sum())

    def _sum(self) -> str:
        told = [self.state, f"spent {money(self.view.spent)} of {money(self.view.budget)}"]
        if self.reason:
            told.append(self.reason)
        if self.took_part:
            told.append("took part: " + ", ".join(self.took_part))
        if self.absent:
            told.append("absent: " + reasons(self.absent))
        return "; ".join(told)


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One verified line of a site's audit log; the client makes none that did not verify.

    ``datasets`` are those that it is accounted to, ``data`` their names where these are known.
    ``who`` is the person's name where it is known, ``person`` their key. ``allowed`` is ``None`` where nothing was
    decided (a result, a read). ``project`` is the name of the project that it was done for at ``project_site`` (its
    root key), both empty where there is none: published data and blocks are fetched for nobody's alone, and questions
    and policies are about no project. ``grant`` is the one that was given or revoked. ``size`` is that of the log under
    the checkpoint, ``cosigners`` the sites that cosigned it, ``quorum`` how many of them it takes.
    """

    site: str
    site_name: str
    index: int
    at: int
    kind: str
    person: str | None
    who: str
    home_name: str
    datasets: tuple[Cid, ...]
    data: tuple[str, ...]
    block: Cid | None
    block_name: str
    project: str
    project_site: str
    purpose: str
    allowed: bool | None
    rules: tuple[str, ...]
    reason: str
    grant: Cid | None
    size: int
    cosigners: tuple[str, ...]
    quorum: int

    @property
    def verdict(self) -> str:
        """Allowed or denied with the rules that decided, or what happened."""
        if self.allowed is None:
            return self.reason
        told = "allowed" if self.allowed else "denied"
        return told + (f" by {', '.join(self.rules)}" if self.rules else f": {self.reason}")

    @property
    def proof(self) -> str:
        """What was verified."""
        lacking = f", {self.quorum} needed" if len(self.cosigners) < self.quorum else ""
        return f"✓ leaf {self.index} of {self.size}, {len(self.cosigners)} cosigned{lacking}"


@dataclass(frozen=True, slots=True)
class Absent:
    """A site that gave no answer, and why; ``denied`` if it refuses one."""

    site: str
    site_name: str
    reason: str
    denied: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """A site whose answer is whole: no further rows of it come."""

    site: str
    site_name: str


@dataclass(frozen=True, slots=True)
class Blanks:
    """How many rows a site has that are not shown: they were erased, or are not for the asker."""

    site: str
    site_name: str
    count: int


@dataclass(frozen=True, slots=True)
class Lone:
    """A row whose other side is missing: what a site says it gave or got, and the other did not write down."""

    site: str
    site_name: str
    index: int
    other: str
    other_name: str
    what: str

    def __str__(self) -> str:
        return f"{self.site_name}, row {self.index}: {self.what} (the other site: {self.other_name})"


@dataclass(frozen=True, slots=True)
class AuditTable:
    """All that the sites answered about a dataset."""

    dataset: Cid
    rows: tuple[AuditRow, ...]
    absent: tuple[Absent, ...]
    blanks: tuple[Blanks, ...] = ()
    lone: tuple[Lone, ...] = ()

    def _repr_html_(self) -> str:
        head = ("when", "site", "who", "what", "project", "block", "purpose", "decision", "proof")
        rows = [
            (
                clock_text(row.at),
                row.site_name,
                f"{row.who} ({row.home_name})" if row.home_name else row.who,
                row.kind,
                row.project,
                row.block_name,
                row.purpose,
                row.verdict,
                row.proof,
            )
            for row in self.rows
        ]
        told = [f"{each.site_name} did not answer: {each.reason}" for each in self.absent]
        told += [f"{each.site_name}: {counted(each.count, 'further row')}, not shown" for each in self.blanks]
        told += [f"no counterpart: {each}" for each in self.lone]
        return html_table(head, rows, "; ".join(told) or "every site answered")


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> str:
    """A plain HTML table; every text is escaped, for much of it comes from other sites."""
    top = "".join(f"<th>{escape(each)}</th>" for each in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def reasons(elsewhere: Iterable[ElsewhereView]) -> str:
    """Each reason once, after the names of all sites that have it."""
    sites: dict[str, list[str]] = {}
    for each in elsewhere:
        sites.setdefault(each.reason, []).append(each.site)
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in sites.items())


def gap_text(found: int, least: int, text: Callable[[int], str]) -> str:
    """How far a plan may be from the best one: at most so much more than what no plan is below."""
    if found <= least:
        return "no plan is better in that"
    more = f", so it is at most {(found - least) / least:.1%} more than it must be" if least else ""
    return f"no plan is below {text(least)}{more}"


def sure_text(step: PlannedView) -> str:
    """What the duration of a step rests on, and how sure it is."""
    if not step.receipts:
        return step.basis
    times = f"{step.spread:.3g}"
    spread = f", slow ones {times} times as long as quick ones" if step.spread > 1 and times != "1" else ""
    return f"{counted(step.receipts, 'receipt')}, {step.basis}{spread}"
