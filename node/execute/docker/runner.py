"""The Docker runner: a container is made for each step, waits at its gate, and is removed when the step has ended."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, TypeVar, TypeVarTuple

import trio

from catalog.cid import Cid
from catalog.error import BadInput, Denied, Unreachable
from node.execute.account import NOBODY, is_separate
from node.execute.container import Gate, gates_below, is_stopped, stop
from node.execute.docker.body import host_of, made_of
from node.execute.docker.daemon import Daemon, Facts, RefusedError
from node.execute.machine import this_machine
from node.execute.probe import probe
from node.execute.stepimage import step_image, tag_of
from node.runnersettings import DockerSettings
from node.step import AT_ONCE, Description, Environment, Exit, Job, Machine, Turn

log = logging.getLogger("comity.steps")

_Given = TypeVarTuple("_Given")
_Result = TypeVar("_Result")

_REPOSITORY: Final = "comity.local/step"
_THREADS: Final = 256
_GRACE_SECONDS: Final = 15.0
"""After a step's time is over, in which its supervisor ends it and reports."""
_STOP_SECONDS: Final = 5.0
_MEND: Final = "see «docker info» for how the daemon was set up, or choose another runner in [steps] runner"


class Docker:
    """Steps in containers of a Docker daemon on this machine, a rootless one too.

    A container has no network, a read-only root of the environment's image, no capabilities, no new privileges, the
    sandbox's own list of system calls, and is «nobody» (the node's own user where that is none, which for a rootless
    daemon is the user whose root it is). Its first process is the supervisor (``node/execute/inside``). Control groups
    bound its memory and processes, where the daemon has them, beyond what the supervisor watches.
    """

    name = "docker"

    def __init__(self, settings: DockerSettings) -> None:
        self._daemon = Daemon(settings.host)
        self._runtime = settings.runtime
        self._user = ""
        self._mine: set[str] = set()
        self._folder: Path | None = None
        self._images: dict[Cid | None, str] = {}
        self._loading = trio.Lock()
        self._limiter = trio.CapacityLimiter(_THREADS)

    async def describe(self) -> Description:
        """Docker's version, and what this daemon cannot give."""
        try:
            facts = await self._thread(self._daemon.facts)
        except Unreachable as error:
            return Description(self.name, "", (f"Docker does not answer: {error}",))
        return Description(self.name, f"Docker {facts.server_version}", _lacks(facts, self._runtime))

    async def machine(self) -> Machine:
        """What the daemon's machine has.

        Raises:
            Unreachable: the daemon does not answer. OSError: the system does not tell.
        """
        facts, here = await self._thread(self._daemon.facts), await self._thread(this_machine)
        return replace(here, processors=max(1, facts.processors), memory_mib=max(1, facts.memory >> 20))

    async def probe(self) -> None:
        """Show by a real step that isolation holds here.

        Raises:
            Denied: the daemon is not there, lacks something, or a guarantee fails; the message says what to do.
        """
        try:
            await self._meet()
            if self._folder is not None:
                await self.recover(self._folder)
            await probe(self.run, "Docker", _MEND, int(self._user.partition(":")[0]))
        except (Unreachable, BadInput) as error:
            raise Denied(f"no step runs in Docker: {error}") from error

    async def recover(self, folder: Path) -> int:
        """End and remove the containers of an earlier node whose work folders lie below ``folder``; how many.

        Those of a daemon that does not answer are ended through their gates, and removed by the next probe.
        """
        self._folder = folder
        try:
            found = await self._thread(self._daemon.labelled)
            left = [name for name, work in found.items() if work not in self._mine and _lies(work, folder)]
            for name in left:
                await self._thread(self._daemon.remove, name)
        except (Unreachable, RefusedError) as error:
            log.warning("containers of an earlier node may be left: %s", error)
            await self._stop(await self._thread(gates_below, folder))
            return 0
        return len(left)

    async def run(self, job: Job, turn: Turn = AT_ONCE) -> Exit:
        """Run ``job`` to its end within its ``turn``; its container is gone when this returns or raises.

        Raises:
            Denied: the daemon does not make such a container; nothing has run.
            BadInput: the job cannot be run as it is written; nothing has run.
            Unreachable: the daemon, or the container, went before the step had ended.
        """
        async with self._gate(job) as gate:
            name, starved, overdue = f"comity-{secrets.token_hex(8)}", False, False
            try:
                await self._start(name, job, gate)
                async with turn:
                    await self._thread(gate.open)
                    with trio.move_on_after(job.limits.wall_seconds + _GRACE_SECONDS) as clock:
                        await self._ended(name)
                    overdue = clock.cancelled_caught
            finally:
                with trio.CancelScope(shield=True):
                    starved = await self._remove(name, gate)
            return await self._thread(gate.exit, starved, overdue)

    async def _meet(self) -> None:
        """Learn what the daemon is.

        Raises:
            Denied: it lacks something, or there is nobody whom steps could be. Unreachable: it does not answer.
        """
        facts = await self._thread(self._daemon.facts)
        _check(facts, self._runtime)
        self._user = _user(facts)

    @asynccontextmanager
    async def _gate(self, job: Job) -> AsyncIterator[Gate]:
        gate = await self._thread(Gate, job)
        self._mine.add(str(job.work))
        try:
            yield gate
        finally:
            self._mine.discard(str(job.work))
            with trio.CancelScope(shield=True):
                await self._thread(gate.close)

    async def _start(self, name: str, job: Job, gate: Gate) -> None:
        if not self._user:
            await self._meet()
        for attempt in ("as it is", "with its image loaded again"):
            image = await self.image(job.environment)
            made = await self._thread(made_of, image, job, self._user)
            host = await self._thread(host_of, job, gate.folder, self._runtime)
            try:
                return await self._thread(self._daemon.start, name, made, host)
            except RefusedError as error:
                if not error.missing or attempt != "as it is":
                    raise Denied(f"Docker does not start a container: {error}; no step runs") from error
                self._images.clear()  # somebody removed them
        return None

    async def image(self, environment: Environment | None) -> str:
        """The name of the image of ``environment``, which is in the daemon: loaded once, unless somebody removes it.

        Raises:
            Denied: the daemon does not take it.
        """
        cid = environment.cid if environment else None
        async with self._loading:
            if cid not in self._images:
                self._images[cid] = await self._thread(self._loaded, environment)
            return self._images[cid]

    def _loaded(self, environment: Environment | None) -> str:
        image = step_image(environment)
        name = f"{_REPOSITORY}:{tag_of(image)}"
        if not self._daemon.has(name, image):
            try:
                self._daemon.load(name, image)
            except RefusedError as error:
                raise Denied(f"Docker does not take the image of an environment: {error}; no step runs") from error
            if not self._daemon.has(name, image):
                raise Denied(f"the image {name} in Docker is not the one that was loaded: no step runs")
        return name

    async def _ended(self, name: str) -> None:
        """Wait until the container has ended, or is gone; or the daemon."""
        try:
            wait = partial(self._daemon.wait, name)
            await trio.to_thread.run_sync(wait, abandon_on_cancel=True, limiter=self._limiter)  # type: ignore[call-arg]
        except RefusedError as error:
            log.warning("a step's container was removed before its time: %s", error)

    async def _remove(self, name: str, gate: Gate) -> bool:
        """See to it that nothing of the container runs, whether the daemon is there or not; as :meth:`Daemon.remove`.

        Raises:
            Unreachable: the daemon is gone; the supervisor was told to end.
        """
        try:
            return await self._thread(self._daemon.remove, name)
        except (Unreachable, RefusedError) as error:
            await self._stop([gate.folder])
            raise Unreachable(f"Docker went while a step ran, which was ended: {error}") from error

    async def _stop(self, gates: Sequence[Path]) -> None:
        """Have the supervisors behind ``gates`` end, without the daemon; those that are gone do not answer."""
        for gate in gates:
            await self._thread(stop, gate)
        with trio.move_on_after(_STOP_SECONDS):
            for gate in gates:
                while not await self._thread(is_stopped, gate):  # noqa: ASYNC110 - it cannot wake us: there is a file
                    await trio.sleep(0.05)

    async def _thread(self, work: Callable[[*_Given], _Result], *given: *_Given) -> _Result:
        return await trio.to_thread.run_sync(work, *given, limiter=self._limiter)


