"""Jobs of a namespace: made, found again, and ended with all that they started. Blocking: for threads."""

from __future__ import annotations

import re
from typing import Final, Protocol

from catalog.error import Conflict, Denied, Unreachable, shown
from node.execute.kubernetes.answer import Said, items_of, name_of, read
from node.execute.kubernetes.api import QUOTA, Api, Value
from node.execute.kubernetes.manifest import NODE_LABEL
from node.execute.kubernetes.pod import read_pod

ENDED: Final = "Foreground"
"""It is gone only when its pods are."""

_NOT_MADE: Final = "FailedCreate"
_NEVER: Final = re.compile(r"is forbidden|denied the request|is invalid")
"""All else is tried again by the cluster: two pods that were made at once and changed the same quota, for one."""
_SAID: Final = 300


class HopelessError(Unreachable):
    """A Job came to nothing, and there is no waiting for it."""


class Submission(Protocol):
    """How a step's Job comes to the cluster."""

    async def submit(self, job: Value) -> None:
        """Have ``job`` made.

        Raises:
            Denied, Unreachable, BadInput: the cluster does not take it.
        """

    async def withdraw(self, name: str, *, ended: bool) -> None:
        """Have the Job ``name`` gone, and its pod; ``ended`` is whether that has ended already.

        Raises:
            Denied, Unreachable: the cluster does not do it.
        """

    async def fault(self, name: str) -> str:
        """Why the Job ``name`` has no pod yet, as long as it may have one; an empty string if nothing is said.

        Raises:
            HopelessError: it will have none. Denied: such a pod is never let in.
            Unreachable: the cluster does not tell.
        """

    async def sweep(self) -> None:
        """End what else an earlier node of this name left, beside its Jobs.

        Raises:
            Denied, Unreachable: the cluster does not let it, or does not answer.
        """


class Jobs:
    """The Jobs of ``namespace`` that this node, which is called ``owner`` there, made."""

    def __init__(self, api: Api, namespace: str, owner: str) -> None:
        self._api = api
        self._path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self._events = f"/api/v1/namespaces/{namespace}/events"
        self.selector = f"{NODE_LABEL}={owner}"
        self.pods = self._pods

    def make(self, job: Value) -> None:
        """Make ``job``; once, however often it is said.

        Raises:
            Denied, Unreachable, BadInput: the cluster does not take it.
        """
        try:
            self._api.create(self._path, job)
        except Conflict:
            return  # an answer was lost on its way: names are random

    def end(self, name: str, *, ended: bool) -> None:
        """Delete it.

        Raises:
            Denied, Unreachable: the cluster does not do it.
        """
        self._api.delete(f"{self._path}/{name}", "Background" if ended else ENDED)

    def all(self) -> list[str]:
        """The names of all of them.

        Raises:
            Denied, Unreachable: the cluster does not tell.
        """
        found = self._api.get(self._path, labelSelector=self.selector)
        return [name_of(each) for each in items_of(found)]

    def there(self) -> set[str]:
        """The names of those that the cluster has yet, or pods of theirs: it forgets a Job after its last pod.

        Raises:
            Denied, Unreachable: the cluster does not tell.
        """
        found = self._api.get(self._pods, labelSelector=self.selector)
        return {read_pod(each).job for each in items_of(found)}.union(self.all())

    def refusal(self, name: str) -> str:
        """Why the cluster did not make the pod of the Job ``name`` when it tried last, if that may pass by.

        Raises:
            Denied: such a pod is never let in. Unreachable: the cluster does not tell.
        """
        which = f"involvedObject.kind=Job,involvedObject.name={name},reason={_NOT_MADE}"
        found = items_of(self._api.get(self._events, fieldSelector=which))
        said = shown(read(Said, found[-1]).message, _SAID) if found else ""
        if _NEVER.search(said) and QUOTA not in said:
            raise Denied(f"the cluster does not let the step's pod in: {said}")
        return said
