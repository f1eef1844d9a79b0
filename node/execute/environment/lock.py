"""A lock of Python packages: a requirements file as ``uv pip compile --generate-hashes`` writes it.

Each requirement is one version of one package with the SHA-256 of every file that it may be. Nothing else is taken:
no address, no folder, no option, nothing that could make a resolver fetch or run what the lock does not name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from catalog.error import BadInput, shown
from node.execute.environment.description import MOST_PACKAGES

MOST_BYTES: Final = 8 << 20
_REQUIREMENT: Final = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?)"
    r"(?P<extras>\[[A-Za-z0-9._, -]*\])?\s*==\s*(?P<version>[A-Za-z0-9][A-Za-z0-9.!+_-]{0,63})"
    # Without «$»: pip puts variables of the node in place of «${NAME}», and what is installed would tell of them.
    # No word begins with «-»: pip reads options from there on, such as another index.
    r"\s*(?:;\s*(?P<marker>(?!-)(?:(?! -)[ -#%-~]){1,500}))?"
)
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One package at one ``version``, under its normal ``name``; a file of it has one of the ``hashes`` (hex)."""

    name: str
    version: str
    extras: str
    marker: str
    hashes: tuple[str, ...]

    @property
    def line(self) -> str:
        """The requirement as a line of a requirements file."""
        marker = f" ; {self.marker}" if self.marker else ""
        return f"{self.name}{self.extras}=={self.version}{marker} {' '.join(f'--hash=sha256:{h}' for h in self.hashes)}"


@dataclass(frozen=True, slots=True)
class Lock:
    """What a lock names, in its order, and the SHA-256 of its text as ``sha256:…``."""

    digest: str
    requirements: tuple[Requirement, ...]

    @property
    def text(self) -> str:
        """The requirements alone, for a resolver."""
        return "".join(f"{each.line}\n" for each in self.requirements)


def normal(name: str) -> str:
    """The one spelling of a package's name (PyPA, «Names and normalization»)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_lock(data: bytes, place: str) -> Lock:
    """Read the lock that lies at ``place``.

    Raises:
        BadInput: it is no lock; the message names the line and says what to write.
    """
    if len(data) > MOST_BYTES:
        raise BadInput(f"{place} has {len(data):,} bytes, more than a lock needs")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"{place} is no text in UTF-8; write it with: uv pip compile --generate-hashes") from error
    found: list[Requirement] = []
    for number, line in _lines(text):
        found.append(_requirement(line, f"{place}:{number}"))
        if len(found) > MOST_PACKAGES:
            raise BadInput(f"{place} names more than {MOST_PACKAGES:,} packages")
    if not found:
        raise BadInput(f"{place} names no package; leave the hint away for a tool that needs none")
    return Lock(f"sha256:{sha256(data).hexdigest()}", tuple(found))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Each logical line with the number that it begins at, without comments and continuations."""
    begun, parts = 0, list[str]()
    for number, raw in enumerate(text.splitlines(), 1):
        line = re.sub(r"(^|\s)#.*", "", raw).strip()
        goes_on = line.endswith("\\")
        line = line.removesuffix("\\").strip()
        if line:
            begun = begun or number
            parts.append(line)
        if parts and not goes_on:
            yield begun, " ".join(parts)
            begun, parts = 0, []
    if parts:
        yield begun, " ".join(parts)


def _requirement(line: str, place: str) -> Requirement:
    hashes = tuple(sorted(set(_HASH.findall(line))))
    rest = _HASH.sub("", line).strip()
    match = _REQUIREMENT.fullmatch(rest)
    if match is None:
        raise BadInput(
            f"{place}: «{shown(rest, 80)}» is not NAME==VERSION with hashes; a lock has no addresses, folders, options "
            "or ranges: write it with «uv pip compile --generate-hashes»"
        )
    if not hashes:
        raise BadInput(
            f"{place}: «{shown(rest, 80)}» has no --hash=sha256:…; write the lock with «uv pip compile "
            "--generate-hashes»"
        )
    extras = (match["extras"] or "").replace(" ", "")
    return Requirement(normal(match["name"]), match["version"], extras, (match["marker"] or "").strip(), hashes)
