"""`comity audit verify` on folders that were made to keep it busy: each check ends, and says which file it was."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from catalog.checkpoint import Checkpoint, sign_checkpoint
from catalog.note import parse_note
from node.config import Folder
from node.keyfile import read_identity
from node.storage.logfolder import CHECKPOINT, COSIGNED, read_note
from node.storage.reopened import FILE as REOPENINGS
from tests.cli.test_offline import account, intent, site

__all__ = ["site"]

MEMORY = 700 << 20
PROCESSOR_SECONDS = 20
"""Many times what a check of such a folder takes; it ends by a signal then."""

SIZE = 10**15


def verify_apart(folder: Path) -> tuple[int, str]:
    """What it ends with, in a process that is given so much memory and time and no more."""

    def bound() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_SECONDS, PROCESSOR_SECONDS))

    ran = subprocess.run(
        [sys.executable, "-m", "cli.main", "audit", "verify", str(folder)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,  # for one that waits and does not work
        preexec_fn=bound,
        check=False,
    )
    return ran.returncode, ran.stdout + ran.stderr


def pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def zeros(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")


def huge(path: Path) -> None:
    path.write_text(path.read_text().replace("\n2\n", f"\n{SIZE}\n"))


def view(path: Path, table: str, columns: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(f"DROP TABLE {table}")
        database.execute(
            f"CREATE VIEW {table} AS WITH RECURSIVE n(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n)"
            f" SELECT {columns} FROM n"
        )


def whole_machine(path: Path) -> None:
    path.rename(path.with_name("away"))
    path.symlink_to("/")


BUNDLE = "logs/audit/tile/entries/000.p/2"
HOSTILE: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "checkpoint a pipe": (f"logs/audit/{CHECKPOINT}", pipe, "no regular file"),
    "checkpoint of zeros": (f"logs/audit/{CHECKPOINT}", zeros, "no regular file"),
    "checkpoint that says much": (f"logs/audit/{CHECKPOINT}", huge, "a signature is not by the key"),
    "own catalog that says much": (f"logs/catalog/{CHECKPOINT}", huge, "the root key enrolled cannot be read"),
    "cosigned a pipe": (f"logs/audit/{COSIGNED}", pipe, "no regular file"),
    "reopenings a pipe": (f"logs/audit/{REOPENINGS}", pipe, "no regular file"),
    "reopenings of zeros": (f"logs/catalog/{REOPENINGS}", zeros, "no regular file"),
    "bundle a pipe": (BUNDLE, pipe, "no regular file"),
    "bundle of zeros": (BUNDLE, zeros, "no regular file"),
    "hash tile a pipe": ("logs/audit/tile/0/000.p/2", pipe, "no regular file"),
    "tiles of the whole machine": ("logs/audit/tile", whole_machine, "it is a link"),
    "settings of zeros": ("site.toml", zeros, "no regular file"),
    "settings a pipe": ("site.toml", pipe, "no regular file"),
    "bodies a pipe": ("logs/audit/bodies.db", pipe, "no regular file"),
    "bodies of zeros": ("logs/audit/bodies.db", zeros, "no regular file"),
    "journal a pipe": ("logs/audit/bodies.db-journal", pipe, "no regular file"),
    "endless bodies": (
        "logs/audit/bodies.db",
        partial(view, table="bodies", columns="n AS leaf, NULL AS salt, NULL AS body"),
        "its «view bodies» is none",
    ),
    "endless cosignatures": (
        "logs/audit/bodies.db",
        partial(view, table="cosigned", columns="n AS size, '' AS note, 0 AS cosigners"),
        "its «view cosigned» is none",
    ),
    "endless bodies of a catalog": (
        "logs/catalog/bodies.db",
        partial(view, table="bodies", columns="n AS leaf, NULL AS salt, NULL AS body"),
        "its «view bodies» is none",
    ),
    "state a pipe": ("state.db", pipe, "no regular file"),
    "state of zeros": ("state.db", zeros, "no regular file"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_folder_made_to_keep_an_auditor_busy_is_done_with(site: Folder, case: str) -> None:
    """Lost: the auditor's time and memory to whoever is audited, and with them the audit."""
    account(site, [("intent", intent()), ("intent", intent(0, b"two"))])
    name, spoil, said = HOSTILE[case]
    spoil(site.path / name)
    code, told = verify_apart(site.path)
    assert code in (2, 5), told
    assert "Traceback" not in told
    assert said in told
    assert "/".join(Path(name).parts[:2]) in told


def test_a_checkpoint_that_its_node_signed_over_more_than_there_is_is_done_with(site: Folder) -> None:
    """Lost: the same, where the signature is true."""
    account(site, [("intent", intent()), ("intent", intent(0, b"two"))])
    path = site.audit / CHECKPOINT
    said = Checkpoint.parse(parse_note(read_note(path)).text)
    path.write_text(sign_checkpoint(Checkpoint(said.origin, SIZE, said.root), read_identity(site.node_key).key))
    code, told = verify_apart(site.path)
    assert code == 5
    assert f"no more was looked for from here on: it says {SIZE:,} leaves" in told
