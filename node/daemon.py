"""The node's process: one per site folder, from the lock to the last file closed."""

from __future__ import annotations

import logging
import os
import signal
import sys
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

import trio

from catalog.error import BadInput, ComityError, Conflict
from node.api.server import serve_api
from node.config import Folder, read_config
from node.holding import held
from node.rotation import carry_out
from node.site.service import SiteService
from node.site.serving import serve
from node.site.site import Site

if TYPE_CHECKING:
    # libp2p brings trio-typing, whose stubs hide trio's own types from mypy, TaskStatus among them.
    from trio_typing import TaskStatus

LEAVING_SECONDS = 0.2

log = logging.getLogger("comity")


def run(folder: Folder, kubo: str | None = None) -> int:
    """Run the node of ``folder`` until it is told to stop (SIGINT, SIGTERM); its exit code.

    ``kubo`` is the program of a Kubo that runs as long as the node does; none to run none.

    Raises:
        NotFound: no site there. Conflict: a node runs on it, or a port is in use. VerificationFailed: damaged.
        BadInput: a key, the token or a setting that cannot be used as it is.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    log.setLevel(logging.INFO)
    folder = Folder(folder.path.absolute())  # sandboxes mount what lies in it, whatever folder they start from
    read_config(folder)
    with held(folder):
        if folder.restoring.exists():
            raise Conflict(f"the restore of {folder.path} did not come to its end; run «comity site restore» again")
        while trio.run(partial(_serve, folder, kubo)):
            print("starting anew.", flush=True)
    return 0


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


async def _serve(folder: Folder, kubo: str | None) -> bool:
    """One run of the node; whether another is to follow at once, in this process."""
    token = _token(folder)
    stopped = trio.Event()
    done = await carry_out(folder)
    site = await Site.open(folder, kubo)
    if done:
        site.recovered.append(done)
    try:
        async with trio.open_nursery() as nursery:
            # Heard from the first moment on: a node that hangs while it starts can be stopped like any other.
            await nursery.start(_stop_when_told, nursery.cancel_scope, stopped)
            await nursery.start(serve, site)
            service = SiteService(site)
            interface = partial(serve_api, service, site.config.api, token, site.node.did, version=version("comity"))
            await nursery.start(interface)
            _announce(site)
            await site.leaving.wait()
            await trio.sleep(LEAVING_SECONDS)  # so that whoever asked for it gets the answer
            nursery.cancel_scope.cancel()
    except* ComityError as errors:
        raise _first(errors) from None
    finally:
        with trio.CancelScope(shield=True):
            await site.aclose()
    print(f"{site.config.name} stopped.", flush=True)
    return site.leaving.is_set() and not stopped.is_set()


async def _stop_when_told(
    scope: trio.CancelScope, stopped: trio.Event, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            stopped.set()
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
