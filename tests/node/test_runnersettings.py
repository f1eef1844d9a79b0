"""What ``site.toml`` says of runners: what is written is read, and what cannot be is named with what can."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from catalog.error import BadInput
from node.config import Folder, read_config, site_toml
from node.runnersettings import DockerSettings, RunnerSettings, docker_settings
from node.stepsettings import StepSettings
from tests.node.test_config import config


@pytest.mark.parametrize(
    "docker",
    [DockerSettings(), DockerSettings("unix:///run/user/1000/docker.sock"), DockerSettings(runtime="runsc")],
    ids=["usual", "rootless", "gVisor"],
)
def test_what_is_written_is_read(docker: DockerSettings, tmp_path: Path) -> None:
    """Lost: a site whose steps run elsewhere than its operator said."""
    folder = Folder(tmp_path)
    written = replace(config(), steps=StepSettings(runner="docker"), runners=RunnerSettings(docker=docker))
    folder.config.write_text(site_toml(written))
    read = read_config(folder)
    assert (read.steps.runner, read.runners.docker) == ("docker", docker)


@pytest.mark.parametrize(
    ("section", "named"),
    [
        (5, r"\[docker\] must be a section"),
        ({"hosts": ""}, r"\[docker\] hosts is no setting; it has: host, runtime"),
        ({"host": "tcp://10.0.0.1:2375"}, r"\[docker\] host must be a socket of this machine"),
        ({"host": "unix://relative"}, r"\[docker\] host must be"),
        ({"host": 1}, r"\[docker\] host must be"),
        ({"runtime": "run sc"}, r"\[docker\] runtime must be the name"),
        ({"runtime": ["runsc"]}, r"\[docker\] runtime must be the name"),
    ],
)
def test_a_wrong_setting_is_named(section: object, named: str) -> None:
    """Lost: a daemon on another machine, which would look for patients' data in its own folders."""
    with pytest.raises(BadInput, match=named):
        docker_settings({"docker": section})


def test_a_runner_that_is_not_known_is_named(tmp_path: Path) -> None:
    """Lost: a typing error that runs all steps in the sandbox, or none."""
    folder = Folder(tmp_path)
    folder.config.write_text(site_toml(config()).replace('runner = "sandbox"', 'runner = "dokcer"'))
    with pytest.raises(BadInput, match=r"\[steps\] runner must be one of: sandbox, docker"):
        read_config(folder)
