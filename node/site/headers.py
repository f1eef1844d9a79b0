"""Headers of shared datasets, given to readers: the label names them, a grant covers it, the owner's policy lets them.

A header holds the data key, sealed for one reader. It is written down before it leaves. Whoever gets none learns
nothing of why: unknown and forbidden are one answer, which the bulk server gives in one time.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from catalog.cid import Cid
from catalog.crypt4gh import write_header
from catalog.dagcbor import decode
from catalog.dataset import DatasetFields, Level
from catalog.error import ComityError, Denied, NotFound, VerificationFailed
from catalog.grant import GrantFields
from catalog.httpsig import SKEW_SECONDS, Asked, SignedBy, SignedRequest
from catalog.index import Index
from catalog.key import check
from catalog.nonce import Nonces
from catalog.project import ProjectRef
from node.automator.book import AuditBook, Line
from node.automator.case import Sought
from node.automator.decide import Judge
from node.header import MAX_ASKED, ForCustodian, ForPerson, ForStep, HeaderRequest, asked_by, opened_by
from node.ports import Clock, Random
from node.site.membership import Membership
from node.site.withholding import Withheld, Withholding
from node.storage.datakeys import DataKeys
from privacy.decision import Decision
from privacy.label import person_at as reader_at
from privacy.trust import has_left, person_at, project_of
from workflow.account import MAX_REQUEST, Chain, KeyReleaseFields
from workflow.argument import pieces_in
from workflow.submission import Submission

log = logging.getLogger("comity.headers")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asker:
    """Who gets a header: ``reader`` at ``site``, by the X25519 key ``public``, on what ``sought`` says if judged."""

    reader: str
    site: str
    public: bytes
    sought: Sought | None
    asked: bytes | None
    request: SignedRequest | None


class Headers:
    """Gives headers at the site ``site``, of its own datasets and of those whose custodian it is."""

    def __init__(
        self,
        site: str,
        index: Index,
        membership: Membership,
        keys: DataKeys,
        judge_of: Callable[[str], Awaitable[Judge]],
        book: AuditBook,
        withholding: Withholding,
        clock: Clock,
        random: Random,
    ) -> None:
        """``judge_of`` gives the judge by the policy of a dataset's owner, or denies where that is not known here."""
        self._site = site
        self._index = index
        self._membership = membership
        self._keys = keys
        self._judge_of = judge_of
        self._book = book
        self._withholding = withholding
        self._clock = clock
        self._random = random
        self._nonces = Nonces(clock.now, lambda did: any(each.key(did) for each in index.sites.values()))

    async def answer(self, node: str, body: bytes, signed: SignedRequest | None) -> bytes:
        """The header that the node with the key ``node`` asks for.

        Raises:
            NotFound: there is none for it: unknown, or not for this reader now.
        """
        try:
            asker = self._membership.site_of(node)
            if asker is None or signed is None:
                raise NotFound("a header is for members")  # told alike, below
            said = decode(HeaderRequest, body, MAX_ASKED)
            key, fields = await self._kept(said.owner, said.dataset)
            try:
                wanted = self._asker(said, asker, node, fields, body, signed)
                return await self._give(said.owner, fields, key, wanted)
            except Denied as error:
                self._withhold(said, asker, body, signed, str(error))
                raise
        except ComityError as error:
            log.info("no header was given: %s", error)
            raise NotFound("there is no header of that name here for you") from error

    async def open_here(self, owner: str, dataset: Cid, person: str, signed: SignedRequest) -> bytes:
        """The header for a ``person`` of this very site, whose request to open the data is ``signed``.

        Raises:
            NotFound: the key is not here. Denied: policy, label or grant do not let the person have it.
        """
        key, fields = await self._kept(owner, dataset)
        asked, project = opened_by(signed, dataset)
        if asked.did != person:
            raise VerificationFailed("another person signed the request than who sent it")
        try:
            return await self._give(owner, fields, key, self._person(asked, project, self._site, fields, None, signed))
        except Denied as error:
            self._note(dataset, self._site, str(error), person, project, None, signed)
            raise

    async def _kept(self, owner: str, dataset: Cid) -> tuple[bytes, DatasetFields]:
        """The key and the entry of a shared dataset that stands, of this site or kept for its owner."""
        key = await self._keys.find(dataset, owner)
        index = self._index.sites.get(owner)
        fields = index.typed(DatasetFields, "dataset", str(dataset)) if index is not None else None
        if key is None or fields is None or fields.withdrawn or fields.level is not Level.SHARED:
            raise NotFound("no key of that dataset is here")
        if owner != self._site and (self._site not in fields.custodians or has_left(self._index, owner)):
            raise NotFound("no key of that dataset is here for others")
        return key, fields

    def _asker(
        self, said: HeaderRequest, site: str, node: str, fields: DatasetFields, body: bytes, signed: SignedRequest
    ) -> _Asker:
        match said.asked:
            case ForPerson(request=request):
                asked, project = opened_by(request, said.dataset)
                if asked.peer != node:
                    raise VerificationFailed("the person asked another node than brings the request")
                self._take(asked)
                return self._person(asked, project, site, fields, body, signed)
            case ForStep(submission=data, block=block):
                sought: Sought | None = self._step(said, data, block, site, fields)
            case ForCustodian():
                if said.owner != self._site or site not in fields.custodians:
                    raise Denied("it is no custodian of that dataset")
                sought = None
        public = self._public(site, node)
        return _Asker(reader=site, site=site, public=public, sought=sought, asked=body, request=signed)

    def _take(self, asked: Asked) -> None:
        """A person's request is made just now, and counts once."""
        if abs(self._clock.now() // 1000 - asked.created) > SKEW_SECONDS:
            raise VerificationFailed("the person's request is old, or the clocks of the two sites differ")
        self._nonces.take(SignedBy(did=asked.did, created=asked.created, nonce=asked.nonce))

    def _person(
        self,
        asked: Asked,
        ref: ProjectRef,
        site: str,
        fields: DatasetFields,
        body: bytes | None,
        signed: SignedRequest,
    ) -> _Asker:
        person = person_at(self._index, asked.did, site)
        grants = (each.fields for each in self._index.entries("grant") if isinstance(each.fields, GrantFields))
        cited = [
            each.cid
            for each in grants
            if (each.grant.subject, each.grant.project) == (person.did, ref) and fields.cid in each.grant.datasets
        ]
        sought = Sought(
            consortium=self._consortium(),
            person=person,
            project=project_of(self._index, ref, person, self._clock.now()),
            ref=ref,
            dataset=fields,
            reader=reader_at(person.did, site),
            asker=None,
            block=None,
            cited=list(dict.fromkeys(cited)),
        )
        public = self._public(site, person.did)
        return _Asker(reader=sought.reader, site=site, public=public, sought=sought, asked=body, request=signed)

    def _step(self, said: HeaderRequest, data: bytes, block: Cid, site: str, fields: DatasetFields) -> Sought:
        submission, now = decode(Submission, data, MAX_REQUEST), self._clock.now()
        check(submission, submission.person)
        if submission.consortium != self._consortium():
            raise VerificationFailed("the submission is for another consortium")
        if not submission.not_before <= now <= submission.not_after:
            raise Denied("the submission's time is over, or has not come")
        if (said.owner, said.dataset) not in {(item.site, item.cid) for item in pieces_in(submission.inputs)}:
            raise VerificationFailed("the submission is not about that dataset")
        person = person_at(self._index, submission.person, submission.site)
        return Sought(
            consortium=submission.consortium,
            person=person,
            project=project_of(self._index, submission.project, person, now),
            ref=submission.project,
            dataset=fields,
            reader=site,
            asker=site,
            block=block,
            cited=submission.grants,
        )

    async def _give(self, owner: str, fields: DatasetFields, key: bytes, wanted: _Asker) -> bytes:
        """Decide, write down, and only then give."""
        decision = await self._decide(owner, wanted)
        header = write_header(key, wanted.public, self._random.token)
        await self._record(fields.cid, wanted, decision)
        return header

    def _withhold(self, said: HeaderRequest, site: str, body: bytes, signed: SignedRequest, reason: str) -> None:
        """Have it written down that a key was not given, to whoever is known to have asked."""
        try:
            person, project = asked_by(said)
        except VerificationFailed as error:
            log.debug("what nobody is known to have asked for is not written down: %s", error)
            return
        self._note(said.dataset, site, reason, person, project, body, signed)

    def _note(
        self,
        root: Cid,
        site: str,
        reason: str,
        person: str | None,
        project: ProjectRef | None,
        body: bytes | None,
        signed: SignedRequest,
    ) -> None:
        self._withholding.note(
            Withheld(
                root=root,
                site=site,
                key=True,
                reason=reason,
                datasets=[root],
                person=person,
                project=project,
                asked=body,
                request=signed,
            )
        )

    async def _decide(self, owner: str, wanted: _Asker) -> Decision | None:
        """What lets the key go; none for a custodian.

        Raises:
            Denied: it does not go.
        """
        sought, decision = wanted.sought, None
        if sought is not None:
            verdict = (await self._judge_of(owner)).header(sought, self._clock.now())
            if not verdict.allowed:
                raise Denied(verdict.shown.reason)
            decision = verdict.decision
        # At last, and nothing is awaited up to the row: no key is given whose row stands behind that of the halt.
        concerned = {owner, wanted.site, *((sought.person.site, sought.ref.site) if sought is not None else ())}
        if halted := self._book.halts.refusal(sought.ref if sought is not None else None, concerned):
            raise Denied(halted)
        return decision

    async def _record(self, root: Cid, wanted: _Asker, decision: Decision | None) -> None:
        sought = wanted.sought
        person = sought.person.did if sought is not None else None

        def fields(chain: Chain, _index: int) -> KeyReleaseFields:
            return KeyReleaseFields(
                root=root,
                reader=wanted.reader,
                site=wanted.site,
                person=person,
                project=sought.ref if sought is not None else None,
                chain=chain,
                asked=wanted.asked,
                request=wanted.request,
                decision=decision,
            )

        await self._book.write([Line("key-release", [root], fields, (person,) if person is not None else ())])

    def _public(self, site: str, did: str) -> bytes:
        """The X25519 key that was enrolled beside a signing key."""
        found = self._index.site(site).key(did)
        if found is None:
            raise Denied("the reader's key is not enrolled any more")
        return found.x25519

    def _consortium(self) -> Cid:
        if self._membership.consortium is None:
            raise NotFound("this site is in no consortium")
        return self._membership.consortium
