"""The catalog as a client reads it: members, entries with their types, and names for what has a CID or a key."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from catalog.block import BlockFields
from catalog.cid import Cid
from catalog.dagcbor import Value, from_json
from catalog.dataset import DatasetFields
from catalog.error import BadInput, NotFound
from catalog.grant import GrantFields
from catalog.member import KeyFields
from catalog.project import ProjectFields
from node.api import operation
from node.api.blocks import BlockView
from node.api.connection import Connection
from node.api.faults import FaultsView
from node.api.quantity import clock_text
from node.api.schema import EntryView, ForkView, FoundView, MemberView, SearchRequest, StatusView
from node.api.view import Listing

F = TypeVar("F", bound=Value)
N = TypeVar("N")
P = TypeVar("P", DatasetFields, BlockFields)


class CatalogClient:
    """Reads the catalog of one node as one person. What has a name may be asked for by it where it is unique."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._site = ""

    @property
    def person(self) -> str:
        """The key of whoever asks.

        Raises:
            BadInput: nobody does.
        """
        if self._connection.person is None:
            raise BadInput("this needs a person; say as whom with --as PERSON, or set COMITY_PERSON")
        return self._connection.person.did

    @property
    def site(self) -> str:
        """The root key of this node's site."""
        if not self._site:
            self._site = self.status().site
        return self._site

    def status(self) -> StatusView:
        """What this node is and how it fares; needs no person."""
        return self._connection.status()

    def members(self) -> tuple[MemberView, ...]:
        """The members of the consortium as this node sees them."""
        return self.status().members

    def forks(self) -> tuple[ForkView, ...]:
        """The members that were proven to keep two histories of a log, with the proofs; needs no person."""
        return self._connection.ask(operation.FORKS)

    def member(self, name: str) -> MemberView:
        """A member by its name or root key.

        Raises:
            NotFound: none of that name; the message names those that there are.
        """
        members = self.members()
        found = [each for each in members if name in (each.site, each.name)]
        return _only(found, f"member «{name}»", [each.name for each in members], lambda each: each.site)

    def entries(self, kind: str) -> tuple[EntryView, ...]:
        """The entries of a kind that count now and that this person may see, with their fields as JSON."""
        return self._connection.ask(operation.ENTRIES, kind=kind)

    def faults(self, site: str) -> FaultsView:
        """What does not count of the catalog of the member with that root key: how much, and the first of it."""
        return self._connection.ask(operation.FAULTS, site=site)

    def listed(self, kind: str, fields: type[F]) -> tuple[Listing[F], ...]:
        """The entries of a kind, with their fields typed."""
        return tuple(_listing(entry, fields) for entry in self.entries(kind))

    def search(self, words: str = "", *, offset: int = 0, limit: int = 20, **chosen: str | Iterable[str]) -> FoundView:
        """Datasets, blocks and projects that this person may see, best hits first, with counts for each facet.

        Every word must be there, or a word that begins with it. ``chosen`` are facets with one value or several:
        ``kind``, ``site`` (a member's name or root key), ``purpose``, ``level``, ``format``, ``duo``, ``size``.

        Raises:
            BadInput: too many words, an unknown facet, or a page that is too far. NotFound: no such member.
        """
        wanted = {facet: (values,) if isinstance(values, str) else tuple(values) for facet, values in chosen.items()}
        if "site" in wanted:
            wanted["site"] = tuple(self.member(name).site for name in wanted["site"])
        request = SearchRequest(words=words, chosen=wanted, offset=offset, limit=limit)
        return self._connection.ask(operation.SEARCH, request)

    def datasets(self) -> tuple[Listing[DatasetFields], ...]:
        """The datasets that members offer: those that are not withdrawn."""
        return tuple(each for each in self._published() if not each.left)

    def _published(self) -> tuple[Listing[DatasetFields], ...]:
        return tuple(each for each in self.listed("dataset", DatasetFields) if not each.fields.withdrawn)

    def blocks(self) -> tuple[Listing[BlockFields], ...]:
        """The blocks that are shared with this site, and its own; those of sites that left too (``Listing.left``)."""
        return self.listed("block", BlockFields)

    def projects(self) -> tuple[Listing[ProjectFields], ...]:
        """The projects that have not ended."""
        return tuple(each for each in self.listed("project", ProjectFields) if not each.fields.ended)

    def grants(self) -> tuple[Listing[GrantFields], ...]:
        """The grants that this person may see."""
        return self.listed("grant", GrantFields)

    def people(self) -> tuple[Listing[KeyFields], ...]:
        """The enrolled keys, those of nodes included, that are not removed."""
        return tuple(each for each in self.listed("key", KeyFields) if not each.fields.removed)

    def dataset(self, name: Cid | str) -> Listing[DatasetFields]:
        """A dataset by CID, name or ``NAME@SITE``.

        Raises:
            NotFound: none that this person may see, or that is offered. BadInput: several of that name.
        """
        return _offered(self._published(), f"dataset «{name}»", str(name))

    def datasets_like(self, pattern: str) -> tuple[Listing[DatasetFields], ...]:
        """The datasets whose ``NAME@SITE`` is like ``pattern``, in the order of sites and names.

        ``*`` stands for any letters: ``breast-cytology@*`` is every site's dataset of that name.

        Raises:
            NotFound: none that this person may see, or that is offered.
        """
        told = {f"{each.fields.name}@{each.site_name}": each for each in self._published()}
        found = [told[name] for name in sorted(fnmatch.filter(told, pattern), key=lambda name: name.split("@")[::-1])]
        if not found:
            raise NotFound(f"there is no dataset like «{pattern}» here, or none for you to see; see «dataset list»")
        return tuple(found)

    def dataset_ever(self, name: Cid | str) -> Listing[DatasetFields]:
        """As :meth:`dataset`, and if there is none, one that was withdrawn or whose site left the consortium.

        Raises:
            NotFound: none that this person may see. BadInput: several of that name.
        """
        known = [each for each in self.listed("dataset", DatasetFields) if str(name) in _names(each)]
        offered = [each for each in known if not each.left and not each.fields.withdrawn]
        return _of_those(
            offered or known, f"dataset «{name}»", str(name), [each.fields.name for each in self.datasets()]
        )

    def block_entry(self, name: Cid | str) -> Listing[BlockFields]:
        """A block's entry by CID, name or ``NAME@SITE``; this site's own one where several sites have it.

        Raises:
            NotFound: none that is shared with this site, or that is offered. BadInput: several of that name.
        """
        found = self.blocks()
        own = [each for each in found if each.site == self.site and str(name) in _names(each)]
        return _offered(own or found, f"block «{name}»", str(name))

    def project(self, name: str, *, ended: bool = False) -> Listing[ProjectFields]:
        """A project by name, or ``NAME@SITE``; with ``ended``, one that has ended too.

        Raises:
            NotFound: none of that name. BadInput: several sites have one.
        """
        found = self.listed("project", ProjectFields) if ended else self.projects()
        right = [each for each in found if name in (each.fields.name, f"{each.fields.name}@{each.site_name}")]
        return _only(right, f"project «{name}»", [_at(each) for each in found], _at)

    def enrolled(self, name: str) -> Listing[KeyFields]:
        """An enrolled person by name, ``NAME@SITE`` or key.

        Raises:
            NotFound: nobody of that name. BadInput: several.
        """
        found = [each for each in self.people() if each.fields.role != "node"]
        right = [
            each
            for each in found
            if name in (each.fields.did, each.fields.name, f"{each.fields.name}@{each.site_name}")
        ]
        return _only(right, f"person «{name}»", [_at(each) for each in found], _keyed)

    def block(self, name: Cid | str) -> BlockView:
        """A block with its tool's text and its endorsements, by CID or name.

        Raises:
            NotFound: no such block, or none shared with this site.
        """
        return self._connection.ask(operation.BLOCK, cid=str(_cid(name) or self.block_entry(name).fields.cid))


