"""What the bulk server hands out: tiles and bodies of catalogs to members, blobs to their readers.

Whatever is unknown or forbidden is ``NotFound``, and the server answers both with the same bytes. A blob goes to whom
its root's label names, if this site's policy lets them fetch it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial

import trio

from catalog.cid import Cid
from catalog.dagcbor import encode
from catalog.error import BadInput, NotFound
from catalog.httpsig import SignedRequest
from catalog.origin import LogName
from catalog.project import ProjectRef
from node.automator.book import AuditBook, Line
from node.automator.decide import Judge
from node.automator.hold import Held, Holdings
from node.automator.recovery import RECEIPTS_PATH
from node.header import HEADER_PATH
from node.network.blob import Blob, BulkRequest, blob_of
from node.site.catalogshelf import CatalogShelf
from node.site.directory import KEY_PATH
from node.site.entrance import JOIN_PATH, Entrance
from node.site.gateway import PREFIX, Gateway, read_question
from node.site.headers import Headers
from node.site.membership import EPOCHS_PATH, Membership
from node.site.recollection import SEEN_PATH, Recollection
from node.site.replicas import Replicas
from node.site.withholding import Withheld, Withholding
from node.storage.disk import DiskBlobs
from node.storage.stored import StoredLog
from workflow.account import Chain, FetchFields

MAX_REMEMBERED = 1024
GOES_ON_SECONDS = 3600.0
"""How long parts of a root that are asked for belong to the fetch that was written down."""


class Shelf:
    """Answers bulk requests for the site ``site``."""

    def __init__(
        self,
        site: str,
        membership: Membership,
        entrance: Entrance,
        catalog: StoredLog,
        replicas: Replicas,
        blobs: DiskBlobs,
        holdings: Holdings,
        book: AuditBook,
        judge: Judge,
        withholding: Withholding,
        recollection: Recollection | None = None,
        headers: Headers | None = None,
    ) -> None:
        self._membership = membership
        self._entrance = entrance
        self._catalogs = CatalogShelf(site, catalog, replicas)
        self._gateway = Gateway(blobs)
        self._holdings = holdings
        self._book = book
        self._judge = judge
        self._withholding = withholding
        self._recollection = recollection
        self._headers = headers
        self._recorded: OrderedDict[tuple[Cid, str], float] = OrderedDict()

    async def answer(self, request: BulkRequest) -> Blob:
        """Answer a request whose signature was checked.

        Raises:
            NotFound, BadInput: unknown, forbidden or malformed, all answered alike.
        """
        if request.method == "POST":
            return blob_of(await self._door(request))
        asker = self._membership.site_of(request.asker)
        if request.path.startswith(PREFIX) and asker is not None:
            return await self._below_a_root(asker, request)
        if request.method != "GET" or request.query:
            raise NotFound("no such path")
        parts = request.path.removeprefix("/").split("/")
        if request.path.startswith(f"{EPOCHS_PATH}/"):
            return blob_of(encode(self._membership.told(request.asker, _start_of(parts[1:]))))
        if asker is None:
            raise NotFound("not for strangers")
        return blob_of(await self._log(asker, request.path, parts))

    async def _door(self, request: BulkRequest) -> bytes:
        """Where a site says something, that need not be a member yet or have the key that is known."""
        if request.path == KEY_PATH:
            return await self._membership.answer_key(request.asker, request.body)
        if request.path == HEADER_PATH and self._headers is not None:
            return await self._headers.answer(request.asker, request.body, request.signed)
        if request.path == JOIN_PATH:
            return await self._entrance.answer_knock(request.asker, request.body)
        raise NotFound("no such door")

    async def _log(self, asker: str, path: str, parts: Sequence[str]) -> bytes:
        """What stands in logs, and what is known here of the asker's own."""
        if parts[0] == "log" and len(parts) > 3 and parts[2] == LogName.CATALOG:
            return await self._catalogs.answer(parts[1], "/".join(parts[3:]), asker)
        if self._recollection is not None and path == SEEN_PATH:
            return encode(await self._recollection.seen(asker))
        if self._recollection is not None and path.startswith(f"{RECEIPTS_PATH}/"):
            return encode(await self._recollection.receipts(asker, _start_of(parts[1:])))
        raise NotFound("no such path")

    async def _below_a_root(self, asker: str, request: BulkRequest) -> Blob:
        """What lies below a root. The look-up of a forbidden and of an unknown root take the same path."""
        question = read_question(request.method, request.path, request.query, request.body)
        self._allowed(question.root, asker, request.signed)
        answer = await self._gateway.answer(question, partial(self._stands, question.root, request.asker, asker))
        # Asked again, for looking below a root may have taken a while: what was halted meanwhile is not given.
        given = self._allowed(question.root, asker, request.signed)
        await self._record(question.root, asker, request.signed, given.project, begins=question.begins)
        return answer

    def _allowed(self, root: Cid, asker: str, signed: SignedRequest | None) -> Held:
        """Why the bytes below ``root`` are given to ``asker`` now.

        Raises:
            NotFound: they are not, which is noted.
        """
        given, why = self._given(root, asker)
        if given is None:
            self._note(root, asker, signed, why)
            raise NotFound("there is nothing of that name here that you may see")
        return given

    def _stands(self, root: Cid, node: str, asker: str) -> bool:
        """Whether what is being sent to ``node`` may be sent still."""
        return self._membership.site_of(node) == asker and self._given(root, asker)[0] is not None

    def _given(self, root: Cid, asker: str) -> tuple[Held | None, str]:
        """Under which label and policy ``asker`` gets what lies below ``root``, or why it does not."""
        halts, why = self._book.halts, "its label names nobody there"
        if halts.closed_to(asker):
            return None, halts.refusal(None, [asker])
        try:
            held = self._holdings.for_site(root, asker, halts.projects())
        except NotFound:
            return None, why
        for each in held:
            decision = self._judge.fetch(root, asker, each.owners, each.project, each.publisher)
            if decision.allowed:
                return each, ""
            why = decision.reason
        return None, why

    def _note(self, root: Cid, asker: str, signed: SignedRequest | None, why: str) -> None:
        """Have it written down that something which is here was not given."""
        datasets = self._holdings.accounted(root)
        if datasets:
            self._withholding.note(
                Withheld(root=root, site=asker, key=False, reason=why, datasets=datasets, request=signed)
            )

    async def _record(
        self, root: Cid, asker: str, signed: SignedRequest | None, project: ProjectRef | None, *, begins: bool
    ) -> None:
        """Write a fetch down before its bytes leave: each time that it begins, and while it goes on once an hour."""
        since = self._recorded.get((root, asker), -GOES_ON_SECONDS)
        if not begins and since + GOES_ON_SECONDS > trio.current_time():
            return

        def fields(chain: Chain, _index: int) -> FetchFields:
            return FetchFields(root=root, site=asker, person=None, chain=chain, request=signed, project=project)

        await self._book.write([Line("fetch", self._holdings.accounted(root), fields)])
        self._recorded[root, asker] = trio.current_time()
        while len(self._recorded) > MAX_REMEMBERED:
            self._recorded.popitem(last=False)


def _start_of(parts: Sequence[str]) -> int:
    """The number that a path ends in.

    Raises:
        BadInput: it ends otherwise.
    """
    if len(parts) != 1 or not parts[0].isascii() or not parts[0].isdecimal() or len(parts[0]) > 9:
        raise BadInput("not a number")
    return int(parts[0])
