"""A document from a peer costs what it is worth, and nothing in it is read otherwise than it stands."""

from __future__ import annotations

import pytest

from catalog.error import BadInput
from workflow.document import MAX_TEXT, MAX_VALUES, read_document

BOMB = "a: &a [x, x]\n" + "".join(
    f"{new}: &{new} [*{old}, *{old}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        (BOMB, "1:4", "anchor or alias"),
        ("a: *x", "1:4", "anchor or alias"),
        ("a: &x {b: *x}", "1:4", "anchor or alias"),
        ("a: !!python/object/apply:os.system [id]", "1:4", "tag"),
        ("%YAML 1.1\n---\na: yes", "2:1", "directive"),
        ("%TAG ! tag:x,2000:\n---\na: b", "2:1", "directive"),
        ("a: 1\n<<: {b: 2}", "2:1", "merge"),
        ("a: 1\na: 2", "2:1", "duplicate key"),
        ("a: 1\n---\nb: 2", "2:1", "another document"),
        ("a: " + "9" * 5000, "1:1", "limit"),
        ("a: " + "9" * 30, "1:4", "64 bits"),
        ("a: 0x" + "f" * 30, "1:4", "64 bits"),
        ("a: .nan", "1:4", "finite number"),
        ("a: 1e999", "1:4", "finite number"),
        ("1: 2", "1:1", "quotes"),
        ("? [a]\n: 1", "1:3", "field's name"),
        ("{[a]: b}", "1:2", "field's name"),
        ("[1]", "1:1", "a map"),
        ("", "1:1", "a map"),
        ("http://example.org/tool.cwl", "1:1", "a map"),
        ('a: "\\0"', "1:4", "character"),
        ('a: "\\ud800"', "1:4", "character"),
        ("a: \x00", "1:1", "not YAML"),
        ("a: [1", "1:6", "not YAML"),
        ("a: {$import: /etc/passwd}", "1:14", "read alone"),
        ("a:\n  - $include: http://h/x", "2:15", "read alone"),
        ("a: [{$mixin: x}]", "1:14", "read alone"),
        ("[" * 300, "1:33", "maximum depth"),
        ("a: [" + "1," * MAX_VALUES + "]", f"1:{2 * MAX_VALUES - 1}", "20,000 values"),
        ("a: " + "x" * MAX_TEXT, "1:1", "262,144"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else None,
)
def test_what_makes_a_document_larger_or_other_than_it_looks_is_refused_at_its_place(
    text: str, place: str, reason: str
) -> None:
    """Else 300 bytes from a peer fill the memory, or the signer and the runner read different tools."""
    with pytest.raises(BadInput) as caught:
        read_document(text, "peer.cwl")
    message = str(caught.value)
    assert message.startswith(f"peer.cwl:{place}: ")
    assert reason in message
    assert "\n" not in message


def test_bytes_that_are_not_text_are_refused() -> None:
    with pytest.raises(BadInput, match="not UTF-8"):
        read_document(b"a: \xff", "peer.cwl")


def test_a_value_knows_its_place() -> None:
    """Else an error points somewhere else than the author must look."""
    root = read_document("a:\n  b: [x, yy]\nc:\n  - d: 1\n", "f")
    places = {str(part.value): (part.line, part.column) for _, part in root.walk() if isinstance(part.value, str | int)}
    assert places == {"x": (2, 7), "yy": (2, 10), "1": (4, 8)}


def test_values_keep_their_types_and_dates_stay_text() -> None:
    fields = read_document("a: 2020-01-01\nb: yes\nc: 1:30\nd: true\ne: 07\n", "f").fields()
    assert [part.value for part in fields.values()] == ["2020-01-01", "yes", "1:30", True, 7]


@pytest.mark.parametrize("written", ['"x"', "'x'", "x", "|-\n  x", ">-\n  x"])
def test_text_is_text_however_it_is_written(written: str) -> None:
    """Lost: a digest in quotes, as the guide writes it, which no encoder of a block's description took."""
    (value,) = [part.value for name, part in read_document(f"a: {written}", "tool.cwl").walk() if name]
    assert (value, type(value)) == ("x", str)
    (name,) = read_document('"a": 1', "tool.cwl").fields()
    assert type(name) is str


def test_text_from_a_document_cannot_break_the_line_of_a_message() -> None:
    """Else a peer's document writes lines of its own into an operator's terminal and log."""
    with pytest.raises(BadInput) as caught:
        read_document('a: "x\\n\\e[31mowned"', "f").required("a").integer()
    assert str(caught.value) == "f:1:4: «x??[31mowned» found, a whole number expected"
