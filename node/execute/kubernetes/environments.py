"""The image of each environment: made when its first step comes, and put where the cluster's machines have it."""

from __future__ import annotations

from typing import Final

import trio

from node.execute.image import Image as Content
from node.execute.image import Layer, architecture, folder_layer
from node.execute.kubernetes.images import Images
from node.execute.kubernetes.manifest import Image
from node.execute.ownlayer import own_layer
from node.execute.tools import supervisor_command, tools_layer
from node.step import Environment

_OWN: Final = ""
_TAG: Final = 32


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
                self._placed[key] = await trio.to_thread.run_sync(self._place, environment)
        return self._placed[key]

    def forget(self) -> None:
        """Look again whether they are there: a machine removes what is not used when its disk fills."""
        self._placed.clear()

    def _place(self, environment: Environment | None) -> Image:
        content = Content((_layer(environment), tools_layer()), architecture())
        name = self._images.place(content, content.digest.partition(":")[2][:_TAG])
        return Image(name, self._images.pulled, supervisor_command()[:-1])


def _layer(environment: Environment | None) -> Layer:
    return own_layer() if environment is None else folder_layer(environment.folder, environment.links)
