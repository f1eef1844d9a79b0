"""``comity policy``: the table of cases, what another policy would decide, and failures in the site's status."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from cli.main import run
from node.api import schema
from node.api.person import Persons
from node.config import Folder
from node.keyfile import Identity
from privacy.policy import Policy, decide
from privacy.request import Compute
from tests.cli.test_offline import account, intent, make
from tests.node.api.serving import Running
from tests.privacy.test_policy import COMPUTE, PERMIT

CASES = """\
cases:
  - case: it runs
    asks: compute
    principal: {person: mara, site: institute}
    resource: {Dataset: visits}
    expect: allow
    rules: [yes-rule]
"""


def written(folder: Path, text: str, cases: str | None = CASES) -> Path:
    file = folder / "policy.cedar"
    file.write_text(text)
    if cases is not None:
        (folder / "policy.cases.yaml").write_text(cases)
    return file


def test_check_runs_the_table_beside_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rule = PERMIT.replace("yes", "yes-rule")
    file = written(tmp_path, rule)
    assert run(["policy", "check", str(file)]) == 0
    assert "1 case, each as expected" in capsys.readouterr().out
    written(tmp_path, rule.replace("permit", '@approve("steward") permit'))
    assert run(["policy", "check", str(file)]) == 1
    told = capsys.readouterr()
    assert "it runs" in told.out
    assert f"{tmp_path / 'policy.cases.yaml'}:2" in told.out
    assert "1 of 1 case in" in told.err
    assert run(["policy", "check", str(file), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["cases"], [each["case"] for each in found["failed"]]) == (1, ["it runs"])


def test_check_says_where_a_table_is_wrong_or_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, PERMIT, CASES.replace("site: institute", "sight: institute"))
    assert run(["policy", "check", str(file)]) == 2
    assert "policy.cases.yaml:4:" in capsys.readouterr().err
    assert run(["policy", "check", str(file), "--cases", str(tmp_path / "none.yaml")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    (tmp_path / "policy.cases.yaml").unlink()
    assert run(["policy", "check", str(file)]) == 0


@pytest.mark.parametrize("kind", ["hospital", "registry", "rare-disease", "open-data", "institute"])
def test_each_starter_is_printed_with_its_table_and_passes_it(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["policy", "starter", kind]) == 0
    text = capsys.readouterr().out
    assert run(["policy", "starter", kind, "--cases"]) == 0
    file = written(tmp_path, text, capsys.readouterr().out)
    assert run(["policy", "check", str(file)]) == 0
    assert "each as expected" in capsys.readouterr().out


def recorded(folder: Folder, requests: Sequence[Compute]) -> None:
    """An audit log of what the policy ``PERMIT`` decided of these."""
    policy = Policy.parse(PERMIT, site="St. Anna", version="1")
    lines = []
    for number, request in enumerate(requests):
        decision = decide(policy, request)
        before = number - 1 if number else None
        lines.append(("intent", structs.replace(intent(before, b"%d" % number), decision=decision, shown=decision)))
    account(folder, lines)


def test_diff_compares_what_was_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = Folder(tmp_path / "site")
    make(site)
    recorded(site, [COMPUTE, replace(COMPUTE, granted=False), replace(COMPUTE, project="x" * 2000)])
    old, new = tmp_path / "old.cedar", tmp_path / "new.cedar"
    old.write_text(PERMIT)
    new.write_text(PERMIT.replace(";", " when { context.granted };"))
    words = ["policy", "diff", str(old), str(new), "--folder", str(site.path), "--since", "1970-01-01"]
    capsys.readouterr()
    assert run(words) == 0
    told = capsys.readouterr().out
    assert "1 of 2 recorded decisions would change." in told
    assert "1 decision could not be made anew: the fact «context.project» was shortened" in told
    assert run([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(each["recorded"]["place"], each["after"]["allowed"]) for each in found["changed"]] == [(1, False)]
    assert run(["policy", "diff", str(old), str(new), "--folder", str(site.path)]) == 0
    assert "0 of 0 recorded decisions would change." in capsys.readouterr().out, "older than 90 days"


def test_diff_of_no_sites_folder_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, PERMIT)
    assert run(["policy", "diff", str(file), str(file), "--folder", str(tmp_path)]) == 1
    assert "give the folder of a site" in capsys.readouterr().err


def test_the_status_names_a_rule_that_failed(
    running: Running,
    steward: Identity,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Lost: everything is denied, and the steward does not hear that it is their own policy."""
    monkeypatch.setenv("COMITY_HOME", str(tmp_path / "home"))
    Persons(tmp_path / "home").add(steward)
    running.site.policy_faults = schema.PolicyFaultsView(
        count=3, rules=("r",), action="compute", at=0, reason="rule «r» failed"
    )
    assert run(["--site", str(running.folder), "--as", "Sister Agnes", "site", "status"]) == 0
    shown = capsys.readouterr().out
    assert "POLICY FAULT  3 decisions denied, the last at" in shown
    assert "rule «r» failed" in shown
