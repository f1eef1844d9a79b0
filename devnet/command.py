"""What ``comity devnet`` does: up, down, status, env, fault, demo. Values come back; the terminal prints them."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from catalog.dagcbor import Value
from catalog.error import Conflict, NotFound
from devnet import faults
from devnet.process import alive, end
from devnet.runner import chosen
from devnet.state import State, folder, read_state, write_state
from devnet.topology import RESEARCHER, Institution, Places, Topology, named, topology
from node.stepsettings import RUNNERS

_ACTING: Final = ("COMITY_HOME", "COMITY_SITE", "COMITY_PERSON")
"""The variables by which a shell acts at a site as somebody."""
_DEMO_NEEDS: Final = ("ipykernel", "matplotlib", "nbclient", "sklearn")


class SiteView(Value, frozen=True, kw_only=True):
    """A site of the devnet: its process, its folder, and whether the process lives."""

    handle: str
    name: str
    folder: str
    log: str
    pid: int
    alive: bool


class DevnetView(Value, frozen=True, kw_only=True):
    """A devnet as it is now."""

    folder: str
    sites: tuple[SiteView, ...]


def up(sites: int = 4, runner: str = RUNNERS[0], settings: Path | None = None) -> DevnetView:
    """Make and start a consortium of ``sites``: all but one are hospitals, the last is the institute. Steps run in
    ``runner``, with what the file ``settings`` says of it.

    From four on, a member joins them that only witnesses logs.

    Raises:
        Conflict: one is up already. BadInput: too few or too many sites. ComityError: a node did not start; what
            had been started is stopped again.
    """
    from devnet.founding import found
    from devnet.launch import make_sites, start_nodes
    from devnet.publication import open_projects, publish_sites, write_tables

    _act_as_nobody()
    known, steps = topology(sites), chosen(runner, settings)
    places = Places(folder())
    with made(places, known):
        write_tables(places, known)
        make_sites(places, known, steps)
        start_nodes(places, known)
        found(places, known)
        publish_sites(places, known)
        open_projects(places, known)
    return status()


def down() -> tuple[int, ...]:
    """Stop every process of the devnet and remove its folder; the identifiers of those that had run.

    Raises:
        NotFound: none is up.
    """
    return clear(Places(folder()))


def status() -> DevnetView:
    """What runs, by this machine's own account of its processes.

    Raises:
        NotFound: none is up.
    """
    places = Places(folder())
    state = read_state(places)
    return DevnetView(
        folder=str(places.path),
        sites=tuple(_site_view(places, state, each) for each in state.topology.sites if each.handle in state.processes),
    )


def env(name: str) -> str:
    """The exports for a shell that is to act as a site's steward, at the institute as its researcher.

    Raises:
        NotFound: none is up. BadInput: no site of that name.
    """
    places = Places(folder())
    state = read_state(places)
    chosen = named(state.topology, name)
    person = RESEARCHER if chosen == state.topology.institute else chosen.steward
    values = (str(places.home), str(places.site(chosen).path), person)
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in zip(_ACTING, values, strict=True))


def _act_as_nobody() -> None:
    """Forget, in this process and what it starts, as whom this shell acts: that may be somebody of a devnet that is
    gone, and whoever asks a node would look for their key.
    """
    for name in _ACTING:
        os.environ.pop(name, None)


def fault(what: str, name: str) -> DevnetView:
    """``kill``, ``stop`` or ``resume`` the node of one site.

    Raises:
        NotFound: none is up. BadInput: no such fault or site. Conflict: the node is as asked already.
    """
    _act_as_nobody()
    faults.strike(Places(folder()), what, name)
    return status()


def demo(report: Path = Path("out/demo/report.html"), runner: str = RUNNERS[0], settings: Path | None = None) -> Path:
    """Tell the story of three hospitals in the terminal and leave a report; where it lies. Steps run in ``runner``,
    with what the file ``settings`` says of it.

    Raises:
        ComityError: something in the story did not hold. NotFound: a library of the demonstration is missing.
    """
    missing = [name for name in _DEMO_NEEDS if find_spec(name) is None]
    if missing:
        raise NotFound(f"the demonstration needs {', '.join(missing)}, not installed here; run: uv sync --group demo")
    from devnet.demo import tell

    _act_as_nobody()
    return tell(report.absolute(), chosen(runner, settings))


@contextmanager
def made(places: Places, known: Topology) -> Iterator[None]:
    """A fresh folder for a devnet; whatever fails inside takes it, and what runs there, away again.

    Raises:
        Conflict: there is one already.
    """
    _claim(places, known)
    try:
        yield
    except BaseException:
        clear(places)
        raise


def clear(places: Places) -> tuple[int, ...]:
    """Stop what runs in a devnet's folder and remove the folder; the identifiers of what had run.

    Raises:
        NotFound: no devnet has its folder there; nothing was removed.
    """
    running = [process for process in read_state(places).processes.values() if alive(process)]
    end(running)
    shutil.rmtree(places.path)
    return tuple(process.pid for process in running)


def _claim(places: Places, known: Topology) -> None:
    places.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(places.path.iterdir()):
        up_already = places.state.exists()
        raise Conflict(
            f"a devnet is up already in {places.path}; see: comity devnet status, comity devnet down"
            if up_already
            else f"{places.path} is not empty; choose another folder with COMITY_DEVNET"
        )
    write_state(places, State(sites=len(known.publishers), processes={}))


def _site_view(places: Places, state: State, institution: Institution) -> SiteView:
    process = state.processes[institution.handle]
    return SiteView(
        handle=institution.handle,
        name=institution.name,
        folder=str(places.site(institution).path),
        log=str(places.log(institution)),
        pid=process.pid,
        alive=alive(process),
    )
