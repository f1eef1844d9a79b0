"""The transfers that are under way at this moment, for whoever wants to look."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from node.api.copies import TransferView
from node.site.transfer import Progress


class UnderWay:
    """What is being fetched now."""

    def __init__(self) -> None:
        self._shown: list[Progress] = []

    @contextmanager
    def showing(self, progress: Progress) -> Iterator[None]:
        """Show ``progress`` while the block lasts."""
        self._shown.append(progress)
        try:
            yield
        finally:
            self._shown.remove(progress)

    def __iter__(self) -> Iterator[Progress]:
        """Those under way, the oldest first."""
        return iter(tuple(self._shown))


def transfer_views(under_way: Iterable[Progress], names: Mapping[str, str]) -> tuple[TransferView, ...]:
    """What is on its way, as people are shown it; ``names`` are those of sites."""
    return tuple(
        TransferView(
            cid=each.root,
            sites=tuple(names.get(site, site) for site in each.sites),
            done=each.done,
            total=max(each.total, each.done),
            rate=int(each.rate),
            seconds_left=None if each.seconds_left is None else int(each.seconds_left),
        )
        for each in under_way
    )
