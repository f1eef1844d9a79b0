"""What a step's container in Docker is asked to be."""

from __future__ import annotations

import os
from pathlib import Path

from node.execute.docker.body import mount_points


def test_a_file_system_is_found_whatever_the_name_of_its_place() -> None:
    """Lost: one that is mounted in a folder of data, whose name is not plain, stays writable to a step there."""
    told = "36 35 98:0 / /data/M\\040{} rw - ext4 /dev/a rw\n37 35 98:1 / /b\\134 rw - ext4 /dev/b rw\n".format(
        "ünchen"
    )
    assert mount_points(told.encode() + b"38 35 98:2 / /c\xff rw - ext4 /dev/c rw\n") == [
        Path("/data/M ünchen"),
        Path("/b\\"),
        Path(os.fsdecode(b"/c\xff")),
    ]
