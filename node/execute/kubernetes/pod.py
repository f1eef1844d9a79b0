"""A step's pod as the API server describes it, and why it does not get on, in the cluster's own words. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from catalog.error import shown
from node.execute.kubernetes.answer import Metadata, read

# What mends itself (a registry that is away) is told by the kubelet as «back-off» only after it was tried again.
_NO_IMAGE: Final = ("ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName", "ImageInspectError")
_NO_CONTAINER: Final = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
_SAID: Final = 300
_NAMED: Final = 60


@dataclass(frozen=True, slots=True)
class Container:
    """How one container of a pod is: waiting for what, or running, or ended with which code and why."""

    waiting: str = ""
    message: str = ""
    running: bool = False
    code: int | None = None
    reason: str = ""

    @property
    def starved(self) -> bool:
        """Whether the kernel ended something in it for lack of memory."""
        return self.reason == "OOMKilled"


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod at one moment. ``reason`` and ``message`` are those of its end, ``unplaced`` is why no machine takes it."""

    name: str
    job: str
    phase: str
    reason: str = ""
    message: str = ""
    unplaced: str = ""
    leaving: bool = False
    gone: bool = False
    machine: str = ""
    containers: tuple[tuple[str, Container], ...] = ()

    def container(self, name: str) -> Container:
        """Its container of that name; one of which nothing is known if there is none yet."""
        return dict(self.containers).get(name, Container())

    def runs(self, *names: str) -> bool:
        """Whether all of these containers run."""
        return all(self.container(name).running for name in names)

    @property
    def is_over(self) -> bool:
        """Whether nothing of it runs any more, or will."""
        return self.gone or self.phase in ("Succeeded", "Failed")

    @property
    def image_fault(self) -> str:
        """Why it has no image, or an empty string."""
        return self._waits(_NO_IMAGE)

    @property
    def fault(self) -> str:
        """Why it will not start though it has its image, or an empty string."""
        return self._waits(_NO_CONTAINER)

    @property
    def waits(self) -> str:
        """What its containers wait for, or an empty string."""
        return shown("; ".join(f"{name}: {each.waiting}" for name, each in self.containers if each.waiting), _SAID)

    @property
    def stands(self) -> str:
        """How far it has come, of one whose command has not begun."""
        where = f" on {self.machine}" if self.machine else ""
        return self.unplaced or self.waits or f"its pod is {self.phase}{where}, and does not say why"

    def end(self) -> str:
        """What the cluster says of its end."""
        if self.gone or self.leaving:
            told = "its pod was deleted"
            return f"{told}: {self.reason} {self.message}".rstrip(": ") if self.reason else f"{told} by somebody"
        said = [f"{self.reason} {self.message}".strip()] if self.reason or self.message else []
        said += [f"{each.reason} (code {each.code})" for _, each in self.containers if each.code not in (None, 0)]
        return shown("; ".join(said) or f"its pod is {self.phase}", _SAID)

    def _waits(self, reasons: tuple[str, ...]) -> str:
        for _, each in self.containers:
            if each.waiting in reasons:
                return shown(_ends(f"{each.waiting}: {each.message}"), _SAID)
        return ""


class _Ended(msgspec.Struct, frozen=True, rename="camel"):
    exit_code: int = 0
    reason: str = ""
    message: str = ""


class _Waiting(msgspec.Struct, frozen=True):
    reason: str = ""
    message: str = ""


class _State(msgspec.Struct, frozen=True):
    terminated: _Ended | None = None
    running: dict[str, Any] | None = None
    waiting: _Waiting | None = None


class _Condition(msgspec.Struct, frozen=True):
    type: str = ""
    status: str = ""
    reason: str | None = None
    message: str | None = None


class _OfContainer(msgspec.Struct, frozen=True):
    name: str
    state: _State = _State()


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    conditions: list[_Condition] | None = None
    init_container_statuses: list[_OfContainer] | None = None
    container_statuses: list[_OfContainer] | None = None

    def condition(self, kind: str, value: str) -> _Condition:
        """The condition of that kind, if it has that value; else an empty one."""
        found = (each for each in self.conditions or () if (each.type, each.status) == (kind, value))
        return next(found, _Condition())


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    node_name: str = ""


class _Pod(msgspec.Struct, frozen=True):
    metadata: Metadata
    status: _Status = _Status()
    spec: _Spec = _Spec()


def read_pod(value: object, *, gone: bool = False) -> Pod:
    """A pod of the API server's.

    Raises:
        VerificationFailed: it is none.
    """
    said = read(_Pod, value)
    metadata, status = said.metadata, said.status
    states = [*(status.init_container_statuses or ()), *(status.container_statuses or ())]
    disruption = status.condition("DisruptionTarget", "True")
    return Pod(
        name=metadata.name,
        job=(metadata.labels or {}).get("batch.kubernetes.io/job-name", ""),
        phase=status.phase,
        reason=status.reason or disruption.reason or "",
        message=shown(status.message or disruption.message or "", _SAID),
        unplaced=_unplaced(status),
        leaving=metadata.deletion_timestamp is not None,
        gone=gone,
        machine=said.spec.node_name,
        containers=tuple((each.name, _container(each.state)) for each in states),
    )


def _ends(text: str) -> str:
    """A long text without its middle: what a machine says of an image names it thrice, and the cause last."""
    if len(text) <= _SAID:
        return text
    return f"{text[:_NAMED]} … {text[-(_SAID - _NAMED - 3) :]}"


def _container(state: _State) -> Container:
    if ended := state.terminated:
        return Container(code=ended.exit_code, reason=ended.reason, message=ended.message)
    if state.running is not None:
        return Container(running=True)
    waiting = state.waiting or _Waiting()
    return Container(waiting=waiting.reason, message=waiting.message)


def _unplaced(status: _Status) -> str:
    found = status.condition("PodScheduled", "False")
    return shown(f"{found.reason or ''}: {found.message or ''}", _SAID) if found.type else ""
