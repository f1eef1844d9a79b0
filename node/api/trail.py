"""Verified accounts as rows that people read: who, for which project, with which block, allowed or denied by what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from catalog.cid import Cid
from catalog.error import VerificationFailed
from catalog.key import short
from catalog.project import ProjectRef
from node.api.audit import Account, Blank, Member, Reading
from node.api.counterparts import Counterparts
from node.api.schema import MemberView, SiteRows
from node.api.view import Absent, Answered, AuditRow, Blanks, Lone
from node.api.wording import verdict
from node.message import Who
from privacy.label import site_of
from workflow.account import (
    AccessFields,
    AccountFields,
    ApprovalFields,
    DestroyFields,
    EntryFields,
    FetchFields,
    HaltFields,
    KeyReleaseFields,
    ReadFields,
    RefusalFields,
    ReleaseFields,
    ResultFields,
    UnwrittenFields,
    WithheldFields,
    datasets_of,
)

Told = AuditRow | Answered | Blanks | Absent | Lone


@dataclass(frozen=True, slots=True)
class _Step:
    """What an intent, a denial or a refusal says of an order, for the rows that follow it."""

    home: str
    block: Cid | None
    project: ProjectRef
    purpose: str


@dataclass(frozen=True, slots=True)
class Names:
    """Names by key, by CID and by place, as far as the reader may know them."""

    people: Mapping[str, str]
    blocks: Mapping[Cid, str]
    datasets: Mapping[Cid, str]


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when, both included, in Unix milliseconds; 0 and none for no end."""

    since: int = 0
    until: int | None = None

    def __contains__(self, at: int) -> bool:
        return self.since <= at and (self.until is None or at <= self.until)


