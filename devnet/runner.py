"""What a devnet's sites run steps with: as a file says, or this terminal's environment."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from catalog.error import BadInput
from node.clustersettings import ClusterSettings
from node.config import check_known
from node.runnersettings import DockerSettings, RunnerSettings, runner_settings
from node.stepsettings import StepSettings, step_settings

_CLUSTERED: Final = ("kubernetes", "argo")


@dataclass(frozen=True, slots=True)
class Chosen:
    """The sections of each site's ``site.toml`` that choose its runner."""

    steps: StepSettings = field(default_factory=StepSettings)
    runners: RunnerSettings = field(default_factory=RunnerSettings)


def chosen(runner: str, settings: Path | None = None) -> Chosen:
    """Those that choose ``runner``, with the sections of the file ``settings``, as ``site.toml`` has them.

    Without a file, what a client of Docker would find by ``DOCKER_HOST`` is written down.

    Raises:
        BadInput: the file cannot be read, a setting in it is none, or nothing says which cluster.
    """
    made = _written(runner, settings)
    if runner in _CLUSTERED and made.runners.kubernetes == ClusterSettings():
        raise BadInput(
            f"nothing says in which cluster steps run: «comity site deploy {runner}» makes a place for them; give the"
            " section [kubernetes] of site.toml in a file, with --settings FILE or COMITY_RUNNER_SETTINGS"
        )
    return made


def _written(runner: str, settings: Path | None) -> Chosen:
    if settings is None:
        docker = DockerSettings(host=os.environ.get("DOCKER_HOST", "")) if runner == "docker" else DockerSettings()
        return Chosen(StepSettings(runner=runner), RunnerSettings(docker=docker))
    try:
        table = tomllib.loads(settings.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"the settings in {settings} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BadInput(f"the settings in {settings} are not as in site.toml: {error}") from error
    check_known(table)
    return Chosen(replace(step_settings(table), runner=runner), runner_settings(table))
