"""Making the sites, and starting their nodes side by side."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from catalog.error import ComityError, Conflict, Unreachable
from devnet.patience import eventually
from devnet.process import Process, alive, start
from devnet.runner import Chosen
from devnet.state import State, write_state
from devnet.topology import RESEARCHER, Institution, Places, Topology
from node.api.client import Node
from node.api.person import Persons
from node.config import Address
from node.keyfile import Identity

LOOPBACK = "127.0.0.1"
READY_SECONDS = 300.0
"""A node answers once its runner has shown that it isolates: minutes, in a cluster where all do so at once."""
USUAL = Chosen()
_LOOK_SECONDS = 0.25
"""A node that starts loads libraries for seconds: to look for five of them 20 times a second costs 2 s more."""


def make_sites(places: Places, known: Topology, runner: Chosen = USUAL) -> None:
    """Make every site's folder, its steward's key and the researcher's; steps run in ``runner``.

    Raises:
        Conflict: there are sites already.
    """
    # Making keys and logs takes libraries that ``status`` and ``env`` do not need.
    from node.keyfile import write_secret
    from node.rootkey import new_passphrase
    from node.setup import init_site

    people = Persons(places.home)
    people.add(Identity.new(RESEARCHER))
    passphrase = new_passphrase()
    write_secret(places.passphrase, passphrase.text + b"\n")
    ports = iter(free_ports(3 * len(known.sites)))
    for each in known.sites:
        control, bulk, api = (Address(LOOPBACK, next(ports)) for _ in range(3))
        made = init_site(
            places.site(each),
            each.name,
            each.steward,
            control,
            bulk,
            api,
            passphrase,
            steps=runner.steps,
            runners=runner.runners,
        )
        people.add(made.steward)


def start_node(places: Places, institution: Institution) -> Process:
    """Start the node of a site; it does not answer yet."""
    arguments = ("-m", "cli.main", "site", "run", str(places.site(institution).path))
    return start(arguments, places.log(institution))


def start_nodes(places: Places, known: Topology, begin: Callable[[Places, Institution], Process] = start_node) -> State:
    """Start all nodes, each by ``begin`` and recorded as soon as it is started, and wait until all answer.

    Raises:
        ComityError: a node ended instead of answering; the message has its last line. Or no step would run there;
            why.
    """
    state = State(sites=len(known.publishers), processes={})
    write_state(places, state)
    for each in known.sites:
        state = State(sites=state.sites, processes={**state.processes, each.handle: begin(places, each)})
        write_state(places, state)
    with ThreadPoolExecutor(len(known.sites)) as threads:
        list(threads.map(lambda each: await_node(places, each, state.processes[each.handle]), known.sites))
    for each in known.sites:
        _check_runs(places, each)
    return state


def _check_runs(places: Places, institution: Institution) -> None:
    with Node.at(places.site(institution).path) as node:
        fault = node.status().runner_fault
    if fault:
        raise ComityError(f"no step would run at {institution.name}, so what was started is ended again: {fault}")


def await_node(places: Places, institution: Institution, process: Process) -> None:
    """Wait until a node answers its local interface.

    Raises:
        ComityError: it ended instead; the message has its last line.
    """

    def answers() -> bool | None:
        # In this order: a node that ended after it answered is not waited for.
        running = alive(process)
        try:
            with Node.at(places.site(institution).path) as node:
                return node.status().pid == process.pid or None
        except Unreachable:
            if running:
                return None
        log = places.log(institution)
        last = next((line for line in reversed(log.read_text().splitlines()) if line.strip()), "it printed nothing")
        raise ComityError(f"the node of {institution.name} ended as it started: {last} (all of it is in {log})")

    eventually(answers, f"the answer of {institution.name}'s node", READY_SECONDS, _LOOK_SECONDS)


def free_ports(count: int) -> Sequence[int]:
    """Ports on loopback that nobody listens on.

    They lie below those that the system gives to outgoing connections, so that a node which is started again finds
    its own ones free. No other process is given them by this function before this one ends.
    """
    with ExitStack() as held:
        return tuple(_bind(held) for _ in range(count))


def _bind(held: ExitStack) -> int:
    for port in _candidates():
        listener = held.enter_context(socket.socket())
        try:
            listener.bind((LOOPBACK, port))
        except OSError:
            continue
        if _claimed(port):
            return port
    raise Conflict("no port between 10,240 and 32,000 is free on this machine; end what listens there")


def _claimed(port: int) -> bool:
    """Claim a port among devnets that start at the same time: its node listens only in a moment."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0comity-devnet-port-{port}")
    except OSError:
        claim.close()
        return False
    claim.detach()  # held until this process ends
    return True


def _candidates() -> Iterator[int]:
    chosen = random.SystemRandom()
    return (chosen.randrange(10_240, 32_000) for _ in range(1_000))
