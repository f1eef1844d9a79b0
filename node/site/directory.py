"""The members' nodes: which key each has now, where it is reached, and the door at which a member says so anew.

A node's key is what its site's log says, as far as it was replicated. A node that lost its key cannot bring its log
on, so its root's word at the door (``POST /key``) counts until the log has the same; so does a newcomer's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

import trio

from catalog.body import read_body
from catalog.dagcbor import encode
from catalog.entry import Entry
from catalog.error import Denied, Unreachable, VerificationFailed
from catalog.index import Index
from catalog.key import short
from catalog.keyring import Charter
from catalog.member import Epoch, KeyFields
from node.admission import Announcement, announced, as_known, check_new
from node.founding import Founder, node_of
from node.message import Done, read_reply
from node.network.bulk import BulkClient
from node.storage.facts import Facts, Kept

T = TypeVar("T")

KEY_PATH = "/key"
MAX_REPLY = 64 << 10


class Nodes(dict[str, str]):
    """The node key of each of the members ``of``, by root key. One that has none now cannot be reached."""

    def __init__(self, of: Mapping[str, Founder]) -> None:
        super().__init__()
        self._of = of

    def __missing__(self, root: str) -> str:
        name = self._of[root].member.site if root in self._of else f"the site {short(root)}"
        raise Unreachable(f"no node key of {name} counts now; it must enrol one with its root key")


class Directory:
    """What this site, ``me``, knows of the members' nodes. ``founders`` and ``nodes`` change in place."""

    def __init__(self, me: Announcement, facts: Facts, bulk: BulkClient, index: Index) -> None:
        self.me = me
        self.founders: dict[str, Founder] = {}
        self.nodes: dict[str, str] = Nodes(self.founders)
        self._facts = facts
        self._bulk = bulk
        self._index = index
        self._epoch: Epoch | None = None
        self._charters: Mapping[str, Charter] = {}
        self._first: dict[str, Founder] = {}
        self._places: dict[str, Announcement] = {}
        self._removed: dict[str, set[str]] = {}
        self._told: set[str] = set()
        self._changing = trio.Lock()

    @property
    def root(self) -> str:
        """This site."""
        return self.me.founder.member.root

    async def load(self) -> None:
        """Read what an earlier run knew."""
        self._places = {each.founder.member.root: each for each in await self._facts.all(Kept.PLACE, Announcement)}

    def introduce(self, founders: Iterable[Founder]) -> None:
        """Founders and candidates as they showed themselves when they came."""
        self._first.update({each.member.root: each for each in founders})

    def govern(self, epoch: Epoch, charters: Mapping[str, Charter]) -> None:
        """The members are those of ``epoch`` from now on."""
        self._epoch, self._charters = epoch, charters
        self.settle()

    def keys_of(self, root: str) -> tuple[str, ...]:
        """Every key that the node of ``root`` is known to have had, the one of now first."""
        index = self._index.sites.get(root)
        now = [self.nodes[root]] if root in self.nodes else []
        place, first = self._places.get(root), self._first.get(root)
        came = [announced(place, self._charters[root])[0]] if place is not None and root in self._charters else []
        came += [node_of(first)] if first is not None and root != self.root else []
        known = [*now, *(index.nodes() if index is not None else ()), *came, *self._removed.get(root, ())]
        return tuple(dict.fromkeys(known))

    def reached(self) -> list[Founder]:
        """The members as a newcomer reaches them, each with the enrolment of its node's key of now."""
        return list(self.founders.values())

    def settle(self) -> None:
        """Say anew how the members are reached, and which node key each of them has now."""
        epoch = self._epoch
        ours = epoch is not None and self.root in epoch.roots()
        members = epoch.members if epoch is not None and ours else ()
        founders = {each.root: found for each in members if (found := self._founder(each.root)) is not None}
        nodes = {root: did for root, founder in founders.items() if (did := self._node_of(root, founder)) is not None}
        # Two members that claim one key: whoever has it proves nothing about either.
        claimed = list(nodes.values())
        nodes = {root: did for root, did in nodes.items() if claimed.count(did) == 1}
        _become(self.founders, founders)
        _become(self.nodes, nodes)

    def _founder(self, root: str) -> Founder | None:
        if root == self.root:
            return self.me.founder
        place = self._places.get(root)
        return place.founder if place is not None else self._first.get(root)

    def _node_of(self, root: str, founder: Founder) -> str | None:
        """What the member's log says, unless its acting root named a newer key that the log does not show yet."""
        index, place = self._index.sites.get(root), self._places.get(root)
        known = index.nodes() if index is not None else ()
        if place is not None:
            did, removed = announced(place, self._charters[root])
            self._removed.setdefault(root, set()).update(removed)
            if did not in known and read_body(founder.enrolment).actor == self._charters[root].roots[-1][1]:
                return did
        if index is not None and known:
            return index.node()
        return None if place is not None else node_of(founder)

    async def keep(self, root: str, place: Announcement) -> None:
        """Keep what is known of a member's node; durable before it counts."""
        if place != self._places.get(root):
            await self._facts.keep(Kept.PLACE, root, place)
            self._places[root] = place

    async def keep_up(self) -> None:
        """Keep the node keys that the members' logs show, so that their replicas open at the next start."""
        for root, founder in list(self.founders.items()):
            entry = self._newest(root)
            if root != self.root and entry is not None and encode(entry.body) != founder.enrolment:
                await self.keep(root, self._with_key(root, founder, entry))
        self.settle()

    def _newest(self, root: str) -> Entry | None:
        """The entry by which the member's log has its node key, if that is the one that is gone by."""
        index = self._index.sites.get(root)
        node = index.node() if index is not None else None
        return (
            index.latest("key", node)
            if index is not None and node is not None and node == self.nodes.get(root)
            else None
        )

    def _with_key(self, root: str, founder: Founder, entry: Entry) -> Announcement:
        index = self._index.site(root)
        gone = [index.latest("key", did) for did in index.nodes()[-9:-1]]
        removals = tuple(
            encode(each.body) for each in gone if each and isinstance(each.fields, KeyFields) and each.fields.removed
        )
        now = Founder(member=founder.member, enrolment=encode(entry.body), control=founder.control, bulk=founder.bulk)
        return Announcement(founder=now, removals=removals[-8:])

    # --- the door ----------------------------------------------------------------------------------------------------

    async def announce(self, asker: str, announcement: Announcement) -> None:
        """Take what the node ``asker`` says of itself, if its site's root vouches for it.

        Raises:
            Denied: no member, or a key that was its node's before. VerificationFailed: not what it claims to be.
        """
        root = announcement.founder.member.root
        member = self._epoch.member(root) if self._epoch is not None else None
        if member is None or root == self.root:
            raise Denied("no other member has that root key")
        charter = self._charters[root]
        did, _ = announced(announcement, charter)
        if did != asker:
            raise VerificationFailed("the node key that is announced is another than who signed the request")
        async with self._changing:
            if did != self.nodes.get(root):
                check_new(announcement, charter, self.keys_of(root))
            if any(other == did and site != root for site, other in self.nodes.items()):
                raise Denied("that key is another member's node key")
            await self.keep(root, as_known(member, announcement))
            self.settle()

    def untold(self) -> list[str]:
        """The members that do not know, from the founding or from us since we started, what our node is."""
        if self.root not in self.founders:
            return []
        knew = set(self._first) if self._first.get(self.root) == self.me.founder else set[str]()
        return [root for root in self.founders if root not in self._told | knew | {self.root}]

    async def tell(self, root: str) -> None:
        """Announce this site's node to a member.

        Raises:
            Unreachable: no answer. Denied, VerificationFailed: it does not take it.
        """
        bulk = self.founders[root].bulk
        read_reply(Done, await self._bulk.post(self.nodes[root], bulk, KEY_PATH, encode(self.me), limit=MAX_REPLY))
        self._told.add(root)


def _become(held: dict[str, T], now: Mapping[str, T]) -> None:
    """Change a mapping that others hold, in place."""
    for gone in held.keys() - now.keys():
        del held[gone]
    held.update(now)
