"""What a devnet's sites run steps with, as a file says; none is made whose sites could run nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog.error import BadInput
from devnet.runner import chosen
from tests.devnet.consortium import comity, processes_of


def test_a_file_says_where_the_cluster_is_and_the_option_which_runner(tmp_path: Path) -> None:
    """Lost: a demonstration that runs in the sandbox, and says that it ran in a cluster."""
    file = tmp_path / "site.toml"
    file.write_text('[steps]\nmost_seconds = 60\nrunner = "docker"\n[kubernetes]\nnamespace = "ours"\n')
    made = chosen("argo", file)
    assert (made.steps.runner, made.steps.most_seconds, made.runners.kubernetes.namespace) == ("argo", 60, "ours")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read: No such file"),
        ("namespace", "are not as in site.toml"),
        ("[kubernetes]\nwhere = 1\n", r"\[kubernetes\] where is no setting"),
        ("[kubrenetes]\n", r"\[kubrenetes\] is no section"),
    ],
)
def test_a_file_that_says_nothing_useful_is_refused(text: str | None, said: str, tmp_path: Path) -> None:
    """Lost: five nodes that start and run nothing, for a word that was misspelt."""
    file = tmp_path / "site.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(BadInput, match=said):
        chosen("kubernetes", file)


@pytest.mark.parametrize("runner", ["kubernetes", "argo"])
@pytest.mark.parametrize("text", [None, '[steps]\nstaging = "/srv/steps"\n'])
def test_a_devnet_is_not_made_for_a_cluster_that_nothing_names(runner: str, text: str | None, tmp_path: Path) -> None:
    """Lost: a devnet that looks well and can run nothing; a word of what it lacks, when it would be made."""
    net, file = tmp_path / "net", tmp_path / "site.toml"
    if text is not None:
        file.write_text(text)
    given = () if text is None else ("--settings", str(file))
    up = comity("devnet", "up", "--runner", runner, *given, environment=_without_runners(net))
    assert (up.returncode, up.stderr.count("\n")) == (2, 1), up.stderr
    assert "--settings FILE or COMITY_RUNNER_SETTINGS" in up.stderr
    assert not net.exists(), "it was refused before anything was made"


def test_a_devnet_whose_docker_does_not_answer_is_taken_away_again(tmp_path: Path) -> None:
    """Lost: who says so. A node without Docker serves, as it should, and runs no step."""
    net = tmp_path / "net"
    environment = _without_runners(net) | {"DOCKER_HOST": f"unix://{tmp_path}/nobody.sock"}
    up = comity("devnet", "up", "--sites", "2", "--runner", "docker", environment=environment)
    assert (up.returncode, up.stderr.count("\n")) == (1, 1), up.stderr
    assert f"Docker does not answer at unix://{tmp_path}/nobody.sock" in up.stderr
    assert not net.exists()
    assert processes_of(net) == []


def _without_runners(net: Path) -> dict[str, str]:
    return {"COMITY_DEVNET": str(net), "COMITY_RUNNER_SETTINGS": "", "DOCKER_HOST": ""}
