"""Verified accounts as rows that people read: who, for which project, with which block, allowed or denied by what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from catalog.cid import Cid
from catalog.error import VerificationFailed
from catalog.key import short
from node.api.audit import Account, verify_page
from node.api.schema import MemberView, SiteRows
from node.api.view import Absent, AuditRow
from workflow.account import AccessFields, FetchFields, ReadFields, ReleaseFields, ResultFields


class Trail:
    """Turns the sites' answers about ``dataset`` into rows; a result is told by the intent that it answers.

    ``people`` gives names by key, ``blocks`` by CID, as far as this person may see them.
    """

    def __init__(
        self, dataset: Cid, members: Sequence[MemberView], people: Mapping[str, str], blocks: Mapping[Cid, str]
    ) -> None:
        self._dataset = dataset
        self._members = {each.site: each for each in members}
        self._nodes = {each.site: each.node for each in members if each.node is not None}
        self._people = people
        self._blocks = blocks
        self._pages: dict[str, list[Account]] = {}

    def rows(self, answer: SiteRows) -> Iterator[AuditRow | Absent]:
        """One site's verified rows once the last page of them is there, or that it is away.

        Raises:
            VerificationFailed: a row is false, or the answer is by a key that is not that member's node.
        """
        member = self._members.get(answer.site)
        if member is None or (answer.node is not None and member.node not in (None, answer.node)):
            raise VerificationFailed(f"an audit answer in the name of «{answer.site_name}» is not by that site's node")
        if answer.answer is None or answer.node is None:
            yield from self._told(answer.site)
            yield Absent(answer.site, member.name, answer.absent or "it gave no answer")
            return
        pages = self._pages.setdefault(answer.site, [])
        after = pages[-1] if pages else None
        try:
            page = verify_page(answer.answer, answer.site, answer.node, self._dataset, self._nodes, after)
        except VerificationFailed as error:
            raise VerificationFailed(f"{member.name}: {error}") from error
        pages.extend(page.accounts)
        if not page.more:
            yield from self._told(answer.site)

    def rest(self) -> Iterator[AuditRow | Absent]:
        """What stands when all answers are there: sites that stopped in the middle of theirs."""
        for site in list(self._pages):
            oldest = self._pages[site][-1].index
            yield from self._told(site)
            yield Absent(site, self._name(site), f"it did not send its rows before {oldest}")

    def _told(self, site: str) -> Iterator[AuditRow]:
        """The verified rows of a site, oldest first: what a result was about stands in the intent before it."""
        orders: dict[Cid, AccessFields] = {}
        for account in reversed(self._pages.pop(site, [])):
            if isinstance(account.fields, AccessFields):
                orders[account.fields.order] = account.fields
            yield self._row(account, orders)

    def _name(self, site: str) -> str:
        member = self._members.get(site)
        return member.name if member else short(site)

    def _row(self, account: Account, orders: Mapping[Cid, AccessFields]) -> AuditRow:
        fields = account.fields
        access: AccessFields | None = None
        person: str | None = None
        home = ""
        allowed: bool | None = None
        rules: tuple[str, ...] = ()
        match fields:
            case AccessFields():
                access, reason = fields, fields.decision.reason
                allowed, rules = fields.decision.allowed, fields.decision.rules
            case ResultFields():
                access = orders.get(fields.order)
                reason = f"{fields.status}: {fields.reason}" if fields.reason else str(fields.status)
            case ReleaseFields():
                access, reason = orders.get(fields.order), fields.decision.reason
                allowed, rules = fields.decision.allowed, fields.decision.rules
            case FetchFields():
                person, home, reason = fields.person, fields.site, "bytes were given"
            case ReadFields():
                person, home, reason = fields.person, fields.home, f"{fields.rows} rows of this log were given"
        if access is not None:
            person, home = access.person, access.home
        home_name = self._name(home) if home else ""
        block = access.block if access else None
        return AuditRow(
            site=account.site,
            site_name=self._name(account.site),
            index=account.index,
            at=account.body.at,
            kind=account.kind,
            person=person,
            who=self._people.get(person, short(person)) if person else home_name,
            home_name=home_name,
            block=block,
            block_name=self._blocks.get(block, f"…{str(block)[-8:]}") if block else "",
            project=access.project.name if access else "",
            purpose=access.purpose if access else "",
            allowed=allowed,
            rules=rules,
            reason=reason,
            size=account.size,
            cosigners=account.cosigners,
        )
