"""What steps made before, remembered for their project alone, under its key: it goes with that.

A memo lies beside what it names, in a file whose name is a keyed hash of the block and the inputs, so that neither can
be guessed from it; it is sealed as what is called by that name. It is rewritten as a whole and never flushed: one that
a crash takes costs a run. What it names stays, though nothing else does: of an output that was written anew before it
left, the memo alone knows what the step had made.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Final

import msgspec
import trio

from catalog.block import OutputName
from catalog.body import Index
from catalog.cid import Cid
from catalog.dagcbor import Value, decode, encode
from catalog.error import ComityError, Damaged, VerificationFailed
from catalog.project import ProjectRef
from node.regular import read_regular
from node.step import Made, Product, Work
from node.storage.disk import DiskBlobs
from node.storage.durable import show_file
from node.storage.sealed import OVERHEAD, ProjectKey
from workflow.argument import Argument
from workflow.receipt import Form

_MOST: Final = 256 << 10
KIND: Final = "memo-"
"""How the name of a memo begins."""


class _Asked(Value, frozen=True, kw_only=True):
    block: Cid
    inputs: dict[str, Argument]
    around: str | None
    place: str


class _Product(Value, frozen=True, kw_only=True):
    name: Annotated[str, msgspec.Meta(max_length=255)]
    cid: Cid
    size: Index
    form: Form


class _Memo(Value, frozen=True, kw_only=True):
    order: Cid
    products: Annotated[dict[OutputName, _Product], msgspec.Meta(max_length=256)]


class Memos:
    """The memos of a site, beside what is held in ``blobs``; ``place`` names what else its steps' results depend on."""

    def __init__(self, blobs: DiskBlobs, place: str) -> None:
        self._blobs = blobs
        self._place = place

    async def recall(self, project: ProjectRef, work: Work) -> Made | None:
        """What the same ``work`` made for ``project`` before, if all of it is held for that still.

        Raises:
            ComityError: the disk refuses. VerificationFailed: the memo is damaged, or what it names.
        """
        asked = self._asked(work)
        memo = await trio.to_thread.run_sync(self._read, project, asked)
        if memo is None:
            return None
        for each in memo.products.values():
            self._blobs.touch(each.cid)
            if await self._blobs.missing(each.cid):
                return None
        products = {name: Product(each.name, each.cid, each.size, each.form) for name, each in memo.products.items()}
        return Made(memo.order, products)

    async def keep(self, project: ProjectRef, work: Work, made: Made) -> None:
        """Remember what ``work`` has made for ``project``.

        Raises:
            ComityError, OSError: the disk refuses.
        """
        products = {
            name: _Product(name=each.name, cid=each.cid, size=each.size, form=each.form)
            for name, each in made.products.items()
        }
        asked, memo = self._asked(work), encode(_Memo(order=made.order, products=products))

        def write() -> None:
            key = self._blobs.sealed.key_of(project)
            name = _name(key, asked)
            show_file(key.folder / name, key.seal(name.encode(), memo))

        await trio.to_thread.run_sync(write)

    async def roots(self, but: ProjectRef | None) -> list[Cid]:
        """All that memos name, but for those of one project; what does not open names nothing.

        Raises:
            ComityError: the disk refuses.
        """
        return await trio.to_thread.run_sync(lambda: list(self._named(but)))

    def _named(self, but: ProjectRef | None) -> Iterator[Cid]:
        for key in self._blobs.sealed.keys(but):
            for path in sorted(key.folder.glob(f"{KIND}*")):
                with suppress(VerificationFailed):  # whoever wants it runs the step again
                    memo = _read(key, path.name)
                    yield from (each.cid for each in memo.products.values()) if memo is not None else ()

    def _asked(self, work: Work) -> bytes:
        around = work.around.text if work.around is not None else None
        return encode(_Asked(block=work.block, inputs=dict(work.inputs), around=around, place=self._place))

    def _read(self, project: ProjectRef, asked: bytes) -> _Memo | None:
        key = self._blobs.sealed.key_of(project)
        memo = _read(key, _name(key, asked))
        # What was swept here may be held for another project: it is theirs alone then.
        whole = memo is not None and all(key.place(each.cid).exists() for each in memo.products.values())
        return memo if whole else None


def _read(key: ProjectKey, name: str) -> _Memo | None:
    """The memo in a file of that name; none if there is no such file.

    Raises:
        VerificationFailed: it is damaged, or not of that name. ComityError: the disk refuses.
    """
    try:
        sealed = read_regular(key.folder / name, _MOST + OVERHEAD)
    except FileNotFoundError:
        return None
    except Damaged as error:
        raise VerificationFailed(str(error)) from error
    except OSError as error:
        raise ComityError(f"{key.folder / name} could not be read: {error.strerror}; see to the disk") from error
    return decode(_Memo, key.open(name.encode(), sealed), _MOST)


def _name(key: ProjectKey, asked: bytes) -> str:
    return KIND + hmac.digest(key.key, KIND.encode() + asked, "sha256").hex()
