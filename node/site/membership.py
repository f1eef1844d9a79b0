"""This site's place in its consortium: the founding while it lasts, then its members and how they are reached."""

from __future__ import annotations

import trio

from catalog.cid import Cid
from catalog.dagcbor import cid_of, decode, encode
from catalog.error import BadInput, Conflict, Denied, NotFound, VerificationFailed
from catalog.key import UNSIGNED, check, signed
from catalog.member import Epoch
from node.founding import INVITE_MILLIS, Founder, Founding, Invite, Knock, joined, node_of, nodes_of, signed_by
from node.keyfile import Identity
from node.message import read_reply, reply_bytes
from node.network.bulk import BulkClient
from node.ports import Clock, Random
from node.storage.facts import Fact, Facts

JOIN_PATH = "/join"
MAX_FOUNDING = 1 << 20


class Membership:
    """The founding and what came of it. ``me`` is this site as the others are told of it."""

    def __init__(
        self, me: Founder, node: Identity, facts: Facts, bulk: BulkClient, clock: Clock, random: Random
    ) -> None:
        self._me = me
        self._node = node
        self._facts = facts
        self._bulk = bulk
        self._clock = clock
        self._random = random
        self._founding: Founding | None = None
        self._invite: Invite | None = None
        self._changing = trio.Lock()
        self.consortium: Cid | None = None
        self.epoch: Epoch | None = None
        self.founders: dict[str, Founder] = {}
        self.nodes: dict[str, str] = {}

    async def load(self) -> None:
        """Read what an earlier run left."""
        self._invite = await self._facts.get(Fact.INVITE, Invite)
        founding = await self._facts.get(Fact.FOUNDING, Founding)
        if founding is not None:
            self._take(founding)

    @property
    def names(self) -> dict[str, str]:
        """The members' names for people, by root key."""
        return {root: founder.member.site for root, founder in self.founders.items()}

    @property
    def founding(self) -> Founding:
        """The founding as this site knows it.

        Raises:
            NotFound: none has begun here.
        """
        if self._founding is None:
            raise NotFound("this site is in no consortium; begin one with «consortium new», or join with an invitation")
        return self._founding

    def site_of(self, node: str) -> str | None:
        """The member whose node key is ``node``."""
        return next((root for root, did in self.nodes.items() if did == node), None)

    async def begin(self, name: str, founders: int) -> None:
        """Begin a founding here.

        Raises:
            Conflict: this site is in one already. BadInput: not a name, or not 2 to 256 founders.
        """
        if self._invite is not None:
            raise Conflict("this site has taken up an invitation already; a site is in one consortium")
        if self._founding is not None:
            raise Conflict(f"this site is in «{self._founding.consortium}» already; a site is in one consortium")
        if not 2 <= founders <= 256:
            raise BadInput("a consortium has 2 to 256 founders")
        if not 0 < len(name) <= 120 or not name.isprintable():
            raise BadInput("a consortium's name is 1 to 120 printable characters")
        founding = Founding(consortium=name, expected=founders, founders=(self._me,), signatures={})
        async with self._changing:
            if self._founding is not None or self._invite is not None:
                raise Conflict("this site has just begun or joined another founding")
            await self._keep(founding)

    async def invite(self) -> Invite:
        """An invitation for one more founder.

        Raises:
            Conflict: every founder is there, or this site is not the one that gathers them.
        """
        founding = self.founding
        if founding.complete or self._invite is not None:
            raise Conflict("only the site that began the founding invites, until every founder has joined")
        secret = self._random.token(32)
        invite = Invite(
            consortium=founding.consortium,
            site=self._me.member.site,
            node=self._node.did,
            bulk=self._me.bulk,
            secret=secret,
            not_after=self._clock.now() + INVITE_MILLIS,
            sig=UNSIGNED,
        )
        await self._facts.invited(secret, invite.not_after)
        return signed(invite, self._node.key)

    async def join(self, data: bytes) -> None:
        """Take up an invitation, or ask again where one that was taken up stands.

        Raises:
            VerificationFailed: it was altered. Denied: it has expired or was used. Unreachable: no answer.
            Conflict: this site is in another consortium already.
        """
        try:
            invite = decode(Invite, data, 4096)
            check(invite, invite.node)
        except VerificationFailed as error:
            raise VerificationFailed(f"the invitation was altered or is not one ({error}); ask for it again") from error
        self._check_invite(invite)
        if self._invite is None and self._clock.now() > invite.not_after:
            raise Denied("this invitation has expired; ask for a new one")
        await self._knock(invite, None)

    async def refresh(self) -> None:
        """Ask the inviting site how far the founding is, if this one was invited and it is not founded yet."""
        if self._invite is not None and self.epoch is None:
            await self._knock(self._invite, None)

    async def sign(self, signature: bytes) -> None:
        """Add this site's root signature.

        Raises:
            Conflict: not every founder is there. VerificationFailed: not this site's signature of the document.
        """
        root = self._me.member.root
        async with self._changing:
            founding = signed_by(self.founding, root, signature)
            if self._invite is None:
                await self._keep(founding)
                return
        await self._knock(self._invite, signature)

    async def answer_knock(self, asker: str, body: bytes) -> bytes:
        """Answer a founder at the door; refusals go back as such, since it holds an invitation or learns nothing."""
        try:
            return reply_bytes(await self._admit(asker, decode(Knock, body, 64 << 10)))
        except (BadInput, Conflict, Denied, VerificationFailed) as refusal:
            return reply_bytes(refusal)

    async def _admit(self, asker: str, knock: Knock) -> Founding:
        if node_of(knock.founder) != asker:
            raise VerificationFailed("the founder at the door is another than who signed the request")
        if self._founding is None or self._invite is not None:
            raise Denied("this invitation was not given here; ask for a new one")
        root = knock.founder.member.root
        await self._facts.admit(knock.secret, root, self._clock.now())
        async with self._changing:
            founding = joined(self._founding, knock.founder)
            if knock.signature is not None:
                founding = signed_by(founding, root, knock.signature)
            if founding != self._founding:
                await self._keep(founding)
        return founding

    async def _knock(self, invite: Invite, signature: bytes | None) -> None:
        knock = Knock(secret=invite.secret, founder=self._me, signature=signature)
        reply = await self._bulk.post(invite.node, invite.bulk, JOIN_PATH, encode(knock), limit=MAX_FOUNDING)
        founding = read_reply(Founding, reply)
        if self._me not in founding.founders or founding.consortium != invite.consortium:
            raise VerificationFailed("the inviting site answered with a founding that this site is not part of")
        async with self._changing:
            self._check_invite(invite)
            self._check(founding)
            if self._invite is None:
                # Before the founding: a site that finds one and no invitation takes itself for the one that gathers.
                await self._facts.set(Fact.INVITE, invite)
                self._invite = invite
            await self._keep(founding)

    def _check_invite(self, invite: Invite) -> None:
        if self._invite is not None and self._invite != invite:
            raise Conflict("this site has taken up another invitation already")
        if self._invite is None and self._founding is not None:
            raise Conflict(f"this site is in «{self._founding.consortium}» already; a site is in one consortium")

    async def _keep(self, founding: Founding) -> None:
        """Nothing of a founding counts, and nobody is told of it, before it is durable."""
        self._check(founding)
        await self._facts.set(Fact.FOUNDING, founding)
        self._take(founding)

    def _check(self, founding: Founding) -> tuple[dict[str, str], Cid | None]:
        """Check a founding whole; the founders' node keys, and the consortium once all have signed."""
        nodes, founded = nodes_of(founding), founding.founded()
        if self.consortium is not None and founded != self.consortium:
            raise VerificationFailed("the founding changed after it was complete")
        return nodes, founded

    def _take(self, founding: Founding) -> None:
        nodes, founded = self._check(founding)
        self._founding = founding
        if founded is not None:
            self.epoch = founding.epoch()
            self.consortium = cid_of(self.epoch)
            self.founders = {founder.member.root: founder for founder in founding.founders}
            self.nodes = nodes
