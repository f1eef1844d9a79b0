"""The pods of a namespace that are this node's, followed by one watch for all steps together.

A watch that breaks is taken up where it was; what a server forgot is listed anew. While it does not answer nothing is
known, and nothing is concluded from that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

import trio

from catalog.error import ComityError
from node.execute.kubernetes.answer import items_of, version_of
from node.execute.kubernetes.api import Api, TooOldError, Watching
from node.execute.kubernetes.pod import Pod, read_pod
from node.execute.kubernetes.thread import in_thread

log = logging.getLogger("comity.kubernetes")
T = TypeVar("T")

_WATCH_SECONDS: Final = 240
_AGAIN_SECONDS: Final = 1.0


class Pods:
    """What is known of the pods at ``path`` that ``selector`` selects, by the name of their Job."""

    def __init__(self, api: Api, path: str, selector: str) -> None:
        self._api = api
        self._path = path
        self._selector = selector
        self._seen: dict[str, Pod] = {}
        self._changed: dict[str, trio.Event] = {}
        self._running: trio.lowlevel.TrioToken | None = None
        self.fault = ""
        """Why nothing is known now; empty while the server answers."""

    def follow(self) -> None:
        """Follow them from now on, until this event loop ends."""
        token = trio.lowlevel.current_trio_token()
        if self._running is not token:
            self._running = token
            self.fault = "it was not asked yet"
            trio.lowlevel.spawn_system_task(self._follow, name="comity: pods")

    async def until(self, job: str, look: Callable[[Pod | None], T | None]) -> T:
        """What ``look`` finds in the pod of ``job``, or in that it has none, as soon as it finds something."""
        while True:
            changed = self._changed.setdefault(job, trio.Event())
            found = look(self._seen.get(job))
            if found is not None:
                return found
            await changed.wait()

    def pod(self, job: str) -> Pod | None:
        """The pod of ``job``, as it was seen last."""
        return self._seen.get(job)

    def forget(self, job: str) -> None:
        """Nobody asks for ``job`` any more."""
        self._seen.pop(job, None)
        self._changed.pop(job, None)

    async def _follow(self) -> None:
        since = ""
        while True:
            try:
                since = since or await in_thread(self._list)
                since = await self._watch(since)
            except TooOldError:
                since = ""
                await trio.sleep(_AGAIN_SECONDS)
            except ComityError as error:
                self._lost(str(error))
                since = ""
                await trio.sleep(_AGAIN_SECONDS)

    def _lost(self, fault: str) -> None:
        if not self.fault:
            log.warning("steps in the cluster are not seen now: %s", fault)
        self.fault = fault

    def _list(self) -> str:
        """See all of them; the version from which to watch. In a thread."""
        found = self._api.get(self._path, labelSelector=self._selector)
        pods = [read_pod(each) for each in items_of(found)]
        since = version_of(found)
        trio.from_thread.run_sync(self._replace, pods)
        return since

    async def _watch(self, since: str) -> str:
        watching = await in_thread(self._open, since)
        try:
            return await in_thread(self._read, watching, since)
        finally:
            watching.stop()

    def _open(self, since: str) -> Watching:
        return self._api.watch(self._path, since, _WATCH_SECONDS, labelSelector=self._selector)

    def _read(self, watching: Watching, since: str) -> str:
        for event in watching.events():
            since = version_of(event.object)
            if event.type != "BOOKMARK":
                trio.from_thread.run_sync(self._note, read_pod(event.object, gone=event.type == "DELETED"))
        return since

    def _replace(self, pods: list[Pod]) -> None:
        self.fault = ""
        there = {pod.job: pod for pod in pods}
        for job, pod in self._seen.items():
            if job not in there and not pod.gone:
                there[job] = _as_gone(pod)
        for pod in there.values():
            self._see(pod)

    def _note(self, pod: Pod) -> None:
        self.fault = ""
        self._see(pod)

    def _see(self, pod: Pod) -> None:
        if not pod.gone or pod.job in self._seen:
            self._seen[pod.job] = pod
        changed = self._changed.pop(pod.job, None)
        if changed is not None:
            changed.set()


def _as_gone(pod: Pod) -> Pod:
    return replace(pod, gone=True)
