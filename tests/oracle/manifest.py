"""What tells a verifier of one side which logs the other has written: the form that manifest.go has."""

from __future__ import annotations

import base64
from pathlib import Path

import msgspec

from catalog.key import did_of, public_bytes
from catalog.note import COSIGNATURE, ED25519, key_id

FILE = "manifest.json"


class Witness(msgspec.Struct):
    key: str
    seconds: int


class Inclusion(msgspec.Struct):
    index: int
    size: int
    hashes: list[bytes]


class Consistency(msgspec.Struct):
    old: int
    new: int
    hashes: list[bytes]


class ProofFile(msgspec.Struct):
    file: str
    index: int


class Log(msgspec.Struct):
    folder: str
    origin: str
    key: str
    size: int
    witnesses: list[Witness] = []
    inclusion: list[Inclusion] = []
    consistency: list[Consistency] = []
    proofs: list[ProofFile] = []
    flip: bool = False


class Manifest(msgspec.Struct):
    logs: list[Log]


def read(folder: Path) -> list[Log]:
    return msgspec.json.decode((folder / FILE).read_bytes(), type=Manifest).logs


def write(folder: Path, logs: list[Log]) -> None:
    (folder / FILE).write_bytes(msgspec.json.encode(Manifest(logs)))


def verifier_key(name: str, did: str, algorithm: int = ED25519) -> str:
    """A key as C2SP signed-note writes it: name, id, algorithm and public key."""
    public = public_bytes(did)
    material = base64.b64encode(bytes([algorithm]) + public).decode()
    return f"{name}+{key_id(name, algorithm, public).hex()}+{material}"


def witness_key(name: str, did: str) -> str:
    return verifier_key(name, did, COSIGNATURE)


def parse_key(key: str) -> tuple[str, str]:
    """(name, did) of a verifier key. Its id must be what this side computes: that is a check of its own."""
    name, tag, material = key.split("+", 2)
    algorithm, public = base64.b64decode(material)[0], base64.b64decode(material)[1:]
    if key_id(name, algorithm, public).hex() != tag:
        raise ValueError(f"the key id of «{name}» is {tag}, and this side computes another")
    return name, did_of(public)
