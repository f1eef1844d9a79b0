"""Getting the key of a shared dataset: from here if it is this site's own, else from its owner or a custodian.

What came is written down before it is used. Keys for steps are asked for anew by each step, so that a grant that was
taken back takes effect with the next one.
"""

from __future__ import annotations

from dataclasses import dataclass

from nacl.public import PrivateKey as EncryptionKey

from catalog.cid import Cid
from catalog.crypt4gh import MAX_HEADER, read_header
from catalog.dagcbor import encode
from catalog.dataset import DatasetFields
from catalog.error import Denied, NotFound, Unreachable
from catalog.httpsig import SignedRequest
from catalog.key import short
from catalog.project import ProjectRef
from node.automator.book import AuditBook, Line
from node.header import HEADER_PATH, MAX_ASKED, ForCustodian, ForPerson, ForStep, HeaderRequest, opened_by
from node.site.headers import Headers
from node.site.membership import Membership
from node.site.reach import Reach
from node.storage.datakeys import DataKeys
from privacy.label import person_at as reader_at
from workflow.account import Chain, KeyReleaseFields, Side


@dataclass(frozen=True, slots=True)
class _Came:
    """A header that came from ``site``, asked for with the bytes ``asked``."""

    header: bytes
    site: str
    asked: bytes


class KeyHolders:
    """Gets keys for the site ``site``, whose node has the X25519 key ``secret``."""

    def __init__(
        self,
        site: str,
        secret: EncryptionKey,
        keys: DataKeys,
        headers: Headers,
        reach: Reach,
        book: AuditBook,
        membership: Membership,
    ) -> None:
        self._site = site
        self._secret = secret
        self._keys = keys
        self._headers = headers
        self._reach = reach
        self._book = book
        self._membership = membership

    async def for_step(self, owner: str, fields: DatasetFields, order: Cid) -> bytes:
        """The data key, for the step that carries out ``order`` here, whose intent is written down.

        Raises:
            Denied: the owner gives it not, or not any more. Unreachable: nobody who has it answers.
        """
        if owner == self._site:
            key = await self._keys.find(fields.cid, owner)
            if key is None:
                raise NotFound("the key of that shared dataset is not at this site any more")
            return key
        access = self._book.attempt(order).access
        came = await self._ask(owner, fields, ForStep(submission=access.submission, block=access.block))
        await self._record(fields.cid, came, self._site, access.person, access.project)
        return self._opened(came.header)

    async def for_person(self, owner: str, fields: DatasetFields, person: str, signed: SignedRequest) -> bytes:
        """The header for a person of this site, who ``signed`` the request to open the dataset.

        Raises:
            Denied: it is not for this person, or not any more. Unreachable: nobody who has the key answers.
        """
        if owner == self._site or (self._site in fields.custodians and await self._keys.find(fields.cid, owner)):
            return await self._headers.open_here(owner, fields.cid, person, signed)
        _, project = opened_by(signed, fields.cid)
        came = await self._ask(owner, fields, ForPerson(request=signed))
        await self._record(fields.cid, came, reader_at(person, self._site), person, project)
        return came.header

    async def for_keeping(self, owner: str, fields: DatasetFields) -> None:
        """Take the key into keeping, as custodian: from the owner alone.

        Raises:
            Denied, Unreachable: it is not given, or not now.
        """
        came = await self._ask(owner, fields, ForCustodian())
        await self._record(fields.cid, came, self._site, None, None)
        await self._keys.keep(fields.cid, owner, self._opened(came.header))

    async def _ask(self, owner: str, fields: DatasetFields, asked: ForPerson | ForStep | ForCustodian) -> _Came:
        """A header from the first of those who have the key that answers; the word of one who does is final."""
        body = encode(HeaderRequest(owner=owner, dataset=fields.cid, asked=asked))
        if len(body) > MAX_ASKED:
            raise Denied("the submission is too large to ask for a key with; name fewer datasets in it")
        custodians = () if isinstance(asked, ForCustodian) else fields.custodians
        holders = [owner, *(each for each in custodians if each not in (owner, self._site))]
        for holder in holders:
            try:
                return _Came(await self._reach.post(holder, HEADER_PATH, body, MAX_HEADER), holder, body)
            except Unreachable:
                continue
            except NotFound as error:
                raise Denied(
                    f"{self._name(holder)} gives no key of «{fields.name}» here: its label, a grant and its policy must"
                    " let this reader fetch it; ask its steward"
                ) from error
        away = " and ".join(self._name(each) for each in holders)
        raise Unreachable(f"key holder away: {away} cannot be reached, and nobody else opens «{fields.name}»")

    def _opened(self, header: bytes) -> bytes:
        key, _ = read_header(header, bytes(self._secret))
        return key

    async def _record(
        self, root: Cid, came: _Came, reader: str, person: str | None, project: ProjectRef | None
    ) -> None:
        def fields(chain: Chain, _index: int) -> KeyReleaseFields:
            return KeyReleaseFields(
                root=root,
                reader=reader,
                site=came.site,
                person=person,
                project=project,
                chain=chain,
                side=Side.RECIPIENT,
                asked=came.asked,
            )

        await self._book.write([Line("key-release", [root], fields, (person,) if person is not None else ())])

    def _name(self, site: str) -> str:
        return self._membership.names.get(site, short(site))
