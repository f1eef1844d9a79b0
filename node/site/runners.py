"""Which runner a site's settings choose. What one needs that others do not is imported when it is chosen."""

from __future__ import annotations

from hashlib import sha256

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
    if config.steps.runner in ("kubernetes", "argo"):
        return _cluster(config, folder)
    return Sandbox(Own(folder.environment))


def _docker(config: Config) -> Runner:
    try:
        from node.execute.docker.runner import Docker
    except ModuleNotFoundError as error:
        raise BadInput(f"[steps] runner is «docker», and {error.name} is missing: install «comity[docker]»") from error
    return Docker(config.runners.docker)


def _cluster(config: Config, folder: Folder) -> Runner:
    name = config.steps.runner
    try:
        from node.execute.argo.runner import Argo
        from node.execute.kubernetes.runner import Kubernetes
    except ModuleNotFoundError as error:
        raise BadInput(
            f"[steps] runner is «{name}», and {error.name} is missing: install «comity[kubernetes]»"
        ) from error
    runner = Argo if name == "argo" else Kubernetes
    return runner(config.runners.kubernetes, config.steps.staging or folder.path, _owner(config))


def _owner(config: Config) -> str:
    """What a site's node is called in a cluster, where others may be too."""
    return sha256(config.root.encode()).hexdigest()[:32]
