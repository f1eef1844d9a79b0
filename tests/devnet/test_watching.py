"""A real submission, watched: by its person alone, from any number on, and drawn."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from catalog.error import NotFound
from tests.devnet.consortium import Consortium, run


def test_what_happened_is_told_by_number_to_its_person_alone(consortium: Consortium, tmp_path: Path) -> None:
    """Lost: what happened while a laptop was closed; or to somebody else, what a researcher works at."""
    hospitals = consortium.known.hospitals
    with consortium.researcher() as mara:
        ended = run(mara, consortium.workflow, [each.dataset for each in hospitals]).check()
        events = list(mara.events(ended.submission))
        assert [each.number for each in events] == list(range(1, len(events) + 1))
        assert all(before.at <= after.at for before, after in pairwise(events))
        assert (events[0].status, events[-1].status) == ("running", "done")
        done = {(each.step, each.site_name) for each in events if each.kind == "step" and each.status == "done"}
        assert len(done) == len(hospitals) + 1
        assert sum(each.cost for each in events) == ended.view.spent
        assert list(mara.events(ended.submission, after=events[3].number)) == events[4:]
        assert [(each.step, each.after) for each in mara.graph(ended.submission).steps] == [
            ("sums", ()),
            ("pool", ("sums",)),
        ]
    with consortium.steward(consortium.known.institute) as other:
        for ask in (lambda: list(other.events(ended.submission)), lambda: other.graph(ended.submission)):
            with pytest.raises(NotFound):
                ask()
    told = consortium.command("submission", "watch", str(ended.submission), "--json", "--after", str(events[3].number))
    assert told.returncode == 0, told.stderr
    assert [json.loads(line)["number"] for line in told.stdout.splitlines()] == [each.number for each in events[4:]]
    for of in ("times", "steps"):
        drawn = tmp_path / f"{of}.svg"
        told = consortium.command("submission", "picture", str(ended.submission), "--of", of, "--out", str(drawn))
        assert told.returncode == 0, told.stderr
        said = "".join(ElementTree.parse(drawn).getroot().itertext())
        assert "sums" in said
        assert "pool" in said