def _listing(entry: EntryView, fields: type[F]) -> Listing[F]:
    return Listing(
        site=entry.site,
        site_name=entry.site_name,
        index=entry.index,
        subject=entry.subject,
        actor=entry.actor,
        at=entry.at,
        audience=entry.audience,
        fields=from_json(fields, bytes(entry.fields)),
        left=entry.left,
    )


def _offered(found: Sequence[Listing[P]], what: str, name: str) -> Listing[P]:
    """The one thing of that CID or name which a member offers."""
    right = [each for each in found if name in _names(each)]
    gone = sorted({each.site_name for each in right if each.left})
    right = [each for each in right if not each.left]
    if gone and not right:
        raise NotFound(f"the {what} is not offered any more: its site, {' or '.join(gone)}, left the consortium")
    return _of_those(right, what, name, [each.fields.name for each in found if not each.left])


def _of_those(right: list[Listing[P]], what: str, name: str, known: Iterable[str]) -> Listing[P]:
    """The one that is ``right``; ``known`` are the names that there are."""
    if not right and name.lower().startswith("baf"):
        Cid.parse(name)  # whoever gives a part of a CID is told so, and not that nothing is called like it
    return _only(right, what, known, _place)


def _names(listed: Listing[DatasetFields] | Listing[BlockFields]) -> tuple[str, str, str]:
    fields = listed.fields
    return str(fields.cid), fields.name, f"{fields.name}@{listed.site_name}"


def _place(listed: Listing[DatasetFields] | Listing[BlockFields]) -> str:
    return f"{listed.fields.cid} ({listed.site_name}, {clock_text(listed.at)})"


def _at(listed: Listing[ProjectFields] | Listing[KeyFields]) -> str:
    return f"{listed.fields.name}@{listed.site_name}"


def _keyed(listed: Listing[KeyFields]) -> str:
    return f"{_at(listed)} ({listed.fields.did})"


def _only(found: list[N], what: str, known: Iterable[str], place: Callable[[N], str]) -> N:
    """The one that was found; ``place`` says by what one of several is named."""
    if len(found) == 1:
        return found[0]
    if found:
        raise BadInput(f"there are {len(found)} of the {what}; say which: {', '.join(map(place, found))}")
    names = ", ".join(sorted(set(known))) or "none"
    raise NotFound(f"there is no {what} here, or none for you to see; there are: {names}")


def _cid(name: Cid | str) -> Cid | None:
    if isinstance(name, Cid):
        return name
    try:
        return Cid.parse(name)
    except BadInput:
        if len(name) > 40 and name.startswith("b"):
            raise
        return None
