"""How sites come into a consortium: the founding while it lasts, and the invitation, from both sides of the door.

Two doors let in what no log can bring, and this is one (``POST /join``): a site that is not a member yet. Being let in
gives a candidate nothing; it is a member once the members sign so (:mod:`node.site.membership`).
"""

from __future__ import annotations

from msgspec import structs

from catalog.cid import Cid
from catalog.dagcbor import decode, encode
from catalog.entry import KINDS, WITNESS_KINDS
from catalog.error import BadInput, Conflict, Denied, NotFound, VerificationFailed
from catalog.index import Index
from catalog.key import UNSIGNED, check, signed
from catalog.member import Epoch
from node.admission import Standing, as_known, extended, part
from node.founding import INVITE_MILLIS, Founder, Founding, Invite, Knock, joined, node_of, nodes_of, signed_by
from node.keyfile import Identity
from node.message import read_reply, reply_bytes
from node.network.bulk import BulkClient
from node.ports import Clock, Random
from node.site.membership import Membership
from node.storage.facts import Fact, Facts

JOIN_PATH = "/join"
MAX_FOUNDING = 1 << 20
MAX_CANDIDATES = 64


class Entrance:
    """The founding that this site began or joined, the invitation that it took up, and those that it gives."""

    def __init__(
        self,
        membership: Membership,
        node: Identity,
        facts: Facts,
        bulk: BulkClient,
        clock: Clock,
        random: Random,
        index: Index,
    ) -> None:
        self._membership = membership
        self._node = node
        self._facts = facts
        self._bulk = bulk
        self._clock = clock
        self._random = random
        self._index = index
        self._founding: Founding | None = None
        self._invite: Invite | None = None
        self._changing = membership.changing

    async def load(self) -> None:
        """Read what an earlier run left, and check it again; once the membership was read.

        Raises:
            VerificationFailed: the founding that is kept here is not that of this consortium.
        """
        self._invite = await self._facts.get(Fact.INVITE, Invite)
        founding = await self._facts.get(Fact.FOUNDING, Founding)
        if founding is not None:
            self._take(founding)

    @property
    def _me(self) -> Founder:
        return self._membership.directory.me.founder

    @property
    def founding(self) -> Founding:
        """The founding as this site knows it.

        Raises:
            NotFound: none has begun here.
        """
        if self._founding is None:
            raise NotFound("this site is in no consortium; begin one with «consortium new», or join with an invitation")
        return self._founding

    @property
    def invited_to(self) -> Invite | None:
        """The invitation that this site took up."""
        return self._invite

    # --- from outside the door ---------------------------------------------------------------------------------------

    async def begin(self, name: str, founders: int) -> None:
        """Begin a founding here.

        Raises:
            Conflict: this site is in one already, or nobody can come to its door.
            BadInput: not a name, or not 2 to 256 founders.
        """
        self._check_reachable()
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

    async def join(self, data: bytes, *, witness_only: bool = False) -> None:
        """Take up an invitation, or ask again where one that was taken up stands.

        A site that is to be ``witness_only`` says so the first time; it cosigns logs and publishes nothing.

        Raises:
            VerificationFailed: it was altered. Denied: it has expired or was used. Unreachable: no answer.
            Conflict: this site is in another consortium already, or has published what a witness may not.
        """
        try:
            invite = decode(Invite, data, 4096)
            check(invite, invite.node)
        except VerificationFailed as error:
            raise VerificationFailed(f"the invitation was altered or is not one ({error}); ask for it again") from error
        self._check_invite(invite)
        if self._invite is None and self._clock.now() > invite.not_after:
            raise Denied("this invitation has expired; ask for a new one")
        if witness_only and not self._me.member.witness_only:
            await self._only_witness()
        await self._knock(invite, None)

    async def _only_witness(self) -> None:
        """This site is to be a witness and nothing else."""
        if self._invite is not None:
            raise Conflict("this site has said that it is a full member; a member's kind is changed by its consortium")
        own = self._index.site(self._me.member.root)
        published = sorted({kind for kind in KINDS.keys() - WITNESS_KINDS if any(own.entries(kind))})
        if published:
            raise Conflict(f"this site has published a {published[0]}; make a new site to witness logs alone")
        member = structs.replace(self._me.member, witness_only=True)
        await self._facts.set(Fact.MEMBER, member)
        self._membership.directory.me = as_known(member, self._membership.directory.me)

    async def refresh(self) -> None:
        """Ask the inviting site how things stand, if this one was invited and is no member yet."""
        if self._invite is not None and self._membership.epoch is None:
            await self._knock(self._invite, None)

    async def sign(self, signature: bytes) -> None:
        """Add this site's root signature to the founding document.

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

    async def _knock(self, invite: Invite, signature: bytes | None) -> None:
        knock = Knock(secret=invite.secret, founder=self._me, signature=signature, since=len(self._membership.chain))
        reply = await self._bulk.post(invite.node, invite.bulk, JOIN_PATH, encode(knock), limit=MAX_FOUNDING)
        if invite.founded is not None:
            await self._hear(invite, invite.founded, read_reply(Standing, reply))
            return
        founding = read_reply(Founding, reply)
        if self._me not in founding.founders or founding.consortium != invite.consortium:
            raise VerificationFailed("the inviting site answered with a founding that this site is not part of")
        async with self._changing:
            self._check_invite(invite)
            self._check(founding)
            await self._accept(invite)
            await self._keep(founding)

    async def _hear(self, invite: Invite, consortium: Cid, standing: Standing) -> None:
        """Take the epochs that the inviting site told of, once checked; the last one says whether we are a member."""
        async with self._changing:
            self._check_invite(invite)
            chain = extended(self._membership.chain, standing.epochs, consortium)
            await self._accept(invite)
            await self._membership.adopt(chain, standing.members)

    async def _accept(self, invite: Invite) -> None:
        if self._invite is None:
            # Before all else: a site that finds a founding and no invitation takes itself for the one that gathers.
            await self._facts.set(Fact.INVITE, invite)
            self._invite = invite

    def _check_reachable(self) -> None:
        if not self._me.bulk:
            raise Conflict("this site only dials out, so nobody could come to its door; let another site invite")

    def _check_invite(self, invite: Invite) -> None:
        if self._invite is not None and self._invite != invite:
            raise Conflict("this site has taken up another invitation already")
        if self._invite is None and self._founding is not None:
            raise Conflict(f"this site is in «{self._founding.consortium}» already; a site is in one consortium")

    # --- from inside -------------------------------------------------------------------------------------------------

    async def invite(self) -> Invite:
        """An invitation for one more founder, or, where the consortium is founded, for one more candidate.

        Raises:
            Conflict: every founder is there and not all have signed, this site is not the one that gathers them, or
                nobody can come to its door.
        """
        self._check_reachable()
        epoch = self._membership.epoch
        if epoch is None and (self.founding.complete or self._invite is not None):
            raise Conflict("only the site that began the founding invites, until every founder has joined")
        secret = self._random.token(32)
        invite = Invite(
            consortium=epoch.consortium if epoch is not None else self.founding.consortium,
            site=self._me.member.site,
            node=self._node.did,
            bulk=self._me.bulk,
            secret=secret,
            not_after=self._clock.now() + INVITE_MILLIS,
            founded=self._membership.consortium,
            sig=UNSIGNED,
        )
        await self._facts.invited(secret, invite.not_after)
        return signed(invite, self._node.key)

    async def answer_knock(self, asker: str, body: bytes) -> bytes:
        """Answer a site at the door; refusals go back as such, since it holds an invitation or learns nothing."""
        try:
            return reply_bytes(await self._let_in(asker, decode(Knock, body, 64 << 10)))
        except (BadInput, Conflict, Denied, VerificationFailed) as refusal:
            return reply_bytes(refusal)

    async def _let_in(self, asker: str, knock: Knock) -> Founding | Standing:
        if node_of(knock.founder) != asker:
            raise VerificationFailed("the founder at the door is another than who signed the request")
        if self._membership.epoch is not None and knock.founder.member.root not in self._membership.chain[0].roots():
            return await self._receive(self._membership.epoch, knock)
        return await self._admit(knock)

    async def _admit(self, knock: Knock) -> Founding:
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

    async def _receive(self, epoch: Epoch, knock: Knock) -> Standing:
        """Note a candidate, and tell it how the consortium stands. Being noted gives it nothing."""
        founder, root = knock.founder, knock.founder.member.root
        if root in epoch.left:
            raise Denied("this site left the consortium; it can come back as a new site alone")
        taken = {name for other, name in self._spoken_for().items() if other != root}
        if founder.member.site in taken:
            raise Conflict(
                f"a site called «{founder.member.site}» is a member or has asked already; choose another name"
            )
        if root not in self._membership.candidates and len(self._membership.candidates) >= MAX_CANDIDATES:
            raise Conflict("too many sites wait to be admitted here; admit some of them first")
        await self._facts.admit(knock.secret, root, self._clock.now())
        if root not in self._membership.founders and self._membership.candidates.get(root) != founder:
            await self._membership.note(founder)
        return Standing(
            epochs=part(self._membership.chain, knock.since), members=tuple(self._membership.directory.reached())
        )

    def _spoken_for(self) -> dict[str, str]:
        return {
            root: each.member.site for root, each in (self._membership.candidates | self._membership.founders).items()
        }

    # --- the founding ------------------------------------------------------------------------------------------------

    async def _keep(self, founding: Founding) -> None:
        """Nothing of a founding counts, and nobody is told of it, before it is durable."""
        self._check(founding)
        await self._facts.set(Fact.FOUNDING, founding)
        self._take(founding)

    def _check(self, founding: Founding) -> tuple[dict[str, str], Cid | None]:
        """Check a founding whole; the founders' node keys, and the consortium once all have signed."""
        nodes, founded = nodes_of(founding), founding.founded()
        if self._membership.consortium is not None and founded != self._membership.consortium:
            raise VerificationFailed("the founding changed after it was complete")
        return nodes, founded

    def _take(self, founding: Founding) -> None:
        _nodes, founded = self._check(founding)
        self._founding = founding
        if founded is not None:
            self._membership.begin(founding)
