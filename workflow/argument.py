"""What fills an input of a workflow or a step: data by name, a literal, a handle, or a list of these."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated

import msgspec

from catalog.body import Name
from catalog.cid import Cid
from catalog.dagcbor import Value
from catalog.error import BadInput
from catalog.key import Did
from workflow.value import Pointer, finite

Handle = Annotated[str, msgspec.Meta(pattern=r"^held:did:key:z6Mk[1-9A-HJ-NP-Za-km-z]{44}/[0-9a-f]{32}\Z")]
"""An output that is not released: ``held:SITE/128 random bits``."""


class Data(Value, frozen=True, kw_only=True, tag="data"):
    """A file or folder by its CID, plain or keyed, at the site that holds it; ``name`` is its base name in a step.

    With ``at`` the CID is that of a stored value (:mod:`workflow.value`), and what stands there in it is meant.
    """

    site: Did
    cid: Cid
    name: Name
    at: Pointer | None = None


class Literal(Value, frozen=True, kw_only=True, tag="literal"):
    """A value that stands in the submission itself, as JSON text (floats keep the digits they were given)."""

    json: Annotated[str, msgspec.Meta(max_length=64 << 10)]

    def value(self) -> object:
        """What it stands for; an array as a tuple.

        Raises:
            BadInput: it is not JSON.
        """
        try:
            value: object = json.loads(self.json, parse_constant=finite, parse_float=finite)
        except (ValueError, RecursionError) as error:
            raise BadInput("a literal input is not JSON") from error
        return tuple(value) if isinstance(value, list) else value


class Many(Value, frozen=True, kw_only=True, tag="many"):
    """A list, in order."""

    items: Annotated[tuple[Data | Literal, ...], msgspec.Meta(max_length=4096)]


Argument = Data | Literal | Many
"""What a step is given for one of its inputs."""


def members(argument: Argument | None) -> tuple[Data | Literal, ...] | None:
    """The members of a list, in their order, numbers with the digits that they were given; none if it is no list."""
    if isinstance(argument, Many):
        return argument.items
    if not isinstance(argument, Literal):
        return None
    try:
        texts = msgspec.json.decode(argument.json, type=tuple[msgspec.Raw, ...])
    except (msgspec.MsgspecError, RecursionError):
        return None
    return tuple(Literal(json=bytes(each).decode()) for each in texts)


def data_in(arguments: dict[str, Argument]) -> Iterator[Data]:
    """Every piece of data that the arguments name, in the order of the inputs' names."""
    for name in sorted(arguments):
        argument = arguments[name]
        if isinstance(argument, Data):
            yield argument
        elif isinstance(argument, Many):
            yield from (item for item in argument.items if isinstance(item, Data))


def pieces_in(arguments: dict[str, Argument]) -> list[Data]:
    """Each piece of data once, by site and CID, whatever names it goes by: what a list repeats is judged once."""
    return list({(item.site, item.cid): item for item in data_in(arguments)}.values())


def handle(site: str, token: bytes) -> str:
    """The handle of a held output at ``site``, from 16 random bytes."""
    return f"held:{site}/{token.hex()}"
