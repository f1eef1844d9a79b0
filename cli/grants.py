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
        """Check that one of the grants that the person cited let in what the decision says was granted.

        Nothing is said of an intent that rests on no grant, nor of one whose grants are not all in the catalogs here.
        ``at`` is the time of the intent, Unix milliseconds.

        Raises:
            VerificationFailed: none did; it names the first.
        """
        dataset = _granted(access)
        if dataset is None:
            return
        refusals: list[str] = []
        for cited in decode(Submission, access.submission, MAX_REQUEST).grants:
            held = self._held(cited)
            if held is None:
                return
            why = self._unfit(cited, held, access, dataset, at)
            if not why:
                return
            refusals.append(f"the grant …{str(cited)[-8:]} {why}")
        raise VerificationFailed(
            refusals[0] if refusals else "it says that a grant let its data in, and none was cited"
        )

    def _unfit(self, cited: Cid, grant: Grant, access: AccessFields, dataset: Cid, at: int) -> str:
        """Why a grant, or one that it hangs on, did not let the data in; empty if it did."""
        owners = [site for site, index in self.indexes.items() if index.latest("dataset", str(dataset))]
        checks = (
            (grant.subject == access.person, "is another person's"),
            (grant.project == access.project, "is for another project"),
            (dataset in grant.datasets, "does not name the data"),
            (Action.COMPUTE in grant.actions, "is for other actions"),
            (not grant.blocks or access.block in grant.blocks, "does not name the block"),
            (not owners or grant.site in owners, "is another site's than the data's owner"),
            (at <= grant.not_after, "was over"),
        )
        return next((why for holds, why in checks if not holds), "") or self._broken(cited, grant, at)

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
                return revoked if cid == cited else f"hangs on …{str(cid)[-8:]}, which {revoked}"
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
