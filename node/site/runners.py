"""Which runner a site's settings choose. What one needs that others do not is imported when it is chosen."""

from __future__ import annotations

from catalog.error import BadInput
from node.config import Config, Folder
from node.execute.environment.base import Own
from node.execute.sandbox import Sandbox
from node.step import Runner


def runner_of(config: Config, folder: Folder) -> Runner:
    """The runner that ``[steps] runner`` names, of the site in ``folder``.

    Raises:
        BadInput: a package that it needs is not installed.
    """
    if config.steps.runner == "docker":
        return _docker(config)
    return Sandbox(Own(folder.environment))


def _docker(config: Config) -> Runner:
    try:
        from node.execute.docker.runner import Docker
    except ModuleNotFoundError as error:
        raise BadInput(f"[steps] runner is «docker», and {error.name} is missing: install «comity[docker]»") from error
    return Docker(config.runners.docker)
