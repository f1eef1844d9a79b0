"""Private keys on disk: TOML files of mode 0600, written whole or not at all, refused when others may read them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nacl.bindings import crypto_aead_chacha20poly1305_ietf_encrypt
from nacl.public import PrivateKey as EncryptionKey
from nacl.utils import random

from catalog.error import BadInput, Conflict, NotFound
from catalog.key import PrivateKey

OTHERS: Final = 0o077
"""The bits of a mode by which others than its owner reach a file."""
MOST: Final = 4097


@dataclass(frozen=True, slots=True, repr=False)
class Identity:
    """A signing key and the X25519 key that data keys are encrypted to, with a name for people."""

    name: str
    key: PrivateKey
    encryption: EncryptionKey

    @classmethod
    def new(cls, name: str) -> Identity:
        """Fresh keys from the operating system's randomness."""
        return cls(name, PrivateKey(random(32)), EncryptionKey.generate())

    @property
    def did(self) -> str:
        """The signing key's public half."""
        return self.key.did

    @property
    def x25519(self) -> bytes:
        """The encryption key's public half, 32 bytes."""
        return bytes(self.encryption.public_key)

    def __repr__(self) -> str:
        return f"Identity({self.name!r}, {self.did})"


def write_secret(path: Path, data: bytes) -> None:
    """Create ``path`` with mode 0600 and durable content; never replaces a file.

    Raises:
        Conflict: it is there already.
        OSError: the disk refused; nothing is there then.
    """
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError as error:
        raise Conflict(f"{path} is there already and was left as it is; choose another name or remove it") from error
    try:
        with os.fdopen(file, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        sync(path.parent)
    except OSError:
        path.unlink()
        raise


def sync(folder: Path) -> None:
    """Make the names in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_identity(path: Path, identity: Identity) -> None:
    """Write a key file.

    Raises:
        Conflict: there is one already.
    """
    # A TOML string is a JSON string that leaves no DEL as it is.
    name = json.dumps(identity.name, ensure_ascii=False).replace("\x7f", "\\u007f")
    text = (
        "# A Comity private key. Whoever can read this file acts in its owner's name: keep it secret, keep a backup.\n"
        f"name = {name}\n"
        f'did = "{identity.did}"\n'
        f'ed25519 = "{base64.b64encode(identity.key.seed).decode()}"\n'
        f'x25519 = "{base64.b64encode(bytes(identity.encryption)).decode()}"\n'
    )
    write_secret(path, text.encode())


def read_identity(path: Path) -> Identity:
    """Read a key file.

    Raises:
        NotFound: there is none.
        BadInput: others may read it, or it is damaged.
    """
    data = read_secret(path)
    try:
        table = tomllib.loads(data.decode())
        identity = Identity(
            str(table["name"]),
            PrivateKey(base64.b64decode(table["ed25519"], validate=True)),
            EncryptionKey(base64.b64decode(table["x25519"], validate=True)),
        )
    except (KeyError, TypeError, ValueError, RecursionError, BadInput) as error:
        # The cause is dropped: it could quote the secret.
        raise BadInput(f"the key file {path} is damaged ({type(error).__name__}); restore it from a backup") from None
    if identity.did != table.get("did"):
        raise BadInput(f"the key file {path} is damaged: its secret and its public key differ")
    return identity


def write_crypt4gh(path: Path, identity: Identity, passphrase: bytes = b"") -> None:
    """Write the X25519 key of an identity as a Crypt4GH private key («c4gh-v1»), for the programs that read these.

    Under a ``passphrase`` it is encrypted (scrypt, ChaCha20-Poly1305); without one, whoever reads the file has the key.

    Raises:
        Conflict: there is a file already.
    """
    secret, kdf, cipher = bytes(identity.encryption), [b"none"], b"none"
    if passphrase:
        salt, nonce = random(16), random(12)
        key = hashlib.scrypt(passphrase, salt=salt, n=1 << 14, r=8, p=1, dklen=32)
        secret = nonce + crypto_aead_chacha20poly1305_ietf_encrypt(secret, None, nonce, key)
        kdf, cipher = [b"scrypt", bytes(4) + salt], b"chacha20_poly1305"
    parts = b"".join(len(part).to_bytes(2, "big") + part for part in (*kdf, cipher, secret))
    text = base64.b64encode(b"c4gh-v1" + parts).decode()
    data = f"-----BEGIN CRYPT4GH PRIVATE KEY-----\n{text}\n-----END CRYPT4GH PRIVATE KEY-----\n"
    write_secret(path, data.encode())


def read_secret(path: Path) -> bytes:
    """At most 4 KiB of a secret file.

    Raises:
        NotFound: there is none.
        BadInput: others may read it, or it cannot be read.
    """
    data, mode = read_with_mode(path)
    if mode & OTHERS:
        raise BadInput(f"the key file {path} can be read by others; run: chmod 600 {path}")
    return data


def read_with_mode(path: Path) -> tuple[bytes, int]:
    """At most 4 KiB of a file, and its mode, which is the caller's to judge.

    Raises:
        NotFound: there is none. BadInput: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return stream.read(MOST), os.fstat(stream.fileno()).st_mode
    except FileNotFoundError as error:
        raise NotFound(f"there is no key file {path}; make one or say where it is") from error
    except OSError as error:
        raise BadInput(f"the key file {path} cannot be read: {error.strerror}") from error


def slug(name: str) -> str:
    """A file name for a name for people: lower-case letters, digits and dashes, at most 60; never empty."""
    text = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60]
    return text or "unnamed"
