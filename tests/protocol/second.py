"""A second implementation of what is signed, written from the pages in ``docs/protocol`` and nothing else.

It imports no room of Comity and none of its libraries (Ed25519 comes from cryptography, not PyNaCl), so that an
error common to the product and its vectors would show here.
"""

import base64
import hashlib
import hmac

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_P = 2**255 - 19
_EIGHTH = int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little")
CODECS = {"raw": b"\x55", "dag-pb": b"\x70", "dag-cbor": b"\x71"}


def base58(data: bytes) -> str:
    """Base58 with Bitcoin's alphabet."""
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = _BASE58[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def did(public: bytes) -> str:
    """keys.md: the multicodec of Ed25519, then the key."""
    return "did:key:z" + base58(b"\xed\x01" + public)


def public(text: str) -> bytes:
    """The key in a did:key."""
    number = 0
    for letter in text.removeprefix("did:key:z"):
        number = number * 58 + _BASE58.index(letter)
    data = number.to_bytes(34, "big")
    assert data[:2] == b"\xed\x01"
    return data[2:]


def public_of(seed: bytes) -> bytes:
    """The public half of a seed."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def sign(seed: bytes, message: bytes) -> bytes:
    """Ed25519 (RFC 8032)."""
    return Ed25519PrivateKey.from_private_bytes(seed).sign(message)


def verifies(text: str, message: bytes, signature: bytes) -> bool:
    """Whether the key of a did:key signed, as strictly as values.md asks."""
    key = public(text)
    if _small(key) or _small(signature[:32]) or _y(key) >= _P:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _y(point: bytes) -> int:
    return int.from_bytes(point, "little") & (1 << 255) - 1


def _small(point: bytes) -> bool:
    """Whether a point is of order 1, 2, 4 or 8."""
    return _y(point) % _P in {0, 1, _P - 1, _EIGHTH, _P - _EIGHTH}


def cid_bytes(text: str) -> bytes:
    """The binary form of a CID in base32."""
    body = text[1:].upper()
    return base64.b32decode(body + "=" * (-len(body) % 8))


def cid_text(data: bytes) -> str:
    """The base32 form of a binary CID."""
    return "b" + base64.b32encode(data).decode().rstrip("=").lower()


def cid(data: bytes, codec: str) -> str:
    """values.md: version 1, the codec, SHA-256, 32 bytes."""
    return cid_text(b"\x01" + CODECS[codec] + b"\x12\x20" + hashlib.sha256(data).digest())


def keyed(plain: str, key: bytes) -> str:
    """values.md: the raw codec under the private-use code 0x300012, whose varint is 92 80 c0 01."""
    digest = hmac.new(key, cid_bytes(plain), hashlib.sha256).digest()
    return cid_text(b"\x01\x55\x92\x80\xc0\x01\x20" + digest)


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    for code, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << 8 * width:
            return bytes([major << 5 | code]) + number.to_bytes(width, "big")
    raise AssertionError("more than 64 bits")


def cbor(value: object) -> bytes:
    """values.md: DAG-CBOR of a value in DAG-JSON."""
    match value:
        case None:
            return b"\xf6"
        case bool():
            return b"\xf5" if value else b"\xf4"
        case int():
            return _head(0, value) if value >= 0 else _head(1, -1 - value)
        case str():
            return _head(3, len(value.encode())) + value.encode()
        case list():
            return _head(4, len(value)) + b"".join(map(cbor, value))
        case {"/": {"bytes": str(text)}}:
            data = base64.b64decode(text + "=" * (-len(text) % 4))
            return _head(2, len(data)) + data
        case {"/": str(text)}:
            data = b"\0" + cid_bytes(text)
            return b"\xd8\x2a" + _head(2, len(data)) + data
        case dict():
            pairs = sorted((name.encode(), each) for name, each in value.items())
            pairs.sort(key=lambda pair: len(pair[0]))
            return _head(5, len(pairs)) + b"".join(_head(3, len(name)) + name + cbor(each) for name, each in pairs)
    raise AssertionError(f"{type(value).__name__} has no place in a value")


def message(domain: str, value: dict[str, object], without: str = "sig") -> bytes:
    """values.md: what a signature covers."""
    return f"comity/{domain}/v1\n".encode() + cbor({name: each for name, each in value.items() if name != without})


def leaf(origin: str, epoch: int, kind: str, body: bytes, salt: bytes) -> bytes:
    """logs.md: the 120 bytes of a leaf, put together by hand."""
    return (
        b"\xa5\x61v\x01"
        + b"\x63log\x58\x20" + hashlib.sha256(origin.encode()).digest()
        + b"\x64kind\x50" + kind.encode().ljust(16, b"\0")
        + b"\x65epoch\x44" + epoch.to_bytes(4, "big")
        + b"\x6acommitment\x58\x20" + hmac.new(salt, body, hashlib.sha256).digest()
    )  # fmt: skip


def approval(project: dict[str, object]) -> tuple[str, list[bytes]]:
    """keys.md, Projects: the terms of a project, and the commitments of its people."""
    terms = {name: each for name, each in project.items() if name not in ("people", "ended")}
    people = project["people"]
    assert isinstance(people, dict)
    salts = {did: cbor(salt).removeprefix(b"\x58\x20") for did, salt in people.items()}
    commitments = (hmac.new(salt, did.encode(), hashlib.sha256).digest() for did, salt in salts.items())
    return cid(cbor(terms), "dag-cbor"), sorted(commitments)


def leaf_hash(data: bytes) -> bytes:
    """RFC 9162, 2.1.1."""
    return hashlib.sha256(b"\0" + data).digest()


def root(hashes: list[bytes]) -> bytes:
    """RFC 9162, 2.1.1, by its definition."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return hashlib.sha256(b"\1" + root(hashes[:split]) + root(hashes[split:])).digest()


def path(index: int, hashes: list[bytes]) -> list[bytes]:
    """RFC 9162, 2.1.3.1, by its definition."""
    if len(hashes) == 1:
        return []
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    if index < split:
        return [*path(index, hashes[:split]), root(hashes[split:])]
    return [*path(index - split, hashes[split:]), root(hashes[:split])]


def subproof(old: int, hashes: list[bytes], known: bool = True) -> list[bytes]:
    """RFC 9162, 2.1.4.1, by its definition."""
    if old == len(hashes):
        return [] if known else [root(hashes)]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    if old <= split:
        return [*subproof(old, hashes[:split], known), root(hashes[split:])]
    return [*subproof(old - split, hashes[split:], False), root(hashes[:split])]


def note_line(name: str, algorithm: int, key: bytes, signature: bytes) -> str:
    """C2SP signed-note: a signature line."""
    key_id = hashlib.sha256(name.encode() + b"\n" + bytes([algorithm]) + key).digest()[:4]
    return f"— {name} {base64.b64encode(key_id + signature).decode()}"


def checkpoint(origin: str, size: int, root_hash: bytes, seed: bytes) -> str:
    """logs.md: a signed checkpoint."""
    text = f"{origin}\n{size}\n{base64.b64encode(root_hash).decode()}\n"
    return f"{text}\n{note_line(origin, 1, public_of(seed), sign(seed, text.encode()))}\n"


def cosignature(note: str, name: str, seconds: int, seed: bytes) -> str:
    """logs.md: a witness's line under a checkpoint."""
    text = note.partition("\n\n")[0] + "\n"
    signature = sign(seed, f"cosignature/v1\ntime {seconds}\n{text}".encode())
    return note_line(name, 4, public_of(seed), seconds.to_bytes(8, "big") + signature)


def joined(labels: list[dict[str, list[str]]]) -> dict[str, list[str]]:
    """labels-and-grants.md: every owner of any, and of its readers those in all that have the owner."""
    owners: dict[str, set[str]] = {}
    for each in labels:
        for owner, readers in each.items():
            owners[owner] = owners[owner] & set(readers) if owner in owners else set(readers)
    return {owner: sorted(readers) for owner, readers in sorted(owners.items())}
