"""The wire form of a label: for each owner site the readers that it allows. Its algebra is ``privacy/label.py``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from catalog.dagcbor import Value
from catalog.error import BadInput
from catalog.key import Did

MAX_OWNERS: Final = 256
MAX_READERS: Final = 1024

_DID: Final = r"did:key:z6Mk[1-9A-HJ-NP-Za-km-z]{44}"
_SITE: Final = re.compile(_DID)
_READER: Final = re.compile(rf"{_DID}(@{_DID})?")

Reader = Annotated[str, msgspec.Meta(pattern=rf"^{_DID}(@{_DID})?\Z", max_length=128)]
"""A site's ``did:key``, or ``PERSON@SITE`` of two."""

Readers = Annotated[tuple[Reader, ...], msgspec.Meta(min_length=1, max_length=MAX_READERS)]
"""Sorted, each once."""


class Label(Value, frozen=True, kw_only=True):
    """For each owner the readers that it allows, itself among them; no owner at all means open.

    There is one way to write a label: readers are sorted, each once, and contain their owner. Make one with
    :func:`label_of`, which sees to that.

    Raises:
        BadInput: it is written in another way, or has more than 256 owners or 1024 readers for one of them.
    """

    owners: Annotated[Mapping[Did, Readers], msgspec.Meta(max_length=MAX_OWNERS)]

    def __post_init__(self) -> None:
        if len(self.owners) > MAX_OWNERS:
            raise BadInput(f"a label of {len(self.owners):,} owners was refused: at most {MAX_OWNERS} are kept apart")
        for owner, readers in self.owners.items():
            _check_owner(owner, readers)

    def __hash__(self) -> int:
        return hash(frozenset(self.owners.items()))


def _check_owner(owner: str, readers: tuple[str, ...]) -> None:
    if not _SITE.fullmatch(owner):
        raise BadInput(f"a label was refused: its owner «{owner[:64]!a}» is not a site's did:key")
    if len(readers) > MAX_READERS:
        raise BadInput(f"a label of {len(readers):,} readers was refused: an owner names at most {MAX_READERS:,}")
    wrong = next((reader for reader in readers if not _READER.fullmatch(reader)), None)
    if wrong is not None:
        raise BadInput(f"a label was refused: «{wrong[:64]!a}» is neither a site's did:key nor PERSON@SITE")
    if list(readers) != sorted(set(readers)) or owner not in readers:
        raise BadInput(f"a label was refused: the readers of {owner} are not sorted, each once, with itself among them")
