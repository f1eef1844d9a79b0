"""What the local interface says of bytes that are held, and of those on their way."""

from __future__ import annotations

from catalog.cid import Cid
from catalog.dagcbor import Value


class BringCopy(Value, frozen=True, kw_only=True):
    """What another member published, to be had here whole."""

    cid: Cid


class Copied(Value, frozen=True, kw_only=True):
    """It is here; ``owner`` is the root key of the site that published it."""

    owner: str


class HoldersView(Value, frozen=True, kw_only=True):
    """Who holds a dataset or block of ``site``: it first, then its mirrors.

    ``answering`` of them are connected now; ``away`` are those that are not.
    """

    cid: Cid
    site: str
    holders: tuple[str, ...]
    answering: int
    away: tuple[str, ...]


class LackingView(Value, frozen=True, kw_only=True):
    """What ``owner`` publishes, which is to be whole here and is not, and why what lacks has not come."""

    cid: Cid
    name: str
    owner: str
    why: str


class StorageView(Value, frozen=True, kw_only=True):
    """The store: bytes in its folder, those on their way too, and the most that its operator allows, 0 for no bound.

    ``kubo`` is where the Kubo answers that has them instead; empty if none has.
    """

    bytes: int
    most: int
    kubo: str
    lacking: tuple[LackingView, ...]


class TransferView(Value, frozen=True, kw_only=True):
    """A root on its way here: bytes ``done`` of ``total`` as far as is known, bytes a second, seconds left at that."""

    cid: Cid
    sites: tuple[str, ...]
    done: int
    total: int
    rate: int
    seconds_left: int | None
