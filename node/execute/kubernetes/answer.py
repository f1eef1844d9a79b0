"""What an API server answers, as types: only what is read of it, and nothing of another kind passes. Pure."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec

from catalog.error import VerificationFailed, shown

T = TypeVar("T")


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """What every object has."""

    name: Annotated[str, msgspec.Meta(min_length=1)]
    labels: dict[str, str] | None = None
    deletion_timestamp: str | None = None


class Said(msgspec.Struct, frozen=True):
    """What is said of a refusal, or of another event."""

    code: int = 0
    message: str = ""


class Event(msgspec.Struct, frozen=True):
    """What happened to an object, as a watch tells it."""

    type: str
    object: dict[str, Any]


class _Named(msgspec.Struct, frozen=True):
    metadata: Metadata


class _Version(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str


class _Versioned(msgspec.Struct, frozen=True):
    metadata: _Version


class _Listed(msgspec.Struct, frozen=True):
    items: list[dict[str, Any]]


def decode(data: bytes | str) -> object:
    """The JSON in ``data``.

    Raises:
        VerificationFailed: it is none, or is nested too deep.
    """
    try:
        return msgspec.json.decode(data)
    except (ValueError, RecursionError) as error:
        raise VerificationFailed(f"it does not speak JSON ({type(error).__name__})") from error


def read(kind: type[T], value: object) -> T:
    """``value`` as a ``kind``.

    Raises:
        VerificationFailed: it is none.
    """
    try:
        return msgspec.convert(value, kind)
    except (ValueError, RecursionError) as error:
        said = shown(str(error))
        raise VerificationFailed(f"the cluster's API server answers otherwise than Kubernetes does: {said}") from error


def items_of(listed: object) -> list[dict[str, Any]]:
    """What a list holds.

    Raises:
        VerificationFailed: it is no list.
    """
    return read(_Listed, listed).items


def name_of(value: object) -> str:
    """What an object is called.

    Raises:
        VerificationFailed: it is none.
    """
    return read(_Named, value).metadata.name


def version_of(value: object) -> str:
    """The version of an object, or of a list.

    Raises:
        VerificationFailed: it has none.
    """
    return read(_Versioned, value).metadata.resource_version
