"""What the decoder refuses is told in words that name the field, and none of its own types."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec
import pytest

from catalog.dagcbor import Value, convert, encode, from_json
from catalog.error import BadInput, VerificationFailed
from catalog.refusal import in_words, named


class Colour(StrEnum):
    RED = "red"


class PenRequest(Value, frozen=True, kw_only=True):
    """Something with a field of each sort."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=3, pattern="^[a-z]*$")] = "x"
    size: Annotated[int, msgspec.Meta(ge=0, le=2000)] = 0
    tags: Annotated[tuple[str, ...], msgspec.Meta(max_length=2)] = ()
    colour: Colour = Colour.RED
    owner: str | None = None
    ages: dict[str, int] = msgspec.field(default_factory=dict)
    seal: Annotated[bytes, msgspec.Meta(min_length=4, max_length=4)] = b"seal"


class Pair(Value, frozen=True, kw_only=True):
    """One in another."""

    left: PenRequest
    right: PenRequest | None


PEN: dict[str, object] = {
    "name": "x",
    "size": 0,
    "tags": [],
    "colour": "red",
    "owner": None,
    "ages": {},
    "seal": b"seal",
}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"name": 3}, "a pen was refused: «name» is a whole number, and must be text"),
        ({"name": ""}, "a pen was refused: «name» must have at least 1 character"),
        ({"name": "abcd"}, "a pen was refused: «name» must have at most 3 characters"),
        ({"name": "A"}, "a pen was refused: «name» is not written as it must be"),
        ({"size": -1}, "a pen was refused: «size» must be at least 0"),
        ({"size": 2001}, "a pen was refused: «size» must be at most 2,000"),
        ({"tags": ["a", "b", "c"]}, "a pen was refused: «tags» must have at most 2 values"),
        ({"tags": ["a", None]}, "a pen was refused: one of «tags» is nothing, and must be text"),
        ({"colour": "blue"}, "a pen was refused: «colour» cannot be «blue»"),
        ({"owner": 1}, "a pen was refused: «owner» is a whole number, and must be text or nothing"),
        ({"ages": {"a": "b"}}, "a pen was refused: one of «ages» is text, and must be a whole number"),
        ({"seal": b"x"}, "a pen was refused: «seal» must have at least 4 bytes"),
        ({"length": 1}, "a pen was refused: there is a field «length» that this version does not know"),
    ],
)
def test_each_sort_of_refusal_names_the_field(changed: dict[str, object], told: str) -> None:
    """Lost: a nurse reads «Expected `str`, got `int` - at `$.x`»."""
    with pytest.raises(VerificationFailed) as refused:
        convert(PenRequest, PEN | changed)
    assert str(refused.value) == told


def test_a_field_in_a_field_is_named_with_both() -> None:
    with pytest.raises(
        VerificationFailed, match=r"a pair was refused: «left.size» is text, and must be a whole number"
    ):
        convert(Pair, {"left": PEN | {"size": "1"}, "right": None})
    with pytest.raises(VerificationFailed, match=r"a pair was refused: the field «right» is missing"):
        convert(Pair, {"left": PEN})


@pytest.mark.parametrize("data", [b"{", b"{]", b"nonsense", b""])
def test_json_that_is_none_says_so(data: bytes) -> None:
    with pytest.raises(BadInput, match=r"a pen was refused: it (is not JSON from byte|ends too early)"):
        from_json(PenRequest, data)


def test_what_is_not_known_stays_as_it_was_said() -> None:
    assert in_words("Something else - at `$.x`") == "Something else - at `$.x`"
    assert [named(each) for each in ("KeyFields", "EpochSignatureFields", "Halt", "SubmissionView", "tuple")] == [
        "key", "epoch signature", "halt", "submission", "tuple",
    ]  # fmt: skip
    assert encode(PenRequest())
