"""Signatures at the edge of Ed25519, which some libraries take and others do not: made by hand, point by point."""

import hashlib

from tests.protocol.logged import Told

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, P) % P
_I = pow(2, (P - 1) // 4, P)

Point = tuple[int, int]


def _even(y: int) -> int:
    """The even x of the curve at ``y``."""
    square = (y * y - 1) * pow(_D * y * y + 1, -1, P)
    x = pow(square, (P + 3) // 8, P)
    x = x if (x * x - square) % P == 0 else x * _I % P
    return x if x % 2 == 0 else P - x


BASE: Point = (_even(4 * pow(5, -1, P) % P), 4 * pow(5, -1, P) % P)
IDENTITY: Point = (0, 1)
OF_ORDER_2: Point = (0, P - 1)


def add(one: Point, other: Point) -> Point:
    """The sum of two points."""
    (x1, y1), (x2, y2) = one, other
    cross = _D * x1 * x2 * y1 * y2
    return (x1 * y2 + x2 * y1) * pow(1 + cross, -1, P) % P, (y1 * y2 + x1 * x2) * pow(1 - cross, -1, P) % P


def times(count: int, point: Point) -> Point:
    """A multiple of a point."""
    found = IDENTITY
    while count:
        found = add(found, point) if count & 1 else found
        point, count = add(point, point), count >> 1
    return found


def encoded(point: Point) -> bytes:
    """A point in 32 bytes (RFC 8032, 5.1.2)."""
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def edges() -> dict[str, Told]:
    """Signatures under which the equation holds, or holds with the cofactor alone."""
    secret, nonce = 2**251 + 8, 12345
    key, r = times(secret, BASE), times(nonce, BASE)
    mixed = add(key, OF_ORDER_2)
    message = next(m for m in (b"%d" % n for n in range(99)) if _challenge(r, mixed, m) % 2 == 0)
    return {
        "plain": _told(key, secret, r, nonce, True),
        "s-not-reduced": _told(key, secret, r, nonce, False, more=ORDER),
        "only-with-cofactor": _told(key, secret, add(r, OF_ORDER_2), nonce, False),
        "small-r": _told(key, secret, IDENTITY, 0, False),
        "small-key": _told(IDENTITY, 0, r, nonce, False),
        "mixed-key": _told(mixed, secret, r, nonce, True, message=message),
    }


def _challenge(r: Point, key: Point, message: bytes) -> int:
    return int.from_bytes(hashlib.sha512(encoded(r) + encoded(key) + message).digest(), "little") % ORDER


def _told(
    key: Point, secret: int, r: Point, nonce: int, valid: bool, message: bytes = b"comity", more: int = 0
) -> Told:
    s = (nonce + _challenge(r, key, message) * secret) % ORDER + more
    signature = encoded(r) + s.to_bytes(32, "little")
    return {"public": encoded(key).hex(), "message": message.hex(), "signature": signature.hex(), "valid": valid}
