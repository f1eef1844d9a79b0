"""Stored values: what is written is read, the same value has the same bytes, and nothing in one leads out of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.error import BadInput
from workflow.value import MOST_BYTES, locations, pointed, read_value, write_value

TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
NUMBERS = st.integers(-(1 << 63), (1 << 63) - 1) | st.floats(allow_nan=False, allow_infinity=False)
NAMES = TEXTS.filter(lambda name: name != "class")
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_what_is_written_is_read_and_has_one_writing(value: object) -> None:
    """Lost: a rerun makes the same value under another CID; or a value is another one at the next site."""
    data = write_value(value)
    assert read_value(data) == value
    assert write_value(read_value(data)) == data


def test_the_order_of_names_is_none_of_the_value() -> None:
    """Lost: two sites that made the same give it two names."""
    assert write_value({"b": 1, "a": [{"d": 2, "c": 3}]}) == b'{"a":[{"c":3,"d":2}],"b":1}'
    assert write_value({"a": [{"c": 3, "d": 2}], "b": 1}) == b'{"a":[{"c":3,"d":2}],"b":1}'


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"\xff", b"NaN", b"[1e999]", b"-Infinity", b"[" * 100 + b"]" * 100, b"[" * 90_000,
        b"[" + b"0," * 100_001 + b"0]", b" " * (MOST_BYTES + 1), b"1" * 5000,
    ],
)  # fmt: skip
def test_what_is_no_value_is_refused(data: bytes) -> None:
    """Lost: a few bytes of a stranger's step end every node that reads them."""
    with pytest.raises(BadInput) as refused:
        read_value(data)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "location",
    ["/etc/passwd", "../x", "files/../../x", "files/0/../../x", "file:///etc/passwd", "https://x/y", "files//x",
     "files/./x", "value.json", "files", 7, ["files/0/a"], "files/0/a\nb", "data/0/x"],
)  # fmt: skip
def test_a_file_of_a_value_lies_in_its_folder(location: object) -> None:
    """Lost: a value that a stranger's step made names a file of the node that reads it."""
    for value in ({"class": "File", "location": location}, [{"x": {"class": "Directory", "location": location}}]):
        with pytest.raises(BadInput):
            read_value(json.dumps(value).encode())
        with pytest.raises(BadInput):
            write_value(value)


def test_every_file_of_a_value_is_found() -> None:
    """Lost: one of them is staged under a name of another node."""
    scan = {"class": "File", "location": "files/0/a", "secondaryFiles": [{"class": "File", "location": "files/0/a.i"}]}
    literal = {
        "class": "Directory",
        "listing": [{"class": "File", "location": "files/1/b"}, {"class": "File", "contents": "x"}],
    }
    value = read_value(json.dumps({"scans": [scan], "all": literal}).encode())
    assert sorted(each["location"] for each in locations(value)) == ["files/0/a", "files/0/a.i", "files/1/b"]


@pytest.mark.parametrize(
    ("pointer", "found"),
    [("", [{"a/b": {"~": 5}}, 7]), ("/1", 7), ("/0/a~1b", {"~": 5}), ("/0/a~1b/~0", 5)],
)
def test_a_pointer_says_which_part_is_meant(pointer: str, found: object) -> None:
    """Lost: a shard is given another one's member."""
    assert pointed([{"a/b": {"~": 5}}, 7], pointer) == found


@pytest.mark.parametrize("pointer", ["/2", "/-1", "/a", "/0/none", "/1/0", "/0/a~1b/~0/x", "/\u0663", "/" + "9" * 200])
def test_a_pointer_to_nothing_is_refused(pointer: str) -> None:
    """Lost: a step runs on what nobody named; or the node ends."""
    with pytest.raises(BadInput):
        pointed([{"a/b": {"~": 5}}, 7], pointer)
