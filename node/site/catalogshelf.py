"""Catalogs as the bulk server hands them out to members: this site's own, and its replicas of the others'.

Checkpoint and tiles go to every member; a body to the sites that its audience names, whoever hands it out.
"""

from __future__ import annotations

import re
from typing import Final

from catalog.body import is_visible
from catalog.dagcbor import encode
from catalog.error import BadInput, NotFound
from node.replicate.catchup import MAX_BATCH, MAX_BATCH_BODIES, BodiesAnswer
from node.site.replicas import Replicas
from node.site.together import aside
from node.storage.stored import StoredLog

STRIDE: Final = 128
"""Leaves whose bodies are read at once: at most 8 MiB of them."""

_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,11}", re.ASCII)


class CatalogShelf:
    """Hands out the catalog of ``site`` and its ``replicas``."""

    def __init__(self, site: str, catalog: StoredLog, replicas: Replicas) -> None:
        self._site = site
        self._catalog = catalog
        self._replicas = replicas

    async def answer(self, site: str, path: str, asker: str) -> bytes:
        """What the site ``asker`` gets at ``path`` below the catalog of ``site``.

        Raises:
            NotFound, BadInput: unknown, forbidden or malformed.
            VerificationFailed: what is stored of it is damaged.
        """
        log = self._catalog if site == self._site else self._replicas.known.get(site)
        if log is None:
            raise NotFound("no such log")
        first, *rest = path.split("/")
        if path == "checkpoint" and log.note:
            return log.note.encode()
        if first == "cosigned" and len(rest) == 1:
            return await _cosigned(log, _number(rest[0]))
        if first == "bodies" and len(rest) == 2:
            return await _bodies(log, _number(rest[0]), _number(rest[1]), asker)
        tile = await log.tile(path)
        if tile is None:
            raise NotFound("no such tile")
        return tile


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise BadInput("not an index")
    return int(text)


async def _cosigned(log: StoredLog, count: int) -> bytes:
    """The newest checkpoint that ``count`` members cosigned, with their lines; of a replica there is none."""
    note = await log.last_cosigned(count) if count else None
    if note is None:
        raise NotFound("no such checkpoint")
    return note.encode()


async def _bodies(log: StoredLog, start: int, stop: int, asker: str) -> bytes:
    """The bodies of the leaves from ``start`` up to ``stop`` that ``asker`` may see, as many as a batch takes."""
    stop = min(stop, log.size)
    if start >= stop:
        raise NotFound("no such bodies")
    rows: list[tuple[int, bytes, bytes]] = []
    size = 0
    while start < stop and size < MAX_BATCH and len(rows) <= MAX_BATCH_BODIES - STRIDE:
        end = min(start + STRIDE, stop)
        more = await _visible(log, start, end, asker)
        rows += more
        size += sum(len(body) for _, _, body in more)
        start = end
    answer = BodiesAnswer(
        stop=start,
        leaves=tuple(index for index, _, _ in rows),
        salts=tuple(salt for _, salt, _ in rows),
        bodies=tuple(body for _, _, body in rows),
    )
    return await aside(lambda: encode(answer))


async def _visible(log: StoredLog, start: int, stop: int, asker: str) -> list[tuple[int, bytes, bytes]]:
    stored = await log.read(start, stop)
    return await aside(
        lambda: [
            (index, *each)
            for index, (_, each) in enumerate(stored, start)
            if each is not None and is_visible(each[1], asker)
        ]
    )
