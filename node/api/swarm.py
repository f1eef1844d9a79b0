"""How the Kubo fares that a site publishes in, as its status shows it."""

from __future__ import annotations

from catalog.dagcbor import Value


class SwarmView(Value, frozen=True, kw_only=True):
    """The Kubo in the consortium's swarm. ``fault`` is what is wrong with it, empty if nothing is.

    ``repo`` is its peer id, ``roots`` how many datasets lie in it whole, ``bytes`` the size of its repository on disk,
    ``peers`` how many others it is connected to; all of the last time that it answered in full.
    """

    version: str
    repo: str
    roots: int
    bytes: int
    peers: int
    fault: str
