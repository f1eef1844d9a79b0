"""An answer of audit logs at the terminal: what is waited for, what is missing, and the exit code that says so."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from catalog.cid import Cid
from catalog.dagcbor import decode
from cli.main import run
from node.api import schema
from node.api.person import Persons
from node.keyfile import Identity
from node.message import Who
from tests.node.api.double import AWAY
from tests.node.api.serving import Running

DATA = str(Cid.of(b"data"))
CLEAR = "\r\x1b[2K"


@pytest.fixture
def asks(
    running: Running,
    steward: Identity,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> list[str]:
    """The words that ask, as the site's steward, who accessed a dataset."""
    monkeypatch.setenv("COMITY_HOME", str(tmp_path / "home"))
    Persons(tmp_path / "home").add(steward)
    return ["--site", str(running.folder), "--as", "Sister Agnes", "audit", "who", DATA]


def refusing(running: Running, *denied: bool) -> None:
    """The two sites give no answers: they refuse, or are away."""

    async def answers(_person: str, _request: schema.AskWho) -> AsyncGenerator[schema.SiteRows, None]:
        for site, name, refuses in zip(
            (running.site.root.did, AWAY.did), (running.site.name, "Away"), denied, strict=True
        ):
            reason = "no rule here lets you" if refuses else "it does not answer"
            yield schema.SiteRows(site=site, site_name=name, node=None, answer=None, absent=reason, denied=refuses)

    running.site.answers = answers


