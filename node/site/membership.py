"""This site's place in its consortium: its epochs, its members and their nodes.

Every epoch document is checked from scratch against the one before it, at every start too. What other members signed
is read from their logs (:meth:`Membership.advance`); two doors let in what no log can bring: a site that is not a
member yet (``POST /join``, in ``node/site/entrance.py``), and a member whose node key was lost (``POST /key``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import trio

from catalog.cid import Cid
from catalog.dagcbor import decode
from catalog.epoch import KIND, EpochSignatureFields, charters, successor
from catalog.error import BadInput, Conflict, Denied, NotFound, VerificationFailed
from catalog.index import Index
from catalog.key import short
from catalog.member import Epoch, Member, consortium_cid
from node.admission import Announcement, Standing, announced, as_known, extended, part
from node.founding import Founder, Founding
from node.message import Done, reply_bytes
from node.network.bulk import BulkClient
from node.site.directory import Directory
from node.storage.facts import Fact, Facts, Kept

EPOCHS_PATH = "/epochs"


class Membership:
    """The consortium as it stands. ``me`` is this site as the others are told of it.

    ``changing`` is held by whoever goes on to another epoch; ``candidates`` are the sites that wait to be admitted.
    """

    def __init__(self, me: Announcement, facts: Facts, bulk: BulkClient, index: Index) -> None:
        self._facts = facts
        self._index = index
        self.changing = trio.Lock()
        self.directory = Directory(me, facts, bulk, index)
        self.chain: tuple[Epoch, ...] = ()
        self.candidates: dict[str, Founder] = {}
        self.consortium: Cid | None = None
        self.epoch: Epoch | None = None
        self.former: Mapping[str, int] = {}
        """The sites that left, by root key, each with the number of the first epoch without it."""
        self.names: dict[str, str] = {}
        """The names for people, by root key, of all who are members or were."""
        self.founders = self.directory.founders
        self.nodes = self.directory.nodes

    async def load(self) -> None:
        """Read what an earlier run left, and check it again.

        Raises:
            VerificationFailed: the epochs that are kept here do not follow each other.
        """
        self.candidates = {each.member.root: each for each in await self._facts.all(Kept.CANDIDATE, Founder)}
        self.directory.introduce(self.candidates.values())
        if (member := await self._facts.get(Fact.MEMBER, Member)) is not None:
            self.directory.me = as_known(member, self.directory.me)
        await self.directory.load()
        founding = await self._facts.get(Fact.FOUNDING, Founding)
        epochs = await self._facts.all(Kept.EPOCH, Epoch)
        if founding is not None and founding.founded() is not None:
            self.begin(founding)
        if epochs:
            first = self.chain or (epochs[0],)
            self._follow(extended(first[:1], (each for each in epochs if each.number), consortium_cid(first[0])))

    @property
    def _me(self) -> Founder:
        return self.directory.me.founder

    @property
    def members(self) -> dict[str, str]:
        """The members' names for people, by root key; once this site left, its own and what it knew last."""
        if self.left is None or self.epoch is None:
            return {root: self.names[root] for root in self.founders}
        return {root: self.names[root] for root in (self._me.member.root, *self.epoch.roots())}

    @property
    def left(self) -> int | None:
        """The number of the first epoch in which this site is no member any more; none if it did not leave."""
        return self.former.get(self._me.member.root)

    @property
    def witness_only(self) -> bool:
        """Whether this site only witnesses the others' logs."""
        member = self.epoch.member(self._me.member.root) if self.epoch is not None else None
        return (member or self._me.member).witness_only

    @property
    def witnesses(self) -> frozenset[str]:
        """The members, by root key, that only witness the others' logs."""
        members = self.epoch.members if self.epoch is not None else ()
        return frozenset(member.root for member in members if member.witness_only)

    def site_of(self, node: str) -> str | None:
        """The member whose node key is ``node``."""
        return next((root for root, did in self.nodes.items() if did == node), None)

    def in_names(self, text: str) -> str:
        """A message of the network, which knows nodes by the ends of their keys, with the names of their sites."""
        for root, node in self.nodes.items():
            text = text.replace(short(node), self.names.get(root, short(node)))
        return text

    # --- epochs ------------------------------------------------------------------------------------------------------

    def begin(self, founding: Founding) -> None:
        """Go by a founding that every founder has signed, unless an epoch stands already."""
        if self.epoch is None:
            self.directory.introduce(founding.founders)
            self._follow((founding.epoch(),))

    async def adopt(self, chain: tuple[Epoch, ...], members: Iterable[Founder]) -> None:
        """Go by a longer chain, which was checked, and keep how its ``members`` are reached; ``changing`` is held."""
        for founder in members:
            await self._keep_place(chain, founder)
        for epoch in chain[len(self.chain) :]:
            await self._facts.keep(Kept.EPOCH, f"{epoch.number:010}", epoch)
        self._follow(chain)

    async def _keep_place(self, chain: tuple[Epoch, ...], founder: Founder) -> None:
        """Keep how a member is reached, as far as its own root vouches for it."""
        member = chain[-1].member(founder.member.root)
        if member is None or founder.member.root == self._me.member.root:
            return
        place = as_known(member, Announcement(founder=founder))
        announced(place, charters(chain)[member.root])
        await self.directory.keep(member.root, place)

    async def advance(self) -> bool:
        """Adopt every next epoch that more than half of the members signed; whether there was one.

        What each member signed is read from its own log, as far as it was replicated.
        """
        adopted = False
        async with self.changing:
            while self.epoch is not None and (epoch := successor(self.epoch, self.signed(self.epoch))) is not None:
                await self._facts.keep(Kept.EPOCH, f"{epoch.number:010}", epoch)
                self._follow((*self.chain, epoch))
                adopted = True
                await self._admitted()
            await self.directory.keep_up()
        return adopted

    async def hear(self, epochs: Iterable[Epoch]) -> bool:
        """Adopt the epochs that a member told of, behind those that stand; whether there were any.

        Raises:
            VerificationFailed: one does not follow, or lacks signatures of more than half.
        """
        async with self.changing:
            if self.consortium is None:
                return False
            chain = extended(self.chain, epochs, self.consortium)
            longer = len(chain) > len(self.chain)
            if longer:
                await self.adopt(chain, ())
        return longer

    def told(self, node: str, since: int) -> Standing:
        """The epochs from number ``since`` on, for a member's node, or up to its end for that of a site that left.

        Raises:
            NotFound: no such node. Strangers are told as much.
        """
        chain = self.chain
        if self.site_of(node) is None:
            ends = [end for root, end in self.former.items() if node in self.directory.keys_of(root)]
            if not ends:
                raise NotFound("not for strangers")
            chain = chain[: max(ends) + 1]
        return Standing(epochs=part(chain, since), members=())

    def signed(self, epoch: Epoch) -> dict[str, EpochSignatureFields]:
        """What the members of ``epoch`` signed to follow it, by root key, as their logs say."""
        found = {}
        for member in epoch.members:
            index = self._index.sites.get(member.root)
            fields = index.typed(EpochSignatureFields, KIND, str(epoch.number + 1)) if index is not None else None
            if fields is not None:
                found[member.root] = fields
        return found

    def _follow(self, chain: tuple[Epoch, ...]) -> None:
        """Go by the last epoch of ``chain``, which was checked, from now on."""
        self.chain = chain
        known = charters(chain)
        for root, charter in known.items():
            self._index.admit(root).govern(charter)
        last = chain[-1]
        if self._me.member.root in last.roots() or self.epoch is not None:
            self.epoch, self.consortium = last, consortium_cid(chain[0])
            self.names = {member.root: member.site for epoch in chain for member in epoch.members}
            self.former = {root: epoch.number for epoch in reversed(chain) for root in epoch.left}
        for root in known:
            self._stop(root, last)
        if self.epoch is not None:
            self.directory.govern(last, known)

    def _stop(self, root: str, epoch: Epoch) -> None:
        """No decision relies on a member that is suspended, or on a site that left."""
        index, member = self._index.site(root), epoch.member(root)
        index.resume("epoch")
        if member is None:
            ended = next(each.number for each in self.chain if root in each.left)
            index.stop(f"it left the consortium in epoch {ended}", "epoch")
        elif member.suspended:
            index.stop(f"its members suspended it in epoch {epoch.number}", "epoch")

    # --- candidates, and the door for node keys ----------------------------------------------------------------------

    async def note(self, founder: Founder) -> None:
        """Note a site that wants to be admitted; durable on return. It gives it nothing."""
        root = founder.member.root
        await self._facts.keep(Kept.CANDIDATE, root, founder)
        self.candidates[root] = founder
        self.directory.introduce([founder])

    async def _admitted(self) -> None:
        """A candidate that is a member now is reached as it said when it came, until it says otherwise."""
        for root in self.candidates.keys() & self.founders.keys():
            await self.directory.keep(root, Announcement(founder=self.candidates[root]))
            await self._facts.drop(Kept.CANDIDATE, root)
            del self.candidates[root]

    async def answer_key(self, asker: str, body: bytes) -> bytes:
        """Take a member's announcement of its node's key and addresses from the node ``asker``, or say why not."""
        try:
            await self.directory.announce(asker, decode(Announcement, body, 64 << 10))
            return reply_bytes(Done())
        except (BadInput, Conflict, Denied, VerificationFailed) as refusal:
            return reply_bytes(refusal)
