"""The root key on the command line: where its file lies, and its passphrase, which is never an argument."""

from __future__ import annotations

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
        NotFound: no such file. BadInput: it cannot be read, or the passphrase does not open it.
    """
    from node.rootkey import is_loose, read_passphrase, read_root

    path = root_key or session.folder().root_key
    if path.exists() and is_loose(path):
        warn(f"{path} can be read by others, who may guess its passphrase; run: chmod 600 {path}")
    if passphrase_file is not None:
        text = read_passphrase(passphrase_file)
    else:
        text = str(click.prompt(f"Passphrase of {path}", hide_input=True, err=True)).encode()
    with working("unlocking the root key …"):
        return read_root(path, text)


def new_passphrase_of(passphrase_file: Path | None) -> Passphrase:
    """The passphrase for a new root key: from a file, or asked for twice.

    Raises:
        BadInput: too short, or the file cannot be used.
    """
    from node.rootkey import LEAST_PASSPHRASE, Passphrase, read_passphrase

    if passphrase_file is not None:
        return Passphrase(read_passphrase(passphrase_file))
    asked = click.prompt("Passphrase for the root key", hide_input=True, confirmation_prompt=True, err=True)
    if len(str(asked)) < LEAST_PASSPHRASE:
        raise BadInput(f"a passphrase has at least {LEAST_PASSPHRASE} characters; several words are easy to keep")
    return Passphrase(str(asked).encode())