def test_sites_that_say_the_same_are_told_of_together(
    running: Running, asks: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: one denial, four times, and the reader looks for the difference."""
    refusing(running, True, True)
    assert run(asks) == 3
    assert capsys.readouterr().out.splitlines()[-1] == f"{running.site.name}, Away refused: no rule here lets you"


def test_a_member_that_only_witnesses_logs_is_not_asked(
    running: Running, asks: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: an answer can never be whole where a member has nothing to tell, and refuses to say so."""
    running.site.witnesses = frozenset({AWAY.did})
    real, questions = running.site.answers, list[schema.AskWho]()

    async def answers(person: str, request: schema.AskWho) -> AsyncGenerator[schema.SiteRows, None]:
        questions.append(request)
        async for each in real(person, request):
            if each.site in request.sites:
                yield each

    running.site.answers = answers
    assert run([*asks, "--strict"]) == 0
    assert "1 of 1 site answered." in capsys.readouterr().out
    assert questions[0].sites == (running.site.root.did,)


def test_an_export_says_what_is_not_in_it_and_fails_for_it_when_asked_to(
    running: Running, asks: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: a table that lacks a site's rows is filed as whole, or its lack is told in a programmer's words."""
    table = tmp_path / "rows.csv"
    export = [*asks[:-2], "export", "--csv", str(table), "--who", DATA]
    assert run(export) == 0
    told = capsys.readouterr().out
    assert f"2 rows verified and written to {table}; 1 of 2 sites answered.\n" in told
    assert "Away gave no answer: it does not answer\n" in told
    assert "Absent(" not in told
    assert run([*export, "--strict"]) == 4
    assert "Away gave no answer, so the list may lack rows; ask again later" in capsys.readouterr().err
    assert len(table.read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("denied", "code", "told"),
    [
        ((True, True), 3, "error: no site lets you ask that, so nothing is known: no rule here lets you\n"),
        ((True, False), 4, "error: no site gave an answer, so nothing is known; ask again later\n"),
        ((False, False), 4, "error: no site gave an answer, so nothing is known; ask again later\n"),
    ],
)
def test_a_question_that_all_refuse_is_denied_and_not_one_to_ask_later(
    running: Running,
    asks: list[str],
    capsys: pytest.CaptureFixture[str],
    denied: tuple[bool, bool],
    code: int,
    told: str,
) -> None:
    """Lost: a script that asks again and again what nobody will ever answer."""
    refusing(running, *denied)
    assert run(asks) == code
    shown = capsys.readouterr()
    assert shown.err == told
    who = running.site.name if denied[0] != denied[1] else f"{running.site.name}, Away"
    assert f"\n{who} {'refused' if denied[0] else 'gave no answer'}: " in shown.out


def test_whoever_must_know_all_is_told_whether_it_helps_to_ask_again(
    running: Running, asks: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*asks, "--strict"]) == 4
    assert "Away gave no answer, so the list may lack rows; ask again later" in capsys.readouterr().err
    real = running.site.answers

    async def answers(person: str, request: schema.AskWho) -> AsyncGenerator[schema.SiteRows, None]:
        async for each in real(person, request):
            refuses = each.answer is None
            yield schema.SiteRows(
                site=each.site,
                site_name=each.site_name,
                node=each.node,
                answer=each.answer,
                absent=each.absent,
                denied=refuses,
            )

    running.site.answers = answers
    assert run([*asks, "--strict"]) == 3
    assert "Away refused, so the list may lack rows: it does not answer" in capsys.readouterr().err
    assert run(asks) == 0


def test_whoever_must_know_all_asks_for_all_and_cuts_what_came(
    running: Running, asks: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: rows that a site hides behind one of a false time, though its reader said that none may be missing."""
    real, questions = running.site.answers, list[Who]()

    def answers(person: str, request: schema.AskWho) -> AsyncGenerator[schema.SiteRows, None]:
        questions.append(decode(Who, request.question))
        return real(person, request)

    running.site.answers = answers
    assert run([*asks, "--since", "1h"]) == 0
    assert run([*asks, "--since", "1h", "--strict"]) == 4
    assert run([*asks, "--until", "2001-01-01", "--strict"]) == 4
    assert [each.since > 0 for each in questions] == [True, False, False]
    assert questions[2].until is None
    assert "0 rows, each verified" in capsys.readouterr().out


@pytest.mark.parametrize(("quorum", "below"), [(1, ""), (2, "2 of them stand under checkpoints that fewer members")])
def test_rows_that_fewer_than_the_quorum_have_cosigned_are_told_apart(
    running: Running,
    asks: list[str],
    capsys: pytest.CaptureFixture[str],
    quorum: int,
    below: str,
) -> None:
    """Lost: rows that their site could still take back look like those that it cannot."""
    running.site.quorum = quorum
    assert run(asks) == 0
    shown = capsys.readouterr().out
    assert ("fewer members than the quorum" in shown) is bool(below)
    assert below in shown
    assert shown.count(", 2 needed") == (2 if below else 0)


class Screen(io.StringIO):
    """A terminal, on which both streams are seen."""

    def isatty(self) -> bool:
        return True


def test_at_a_screen_a_line_says_who_still_owes_an_answer(
    running: Running, asks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: twelve seconds in which nobody knows whether anything happens, and of whom it waits."""
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "400")
    assert run(asks) == 0
    shown = screen.getvalue()
    assert shown.startswith(f"{CLEAR}waiting for {running.site.name}, Away …{CLEAR}when ")
    assert f"{CLEAR}waiting for Away …{CLEAR}2 rows, each verified" in shown
    rows = [line for line in shown.splitlines() if "✓" in line]
    assert len(rows) == 2
    assert all("waiting" not in line or line.rpartition(CLEAR)[2].startswith("20") for line in rows), "printed into it"


def test_on_a_narrow_screen_no_line_is_wider_than_it(
    running: Running, asks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", "60")
    assert run(asks) == 0
    lines = [line for line in screen.getvalue().splitlines() if "each verified" not in line]
    assert max(map(len, lines)) <= 60
    assert sum("✓ leaf" in line for line in lines) == 2
    assert sum(line.startswith("  data ") for line in lines) == 2


def test_in_a_pipe_there_is_no_such_line(running: Running, asks: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(asks) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "\x1b" not in shown.out
    assert run([*asks, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["absent"] == [
        {"site": AWAY.did, "site_name": "Away", "reason": "it does not answer", "denied": False}
    ]
