"""What a devnet's sites run steps with, as this terminal's environment has it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from node.runnersettings import DockerSettings, RunnerSettings
from node.stepsettings import StepSettings


@dataclass(frozen=True, slots=True)
class Chosen:
    """The sections of each site's ``site.toml`` that choose its runner."""

    steps: StepSettings = field(default_factory=StepSettings)
    runners: RunnerSettings = field(default_factory=RunnerSettings)


def chosen(runner: str) -> Chosen:
    """Those that choose ``runner``: what a client of Docker would find by ``DOCKER_HOST`` is written down."""
    docker = DockerSettings(host=os.environ.get("DOCKER_HOST", "")) if runner == "docker" else DockerSettings()
    return Chosen(StepSettings(runner=runner), RunnerSettings(docker=docker))
