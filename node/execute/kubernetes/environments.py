"""The image of each environment: made when its first step comes, and put where the cluster's machines have it."""

from __future__ import annotations

from typing import Final

import trio

from node.execute.kubernetes.images import Images
from node.execute.kubernetes.manifest import Image
from node.execute.kubernetes.thread import in_thread
from node.execute.stepimage import step_image, tag_of
from node.execute.tools import supervisor_command
from node.step import Environment

_OWN: Final = ""


class Environments:
    """The images of environments, by what these hold: the layer of the environment, and that of the supervisor."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self._placed: dict[str, Image] = {}
        self._placing: dict[str, trio.Lock] = {}

    async def image(self, environment: Environment | None) -> Image:
        """The image of an environment, or of the node's own, where the cluster has it.

        Raises:
            Denied: this machine does not tell what its Python needs.
            BadInput, Unreachable: what takes images is not there, or refuses.
        """
        key = _OWN if environment is None else str(environment.cid)
        async with self._placing.setdefault(key, trio.Lock()):
            if key not in self._placed:
                self._placed[key] = await in_thread(self._place, environment)
        return self._placed[key]

    def forget(self) -> None:
        """Look again whether they are there: a machine removes what is not used when its disk fills."""
        self._placed.clear()

    def _place(self, environment: Environment | None) -> Image:
        content = step_image(environment)
        return Image(self._images.place(content, tag_of(content)), self._images.pulled, supervisor_command()[:-1])
