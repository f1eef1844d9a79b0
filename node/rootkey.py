"""The site's root key on disk: encrypted under a passphrase (Argon2id, then XSalsa20 and Poly1305; PyNaCl).

It lies where the operator wants it, best on a medium that is in no machine. The node never reads it. Such a medium
often has a file system without modes (FAT shows 0755, and chmod changes nothing), so that this file alone is read
whatever its mode is: what keeps it secret is the passphrase.
"""

from __future__ import annotations

import base64
import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey as EncryptionKey
from nacl.pwhash import argon2id
from nacl.secret import SecretBox
from nacl.utils import random

from catalog.error import BadInput
from catalog.key import PrivateKey
from node.keyfile import OTHERS, Identity, read_secret, read_with_mode, write_secret

LEAST_PASSPHRASE: Final = 12
"""Characters of a passphrase that a person thinks of. What a thief of the file can do is guess."""
MAX_PASSPHRASE: Final = 1024
_MODELESS: Final = frozenset({"vfat", "msdos", "exfat", "ntfs", "ntfs3", "fuseblk", "fuse.fusefat"})
"""Kinds of file systems, as Linux calls them, that keep no modes of their own."""
_MAX_PASSES: Final = 64
_MAX_MEMORY: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Stretch:
    """How much one guess at a passphrase costs: passes over that many bytes of memory (Argon2id)."""

    passes: int
    memory: int


MODERATE: Final = Stretch(argon2id.OPSLIMIT_MODERATE, argon2id.MEMLIMIT_MODERATE)
"""For what people think of: some half a second and 256 MiB for each guess."""
LEAST: Final = Stretch(argon2id.OPSLIMIT_MIN, argon2id.MEMLIMIT_MIN)
"""For passphrases of 256 random bits, which nobody guesses."""


@dataclass(frozen=True, slots=True, repr=False)
class Passphrase:
    """A passphrase, and what guessing it is to cost. Its ``repr`` says nothing of it."""

    text: bytes
    stretch: Stretch = MODERATE

    def __repr__(self) -> str:
        return "Passphrase(…)"


def new_passphrase() -> Passphrase:
    """256 random bits, as text for a file."""
    return Passphrase(base64.urlsafe_b64encode(random(32)).rstrip(b"="), LEAST)


def write_root(path: Path, identity: Identity, passphrase: Passphrase) -> None:
    """Write a root key's file, of mode 0600.

    Raises:
        Conflict: there is a file of that name already. BadInput: the passphrase is empty or too long.
    """
    salt, stretch = random(argon2id.SALTBYTES), passphrase.stretch
    box = SecretBox(_key(passphrase.text, salt, stretch))
    sealed = bytes(box.encrypt(identity.key.seed + bytes(identity.encryption)))
    # A TOML string is a JSON string that leaves no DEL as it is.
    name = json.dumps(identity.name, ensure_ascii=False).replace("\x7f", "\\u007f")
    text = (
        "# A Comity root key, under a passphrase. Keep it offline, keep a backup: without it no site is mended.\n"
        f"name = {name}\n"
        f'did = "{identity.did}"\n'
        f"passes = {stretch.passes}\n"
        f"memory = {stretch.memory}\n"
        f'salt = "{base64.b64encode(salt).decode()}"\n'
        f'sealed = "{base64.b64encode(sealed).decode()}"\n'
    )
    write_secret(path, text.encode())


def read_root(path: Path, passphrase: bytes) -> Identity:
    """Read a root key's file.

    Raises:
        NotFound: there is none. BadInput: it cannot be read, is damaged, or the passphrase is not its own.
    """
    data, _ = read_with_mode(path)
    try:
        table = tomllib.loads(data.decode())
        stretch = Stretch(int(table["passes"]), int(table["memory"]))
        salt, sealed = (base64.b64decode(table[name], validate=True) for name in ("salt", "sealed"))
        name, did = str(table["name"]), str(table["did"])
        box = SecretBox(_key(passphrase, salt, stretch))
    except (KeyError, TypeError, ValueError, RecursionError, BadInput, CryptoError) as error:
        # The cause is dropped: it could quote a secret.
        raise BadInput(
            f"the root key file {path} is damaged or none ({type(error).__name__}); restore it from a backup"
        ) from None
    try:
        secret = bytes(box.decrypt(sealed))
    except CryptoError:
        raise BadInput(f"the passphrase does not open {path}") from None
    if len(secret) != 64 or PrivateKey(secret[:32]).did != did:
        raise BadInput(f"the root key file {path} is damaged: its secret and its public key differ")
    return Identity(name, PrivateKey(secret[:32]), EncryptionKey(secret[32:]))


def is_loose(path: Path) -> bool:
    """Whether others may read the file although the disk that it is on could keep them from it.

    Raises:
        OSError: there is none.
    """
    found = path.stat()
    return bool(found.st_mode & OTHERS) and _kind_of(found.st_dev) not in _MODELESS


def _kind_of(device: int) -> str:
    """The kind of the file system on ``device``, such as ``ext4``; empty if the system does not say."""
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    except OSError:
        return ""
    return next((fields[fields.index("-") + 1] for fields in mounts if fields[2] == number), "")


def read_passphrase(path: Path) -> bytes:
    """The passphrase in a file of mode 0600, without the end of its line.

    Raises:
        NotFound: there is none. BadInput: others may read it, it is empty or too long.
    """
    text = read_secret(path).rstrip(b"\r\n")
    if not text or len(text) > MAX_PASSPHRASE:
        raise BadInput(f"the passphrase in {path} is empty, or longer than {MAX_PASSPHRASE} bytes")
    return text


def _key(passphrase: bytes, salt: bytes, stretch: Stretch) -> bytes:
    if not passphrase or len(passphrase) > MAX_PASSPHRASE:
        raise BadInput(f"a passphrase has 1 to {MAX_PASSPHRASE} bytes")
    if not (0 < stretch.passes <= _MAX_PASSES and argon2id.MEMLIMIT_MIN <= stretch.memory <= _MAX_MEMORY):
        raise BadInput("a file asks for more passes or memory than any that is written here")
    return argon2id.kdf(SecretBox.KEY_SIZE, passphrase, salt, stretch.passes, stretch.memory)
