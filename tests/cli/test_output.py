"""Tables on screens that are too narrow for them."""

from __future__ import annotations

from cli.output import COPIED, columns_below, narrow_lines

CID = "bafkreibf7gj2y5wcuu6bugrtznsmliq2isfmwdjjgtg2aziakm6xcgnd4i"
KEY = "did:key:z6MkmM149covMpPA9fSZZ8QNeLBqWpYejA9m1VQtfDJSYHad"


def test_what_is_copied_stands_whole_on_a_line_of_its_own() -> None:
    """Lost: a CID that is broken into five pieces is copied by nobody, and a name by its side cannot be read."""
    head = ("dataset", "CID", "site", "what it is", "key")
    rows = [
        ("births", CID, "St. Anna Hospital", "all births of a year, each with its day and its weight", KEY),
        ("x\x1b[2J", "–", "Nordstad Clinic", "nothing", "–"),
    ]
    lines = list(narrow_lines(head, rows, [1, 4], 50))
    assert lines == [
        "dataset  site               what it is",
        "births   St. Anna Hospital  all births of a year,",
        "                            each with its day and",
        "                            its weight",
        f"  CID {CID}",
        f"  key {KEY}",
        "x\N{REPLACEMENT CHARACTER}[2J    Nordstad Clinic    nothing",
    ]
    assert max(len(line) for line in lines if "did:" not in line and "baf" not in line) <= 50
    assert len(CID) >= COPIED


def test_no_word_is_broken_as_long_as_there_is_a_line_for_it() -> None:
    """Lost: on a usual terminal nobody can read who holds a grant: «mara@Ins» stands above «titute»."""
    head = ("grant", "person", "by", "project", "datasets", "actions", "until", "state")
    row = (
        "…5exampl3",
        "mara@Institute-for-Data",
        "St. Anna Hospital",
        "breast-imaging",
        "st-anna-tumours-2026",
        "see, compute, release",
        "2026-12-29 20:39:15",
        "valid",
    )
    for width in (40, 60, 80, 100, 120):
        below = columns_below(head, [row], width)
        assert below is not None
        lines = list(narrow_lines(head, [row], below, width))
        assert all(len(line) <= width for line in lines), lines
        shown = "\n".join(lines).split()
        assert all(word in shown for cell in row for word in cell.split()), lines
    assert columns_below(head, [row], 200) is None


def test_a_long_text_has_a_line_of_its_own_and_is_no_column_of_single_words() -> None:
    """Lost: on a screen of 80 characters a plan is a strip of eight characters, read downwards."""
    head = ("step", "site", "policy", "from – to", "by")
    row = (
        "count[0]",
        "Nordstad Clinic",
        "no answer",
        "0 ms – 128 ms",
        "1 receipt, this block there, on such inputs " * 2,
    )
    assert columns_below(head, [row], 80) == [4]
    lines = list(narrow_lines(head, [row], [4], 80))
    assert lines[1:] == [
        "count[0]  Nordstad Clinic  no answer  0 ms – 128 ms",
        f"  by {row[4]}",
    ]
