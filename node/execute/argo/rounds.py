"""Jobs that come at once are started by one Workflow of Argo, and those that follow are further rounds of it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Final

import trio

from catalog.error import BadInput, ComityError, NotFound, Unreachable
from node.execute.argo.workflow import failure, handing_over, is_taken, workflow
from node.execute.kubernetes.api import Api, Value
from node.execute.kubernetes.jobs import HopelessError, Jobs

GATHER_SECONDS: Final = 0.05
"""How long one waits for others that come with it."""

MOST: Final = 200
"""Jobs of one round: what Argo keeps of a Workflow has to fit into one object."""

_JSON_PATCH: Final = "application/json-patch+json"


@dataclass(slots=True)
class _Ticket:
    """A Job that waits to be started."""

    name: str
    started: trio.Event = field(default_factory=trio.Event)
    error: ComityError | None = None


class Rounds:
    """The Workflows of a node, called ``owner``, in ``namespace``."""

    def __init__(self, api: Api, jobs: Jobs, namespace: str, owner: str, account: str) -> None:
        self._api = api
        self._jobs = jobs
        self._path = f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows"
        self._owner = owner
        self._account = account
        self._waiting: list[_Ticket] = []
        self._current = ""
        self._workflow_of: dict[str, str] = {}

    async def submit(self, job: Value) -> None:
        """Have ``job`` made, and started by Argo together with all that come now.

        Raises:
            Denied, Unreachable, BadInput: the cluster does not take it, or has no Argo.
        """
        name = str(job["metadata"]["name"])
        await trio.to_thread.run_sync(self._jobs.make, job | {"spec": job["spec"] | {"suspend": True}})
        ticket = _Ticket(name)
        self._waiting.append(ticket)
        if len(self._waiting) == 1:
            with trio.CancelScope(shield=True):  # others wait for it
                await trio.sleep(GATHER_SECONDS)
                await self._start_all()
        await ticket.started.wait()
        if ticket.error is not None:
            raise ticket.error

    async def withdraw(self, name: str, *, ended: bool) -> None:
        """Have the Job ``name`` gone, and its pod.

        One that ended goes a minute later by itself: Argo is still to see its end.

        Raises:
            Denied, Unreachable: the cluster does not do it.
        """
        self._workflow_of.pop(name, None)
        if not ended:
            await trio.to_thread.run_sync(lambda: self._jobs.end(name, ended=False))

    async def fault(self, name: str) -> str:
        """Why ``name`` has no pod yet.

        Raises:
            HopelessError: its Workflow came to nothing; with Argo's reason.
            Denied, Unreachable: the cluster does not tell, or lets no such pod in.
        """
        of = self._workflow_of.get(name, "")
        try:
            found = await trio.to_thread.run_sync(self._api.get, f"{self._path}/{of}")
        except NotFound:
            raise HopelessError(f"the Workflow {of} of Argo, which was to start the step, was deleted") from None
        if why := failure(found, name):
            raise HopelessError(f"Argo does not start the step: {why} (Workflow {of})")
        if not is_taken(found):
            return f"Argo's controller has not taken up the Workflow {of}: see whether it runs, and watches here"
        return await trio.to_thread.run_sync(self._jobs.refusal, name)

    async def sweep(self) -> None:
        """End the Workflows that an earlier node of this name left.

        Raises:
            Denied, Unreachable: the cluster does not let it, or does not answer.
        """
        await trio.to_thread.run_sync(self._sweep)

    async def _start_all(self) -> None:
        while self._waiting:
            now, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            names = [ticket.name for ticket in now]
            error: ComityError | None = None
            try:
                of = await trio.to_thread.run_sync(self._start, names)
                self._workflow_of |= dict.fromkeys(names, of)
            except NotFound:
                error = Unreachable("the cluster knows no Workflows: install Argo Workflows, or choose another runner")
            except ComityError as refused:
                error = refused
            for ticket in now:
                ticket.error = error
                ticket.started.set()

    def _start(self, names: list[str]) -> str:
        """Have Jobs started by the Workflow that stands by, or by a new one; which."""
        if self._current and self._hand_over(names):
            return self._current
        self._current = f"steps-{secrets.token_hex(6)}"
        self._api.create(self._path, workflow(self._current, names, self._owner, self._account))
        return self._current

    def _hand_over(self, names: list[str]) -> bool:
        path = f"{self._path}/{self._current}"
        try:
            patch = handing_over(self._api.get(path), names)
            if patch is None:
                return False
            self._api.ask("PATCH", path, patch, kind=_JSON_PATCH)
        except (NotFound, BadInput):
            return False  # it is gone, or has gone on without
        return True

    def _sweep(self) -> None:
        found = self._api.get(self._path, labelSelector=self._jobs.selector)
        for each in found["items"]:
            if each["metadata"]["name"] not in self._workflow_of.values():
                self._api.delete(f"{self._path}/{each['metadata']['name']}")
