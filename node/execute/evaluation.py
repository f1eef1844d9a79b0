"""One step as CWL has it, from its inputs to the values that it delivers, by the evaluator and a runner."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import trio

from catalog.error import BadInput, NotFound, Unreachable, VerificationFailed
from node.execute.collect import read_listing
from node.execute.cwl.evaluator import Session
from node.execute.cwl.links import INPUTS, is_within
from node.execute.cwl.message import Begin, Collect, Command, Object, Outputs, Ready, Wanted
from node.execute.cwl.places import Places
from node.execute.left import Left
from node.execute.prepare import prepare
from node.execute.view import View
from node.step import Ending, Environment, Exit, Job, Limits, Mount, Usage
from workflow.alone import Alone
from workflow.name import is_plain_text

UNMADE: Final = "its command cannot be made of its inputs: a type or an expression of the block does not fit them"
UNTAKEN: Final = "its outputs are not to be taken: they lack, or are not as the block says"
CHANGED: Final = "its data changed while it ran, so what it made of them is not taken"
_MIB: Final = 1 << 20


class Inputs(Protocol):
    """Where lies what an input object names."""

    def path(self, name: str) -> Path | None:
        """The path of a file or folder here; none if there is none of that name. Blocking."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A step that failed: in words that are none of the command's own, with what it ``said``, which may quote data.

    ``usage`` is there once its command ran.
    """

    failure: str
    said: bytes
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class Delivered:
    """The values of a step's outputs, whose files :attr:`Evaluation.view` has."""

    values: Object
    usage: Usage


class Evaluation:
    """One step in the folder ``work``, with room ``beside`` it; its ``view`` has its block, and then its inputs."""

    def __init__(self, inputs: Object, given: Inputs, view: View, work: Path, beside: Path) -> None:
        """The ``inputs`` name what is ``given``.

        Raises:
            VerificationFailed: they name something else. Blocking.
        """
        self.view = view
        self.places = Places()
        self._inputs = self.places.staged(inputs)
        self._work = work
        self._beside = beside
        for target, name in self.places.shown.items():
            if posixpath.normpath(target) != target or not is_within(target, INPUTS):
                raise VerificationFailed("an input has a name that cannot be a file's inside the runner")
            path = given.path(name)
            if path is None:
                raise VerificationFailed("an input names a file that nobody gave; give it as data")
            view.places[target] = path

    async def read_first(self, session: Session, around: Alone) -> Object | Failed | None:
        """What the text ``around`` the block makes of the inputs, which are those from now on.

        What the step delivers, if the block is not run: because of its ``when``, or because it is an expression.

        Raises:
            ComityError: it cannot be found out.
        """
        try:
            told = await session.ask(Begin(inputs=around.inputs(self._inputs)), Wanted)
        except (BadInput, Unreachable) as error:
            return Failed(UNMADE, str(error).encode(), None)
        if not told.over:
            [wish] = told.wishes
            self._inputs = wish.inputs
            return None
        return Failed(UNMADE, told.reason.encode(), None) if told.outputs is None else told.outputs

    async def command(self, session: Session, limits: Limits) -> Ready | Outputs | Failed:
        """The command that ``session``'s tool makes of the inputs; of an expression, what that yields.

        Raises:
            ComityError: it cannot be found out.
        """
        asked = Command(inputs=self._inputs, cores=os.cpu_count() or 1, ram_mib=limits.memory_bytes // _MIB)
        try:
            answer = await session.answer(asked)
        except (BadInput, Unreachable) as error:
            return Failed(UNMADE, str(error).encode(), None)
        if isinstance(answer, Ready | Outputs):
            return answer
        raise VerificationFailed(f"the evaluator of CWL answered with {type(answer).__name__}")

    async def job(self, ready: Ready, limits: Limits, environment: Environment | None) -> Job:
        """The command for a runner, with what is to stand beside it.

        Raises:
            VerificationFailed: no program can be given such an argument, or something cannot stand where it is to.
        """
        if not all(is_plain_text(each) for each in (*ready.argv, *ready.variables, *ready.variables.values())):
            raise VerificationFailed("the tool makes an argument that no program can be given")
        placed = await trio.to_thread.run_sync(prepare, ready, self.view, self._work, self._beside)
        shown: Mapping[str, Path] = self.view.places | placed
        return Job(
            argv=tuple(ready.argv),
            work=self._work,
            mounts=tuple(Mount(path, target) for target, path in shown.items()),
            variables=ready.variables,
            environment=environment,
            stdin=ready.stdin,
            stdout=ready.stdout,
            stderr=ready.stderr,
            limits=limits,
            succeeds=_successes(ready),
            place=ready.work,
        )

    async def ended(
        self, session: Session, ready: Ready, job: Job, exit_: Exit, check: Callable[[], Awaitable[None]]
    ) -> Delivered | Failed:
        """What a command that ended delivered, once ``check`` says that its inputs are what they were.

        Raises:
            ComityError: it cannot be found out.
        """
        if exit_.ending is not Ending.EXITED:
            return Failed(f"its command was ended: {exit_.reason or exit_.ending}", exit_.errors, exit_.usage)
        if exit_.code not in job.succeeds:
            return Failed(f"its command ended with code {exit_.code}", exit_.errors, exit_.usage)
        if exit_.left is None:
            return Failed(UNTAKEN, b"what it left could not be looked through", exit_.usage)
        try:
            await check()
        except VerificationFailed as error:
            return Failed(CHANGED, str(error).encode(), exit_.usage)
        try:
            top = await trio.to_thread.run_sync(read_listing, exit_.left)
            self.view.left = Left(top, self._work, job.limits, ready.work)
            outputs = await session.ask(Collect(code=exit_.code), Outputs)
        except (BadInput, NotFound, VerificationFailed, Unreachable) as error:
            return Failed(UNTAKEN, str(error).encode(), exit_.usage)
        return Delivered(outputs.values, exit_.usage)


def _successes(ready: Ready) -> frozenset[int]:
    """The exit codes that mean success: those listed, and 0 unless it is listed as a failure."""
    successes, temporary, permanent = ready.codes
    return frozenset(successes) | (frozenset((0,)) - frozenset(temporary) - frozenset(permanent))
