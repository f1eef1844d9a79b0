"""The grants on which an intent rests, held against the catalogs that are here: whether one let its data in then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from catalog.cid import Cid
from catalog.dagcbor import decode
from catalog.error import BadInput, VerificationFailed
from catalog.grant import MAX_DEPTH, Action, Grant, GrantFields
from catalog.index import SiteIndex
from catalog.key import check
from privacy.grant import widens
from workflow.account import MAX_REQUEST, AccessFields, EntryFields
from workflow.submission import Submission

CLOCKS: Final = 10 * 60_000
"""Milliseconds by which the clocks of a steward and of the node may differ."""


@dataclass(slots=True)
class Grants:
    """What the catalogs in ``indexes``, by site, say of the grants that intents of ``site`` rest on.

    ``noted`` are the revocations that the audit log itself tells of, so far, by their places. Those in other members'
    catalogs have dates that are these members' own word, and no log says when this site heard of them: they are no
    evidence against it.
    """

    site: str
    indexes: Mapping[str, SiteIndex]
    noted: dict[Cid, int] = field(default_factory=dict)

    def note(self, at: int, kind: str, row: EntryFields) -> None:
        """Take a row about an entry: what it revokes is revoked for every row behind it."""
        if kind == "revoke" and row.grant is not None:
            self.noted.setdefault(row.grant, at)

    def check(self, access: AccessFields, at: int) -> None:
        """Check that the grants of which an intent says that they let data in did so.

        Nothing is said of a grant that is not in the catalogs here. ``at`` is the intent's time, Unix milliseconds.

        Raises:
            VerificationFailed: one did not, or was not cited, or the rules read of one that is not named.
        """
        submission = decode(Submission, access.submission, MAX_REQUEST)
        here = _granted(access)
        if here is not None and str(here) not in access.granted:
            raise VerificationFailed("the rules read that a grant let its data in, and it names none")
        for dataset, cited in access.granted.items():
            if cited not in submission.grants:
                raise VerificationFailed(f"the grant {_short(cited)} let data in and was not cited")
            grant = self._held(cited)
            if grant is None:
                continue
            # What it let in may have come by a step before, with another block.
            block = access.block if str(here) == dataset else None
            if why := self._unfit(grant, access, Cid.parse(dataset), block, at) or self._broken(cited, grant, at):
                raise VerificationFailed(f"the grant {_short(cited)} {why}")

    def _unfit(self, grant: Grant, access: AccessFields, dataset: Cid, block: Cid | None, at: int) -> str:
        """Why a grant is not one for these data and this use; empty if it is."""
        owners = [site for site, index in self.indexes.items() if index.latest("dataset", str(dataset))]
        checks = (
            (grant.subject == access.person, "is another person's"),
            (grant.project == access.project, "is for another project"),
            (dataset in grant.datasets, "does not name the data that it let in"),
            (Action.COMPUTE in grant.actions, "is for other actions"),
            (block is None or not grant.blocks or block in grant.blocks, "does not name the block"),
            (not owners or grant.site in owners, "is another site's than the data's owner"),
            (at <= grant.not_after, "was over"),
        )
        return next((why for holds, why in checks if not holds), "")

    def _broken(self, cited: Cid, grant: Grant, at: int) -> str:
        """What is wrong with a chain of grants, as far as the catalogs have it."""
        for depth, (cid, link, above) in enumerate(self._links(cited, grant), 1):
            if depth > MAX_DEPTH:
                return "hangs on too many others"
            try:
                check(link, link.issuer)
            except VerificationFailed:
                return "was not signed by its issuer"
            if revoked := self._revoked(cid, link, at):
                return revoked if cid == cited else f"hangs on {_short(cid)}, which {revoked}"
            if above is not None and (widened := widens(link, above)):
                return f"{widened} than the one that it hangs on"
        return ""

    def _links(self, cid: Cid, grant: Grant) -> Iterator[tuple[Cid, Grant, Grant | None]]:
        """A grant and what it hangs on, each with the one above it; the chain of CIDs has no cycle."""
        while True:
            above = self._held(grant.parent) if grant.parent is not None else None
            yield cid, grant, above
            if above is None or grant.parent is None:
                return
            cid, grant = grant.parent, above

    def _revoked(self, cid: Cid, grant: Grant, at: int) -> str:
        """Whether this site had revoked a grant, which it may if the data are its own or the grant stands here."""
        own = self.indexes[self.site]
        if self.site != grant.site and own.latest("grant", str(cid)) is None:
            return ""
        if cid in self.noted:
            return f"was revoked before, as leaf {self.noted[cid]} says"
        entry = own.latest("revoke", str(cid))
        if entry is not None and entry.body.at + CLOCKS < at:
            return f"was revoked before, by entry {entry.index} of the catalog"
        return ""

    def _held(self, cited: Cid) -> Grant | None:
        found = (index.typed(GrantFields, "grant", str(cited)) for index in self.indexes.values())
        return next((each.grant for each in found if each is not None), None)


def _short(cid: Cid) -> str:
    return f"…{str(cid)[-8:]}"


def _granted(access: AccessFields) -> Cid | None:
    """The dataset that a decision was about, if the rules read that a grant let it in."""
    facts = access.decision.facts
    kind, _, name = facts.get("resource", "").partition(" ")
    if kind != "Dataset" or facts.get("context.granted") != "true":
        return None
    try:
        return Cid.parse(name)
    except BadInput as error:
        raise VerificationFailed("its decision is about a dataset of no name") from error
