"""What runs: the record of a devnet in its folder, written before anything else happens to what it names."""

from __future__ import annotations

import os
from pathlib import Path

from catalog.dagcbor import Value, from_json, to_json
from catalog.error import BadInput, NotFound
from devnet.process import Process
from devnet.topology import Places, Topology, topology


class State(Value, frozen=True, kw_only=True):
    """A devnet: how many sites it was made with, and the process of each by handle, as far as started."""

    sites: int
    processes: dict[str, Process]

    @property
    def topology(self) -> Topology:
        """Who takes part."""
        return topology(self.sites)


def folder() -> Path:
    """Where the devnet of this user lies: ``COMITY_DEVNET``, else ``.devnet`` in the current folder."""
    return Path(os.environ.get("COMITY_DEVNET") or ".devnet").absolute()


def read_state(places: Places) -> State:
    """The record.

    Raises:
        NotFound: there is no devnet. BadInput: the record is damaged.
    """
    try:
        return from_json(State, places.state.read_bytes())
    except FileNotFoundError as error:
        raise NotFound(
            f"no devnet is up in {places.path}; start one with «comity devnet up», or go where you did"
        ) from error
    except BadInput as error:
        raise BadInput(f"{places.state} is damaged; end its processes by hand and remove {places.path}") from error


def write_state(places: Places, state: State) -> None:
    """Replace the record, whole."""
    fresh = places.state.with_suffix(".new")
    fresh.write_bytes(to_json(state))
    fresh.replace(places.state)
