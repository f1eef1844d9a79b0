"""What the local interface says of the files and folders in data."""

from __future__ import annotations

from catalog.dagcbor import Value


class TreeItem(Value, frozen=True, kw_only=True):
    """What lies at ``path`` below a folder: a file of ``size`` bytes, a folder without; ``data`` of a small file."""

    path: str
    size: int | None
    data: bytes | None


class TreePage(Value, frozen=True, kw_only=True):
    """A file of ``size`` bytes without items, or a ``folder`` with the next of them; whether there are ``more``."""

    folder: bool
    size: int
    items: tuple[TreeItem, ...]
    more: bool


class FolderView(Value, frozen=True, kw_only=True):
    """The first ``names`` in a folder, and how many there are; none for a file."""

    names: tuple[str, ...]
    count: int
