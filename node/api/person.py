"""The client's configuration folder: a person's private keys, which never lie in a node."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from catalog.body import Name
from catalog.dagcbor import Value, from_json, to_json
from catalog.error import BadInput, Conflict, NotFound
from catalog.key import Did
from node.keyfile import Identity, read_identity, slug, write_identity

MAX_CARD = 4096


class Card(Value, frozen=True, kw_only=True):
    """The public half of a person, which a steward enrols: ``x25519`` is the key that data keys are encrypted to."""

    name: Name
    did: Did
    x25519: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


def card_of(identity: Identity) -> Card:
    """What a person hands to the steward who enrols them."""
    return Card(name=identity.name, did=identity.did, x25519=identity.x25519)


def card_text(card: Card) -> str:
    """A card as a line of JSON."""
    return to_json(card).decode() + "\n"


def read_card(path: Path) -> Card:
    """Read a card that somebody handed over.

    Raises:
        NotFound: there is no such file.
        BadInput: it is no card.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_CARD + 1)
    except OSError as error:
        raise NotFound(f"the card {path} cannot be read: {error.strerror}") from error
    if len(data) > MAX_CARD:
        raise BadInput(f"{path} is no card: it is larger than {MAX_CARD:,} bytes")
    return from_json(Card, data)


@dataclass(frozen=True, slots=True)
class Persons:
    """The persons whose keys this user holds: ``FOLDER/persons/NAME.key``, one file each, the folder of mode 0700."""

    folder: Path

    @classmethod
    def here(cls, environment: Mapping[str, str] = os.environ) -> Persons:
        """Those of ``$COMITY_HOME``, by default ``$XDG_CONFIG_HOME/comity``."""
        home = environment.get("COMITY_HOME")
        config = environment.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        return cls(Path(home) if home else Path(config) / "comity")

    def path(self, name: str) -> Path:
        """The key file of the person called ``name``."""
        return self.folder / "persons" / f"{slug(name)}.key"

    def add(self, identity: Identity) -> Path:
        """Write the keys of a new person.

        Raises:
            Conflict: there is a person of that name already.
        """
        path = self.path(identity.name)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.chmod(0o700)
        try:
            write_identity(path, identity)
        except Conflict as error:
            raise Conflict(f"there is a person «{identity.name}» already ({path}); choose another name") from error
        return path

    def load(self, name: str) -> Identity:
        """The keys of the person called ``name``.

        Raises:
            NotFound: there is none; the message names those that there are.
            BadInput: others may read the file, or it is damaged.
        """
        path = self.path(name)
        if not path.is_file():
            known = ", ".join(self.names()) or "none yet; make one with: comity person new NAME"
            raise NotFound(f"there is no person «{name}» in {path.parent}; there are: {known}")
        return read_identity(path)

    def names(self) -> tuple[str, ...]:
        """The names of all persons here, in order;."""
        return tuple(sorted(_name_in(path) for path in (self.folder / "persons").glob("*.key")))


def _name_in(path: Path) -> str:
    try:
        name = tomllib.loads(path.read_text()).get("name")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return path.stem
    return name if isinstance(name, str) else path.stem
