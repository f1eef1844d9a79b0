"""Jobs of a namespace: made, found again, and ended with all that they started. Blocking: for threads."""

from __future__ import annotations

from typing import Final, Protocol

from catalog.error import Conflict
from node.execute.kubernetes.api import Api, Value
from node.execute.kubernetes.manifest import NODE_LABEL
from node.execute.kubernetes.pod import read_pod

ENDED: Final = "Foreground"
"""It is gone only when its pods are."""

_NOT_MADE: Final = "FailedCreate"


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
        """Why the Job ``name`` came to nothing before it had a pod; an empty string as long as it may have one yet.

        Raises:
            Denied, Unreachable: the cluster does not tell.
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
        return [each["metadata"]["name"] for each in found["items"]]

    def running(self) -> list[str]:
        """The names of those that have pods.

        Raises:
            Denied, Unreachable: the cluster does not tell.
        """
        found = self._api.get(self._pods, labelSelector=self.selector)
        return [read_pod(each).job for each in found["items"]]

    def refusals(self, name: str) -> list[str]:
        """Why the cluster did not make the pod of the Job ``name``, as often as it tried.

        Raises:
            Denied, Unreachable: the cluster does not tell.
        """
        which = f"involvedObject.kind=Job,involvedObject.name={name},reason={_NOT_MADE}"
        found = self._api.get(self._events, fieldSelector=which)
        return [str(each.get("message", "")) for each in found["items"]]
