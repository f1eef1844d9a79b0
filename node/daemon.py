"""The node's process: one per site folder, from the lock to the last file closed."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

import trio

from catalog.error import BadInput, ComityError, Conflict
from node.api.server import serve_api
from node.config import Folder, read_config
from node.site.service import SiteService
from node.site.site import Site

if TYPE_CHECKING:
    # libp2p brings trio-typing, whose stubs hide trio's own types from mypy, TaskStatus among them.
    from trio_typing import TaskStatus

log = logging.getLogger("comity")


def run(folder: Folder) -> int:
    """Run the node of ``folder`` until it is told to stop (SIGINT, SIGTERM); its exit code.

    Raises:
        NotFound: no site there. Conflict: a node runs on it, or a port is in use. VerificationFailed: damaged.
        BadInput: a key, the token or a setting that cannot be used as it is.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    log.setLevel(logging.INFO)
    folder = Folder(folder.path.absolute())  # sandboxes mount what lies in it, whatever folder they start from
    read_config(folder)
    with _held(folder):
        return trio.run(partial(_serve, folder))


@contextmanager
def _held(folder: Folder) -> Iterator[None]:
    """Hold the folder for this process; the kernel lets go of it however the process ends.

    Raises:
        Conflict: another process holds it; the message says which.
    """
    descriptor = os.open(folder.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            raise Conflict(f"a node runs on {folder.path} already (process {holder}); stop it first") from None
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


def _token(folder: Folder) -> str:
    """What admits to the local interface.

    Raises:
        BadInput: it is empty, or others may read it.
    """
    with folder.token.open("rb") as stream:
        mode = os.fstat(stream.fileno()).st_mode
        token = stream.read(1024).decode(errors="replace").strip()
    if mode & 0o077:
        raise BadInput(f"the token {folder.token} can be read by others; run: chmod 600 {folder.token}")
    if not token:
        raise BadInput(f"the token {folder.token} is empty; restore it from a backup, or write a long random word")
    return token


async def _serve(folder: Folder) -> int:
    token = _token(folder)
    site = await Site.open(folder)
    try:
        async with trio.open_nursery() as nursery:
            # Heard from the first moment on: a node that hangs while it starts can be stopped like any other.
            await nursery.start(_stop_when_told, nursery.cancel_scope)
            await nursery.start(site.run)
            service = SiteService(site)
            serve = partial(serve_api, service, site.config.api, token, site.node.did, version=version("comity"))
            await nursery.start(serve)
            _announce(site)
    except* ComityError as errors:
        raise _first(errors) from None
    finally:
        with trio.CancelScope(shield=True):
            await site.aclose()
    print(f"{site.config.name} stopped.", flush=True)
    return 0


async def _stop_when_told(scope: trio.CancelScope, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()


def _announce(site: Site) -> None:
    for line in site.recovered:
        print(f"recovered: {line}", flush=True)
    if site.steps.fault:
        print(f"no step runs here: {site.steps.fault}", file=sys.stderr, flush=True)
    where = f"http://{site.config.api.host}:{site.config.api.port}"
    print(f"{site.config.name} is up: {where} (Ctrl-C stops it)", flush=True)


def _first(errors: BaseExceptionGroup[ComityError]) -> ComityError:
    """The first error of a group: the terminal shows one line."""
    for error in errors.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise errors
