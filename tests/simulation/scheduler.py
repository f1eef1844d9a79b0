"""A deterministic scheduler for coroutines: one seed chooses who runs next and when time passes.

The core awaits nothing but its ports. Each simulated port awaits a :class:`Turn`, a :class:`Nap` or an
:class:`Event`; at each of these anyone else may run, and the process may be killed.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Work = Coroutine[Any, Any, T]


class Event(Generic[T]):
    """Something that happens once, with a value; later ones are ignored."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._waiting: list[Task] = []
        self._values: list[T] = []

    @property
    def happened(self) -> bool:
        return bool(self._values)

    def set(self, value: T) -> None:
        if not self._values:
            self._values.append(value)
            for task in self._waiting:
                self._scheduler.wake(task)
            self._waiting.clear()

    def wait_for(self, task: Task) -> bool:
        """Whether ``task`` has to wait; it is woken then."""
        if not self._values:
            self._waiting.append(task)
        return not self._values

    def __await__(self) -> Generator[object, None, T]:
        yield self
        return self._values[0]


@dataclass(frozen=True, slots=True)
class Turn:
    """Lets others run; ``point`` names the port call for the trace and for crashes."""

    point: str

    def __await__(self) -> Generator[object, None, None]:
        yield self


@dataclass(frozen=True, slots=True)
class Nap:
    """Comes back after ``millis``."""

    millis: int

    def __await__(self) -> Generator[object, None, None]:
        yield self


@dataclass(eq=False, slots=True)
class Process:
    """What lives and dies together: one run of one site's node. ``name`` is its site's name for people."""

    name: str
    alive: bool = True


@dataclass(eq=False, slots=True)
class Task:
    """One coroutine of a process."""

    name: str
    process: Process
    work: Work[Any]
    point: str = "begin"
    result: Any = None
    error: Exception | None = None
    ended: bool = False
    watched: bool = False
    on_end: list[Callable[[], None]] = field(default_factory=list)


class Trace:
    """What happened, as a hash, and its last lines for people."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.last: deque[str] = deque(maxlen=60)
        self.lines = 0

    def add(self, line: str) -> None:
        self._hash.update(line.encode() + b"\n")
        self.last.append(line)
        self.lines += 1

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()


class Scheduler:
    """Runs tasks one step at a time. ``now`` is the true time in milliseconds; nobody in the world can read it."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)
        self.now = 0
        self.trace = Trace()
        self.at_turn: Callable[[Process, str], None] = lambda _process, _point: None
        self._ready: list[Task] = []
        self._timers: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        self._tasks: dict[Task, None] = {}
        self._tally = 0

    def spawn(self, process: Process, name: str, work: Work[Any]) -> Task:
        """Start a task. An error in it ends the simulation unless somebody joins it."""
        task = Task(f"{process.name}/{name}", process, work)
        if not process.alive:
            work.close()
            task.ended = True
            return task
        self._tasks[task] = None
        self._ready.append(task)
        return task

    def after(self, millis: int, call: Callable[[], None]) -> None:
        """Call ``call`` when that much time has passed."""
        heapq.heappush(self._timers, (self.now + millis, next(self._order), call))

    def wake(self, task: Task) -> None:
        if not task.ended:
            self._ready.append(task)

    async def join(self, task: Task) -> Any:
        """The result of a task, or its error."""
        task.watched = True
        done: Event[None] = Event(self)
        task.on_end.append(lambda: done.set(None))
        if not task.ended:
            await done
        if task.error is not None:
            raise task.error
        return task.result

    def kill(self, process: Process) -> None:
        """End every task of a process where it stands, as a power cut would."""
        process.alive = False
        self.trace.add(f"{self.now} {process.name} KILLED")
        self._ready = [task for task in self._ready if task.process is not process]
        dead = [task for task in self._tasks if task.process is process]
        for task in dead:
            task.ended = True
            self._tasks.pop(task, None)
        for task in dead:
            task.work.close()
        self._tally += 1

    def run(self, until: Callable[[], bool], limit: int) -> bool:
        """Run until ``until()``, at most to the time ``limit``; whether it came to that."""
        looked = -1
        while True:
            # Nothing that is waited for comes about but by a task's ending, a death or the passing of time.
            if looked != (look := self._tally + self.now // 250):
                looked = look
                if until():
                    return True
            if not self._ready and not self._timers:
                return until()
            if not self._ready:
                self.now = max(self.now, self._timers[0][0])
            if self.now > limit:
                return False
            while self._timers and self._timers[0][0] <= self.now:
                heapq.heappop(self._timers)[2]()
            if self._ready:
                self._step()

    def close(self) -> None:
        """End every task that is left."""
        for process in {task.process.name: task.process for task in self._tasks}.values():
            process.alive = False
        left, self._tasks, self._ready, self._timers = list(self._tasks), {}, [], []
        for task in left:
            task.work.close()

    def _step(self) -> None:
        chosen = int(self.random.random() * len(self._ready))
        self._ready[chosen], self._ready[-1] = self._ready[-1], self._ready[chosen]
        task = self._ready.pop()
        self.now += int(self.random.random() * 3)
        try:
            request = task.work.send(None)
        except StopIteration as stop:
            self._end(task, stop.value, None)
        except Exception as error:  # noqa: BLE001
            self._end(task, None, error)
        else:
            self._park(task, request)

    def _park(self, task: Task, request: object) -> None:
        if not task.process.alive:
            task.work.close()
            return
        match request:
            case Turn(point):
                task.point = point
                self.trace.add(f"{self.now} {task.name} {point}")
                self._ready.append(task)
                self.at_turn(task.process, point)
            case Nap(millis):
                self.after(millis, lambda: self.wake(task))
            case Event() as event:
                if not event.wait_for(task):
                    self._ready.append(task)
            case _:
                raise TypeError(f"{task.name} awaited {request!r}, which is no simulated port")

    def _end(self, task: Task, result: object, error: Exception | None) -> None:
        self._tally += 1
        task.result, task.error, task.ended = result, error, True
        self._tasks.pop(task, None)
        if error is not None and not task.watched:
            raise error
        for call in task.on_end:
            call()
