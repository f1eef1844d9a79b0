"""``comity approval``: a steward reads what is asked, in full, and answers; what others wrote steers no terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec import structs

from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.project import ProjectRef
from cli.main import run
from node.api.inquiries import InquiryView
from node.api.person import Persons
from node.keyfile import Identity
from tests.node.api.serving import Running
from workflow.argument import Data, Literal
from workflow.inquiry import Inquiry
from workflow.order import Wanted

LATER = 4_000_000_000_000


@pytest.fixture
def anna(running: Running, steward: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The options that name the running site and its steward."""
    monkeypatch.setenv("COMITY_HOME", str(tmp_path / "home"))
    Persons(tmp_path / "home").add(steward)
    running.site.asked = (asked(running), asked(running, Cid.of(b"a value")))
    return ["--site", str(running.folder), "--as", "Sister Agnes"]


def asked(running: Running, value: Cid | None = None) -> InquiryView:
    """Mara asks whether a block may count, or whether the count may leave."""
    root, mara, data = running.site.root.did, running.site.researcher.did, Cid.of(b"visits")
    inquiry = Inquiry(
        person=mara,
        home=root,
        project=ProjectRef(site=root, name="trial"),
        purpose="DUO:0000006",
        block=Cid.of(b"block"),
        inputs={"table": Data(site=root, cid=data, name="table.csv"), "least": Literal(json="5")},
        outputs={"result": Wanted(type="statistics", readers=(root,))},
        value=value,
    )
    return InquiryView(
        cid=cid_of(inquiry),
        inquiry=inquiry,
        person_name="Mara \x1b[31m",
        home_name="Institute",
        block_name="count",
        step="count[0]",
        datasets={str(data): "visits"},
        readers={root: "Institute"},
        reason="rule «granted-compute» asks that a steward approves it",
        asked_at=1_700_000_000_000,
        not_after=LATER,
        stewards=2,
        granted=(),
        refused="",
        waits=True,
        name="result.csv" if value else "",
        size=17 if value else None,
    )


def test_the_queue_is_a_table_whose_rows_say_who_may_do_what_with_which_data(
    running: Running, anna: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: a steward cannot see at a glance what waits for them, or a name moves their cursor."""
    assert run([*anna, "approval", "list"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    rows = shown.splitlines()[1:]
    assert ["run count" in rows[0], "let out statistics of count" in rows[1]] == [True, True]
    assert all("visits" in row and "0 of 2" in row for row in rows)
    assert run([*anna, "approval", "list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [each["inquiry"]["value"] is None for each in told] == [True, False]
    running.site.asked = ()
    assert run([*anna, "approval", "list"]) == 0
    assert capsys.readouterr().out == "nothing is asked\n"


def test_of_a_value_that_lies_elsewhere_it_is_said_why_there_is_no_preview(
    running: Running, anna: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: a steward looks for a value that nobody here may see, or takes another site's word for a check of ours."""
    check = "made at Nordstad, which says of it: «statistics, groups of 10 or more»"
    question = structs.replace(asked(running, Cid.of(b"a value")), name="", size=None, check=check)
    running.site.asked = (question,)
    assert run([*anna, "approval", "give", str(question.cid), "--yes"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "value not here: another site made it of several owners' data" in shown
    assert check in shown


def test_what_is_answered_is_listed_where_it_is_asked_for_and_a_later_yes_says_what_it_does(
    running: Running, anna: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: a steward looks for work where there is none, or takes it that a yes after a no lets something out."""
    answered = structs.replace(asked(running), waits=False, refused="too small")
    running.site.asked = (answered,)
    assert run([*anna, "approval", "list"]) == 0
    assert capsys.readouterr().out == "nothing is asked\n"
    assert run([*anna, "approval", "list", "--all"]) == 0
    assert "refused" in capsys.readouterr().out
    assert run([*anna, "approval", "give", str(answered.cid), "--yes"]) == 0
    assert "Nothing waits for it any more" in capsys.readouterr().out


def test_an_answer_is_signed_for_the_very_question_that_was_shown(
    running: Running, anna: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: a yes for one thing lets in another; or the steward agrees to what they never read."""
    first, second = (each.cid for each in running.site.asked)
    assert run([*anna, "approval", "give", str(first)[-8:], "--yes", "--reason", "counts alone"]) == 0
    shown = capsys.readouterr().out
    for part in (
        "may this step run here?",
        "Institute",
        "trial, for DUO:0000006",
        "least = 5",
        "visits",
        "1 more steward",
    ):
        assert part in shown
    assert run([*anna, "approval", "refuse", str(second), "--yes", "--reason", "too small"]) == 0
    assert "may this value leave?" in capsys.readouterr().out
    assert running.site.calls[-2:] == [f"yes {first} counts alone", f"no {second} too small"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("give", "…"), "nothing of the name"),
        (("give", "a"), "nothing of the name"),
        (("refuse", "CID", "--yes"), "Missing option '--reason'"),
        (("give", "CID"), "give --yes"),
        (("give", "CID", "--yes", "--until", "yesterday"), "yesterday"),
    ],
)
def test_what_is_no_answer_is_one_line_and_changes_nothing(
    running: Running, anna: list[str], capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    """Lost: a slip of the hand is a yes."""
    given = [str(running.site.asked[0].cid) if word == "CID" else word for word in words]
    assert run([*anna, "approval", *given]) != 0
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert running.site.calls == []


def test_two_questions_that_end_alike_are_told_apart(
    running: Running, anna: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: eight characters decide by chance which question is answered."""
    twin = running.site.asked[0]
    running.site.asked = (twin, structs.replace(twin, step="count[1]"))
    assert run([*anna, "approval", "give", str(twin.cid)[-8:], "--yes"]) != 0
    assert "give more of it" in capsys.readouterr().err
