"""The image in which a step's container starts: the supervisor, and over it the environment that the step finds."""

from __future__ import annotations

from typing import Final

from node.execute.image import Image, folder_layer
from node.execute.machine import architecture
from node.execute.ownlayer import own_layer
from node.execute.root import ITS_OWN
from node.execute.tools import tools_layer
from node.step import Environment

_TAG: Final = 32


def step_image(environment: Environment | None) -> Image:
    """The image for an environment, or for this site's own. Blocking; the first time all of it is read.

    Raises:
        Denied: this machine does not tell what its Python needs.
    """
    layer = folder_layer(environment.folder, environment.links, ITS_OWN) if environment else own_layer()
    return Image((tools_layer(), layer), architecture())


def tag_of(image: Image) -> str:
    """What an image is called by what is in it."""
    return image.digest.partition(":")[2][:_TAG]
