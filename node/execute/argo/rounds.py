"""Steps that come at once are one Workflow of Argo, and those that follow are further rounds of it.

A step's Job is made when Argo lets the step run, and Argo is told of its end. Both by looking at the Workflows as long
as something waits for that.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import sleep
from typing import Final

import trio

from catalog.error import BadInput, ComityError, NotFound, Unreachable
from node.execute.argo.workflow import (
    ended_well,
    failure,
    handing_over,
    is_over,
    is_taken,
    is_young,
    telling,
    turns,
    workflow,
)
from node.execute.kubernetes.answer import items_of, name_of
from node.execute.kubernetes.api import Api, Value
from node.execute.kubernetes.jobs import HopelessError, Jobs

log = logging.getLogger("comity.argo")

GATHER_SECONDS: Final = 0.05
"""How long one waits for others that come with it."""

MOST: Final = 200
"""Steps of one round: what Argo keeps of a Workflow has to fit into one object."""

_LOOK_SECONDS: Final = 0.15
_LOOKS: Final = 14
_TELL_SECONDS: Final = 1.0
_LOST_SECONDS: Final = 3.0
_JSON_PATCH: Final = "application/json-patch+json"


@dataclass(slots=True)
class _Ticket:
    """A step that waits to be in a Workflow."""

    name: str
    taken: trio.Event = field(default_factory=trio.Event)
    error: ComityError | None = None


@dataclass(slots=True)
class _Step:
    """A step of the Workflow ``of``: its ``job`` until that is made, why it is not, and whether it has ended.

    ``since`` is when it was sent there. ``delay`` passes by, ``error`` does not. ``ended`` is none
    until then; else whether its command ended, or it was ended before that.
    """

    of: str
    job: Value | None
    since: float = 0.0
    delay: str = ""
    error: ComityError | None = None
    ended: bool | None = None

    @property
    def waits(self) -> bool:
        """Whether its Job is still to be made."""
        return self.job is not None and self.error is None and self.ended is None

    @property
    def is_open(self) -> bool:
        """Whether something is to be done about it."""
        return self.waits or self.ended is not None


class Rounds:
    """The Workflows of a node, called ``owner``, in ``namespace``."""

    def __init__(self, api: Api, jobs: Jobs, namespace: str, owner: str) -> None:
        self._api = api
        self._jobs = jobs
        self._path = f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows"
        self._owner = owner
        self._tickets: list[_Ticket] = []
        self._current = ""
        self._steps: dict[str, _Step] = {}
        self._making = trio.Lock()
        self._looking: trio.lowlevel.TrioToken | None = None
        self._stirred = trio.Event()

    async def submit(self, job: Value) -> None:
        """Have ``job`` made when Argo lets it run, in one Workflow with all that come now.

        Raises:
            Denied, Unreachable, BadInput: the cluster does not take the Workflow, or has no Argo.
        """
        ticket = _Ticket(str(job["metadata"]["name"]))
        self._tickets.append(ticket)
        self._steps[ticket.name] = _Step("", job)
        if len(self._tickets) == 1:
            with trio.CancelScope(shield=True):  # others wait for it
                await trio.sleep(GATHER_SECONDS)
                await self._take_all()
        await ticket.taken.wait()
        if ticket.error is not None:
            raise ticket.error

    async def withdraw(self, name: str, *, ended: bool) -> None:
        """Have the Job ``name`` gone, and its pod; Argo is told.

        Raises:
            Denied, Unreachable: the cluster does not do it.
        """
        async with self._making:  # else it might be made after this
            step = self._steps.get(name)
            if step is not None:
                step.ended = ended
                self._stir()
        await trio.to_thread.run_sync(lambda: self._jobs.end(name, ended=ended))

    async def fault(self, name: str) -> str:
        """Why ``name`` has no pod yet.

        Raises:
            HopelessError: its Workflow came to nothing; with Argo's reason.
            Denied, Unreachable: the cluster does not take its Job, does not tell, or lets no such pod in.
        """
        step = self._steps[name]
        if step.error is not None:
            raise step.error
        if not step.waits:
            return await trio.to_thread.run_sync(self._jobs.refusal, name)
        try:
            found = await trio.to_thread.run_sync(self._api.get, f"{self._path}/{step.of}")
        except NotFound:
            raise HopelessError(f"the Workflow {step.of} of Argo, which the step is in, was deleted") from None
        if why := failure(found, name):
            raise HopelessError(f"Argo does not let the step run: {why} (Workflow {step.of})")
        if not is_taken(found):
            return f"Argo's controller has not taken up the Workflow {step.of}: see whether it runs, and watches here"
        return step.delay or f"Argo does not let it run yet (Workflow {step.of})"

    async def sweep(self) -> None:
        """End the Workflows that an earlier node of this name left.

        Raises:
            Denied, Unreachable: the cluster does not let it, or does not answer.
        """
        await trio.to_thread.run_sync(self._sweep)

    async def _take_all(self) -> None:
        while self._tickets:
            now, self._tickets = self._tickets[:MOST], self._tickets[MOST:]
            error: ComityError | None = None
            of = ""
            try:
                of = await trio.to_thread.run_sync(self._begin, [ticket.name for ticket in now])
            except NotFound:
                error = Unreachable("the cluster knows no Workflows: install Argo Workflows, or choose another runner")
            except ComityError as refused:
                error = refused
            for ticket in now:
                self._steps[ticket.name].of, self._steps[ticket.name].since = of, trio.current_time()
                if error is not None:
                    del self._steps[ticket.name]
                ticket.error = error
                ticket.taken.set()
        self._stir()

    def _begin(self, names: list[str]) -> str:
        """Have steps in the Workflow that stands by, or in a new one; which."""
        if self._current and self._hand_over(names):
            return self._current
        self._current = f"steps-{secrets.token_hex(6)}"
        self._api.create(self._path, workflow(self._current, names, self._owner))
        return self._current

    def _hand_over(self, names: list[str]) -> bool:
        """Give the Workflow that stands by its next round; one that was just made is waited for a little."""
        path = f"{self._path}/{self._current}"
        try:
            found = self._api.get(path)
            for _ in range(_LOOKS):
                if not is_young(found):
                    break
                sleep(_LOOK_SECONDS)
                found = self._api.get(path)
            patch = handing_over(found, names)
            if patch is None:
                return False
            self._api.ask("PATCH", path, patch, kind=_JSON_PATCH)
        except (NotFound, BadInput):
            return False  # it is gone, or has gone on without
        return True

    def _stir(self) -> None:
        """Have somebody look at the Workflows, until this event loop ends."""
        token = trio.lowlevel.current_trio_token()
        if self._looking is not token:
            self._looking, self._stirred = token, trio.Event()
            trio.lowlevel.spawn_system_task(self._look_on, name="comity: workflows")
        self._stirred.set()

    async def _look_on(self) -> None:
        while True:
            await self._stirred.wait()
            self._stirred = trio.Event()
            while of := {step.of for step in self._steps.values() if step.of and step.is_open}:
                for each in sorted(of):
                    await self._look(each)
                waits = any(step.waits for step in self._steps.values())
                await trio.sleep(_LOOK_SECONDS if waits else _TELL_SECONDS)

    async def _look(self, of: str) -> None:
        """Make the Jobs whose turn it is in the Workflow ``of``, and tell it of those that ended."""
        try:
            found = await trio.to_thread.run_sync(self._api.get, f"{self._path}/{of}")
        except NotFound:
            found = {"status": {"phase": "Failed"}}
        except ComityError as error:
            log.debug("the Workflow %s is not seen now: %s", of, error)
            return
        known = turns(found)
        mine = {name: step for name, step in self._steps.items() if step.of == of}
        for name, step in mine.items():
            if step.waits and name in known and known[name].has_come:
                await self._make(step)
        await self._send_again({name: step for name, step in mine.items() if step.waits and name not in known}, found)
        ended = {name: step.ended for name, step in mine.items() if step.ended is not None}
        told = {known[name].key: well for name, well in ended.items() if name in known and known[name].has_come}
        if told:
            await self._tell(of, told)
        for name in ended:  # not before Argo was seen to have taken it: what it writes itself may come between
            if is_over(found) or (name in known and known[name].is_over):
                del self._steps[name]

    async def _send_again(self, missing: Mapping[str, _Step], found: Value) -> None:
        """Send steps again that Argo does not know: its controller writes the same object, and may undo a round."""
        now = trio.current_time()
        lost = [name for name, step in missing.items() if now - step.since > _LOST_SECONDS]
        if not lost or not (ended_well(found) or handing_over(found, lost)):
            return
        try:
            of = await trio.to_thread.run_sync(self._begin, lost)
        except ComityError as error:
            log.debug("steps are sent again later: %s", error)
            return
        for name in lost:
            missing[name].of, missing[name].since = of, trio.current_time()

    async def _make(self, step: _Step) -> None:
        async with self._making:
            if step.job is None or not step.waits:
                return
            try:
                await trio.to_thread.run_sync(self._jobs.make, step.job)
            except Unreachable as error:
                step.delay = str(error)
            except ComityError as error:
                step.error = error
            else:
                step.job = None

    async def _tell(self, of: str, told: Mapping[str, bool]) -> None:
        patch = telling(told, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        try:
            await trio.to_thread.run_sync(lambda: self._api.ask("PATCH", f"{self._path}/{of}", patch, kind=_JSON_PATCH))
        except ComityError as error:
            log.debug("the Workflow %s is not told of ends now: %s", of, error)

    def _sweep(self) -> None:
        mine = {self._current, *(step.of for step in self._steps.values())}
        found = self._api.get(self._path, labelSelector=self._jobs.selector)
        for left in (name_of(each) for each in items_of(found)):
            if left not in mine:
                self._api.delete(f"{self._path}/{left}")
