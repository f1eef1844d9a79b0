"""Files that somebody else may have put there are read as far as they may go, and never waited for."""

import os
import socket

import pytest

from catalog.error import Damaged
from node.regular import read_regular, require_regular


def test_a_regular_file_is_read_up_to_its_bound(tmp_path):
    """Lost: a file as large as memory, where a few bytes are expected."""
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    assert read_regular(file, 5) == b"12345"
    with pytest.raises(Damaged, match="larger than 4 bytes"):
        read_regular(file, 4)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "none", 4)
    require_regular(tmp_path / "none")


@pytest.mark.parametrize("kind", ["pipe", "link", "device", "folder", "socket"])
def test_what_is_no_file_is_refused_at_once(tmp_path, kind):
    """Lost: whoever checks a folder waits for ever for somebody to write into a pipe, or reads zeros without end."""
    odd = tmp_path / "odd"
    (tmp_path / "file").write_bytes(b"elsewhere")
    with socket.socket(socket.AF_UNIX) as listening:
        match kind:
            case "pipe":
                os.mkfifo(odd)
            case "link":
                odd.symlink_to(tmp_path / "file")
            case "device":
                odd.symlink_to("/dev/zero")
            case "folder":
                odd.mkdir()
            case _:
                listening.bind(str(odd))
        with pytest.raises(Damaged, match="no regular file"):
            read_regular(odd, 100)
        with pytest.raises(Damaged, match="no regular file"):
            require_regular(odd)