def _check(facts: Facts, runtime: str) -> None:
    """Check that a daemon has what every step needs.

    Raises:
        Denied: it lacks something, which is named.
    """
    if facts.architecture not in ("", os.uname().machine):
        raise Denied(f"Docker runs {facts.architecture} programs, and this node is {os.uname().machine}: no step runs")
    if runtime and runtime not in facts.runtimes:
        known = ", ".join(sorted(facts.runtimes)) or "none"
        raise Denied(f"Docker has no runtime «{runtime}», which [docker] runtime names; it has {known}: no step runs")
    if not facts.filters:
        raise Denied("Docker does not filter system calls here: run a daemon that was built with seccomp; no step runs")


def _lacks(facts: Facts, runtime: str) -> tuple[str, ...]:
    """What a daemon cannot guarantee, in plain words."""
    lacks: list[str] = []
    if not runtime:
        lacks.append(
            "a step shares this machine's kernel: give [docker] runtime one that brings its own, if there is one"
        )
    if facts.rootless:
        lacks.append("the daemon is rootless: a step is root of its container, which outside is the daemon's own user")
    else:
        lacks.append("whoever may speak with Docker's socket is root of this machine; nobody but this node needs to")
    if not facts.rootless and not is_separate():
        lacks.append("a step is the node's own user outside its container too")
    if not facts.memory_limit:
        lacks.append("the kernel bounds no container's memory: it is watched 50 times a second instead")
    if not facts.pids_limit:
        lacks.append("the kernel bounds no container's processes: they are watched 50 times a second instead")
    return (*lacks, "what a step writes is weighed 4 times a second", "no GPU is passed through")


def _user(facts: Facts) -> str:
    """Whom a step is in its container: never who could do anything outside.

    Raises:
        Denied: this node is root, and there is no «nobody» to give its steps to.
    """
    if facts.rootless:
        return "0:0"
    if is_separate():
        return f"{NOBODY}:{NOBODY}"
    if os.geteuid() == 0:
        raise Denied("this node is root where nobody else exists, and a step is never root: run it as another user")
    return f"{os.geteuid()}:{os.getegid()}"


def _lies(work: str, folder: Path) -> bool:
    return Path(work).is_relative_to(folder)
