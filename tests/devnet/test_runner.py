"""What a devnet's sites run steps with, as a file says."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog.error import BadInput
from devnet.runner import chosen


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
    ],
)
def test_a_file_that_says_nothing_useful_is_refused(text: str | None, said: str, tmp_path: Path) -> None:
    """Lost: five nodes that start and run nothing, for a word that was misspelt."""
    file = tmp_path / "site.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(BadInput, match=said):
        chosen("kubernetes", file)
