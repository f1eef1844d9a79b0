"""What steps made before, remembered for their project alone, under its key: it goes with that.

A memo lies beside what it names, in a file whose name is a keyed hash of the block and the inputs, so that neither can
be guessed from it. It is rewritten as a whole and never flushed: one that a crash takes costs a run.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
import trio

from catalog.block import OutputName
from catalog.body import Index
from catalog.cid import Cid
from catalog.dagcbor import Value, decode, encode
from catalog.error import Damaged, VerificationFailed
from catalog.project import ProjectRef
from node.regular import read_regular
from node.step import Made, Product
from node.storage.disk import DiskBlobs
from node.storage.durable import show_file
from node.storage.sealed import OVERHEAD, ProjectKey
from workflow.argument import Argument

_MOST: Final = 256 << 10
KIND: Final = "memo-"
"""How the name of a memo begins."""


class _Asked(Value, frozen=True, kw_only=True):
    block: Cid
    inputs: dict[str, Argument]
    place: str


class _Product(Value, frozen=True, kw_only=True):
    name: Annotated[str, msgspec.Meta(max_length=255)]
    cid: Cid
    size: Index


class _Memo(Value, frozen=True, kw_only=True):
    order: Cid
    products: Annotated[dict[OutputName, _Product], msgspec.Meta(max_length=256)]


class Memos:
    """The memos of a site, beside what is held in ``blobs``; ``place`` names what else its steps' results depend on."""

    def __init__(self, blobs: DiskBlobs, place: str) -> None:
        self._blobs = blobs
        self._place = place

    async def recall(self, project: ProjectRef, block: Cid, inputs: Mapping[str, Argument]) -> Made | None:
        """What ``block`` made of ``inputs`` for ``project`` before, if all of it is held for that still.

        Raises:
            ComityError: the disk refuses. VerificationFailed: the memo is damaged, or what it names.
        """
        asked = self._asked(block, inputs)
        memo = await trio.to_thread.run_sync(self._read, project, asked)
        if memo is None:
            return None
        for each in memo.products.values():
            self._blobs.touch(each.cid)
            if await self._blobs.missing(each.cid):
                return None
        products = {name: Product(each.name, each.cid, each.size) for name, each in memo.products.items()}
        return Made(memo.order, products)

    async def keep(self, project: ProjectRef, block: Cid, inputs: Mapping[str, Argument], made: Made) -> None:
        """Remember what ``block`` has made of ``inputs`` for ``project``.

        Raises:
            ComityError, OSError: the disk refuses.
        """
        products = {
            name: _Product(name=each.name, cid=each.cid, size=each.size) for name, each in made.products.items()
        }
        asked, memo = self._asked(block, inputs), encode(_Memo(order=made.order, products=products))

        def write() -> None:
            key = self._blobs.sealed.key_of(project)
            show_file(key.folder / _name(key, asked), key.seal(asked, memo))

        await trio.to_thread.run_sync(write)

    def _asked(self, block: Cid, inputs: Mapping[str, Argument]) -> bytes:
        return encode(_Asked(block=block, inputs=dict(inputs), place=self._place))

    def _read(self, project: ProjectRef, asked: bytes) -> _Memo | None:
        key = self._blobs.sealed.key_of(project)
        try:
            sealed = read_regular(key.folder / _name(key, asked), _MOST + OVERHEAD)
        except FileNotFoundError:
            return None
        except Damaged as error:
            raise VerificationFailed(str(error)) from error
        memo = decode(_Memo, key.open(asked, sealed), _MOST)
        # What was swept here may be held for another project: it is theirs alone then.
        return memo if all(key.place(each.cid).exists() for each in memo.products.values()) else None


def _name(key: ProjectKey, asked: bytes) -> str:
    return KIND + hmac.digest(key.key, KIND.encode() + asked, "sha256").hex()
