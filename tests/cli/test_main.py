"""The command as people meet it: help at once, one line per error, an exit code for each kind, JSON where asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from catalog.error import (
    BadInput,
    ComityError,
    Conflict,
    Denied,
    Infeasible,
    NotFound,
    Unreachable,
    VerificationFailed,
)
from catalog.reading import read_leaf
from cli.main import GROUPS, root, run
from node.api.client import Node
from node.api.person import Persons
from node.keyfile import Identity
from tests.node.api.double import AWAY
from tests.node.api.serving import Running
from workflow.receipt import Form

HEAVY = (
    "trio", "libp2p", "starlette", "hypercorn", "httpx", "nacl", "msgspec", "rich", "cbor2", "cedarpy", "cwl_utils",
    "ssl", "asyncio",
)  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("COMITY_SITE", "COMITY_PERSON", "COMITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COMITY_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def anna(running: Running, steward: Identity, researcher: Identity, home: Path) -> list[str]:
    """The options that name the running site and its steward."""
    for person in (steward, researcher):
        Persons(home).add(person)
    return ["--site", str(running.folder), "--as", "Sister Agnes"]


def verbs(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        if isinstance(command, click.Group):
            yield from verbs(command, (*path, name))
        else:
            yield (*path, name), command


def test_help_comes_without_importing_what_a_node_needs() -> None:
    """`comity --help` has to answer within 150 ms: one import at the top of a module can spoil that."""
    code = (
        "import sys; from cli.main import run; run(['--help']); "
        f"print(*sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stderr.strip() == ""
    assert all(group in ran.stdout for group in GROUPS)


def test_a_verb_that_asks_a_node_imports_nothing_of_a_node() -> None:
    code = (
        "import sys; from cli.main import run; run(['--site', '/nowhere', 'dataset', 'list']); "
        f"print(*sorted(set({('trio', 'libp2p', 'starlette', 'cwl_utils', 'cedarpy')!r}) & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""


def test_every_verb_and_every_option_says_what_it_does() -> None:
    found = dict(verbs(root))
    assert len(found) > 40
    for path, command in found.items():
        assert command.help, path
        assert command.get_short_help_str(200).endswith((".", "…")), path
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, (path, parameter.name)
        assert any(parameter.opts == ["--json"] for parameter in command.params), path


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ComityError("x"), 1),
        (BadInput("x"), 2),
        (Denied("x"), 3),
        (Unreachable("x"), 4),
        (VerificationFailed("x"), 5),
        (Infeasible("x"), 6),
        (NotFound("x"), 1),
        (Conflict("x"), 1),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_each_error_has_its_exit_code_and_one_line(
    running: Running,
    anna: list[str],
    capsys: pytest.CaptureFixture[str],
    error: ComityError,
    code: int,
    as_json: bool,
) -> None:
    running.site.fault = type(error)("it did\nnot work \x1b[31m")
    assert run([*anna, "dataset", "list", *(["--json"] if as_json else [])]) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert "\x1b" not in told.err
    if as_json:
        view = json.loads(told.err)
        assert view["kind"] == type(error).__name__
        assert view["message"].startswith("it did not work")
    else:
        assert told.err.startswith("error: it did not work")


def test_a_group_without_a_verb_shows_its_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: whoever looks for a verb reads the help folded into one line, as an error."""
    assert run(["disclosure"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert [line.split()[0] for line in shown.err.splitlines() if line.strip().startswith("ledger")] == ["ledger"]
    assert run(["--json", "disclosure"]) == 2
    assert json.loads(capsys.readouterr().err)["message"] == "say what to do: a verb is missing"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["dataset", "nothing"],
        ["dataset", "add"],
        ["dataset", "list"],
        ["workflow", "plan", "x.cwl", "--project", "p", "--deadline", "soon", "--budget", "1"],
        ["workflow", "plan", "x.cwl", "--project", "p", "--deadline", "1h", "--budget", "two"],
        ["workflow", "plan", "x.cwl", "--project", "p", "--deadline", "1h", "--budget", "-1"],
        ["workflow", "plan", "x.cwl", "--project", "p", "--deadline", "1h", "--budget", "1", "--min-sites", "0"],
        ["workflow", "plan", "x.cwl", "--project", "p", "--deadline", "1h", "--budget", "1", "--objective", "speed"],
        ["workflow", "plan", "x.cwl", "--project", "p", "--deadline", "1h", "--budget", "1", "--improve", "601"],
        ["--site", "http://example.org", "site", "status"],
        ["--site", "http://127.0.0.1:1", "site", "run"],
        ["site", "init", "x", "--name", "X", "--api-port", "4101"],
        ["policy", "check", "/nowhere"],
        ["completion", "tcsh"],
        ["consortium", "new", "c", "--sites", "1"],
    ],
)
def test_wrong_use_is_told_in_a_line_and_ends_with_2(
    running: Running, arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if arguments[0] == "workflow":
        monkeypatch.setenv("COMITY_SITE", str(running.folder))
    assert run(arguments) == 2
    told = capsys.readouterr()
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1


def test_no_node_ends_with_4_and_says_how_to_start_one(
    running: Running, anna: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    running.stop()
    assert run([*anna, "site", "status"]) == 4
    assert f"comity site run {running.folder}" in capsys.readouterr().err


def test_an_interruption_ends_with_130(anna: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("node.api.connection.Connection.ask", interrupted)
    assert run([*anna, "dataset", "list"]) == 130


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> object:
    assert run([*arguments, "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def test_the_working_day_of_a_steward_and_a_researcher(
    anna: list[str], running: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each verb once, in JSON, against a real server: what a script relies on."""
    mara = [*anna[:2], "--as", "Mara"]
    data = answer(capsys, *anna, "dataset", "add", "/data/table.csv", "--name", "Table")
    assert isinstance(data, dict)
    assert answer(capsys, *anna, "project", "new", "pooling", "--person", "Mara", "--purpose", "DUO:0000006",
                  "--dataset", "Table", "--until", "30d")  # fmt: skip
    tool = tmp_path / "tool"
    tool.mkdir()
    (tool / "tool.cwl").write_text("class: CommandLineTool\n")
    block = answer(capsys, *mara, "block", "add", str(tool), "--name", "count")
    assert isinstance(block, dict)
    assert answer(capsys, *mara, "block", "share", "count", "--with", "Away")
    assert answer(capsys, *anna, "block", "endorse", "count", "--type", "statistics")
    assert answer(
        capsys, *anna, "grant", "issue", "Mara", "--project", "pooling", "--dataset", "Table", "--until", "7d"
    )
    assert answer(capsys, *anna, "offer", "set", "--price", "0.10")
    policy = tmp_path / "policy.cedar"
    policy.write_text("")
    assert answer(capsys, *anna, "policy", "set", str(policy))
    assert run([*anna, "policy", "show"]) == 0
    assert "nothing is permitted" in capsys.readouterr().out
    workflow = tmp_path / "flow.cwl"
    workflow.write_text("class: Workflow\n")
    asked = [str(workflow), "--data", "table=Table", "--value", "n=3", "--project", "pooling", "--deadline", "10m",
             "--budget", "2.50"]  # fmt: skip
    plan = answer(capsys, *mara, "workflow", "plan", *asked)
    assert isinstance(plan, dict)
    assert plan["budget"] == 2_500_000
    submitted = answer(capsys, *mara, "workflow", "submit", *asked)
    assert isinstance(submitted, dict)
    cid = submitted["submission"]
    out = tmp_path / "out.csv"
    answer(capsys, *mara, "submission", "result", cid, "--out", str(out))
    assert out.read_bytes() == b"a,b\n1,2\n"
    assert run([*mara, "submission", "result", cid, "--out", str(out)]) == 2
    capsys.readouterr()
    assert run([*mara, "submission", "watch", cid, "--json", "--after", "1"]) == 0
    assert [json.loads(line)["number"] for line in capsys.readouterr().out.splitlines()] == [2, 3, 4]
    assert run([*mara, "submission", "picture", cid, "--json"]) == 2
    capsys.readouterr()
    who = answer(capsys, *mara, "audit", "who", "Table")
    assert isinstance(who, dict)
    assert [row["kind"] for row in who["rows"]] == ["intent", "result"]
    assert [each["site"] for each in who["absent"]] == [AWAY.did]
    running.site.results, running.site.forms = {"n": b"[1.5,null]"}, {"n": Form.VALUE}
    value = {"name": "n", "form": "value", "value": [1.5, None]}
    assert answer(capsys, *mara, "submission", "result", cid) == value
    shown = answer(capsys, *mara, "submission", "show", cid)
    assert isinstance(shown, dict)
    assert [each["form"] for each in shown["results"]] == ["value"]
    saved = answer(capsys, *mara, "submission", "result", cid, "--out", str(tmp_path / "n.json"))
    assert isinstance(saved, dict)
    assert (saved["form"], (tmp_path / "n.json").read_bytes()) == ("value", b"[1.5,null]")
    for arguments in (
        ["dataset", "list"], ["dataset", "show", "Table"], ["project", "list"], ["project", "show", "pooling"],
        ["block", "list"], ["block", "show", "count"], ["block", "show", block["cid"]], ["grant", "list"],
        ["offer", "show"], ["catalog", "search", "tab"], ["catalog", "log"], ["submission", "list"],
        ["submission", "show", cid], ["person", "list"], ["person", "list", "--enrolled"], ["site", "status"],
        ["consortium", "members"], ["workflow", "plan", *asked], ["audit", "who", "Table"],
        ["workflow", "submit", *asked, "--wait"], ["submission", "watch", cid], ["submission", "result", cid],
        ["submission", "picture", cid], ["submission", "picture", cid, "--of", "steps"],
    ):  # fmt: skip
        if arguments[1] not in ("result", "watch", "picture"):
            assert answer(capsys, *mara, *arguments), arguments
        assert run([*mara, *arguments]) == 0, capsys.readouterr().err
        assert capsys.readouterr().out.strip(), arguments


def test_site_and_person_may_stand_after_the_verb(anna: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert anna[0] == "--site"
    assert run(["dataset", "list", *anna]) == 0, capsys.readouterr().err


def test_a_submission_that_was_denied_ends_with_3(
    anna: list[str], running: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run([*anna, "dataset", "add", "/data/table.csv", "--name", "Table"])
    run([*anna, "project", "new", "pooling", "--person", "Mara", "--purpose", "DUO:0000006", "--until", "30d"])
    workflow = tmp_path / "flow.cwl"
    workflow.write_text("class: Workflow\n")
    running.site.state = "denied"
    asked = ["--data", "t=Table", "--project", "pooling", "--deadline", "10m", "--budget", "1", "--wait"]
    capsys.readouterr()
    assert run([*anna[:2], "--as", "Mara", "workflow", "submit", str(workflow), *asked]) == 3
    told = capsys.readouterr()
    assert "no-export" in told.err
    assert "St. Anna" in told.out
    assert "next: comity submission retry bafy" in told.out


def test_whoever_stops_waiting_for_a_submission_is_told_that_it_goes_on(
    anna: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: a researcher believes that Ctrl-C ended the computation, and submits it again."""
    run([*anna, "dataset", "add", "/data/table.csv", "--name", "Table"])
    run([*anna, "project", "new", "pooling", "--person", "Mara", "--purpose", "DUO:0000006", "--until", "30d"])
    workflow = tmp_path / "flow.cwl"
    workflow.write_text("class: Workflow\n")
    asked = ["--data", "t=Table", "--project", "pooling", "--deadline", "10m", "--budget", "1", "--wait"]
    mara = [*anna[:2], "--as", "Mara"]

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Node, "wait", stopped)
    monkeypatch.setattr(Node, "run", stopped)
    for verb in (["workflow", "submit", str(workflow), *asked], ["submission", "watch", "bafy"]):
        capsys.readouterr()
        assert run([*mara, *verb]) == 130
        told = capsys.readouterr().err
        assert told.startswith("error: interrupted; the node carries on with it; look again with: comity submission wa")
        assert told.count("\n") == 1


def test_audit_who_names_who_is_away_and_fails_for_it_when_asked_to(
    anna: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run([*anna, "dataset", "add", "/data/table.csv", "--name", "Table"])
    capsys.readouterr()
    assert run([*anna, "audit", "who", "Table"]) == 0
    told = capsys.readouterr().out
    assert "Away gave no answer: it does not answer" in told
    assert "✓ leaf 0 of 5, 1 cosigned" in told
    assert run([*anna, "audit", "who", "Table", "--strict"]) == 4
    assert "Away gave no answer" in capsys.readouterr().err


def test_a_person_is_made_shown_and_enrolled_from_a_card(
    anna: list[str], running: Running, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["person", "new", "Jo O'Neil"]) == 0
    key = Persons(home).path("Jo O'Neil")
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.parent.stat().st_mode & 0o777 == 0o700
    assert run(["person", "new", "Jo O'Neil"]) == 1
    card = tmp_path / "jo.card"
    assert run(["person", "show", "Jo O'Neil", "--out", str(card)]) == 0
    assert run([*anna, "person", "enrol", str(card), "--role", "auditor"]) == 0
    told = capsys.readouterr()
    secret = key.read_text().split('ed25519 = "')[1].partition('"')[0]
    assert secret not in told.out + told.err + card.read_text()
    assert running.site.bodies[-1].fields["role"] == "auditor"


def test_what_other_sites_wrote_cannot_steer_the_terminal(
    anna: list[str], running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    run([*anna, "dataset", "add", "/data", "--name", "Table", "--description", "a\x1b]0;owned\x07\nb"])
    capsys.readouterr()
    run([*anna, "dataset", "show", "Table"])
    told = capsys.readouterr().out
    assert "owned" in told
    assert "\x1b" not in told
    assert "\x07" not in told


def test_what_does_not_count_in_a_catalog_is_listed_with_its_place(
    anna: list[str], running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: an entry that nobody reads stands in a log, and no command shows it."""
    assert run([*anna, "catalog", "log", "--json"]) == 0
    before = json.loads(capsys.readouterr().out)
    assert (before["faults"], before["faulty"]) == ([], 0)
    index = running.site.index
    place = index.size
    index.take(read_leaf(f"{running.site.root.did}/catalog/0", place, b"no leaf", b""))
    assert run([*anna, "catalog", "log"]) == 0
    told = capsys.readouterr().out
    assert "why it does not count" in told
    assert f"{place}" in told
    assert "every leaf has 120" in told
    assert "1 entry that does not count" in told
    assert run([*anna, "catalog", "log", "--json"]) == 0
    after = json.loads(capsys.readouterr().out)
    assert after["entries"] == before["entries"]
    assert ([each["index"] for each in after["faults"]], after["faulty"]) == ([place], 1)


def test_the_catalog_of_a_member_is_listed_by_its_name(
    anna: list[str], running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: the member's name is taken for the site's folder."""
    assert run([*anna, "catalog", "log", "--of", running.site.name]) == 0
    assert "entries" in capsys.readouterr().out


def test_a_halt_says_what_is_halted_and_how_it_goes_on(
    anna: list[str], running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: what is printed does not work, in a bad hour."""
    name = running.site.name
    assert run([*anna, "site", "halt", "why"]) == 0
    assert run([*anna, "site", "halt", "why", "--member", name]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "The site is halted (audit row 7). To go on: comity site resume",
        f"What concerns {name} is halted (audit row 7). To go on: comity site resume --member '{name}'",
    ]


def test_a_policy_is_checked_without_a_node(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "policy.cedar"
    file.write_text("permit(principal, action, resource)")
    assert run(["policy", "check", str(file)]) == 2
    assert f"{file}:" in capsys.readouterr().err
    file.write_text("")
    assert run(["policy", "check", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rules"] == []


def test_a_workflow_is_checked_without_a_node(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "tool.cwl"
    file.write_text("cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: [true]\ninputs: {}\noutputs: {}\n")
    assert run(["workflow", "check", str(file)]) == 2
    assert f"{file}:3" in capsys.readouterr().err
    file.write_text(file.read_text().replace("[true]", "echo"))
    assert run(["workflow", "check", str(file)]) == 0
    assert "CommandLineTool, no fault" in capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_each_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "_COMITY_COMPLETE" in script
    assert answer(capsys, "completion", shell) == {"shell": shell, "script": script.removesuffix("\n")}


@pytest.mark.parametrize("words", ["comity --as Sis", "comity dataset list --as Sis"])
def test_completion_knows_the_people_whose_keys_lie_here(anna: list[str], words: str) -> None:
    """Lost: whoever acts for several people types their names, and signs as the wrong one."""
    assert anna
    given = words.split()
    environment = {"_COMITY_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(given) - 1)}
    told = subprocess.run(
        [sys.executable, "-c", "from cli.main import root; root.main(prog_name='comity')"],
        env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.stdout.splitlines() == ["plain,Sister Agnes"], told.stderr


@pytest.mark.parametrize(
    ("words", "known"),
    [
        ("dataset show Ta", ["Table"]),
        ("grant issue Mara --dataset T", ["Table"]),
        ("audit who X", []),
        ("project show poo", ["pooling"]),
        ("--site nowhere dataset show Ta", []),
    ],
)
def test_completion_knows_what_the_node_knows_by_name(
    words: str, known: list[str], anna: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: names are typed, or sixty letters of a CID; or Tab prints an error where no node runs."""
    run([*anna, "dataset", "add", "/data/table.csv", "--name", "Table"])
    run([*anna, "project", "new", "pooling", "--person", "Mara", "--purpose", "DUO:0000006", "--until", "30d"])
    monkeypatch.setenv("COMITY_SITE", anna[1])
    monkeypatch.setenv("COMITY_PERSON", anna[3])
    *given, begun = words.split()
    found = ShellComplete(root, {}, "comity", "_COMITY_COMPLETE").get_completions(given, begun)
    assert [each.value for each in found] == known


def test_the_invitation_is_a_secret_file(anna: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "invite"
    assert run([*anna, "consortium", "invite", "--out", str(out)]) == 0
    assert out.read_bytes() == b"an invitation"
    assert out.stat().st_mode & 0o777 == 0o600
    assert run([*anna, "consortium", "invite", "--out", str(out)]) == 2
    assert "an invitation" not in capsys.readouterr().out


def test_a_submission_is_paused_resumed_and_submitted_once_more(
    anna: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: a verb that says that it paused, and did not; or a retry whose CID nobody is told."""
    run([*anna, "dataset", "add", "/data/table.csv", "--name", "Table"])
    run([*anna, "project", "new", "pooling", "--person", "Mara", "--purpose", "DUO:0000006", "--until", "30d"])
    workflow = tmp_path / "flow.cwl"
    workflow.write_text("class: Workflow\n")
    asked = ["--data", "t=Table", "--project", "pooling", "--deadline", "10m", "--budget", "1"]
    mara = [*anna[:2], "--as", "Mara"]
    capsys.readouterr()
    submitted = answer(capsys, *mara, "workflow", "submit", str(workflow), *asked)
    assert isinstance(submitted, dict)
    for verb, state in (("pause", "paused"), ("resume", "running")):
        told = answer(capsys, *mara, "submission", verb, submitted["submission"])
        assert isinstance(told, dict)
        assert told["state"] == state
    assert run([*mara, "submission", "pause", submitted["submission"]]) == 0
    assert f"next: comity submission resume {submitted['submission']}" in capsys.readouterr().out
    again = answer(capsys, *mara, "submission", "retry", submitted["submission"], "--budget", "2")
    assert isinstance(again, dict)
    assert again["submission"] != submitted["submission"]
    for verb in ("pause", "resume", "retry"):
        assert run([*mara, "submission", verb, "nonsense"]) == 1


def test_a_submission_is_cancelled_and_shown_as_it_stands(
    anna: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: a command that ends nothing, or that says nothing of what it ended."""
    run([*anna, "dataset", "add", "/data/table.csv", "--name", "Table"])
    run([*anna, "project", "new", "pooling", "--person", "Mara", "--purpose", "DUO:0000006", "--until", "30d"])
    workflow = tmp_path / "flow.cwl"
    workflow.write_text("class: Workflow\n")
    asked = ["--data", "t=Table", "--project", "pooling", "--deadline", "10m", "--budget", "1"]
    mara = [*anna[:2], "--as", "Mara"]
    capsys.readouterr()
    submitted = answer(capsys, *mara, "workflow", "submit", str(workflow), *asked)
    assert isinstance(submitted, dict)
    ended = answer(capsys, *mara, "submission", "cancel", submitted["submission"])
    assert isinstance(ended, dict)
    assert ended["state"] == "cancelled"
    assert run([*mara, "submission", "cancel", submitted["submission"]]) == 0
    assert "cancelled" in capsys.readouterr().out
    assert run([*mara, "submission", "watch", submitted["submission"]]) != 0
    assert run([*mara, "submission", "cancel", "nonsense"]) == 1


def test_a_value_is_shown_as_it_is_and_steers_no_terminal(
    anna: list[str], running: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: a number as a file to open; or a text that a step made writes over what a terminal shows."""
    run([*anna, "dataset", "add", "/data/table.csv", "--name", "Table"])
    run([*anna, "project", "new", "pooling", "--person", "Mara", "--purpose", "DUO:0000006", "--until", "30d"])
    workflow = tmp_path / "flow.cwl"
    workflow.write_text("class: Workflow\n")
    asked = [str(workflow), "--data", "table=Table", "--project", "pooling", "--deadline", "10m", "--budget", "2"]
    mara = [*anna[:2], "--as", "Mara"]
    capsys.readouterr()
    submitted = answer(capsys, *mara, "workflow", "submit", *asked)
    assert isinstance(submitted, dict)
    for data, told in ((b"7", "7"), (b'"a\\u001b[2Jb"', "a"), (b'{"b":[1]}', '"b": ['), (b'"two words"', "two words")):
        running.site.results, running.site.forms = {"made": data}, {"made": Form.VALUE}
        assert run([*mara, "submission", "result", submitted["submission"]]) == 0
        shown = capsys.readouterr().out
        assert told in shown
        assert "\x1b" not in shown
    running.site.forms = {"made": Form.FOLDER}
    assert run([*mara, "submission", "result", submitted["submission"]]) == 2
    assert "--out FOLDER" in capsys.readouterr().err
