"""The body of a catalog or audit entry: what a leaf commits to, signed by the actor whose authority it uses.

A body names the site whose log it is for and the index of the version that it replaces, so that it counts once,
there, and in that place: an old body written again is not an entry.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec

from catalog.dagcbor import Value, convert, decode, glance
from catalog.error import VerificationFailed
from catalog.key import UNSIGNED, Did, Signed, Signer, signed

MAX_BODY = 64 << 10

_MOST = (1 << 63) - 1
_AT = 4
"""Where the value of ``at`` begins in a body: behind the map's head and the key."""
_INTEGER = {24: 2, 25: 3, 26: 5, 27: 9}
"""Bytes of a CBOR integer by the low bits of its first, if more than one."""
_SIGNED = 4 + 2 + 64
"""Bytes of the key ``sig`` and its value."""
_FOR_ALL = re.compile(
    rb"\x68audience\xf6\x68previous(?:\xf6|[\x00-\x17]|\x18.|\x19.{2}|\x1a.{4}|\x1b.{8})\Z", re.DOTALL
)
"""How the canonical bytes of a body end that is for all members: cheaper than reading the whole."""
_TAIL = 28
"""The longest that this can be, in bytes."""
Index = Annotated[int, msgspec.Meta(ge=0, le=_MOST)]
"""A place in a log, a size, a number of things: 63 bits, as much as DAG-CBOR carries here."""
Millis = Annotated[int, msgspec.Meta(ge=0, le=_MOST)]
"""Unix milliseconds."""
_UNSEEN = r"\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff"
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=120, pattern=rf"^[^{_UNSEEN}]+\Z")]
"""A name for people: 1 to 120 characters, none of which steers a terminal or hides: no control character (C1 among
them), no line or paragraph separator, nothing that turns the direction of writing or is not seen."""


class Body(Signed, frozen=True, kw_only=True):
    """One entry's content.

    ``audience`` lists the sites that may see this body; ``None`` means every member, empty the owner alone.
    ``previous`` is the index of the version that it replaces. ``at`` informs and never orders.
    """

    DOMAIN: ClassVar[str] = "body"

    kind: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z-]{0,15}\Z")]
    site: Did
    actor: Did
    audience: Annotated[tuple[Did, ...], msgspec.Meta(max_length=256)] | None
    previous: Index | None
    at: Millis
    fields: dict[str, Any]

    def visible_to(self, site: str) -> bool:
        """Whether the node of ``site`` may be given this body."""
        return site == self.site or self.audience is None or site in self.audience


_DOMAIN = f"comity/{Body.DOMAIN}/v1\n".encode()
_UNSIGNED_HEAD = bytes([0xA0 + len(Body.__struct_fields__) - 1])
F = TypeVar("F", bound=Value)


def write_body(
    kind: str,
    fields: Value,
    *,
    site: str,
    at: int,
    by: Signer,
    previous: int | None = None,
    audience: tuple[str, ...] | None = None,
) -> Body:
    """A body of ``kind`` for the log of ``site``, signed by ``by``."""
    plain = {name: getattr(fields, name) for name in fields.__struct_fields__}
    body = Body(
        kind=kind,
        site=site,
        actor=by.did,
        audience=audience,
        previous=previous,
        at=at,
        fields=plain,
        sig=UNSIGNED,
    )
    return signed(body, by)


def read_body(data: bytes) -> Body:
    """Read a body of at most 64 KiB; its signature is checked where its actor's authority is known.

    Raises:
        VerificationFailed: too large, malformed or not canonical.
    """
    return decode(Body, data, MAX_BODY)


def message_in(data: bytes) -> bytes:
    """What a body's signature covers, cut out of its canonical bytes ``data``: cheaper than writing it again.

    Shorter keys come first in a canonical map, so the bytes begin with the map's head, ``at`` and ``sig``.
    """
    start = _AT + _INTEGER.get(data[_AT] & 0x1F, 1)
    return _DOMAIN + _UNSIGNED_HEAD + data[1:start] + data[start + _SIGNED :]


def is_visible(data: bytes, site: str) -> bool:
    """Whether the node of ``site`` may be given these bytes of a body, as :meth:`Body.visible_to` says.

    Bytes that are no body are for nobody, unless they end as a body for everybody does.
    """
    if _FOR_ALL.search(data, max(0, len(data) - _TAIL)):
        return True
    try:
        plain = glance(data, MAX_BODY)
    except VerificationFailed:
        return False
    if not isinstance(plain, dict) or "audience" not in plain:
        return False
    audience = plain["audience"]
    return plain.get("site") == site or audience is None or (isinstance(audience, list) and site in audience)


def fields_of(body: Body, kind: type[F]) -> F:
    """The typed fields of a body.

    Raises:
        VerificationFailed: they are not of that shape.
    """
    return convert(kind, body.fields)
