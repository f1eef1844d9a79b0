"""The root key on the command line: where its file lies, and its passphrase, which is never an argument."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from catalog.error import BadInput
from cli.output import warn, working
from cli.session import Session

if TYPE_CHECKING:
    from node.keyfile import Identity
    from node.rootkey import Passphrase

F = TypeVar("F", bound=Callable[..., object])

ROOT_KEY = click.option(
    "--root-key",
    type=click.Path(path_type=Path),
    help="The file of the site's root key; keys/root.key in its folder otherwise.",
)
PASSPHRASE_FILE = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    help="A file of mode 0600 with the root key's passphrase; asked for otherwise.",
)


def signs_as_root(verb: F) -> F:
    """Give a verb the options that say where the root key and its passphrase are."""
    return ROOT_KEY(PASSPHRASE_FILE(verb))


def root_of(session: Session, root_key: Path | None, passphrase_file: Path | None) -> Identity:
    """The site's root key, unlocked.

    Raises:
        NotFound: no such file. BadInput: it cannot be read, the passphrase does not open it, or nobody can be asked.
    """
    from node.rootkey import is_loose, read_passphrase, read_root

    path = root_key or session.folder().root_key
    if path.exists() and is_loose(path):
        warn(f"{path} can be read by others, who may guess its passphrase; run: chmod 600 {path}")
    asked = f"Passphrase of {path}"
    text = read_passphrase(passphrase_file) if passphrase_file is not None else _asked(asked).encode()
    with working("unlocking the root key …"):
        return read_root(path, text)


def new_passphrase_of(passphrase_file: Path | None) -> Passphrase:
    """The passphrase for a new root key: from a file, or asked for twice.

    Raises:
        BadInput: too short, the file cannot be used, or nobody can be asked.
    """
    from node.rootkey import LEAST_PASSPHRASE, Passphrase, read_passphrase

    if passphrase_file is not None:
        return Passphrase(read_passphrase(passphrase_file))
    asked = _asked("Passphrase for the root key", again=True)
    if len(asked) < LEAST_PASSPHRASE:
        raise BadInput(f"a passphrase has at least {LEAST_PASSPHRASE} characters; several words are easy to keep")
    return Passphrase(asked.encode())


def _asked(text: str, *, again: bool = False) -> str:
    if not sys.stdin.isatty():
        raise BadInput("a passphrase is asked for at a terminal, and there is none; give --passphrase-file FILE")
    return str(click.prompt(text, hide_input=True, confirmation_prompt=again, err=True))
