"""Pictures of a submission: whole, escaped, and with everything in the place that its values say."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from workflow.picture.drawing import fitted, length
from workflow.picture.gantt import Bar, gantt
from workflow.picture.graph import Box, graph

HOSTILE = "<script>alert(1)</script> & \x00\x1b[31m \"'"
SVG = "{http://www.w3.org/2000/svg}"


def texts(drawn: str) -> list[str]:
    return [each.text or "" for each in ElementTree.fromstring(drawn).iter(f"{SVG}text")]


def bars(drawn: str) -> list[tuple[float, float]]:
    """From where to where each bar is."""
    rects = [each for group in ElementTree.fromstring(drawn).iter(f"{SVG}g") for each in group.iter(f"{SVG}rect")]
    return [(float(each.attrib["x"]), float(each.attrib["x"]) + float(each.attrib["width"])) for each in rects]


@pytest.mark.parametrize(
    "drawn",
    [
        gantt(HOSTILE, HOSTILE, [Bar(HOSTILE, HOSTILE, 0, 9, HOSTILE, HOSTILE)], 0, 9),
        graph(HOSTILE, HOSTILE, [Box("a", HOSTILE, (), HOSTILE, HOSTILE)]),
    ],
)
def test_what_others_wrote_stays_text(drawn: str) -> None:
    """Lost: a browser in which a picture is opened, to whoever names a step or a site."""
    root = ElementTree.fromstring(drawn)
    assert {each.tag.removeprefix(SVG) for each in root.iter()} <= {"svg", "rect", "text", "title", "path", "g"}
    assert not any(name.startswith("on") or "href" in name for each in root.iter() for name in each.attrib)
    assert "<script>" in "".join(texts(drawn))


def test_bars_lie_where_their_times_say() -> None:
    """Lost: which step took long, and what waited for what."""
    drawn = gantt(
        "run", "", [Bar("a", "x", 1_000, 2_000, "done", ""), Bar("b", "y", 2_000, 5_000, "running", "")], 1_000, 5_000
    )
    (begin, middle), (again, end) = bars(drawn)
    assert middle == pytest.approx(again)
    assert (end - again) == pytest.approx(3 * (middle - begin), rel=0.01)
    assert {"0", "1 s", "4 s", "done · 1 s", "running · 3 s"} <= set(texts(drawn))


@pytest.mark.parametrize("span", [0, 1, 7, 999, 61_000, 3_600_000, 10**9, 10**12])
def test_the_axis_has_a_few_lines_however_long_it_took(span: int) -> None:
    """Lost: an axis that can be read; or a picture without end."""
    drawn = gantt("run", "", [Bar("a", "x", 0, span, "done", "")], 0, span)
    assert 1 <= len(re.findall(r'text-anchor="middle"', drawn)) <= 10


def test_of_very_many_attempts_the_first_are_drawn_and_the_rest_are_counted() -> None:
    """Lost: the browser that is to show a submission of ten thousand steps."""
    drawn = gantt("run", "", [Bar(f"a[{n}]", "x", n, n + 1, "done", "") for n in range(10_000)], 0, 10_001)
    assert len(bars(drawn)) == 400
    assert "9,600 more are not drawn" in texts(drawn)


def test_each_step_stands_behind_what_feeds_it_and_no_link_runs_through_a_box() -> None:
    """Lost: what a step waits for; or a link that seems to be another's."""
    boxes = [
        Box("a", "a", (), "", "done"),
        Box("b", "b", ("a",), "", "done"),
        Box("c", "c", ("b",), "", "done"),
        Box("d", "d", ("c", "a"), "", "done"),
    ]
    root = ElementTree.fromstring(graph("run", "", boxes))
    placed = [
        each for group in root.iter(f"{SVG}g") for each in group.iter(f"{SVG}rect") if each.attrib["height"] == "62"
    ]
    lefts, tops = ([float(each.attrib[side]) for each in placed if float(each.attrib["width"]) > 5] for side in "xy")
    assert lefts == sorted(set(lefts))
    links = [each.attrib["d"] for each in root.iter(f"{SVG}path") if "C" in each.attrib["d"]]
    around = next(each for each in links if each.count("H") == 2)
    base = float(re.findall(r" ([0-9.]+)H", around)[0])
    assert not any(top <= base <= top + 62 for top in tops[1:3])


def test_a_long_name_is_cut_to_its_place() -> None:
    assert fitted("short", 100) == "short"
    cut = fitted("w" * 100, 100)
    assert cut.endswith("…")
    assert length(cut) <= 100
