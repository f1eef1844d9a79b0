"""What the local interface tells of what commands that failed wrote to standard error."""

from __future__ import annotations

from catalog.cid import Cid
from catalog.dagcbor import Value


class LogView(Value, frozen=True, kw_only=True):
    """The last ``attempt`` at an instance, which failed at a site, and the end of what it wrote there, held as ``cid``.

    ``kind`` is empty, and ``data`` too if it wrote nothing; else it is the kind of the error by which it is not told,
    and ``reason`` says why.
    """

    step: str
    shard: int
    attempt: int
    site: str
    site_name: str
    cid: Cid | None = None
    data: bytes = b""
    kind: str = ""
    reason: str = ""
