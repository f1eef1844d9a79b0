"""The key of a private swarm of IPFS, in the file format of Kubo (``/key/swarm/psk/1.0.0/``): 32 bytes in base16.

Whoever has it can connect to the swarm, and nobody else can. It encrypts nothing that is not open to all who have it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from nacl.utils import random

from catalog.error import BadInput, NotFound
from node.keyfile import read_secret, write_secret

_HEAD: Final = b"/key/swarm/psk/1.0.0/\n/base16/\n"
_FORM: Final = re.compile(re.escape(_HEAD) + rb"[0-9a-fA-F]{64}\n?")


def new_swarm_key(path: Path) -> None:
    """Write a new key to ``path``, mode 0600.

    Raises:
        Conflict: there is a file already, which is left as it is.
    """
    write_secret(path, _HEAD + random(32).hex().encode() + b"\n")


def read_swarm_key(path: Path) -> bytes:
    """The bytes of a key file.

    Raises:
        NotFound: there is none. BadInput: others may read it, or it is none.
    """
    data = read_secret(path)
    if not _FORM.fullmatch(data):
        raise BadInput(f"{path} is no key of a swarm; take the file that «comity consortium swarm-key» made")
    return data


def take_swarm_key(source: Path, target: Path) -> None:
    """Put the key in the file ``source`` in the place of the one at ``target``, which need not be there; mode 0600.

    Raises:
        NotFound, BadInput: as for :func:`read_swarm_key`; what was there stays.
    """
    try:
        data = read_swarm_key(source)
    except NotFound as error:
        raise NotFound(f"there is no {source}; make one with: comity consortium swarm-key --new {source}") from error
    aside = target.with_name(target.name + ".new")
    aside.unlink(missing_ok=True)
    write_secret(aside, data)
    aside.replace(target)
