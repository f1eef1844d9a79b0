"""What ``site.toml`` says of the runners that are not of this machine's kernel alone: a section for each."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from catalog.error import BadInput
from node.clustersettings import ClusterSettings, cluster_settings, cluster_toml
from node.sections import section_of

_HOST: Final = re.compile(r"unix:///[^\x00-\x1f\x7f]+\Z")
_RUNTIME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}\Z")


@dataclass(frozen=True, slots=True)
class DockerSettings:
    """The section ``[docker]``: the daemon's socket («unix:///…»), empty for what ``DOCKER_HOST`` names or the usual
    one; and the ``runtime`` in which containers run, empty for the daemon's own.
    """

    host: str = ""
    runtime: str = ""


def docker_settings(table: Mapping[str, object]) -> DockerSettings:
    """The section ``[docker]`` of a file's ``table``; what it does not say is as it is without.

    Raises:
        BadInput: a setting is none, or of no known name; the message names it.
    """
    section = section_of(table, "docker", DockerSettings)
    host, runtime = section.get("host", ""), section.get("runtime", "")
    if host != "" and not (isinstance(host, str) and _HOST.match(host)):
        raise BadInput(
            '[docker] host must be a socket of this machine, such as "unix:///var/run/docker.sock": '
            "a daemon elsewhere would not see what steps read"
        )
    if runtime != "" and not (isinstance(runtime, str) and _RUNTIME.match(runtime)):
        raise BadInput('[docker] runtime must be the name of a runtime that the daemon has, such as "runsc"')
    return DockerSettings(host, runtime)


@dataclass(frozen=True, slots=True)
class RunnerSettings:
    """What each runner needs to know, whichever is chosen."""

    docker: DockerSettings = field(default_factory=DockerSettings)
    kubernetes: ClusterSettings = field(default_factory=ClusterSettings)


def runner_settings(table: Mapping[str, object]) -> RunnerSettings:
    """The sections of all runners in a file's ``table``.

    Raises:
        BadInput: a setting is none, or of no known name; the message names it.
    """
    return RunnerSettings(docker=docker_settings(table), kubernetes=cluster_settings(table))


def runners_toml(settings: RunnerSettings) -> str:
    """The commented sections."""
    return f"{_docker_toml(settings.docker)}\n{cluster_toml(settings.kubernetes)}"


def _docker_toml(settings: DockerSettings) -> str:
    text = '# The Docker daemon on this machine that steps run in, if [steps] runner is "docker".\n'
    if settings == DockerSettings():
        return text + (
            "# [docker]\n"
            '# host = "unix:///run/user/1000/docker.sock"  # else what DOCKER_HOST names, or the usual socket\n'
            '# runtime = "runsc"                           # else the daemon\'s own\n'
        )
    return text + f'[docker]\nhost = {json.dumps(settings.host)}\nruntime = "{settings.runtime}"\n'
