"""Breaking one node of a devnet, and starting it again."""

from __future__ import annotations

import signal
from typing import Final

from catalog.error import BadInput, Conflict
from devnet.process import Process, alive, end, gone, send
from devnet.state import State, read_state, write_state
from devnet.topology import Institution, Places, named

FAULTS: Final = ("kill", "stop", "resume")


def strike(places: Places, what: str, name: str) -> None:
    """Do ``what`` to the node of the site ``name``: ``kill`` it (as a power cut does), ``stop`` it cleanly, or
    ``resume`` it from its folder.

    Raises:
        BadInput: no such fault or site. Conflict: it is in that state already.
    """
    state = read_state(places)
    chosen = named(state.topology, name)
    if what not in FAULTS:
        raise BadInput(f"«{what}» is no fault; use {', '.join(FAULTS)}")
    process = state.processes[chosen.handle]
    if what == "resume":
        _resume(places, state, chosen, process)
        return
    if not alive(process):
        raise Conflict(
            f"the node of {chosen.name} does not run; start it with: comity devnet fault resume {chosen.handle}"
        )
    if what == "kill":
        send(process, signal.SIGKILL)
        gone([process], 10)
    else:
        end([process])


def _resume(places: Places, state: State, institution: Institution, process: Process) -> None:
    from devnet.launch import await_node, start_node

    if alive(process):
        raise Conflict(f"the node of {institution.name} runs already (process {process.pid})")
    fresh = start_node(places, institution)
    write_state(places, State(sites=state.sites, processes={**state.processes, institution.handle: fresh}))
    await_node(places, institution, fresh)
