"""The replicas of the other members' catalogs, each opened once and kept open."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import trio

from catalog.error import Unreachable
from catalog.origin import LogName, origin_of
from node.storage.logfolder import CHECKPOINT, read_note
from node.storage.replica import ReplicaLog


class Replicas:
    """Below ``folder``, each under the last part of its site's root key.

    ``keys`` gives every key that a site's node is known to have had, the one of now first: each may have signed the
    checkpoint that lies here.
    """

    def __init__(
        self,
        folder: Path,
        keys: Callable[[str], Sequence[str]],
        origin: Callable[[str], str] = lambda site: origin_of(site, LogName.CATALOG),
        opened: dict[str, ReplicaLog] | None = None,
    ) -> None:
        """``origin`` gives the name of a site's catalog as it counts now; one of an epoch before is begun anew.

        Those that are open stand in ``opened``, for whoever reads in them.
        """
        self._folder = folder
        self._keys = keys
        self._origin = origin
        self._opening = trio.Lock()
        self._open = {} if opened is None else opened

    @property
    def known(self) -> Mapping[str, ReplicaLog]:
        """The replicas that are open, by site."""
        return self._open

    async def of(self, site: str) -> ReplicaLog:
        """The replica of the catalog of ``site``, begun empty if there is none.

        Raises:
            Conflict: another process holds it.
            VerificationFailed: a file is missing or damaged; the message names it.
            Unreachable: no node key of that site is known.
        """
        did, *earlier = self._keys(site) or [""]
        if not did:
            raise Unreachable(f"no node key of the site …{site[-8:]} is known yet")
        async with self._opening:
            origin, folder = self._origin(site), self._folder / site.rpartition(":")[2]
            if site in self._open and self._open[site].origin != origin:
                await self._open.pop(site).aclose()
            if site not in self._open:
                await trio.to_thread.run_sync(_drop_other, folder, origin)
            if site in self._open:
                self._open[site].trust(did, tuple(earlier))
            else:
                self._open[site] = await ReplicaLog.open(folder, origin, did, tuple(earlier))
        return self._open[site]

    async def aclose(self) -> None:
        """Close all of them."""
        for replica in self._open.values():
            await replica.aclose()
        self._open.clear()


def _drop_other(folder: Path, origin: str) -> None:
    """Drop the replica of an epoch of the log that its root has closed."""
    with suppress(FileNotFoundError):
        if read_note(folder / CHECKPOINT).partition("\n")[0] != origin:
            shutil.rmtree(folder)
