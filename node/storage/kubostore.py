"""A site's store whose nodes lie in a Kubo: one for this site alone, that hands out nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final

import trio

from catalog.cid import Cid
from catalog.error import BadInput, Conflict, Damaged, NotFound
from node.regular import read_regular
from node.storage.arriving import Arrival
from node.storage.car import header, prefix
from node.storage.disk import Build, DiskBlobs
from node.storage.durable import write_files
from node.storage.kubo import Kubo
from node.storage.kubosettings import durable, open_doors
from node.storage.nodes import has_nodes
from node.storage.room import Room
from node.storage.staging import Staging, refused
from node.storage.sweep import Swept

MARK: Final = "kubo"
"""The file in a site's folder of blobs that says that they lie in a Kubo."""
_GROUP_BYTES: Final = 128 << 20
_BATCH: Final = 256
_OWN_FOLDER: Final = Cid.parse("bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354")
"""The empty folder, which every Kubo has for itself."""


class KuboBlobs(DiskBlobs):
    """The nodes lie in ``kubo``, and what is on its way to it in ``folder``. Every byte is hashed when it is read.

    What was added here is pinned, so that a collection of the Kubo's own spares it. Made by :func:`open_store`.
    """

    def __init__(self, folder: Path, kubo: Kubo, name: str, keys: Path | None = None) -> None:
        super().__init__(folder, 0, keys)
        self._kubo, self._name = kubo, name

    async def build(self, work: Build) -> Cid:
        """As the embedded store does, durable and pinned in the Kubo when it returns."""
        root = await super().build(work)
        await trio.to_thread.run_sync(self._kubo.pin, root, self._name)
        return root

    def _adding(self) -> Staging:
        return Sending(self._staging, self._kubo)

    async def adopt(self, root: Cid, arrival: Arrival) -> None:
        """Have the Kubo take the nodes that arrived, all of them verified; durable there when it returns.

        What came for a project alone stays in the folder, sealed.

        Raises:
            ComityError: the Kubo refuses; what arrived stays in the arrival. Unreachable: it does not answer.
        """
        if arrival.key is not None:
            await super().adopt(root, arrival)
            return

        def work() -> None:
            with self._adding() as sending:
                for cid in arrival.held:
                    sending.put(cid, arrival.get(cid))
                sending.commit()
            with suppress(NotFound):  # what is not whole is pinned by nothing
                self._kubo.pin(root, self._name)
            arrival.discard()

        self._fresh.add(root)
        await trio.to_thread.run_sync(work)

    def size_in_clear(self, cid: Cid) -> int | None:
        """Bytes of the node ``cid`` in the Kubo, damaged or not; none if it is not there. Blocking."""
        return self._kubo.length(cid)

    def _get(self, cid: Cid) -> bytes:
        return self._kubo.node(cid)

    def _stored(self) -> dict[bytes, list[Cid]]:
        return {cid.digest: [cid] for cid in self._kubo.nodes() if cid.digest != _OWN_FOLDER.digest}

    def _remove(self, stored: dict[bytes, list[Cid]], reached: set[bytes], spared: float | None) -> Swept:
        kept = {*reached, _token(self._name).digest}
        self._kubo.unpin(root for root in self._kubo.pinned(self._name) if root.digest not in kept)
        litter = (cid for digest in stored.keys() - kept for cid in stored[digest])
        count = size = 0
        for batch in _batches(litter):
            nodes, taken = self._kubo.remove(batch)
            count, size = count + nodes, size + taken
        return Swept(count, size, spared)


class Sending(Staging):
    """One addition's nodes on their way into a Kubo: as CARs, which it takes a group at a time."""

    def __init__(self, folder: Path, kubo: Kubo) -> None:
        super().__init__(folder, lambda cid: folder / str(cid), Room(0, ()))
        self._kubo = kubo
        self._car = self._folder / "car"

    def put(self, cid: Cid, data: bytes) -> None:
        """Take a node whose ``data`` are known to match ``cid``.

        Raises:
            ComityError: the disk or the Kubo refuses. Unreachable: it does not answer.
        """
        with self._lock:
            if cid in self._seen:
                return
            self._seen.add(cid)
            try:
                with self._car.open("ab") as file:
                    file.write((b"" if self._bytes else header(cid)) + prefix(cid, data) + data)
            except OSError as error:
                raise refused(error) from error
            self._bytes += len(data) + 1
            if self._bytes >= _GROUP_BYTES:
                self._send()

    def commit(self) -> None:
        """Have the Kubo take all that was put; it is durable there then.

        Raises:
            ComityError: it refuses; nodes that nobody names may stay, which harms nothing. Unreachable: no answer.
        """
        with self._lock:
            self._send()

    def _send(self) -> None:
        if self._bytes:
            with self._car.open("rb") as file:
                self._kubo.take(file)
            self._car.unlink()
            self._bytes = 0


def open_store(folder: Path, api: str | None, site: str, quota: int = 0, keys: Path | None = None) -> DiskBlobs:
    """The store of ``site``: in ``folder``, or in the Kubo at ``api`` with what is on its way in ``folder``. Blocking.

    ``quota`` bounds the bytes in ``folder``; 0 bounds nothing. ``keys`` is where the projects' keys lie.

    Raises:
        Unreachable: the Kubo does not answer.
        BadInput: it is too old, or its settings would hand out what is for the site alone, or lose it.
        Conflict: the site's data lie in the other of the two, or in another repository.
    """
    mark = folder / MARK
    if api is None:
        if mark.exists():
            raise Conflict(
                "the data of this site lie in a Kubo, and do not move by themselves; name it in [storage] again"
            )
        return DiskBlobs(folder, quota, keys)
    if quota:
        raise BadInput(
            "[storage] most_gib bounds what lies in the site's folder; a Kubo has its own Datastore.StorageMax"
        )
    kubo, name = Kubo(api), f"comity store {site}"
    _check_closed(kubo)
    blobs = KuboBlobs(folder, kubo, name, keys)
    token = _token(name)
    if mark.exists():
        _check_mark(mark, name)
        if token not in kubo.pinned(name):
            raise Conflict(
                f"the Kubo at {api} holds another repository than the one with this site's data; start it on that one"
                " (IPFS_PATH), or bring that back from its backup"
            )
    elif has_nodes(folder / "nodes"):
        raise Conflict(f"the data of this site lie in {folder}; a Kubo is chosen before anything is stored")
    else:
        with Sending(folder / "staging", kubo) as sending:
            sending.put(token, _text(name))
            sending.commit()
        kubo.pin(token, name)
        write_files({mark: _text(name)})
    return blobs


def _text(name: str) -> bytes:
    return f"{name}\n".encode()


def _token(name: str) -> Cid:
    """What lies pinned in the repository that holds a site's data, and in no other."""
    return Cid.of(_text(name))


def _check_closed(kubo: Kubo) -> None:
    config = kubo.look().config
    if doors := open_doors(config):
        raise BadInput(
            f"the Kubo at {kubo.api} would hand out what is for this site alone: set {', '.join(doors)}, start it again"
        )
    if not durable(config):
        raise BadInput(
            f'the Kubo at {kubo.api} may lose what it was given when the power fails; set "sync": true for flatfs in'
            " Datastore.Spec and start it again"
        )


def _check_mark(mark: Path, name: str) -> None:
    if read_regular(mark, 4096) != _text(name):
        raise Damaged(f"{mark} is damaged, or of another site: restore the site's folder from a backup")


def _batches(cids: Iterator[Cid]) -> Iterator[Sequence[Cid]]:
    while batch := list(islice(cids, _BATCH)):
        yield batch