class Trail:
    """Turns the sites' answers to ``question`` into rows as they come; ``quorum`` is how many members must cosign.

    Of all rows, which are verified one as the other, those in ``span`` are given.
    """

    def __init__(
        self,
        question: Who,
        members: Sequence[MemberView],
        quorum: int,
        names: Names,
        span: Span | None = None,
        *,
        proofs: bool = False,
    ) -> None:
        self._question = question
        self._span = Span(question.since, question.until) if span is None else span
        self._members = {each.site: each for each in members}
        self._keys = {each.site: Member(each.node, each.keys or (each.node,)) for each in members if each.node}
        self._quorum = quorum
        self._names = names
        self._proofs = proofs
        self._readings: dict[str, Reading] = {}
        self._orders: dict[tuple[str, Cid], _Step] = {}
        self._blanks: Counter[str] = Counter()
        self._counterparts = Counterparts()
        self._absent: set[str] = set()

    def rows(self, answer: SiteRows) -> Iterator[Told]:
        """The rows of a page as :meth:`verified`, without what shows them."""
        return (told for told, _ in self.verified(answer))

    def verified(self, answer: SiteRows) -> Iterator[tuple[Told, Account | None]]:
        """The rows of a page, oldest first, each verified before it is given, and that it was the site's last one;
        or that the site is away.

        Raises:
            VerificationFailed: a row is false, or the answer is by a key that is not that member's node.
        """
        member = self._members.get(answer.site)
        if member is None or (answer.node is not None and answer.node != member.node):
            raise VerificationFailed(f"an audit answer in the name of «{answer.site_name}» is not by that site's node")
        if answer.answer is None or answer.site not in self._keys:
            yield self._away(answer.site, answer.absent or "it gave no answer", denied=answer.denied), None
            return
        reading = self._readings.get(answer.site)
        if reading is None:
            reading = self._readings[answer.site] = Reading(
                self._question, answer.site, self._keys, proofs=self._proofs
            )
        try:
            for each in reading.take(answer.answer):
                if isinstance(each, Blank):
                    self._blanks[each.site] += 1
                    continue
                self._counterparts.take(each)
                row = self._row(each)
                if row.at in self._span:
                    yield row, each
        except VerificationFailed as error:
            raise VerificationFailed(f"{member.name}: {error}") from error
        if reading.done:
            yield Answered(answer.site, member.name), None

    def rest(self) -> Iterator[Told]:
        """What stands when all answers are there: broken answers, rows that are not shown, rows without a pair."""
        for site, reading in self._readings.items():
            if not reading.done and site not in self._absent:
                yield self._away(site, f"its answer broke off {reading.stopped}")
        for site, count in sorted(self._blanks.items()):
            yield Blanks(site, self._name(site), count)
        if self._question.dataset is None or self._question.since or self._question.until is not None:
            return  # pairs are compared over all rows about a dataset
        answered = {site: self._blanks[site] for site in self._readings if site not in self._absent}
        for lone in self._counterparts.unmatched(answered):
            yield Lone(lone.site, self._name(lone.site), lone.index, lone.other, self._name(lone.other), lone.what)

    def _away(self, site: str, reason: str, *, denied: bool = False) -> Absent:
        self._absent.add(site)
        return Absent(site, self._name(site), reason, denied)

    def _name(self, site: str) -> str:
        """The name of a site, or of a person."""
        member = self._members.get(site)
        return member.name if member else self._names.people.get(site, short(site))

    def _row(self, account: Account) -> AuditRow:
        fields = account.fields
        step = self._step(account)
        person, home = self._by(fields, step)
        allowed, rules, reason = verdict(account.kind, fields, self._name)
        home_name = self._name(home) if home else ""
        block = step.block if step else None
        project = step.project if step else _project(fields)
        datasets = tuple(datasets_of(fields.chain))
        return AuditRow(
            site=account.site,
            site_name=self._name(account.site),
            index=account.index,
            at=account.body.at,
            kind=account.kind,
            person=person,
            who=self._names.people.get(person, short(person)) if person else home_name,
            home_name=home_name,
            datasets=datasets,
            data=tuple(self._names.datasets.get(each, f"…{str(each)[-8:]}") for each in datasets),
            block=block,
            block_name=self._names.blocks.get(block, f"…{str(block)[-8:]}") if block else "",
            project=project.name if project else "",
            project_site=project.site if project else "",
            purpose=step.purpose if step else "",
            allowed=allowed,
            rules=rules,
            reason=reason,
            grant=fields.grant if isinstance(fields, EntryFields) else None,
            size=account.size,
            cosigners=account.cosigners,
            quorum=self._quorum,
        )

    def _step(self, account: Account) -> _Step | None:
        match account.fields:
            case AccessFields() as access:
                step = _Step(access.home, access.block, access.project, access.purpose)
                self._orders[account.site, access.order] = step
                return step
            case RefusalFields() as refused:  # no row follows it
                return _Step(refused.home, refused.block, refused.project, refused.purpose or "")
            case ResultFields(order=order) | ReleaseFields(order=order):
                return self._orders.get((account.site, order))
            case _:
                return None

    def _by(self, fields: AccountFields, step: _Step | None) -> tuple[str | None, str]:
        """The person of a row and the site that stands beside the name: their home, or the other side."""
        match fields:
            case AccessFields() | RefusalFields() | ReadFields():
                return fields.person, fields.home
            case UnwrittenFields(site=site):
                return None, site
            case FetchFields() | WithheldFields():
                return fields.person, fields.site
            case KeyReleaseFields(person=person, reader=reader):
                return person, site_of(reader)
            case EntryFields(actor=person) | ApprovalFields(person=person):
                return person, ""
            case ResultFields() | ReleaseFields():
                # The chain names the person where the intent itself was not asked for.
                person = next((subject for subject in fields.chain if subject.startswith("did:")), None)
                return person, step.home if step else ""
            case _:
                return None, ""


def _project(fields: AccountFields) -> ProjectRef | None:
    """The project that a row names itself."""
    match fields:
        case (
            FetchFields()
            | KeyReleaseFields()
            | WithheldFields()
            | ReleaseFields()
            | EntryFields()
            | DestroyFields()
            | HaltFields()
        ):
            return fields.project
        case _:
            return None
