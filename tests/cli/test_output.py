"""Tables on screens that are too narrow for them."""

from __future__ import annotations

from cli.output import COPIED, narrow_lines

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
