"""A CWL Workflow as values: steps that run blocks, and the links between them (CWL v1.0–v1.2, «Workflow»)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter

from catalog.cid import Cid
from catalog.error import BadInput
from workflow.alone import Alone
from workflow.tool import Input
from workflow.type import Type

_LONGEST_CIRCLE = 12


class Merge(StrEnum):
    """How several sources become one value: the source itself, an array of them, or their arrays joined."""

    NONE = ""
    NESTED = "merge_nested"
    FLATTENED = "merge_flattened"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value comes from: the output ``name`` of ``step``, or the workflow's own input if that is empty."""

    step: str
    name: str

    def __str__(self) -> str:
        return f"{self.step}/{self.name}" if self.step else self.name


@dataclass(frozen=True, slots=True)
class StepInput:
    """What feeds one input of a step's block. ``default`` counts where no source gives a value.

    ``picked``: of several sources the site that runs the step picks what is there. ``computed``: the block gets what
    that site makes of it.
    """

    name: str
    sources: tuple[Source, ...] = ()
    merge: Merge = Merge.NONE
    default: object = None
    picked: bool = False
    computed: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """A step: ``run`` is the CID of a block, or an author's relative path that is not packed yet.

    ``scatter`` names the inputs whose arrays are taken apart together, member by member (dotproduct). ``site`` is the
    name, or root key, of the only site where it may run; empty if it is left free. ``alone`` is what the site that
    runs it has to know of its text.
    """

    id: str
    run: Cid | str
    inputs: tuple[StepInput, ...]
    outputs: tuple[str, ...]
    scatter: tuple[str, ...] = ()
    label: str = ""
    site: str = ""
    alone: Alone | None = None


@dataclass(frozen=True, slots=True)
class WorkflowOutput:
    """A result of the workflow."""

    name: str
    type: Type
    sources: tuple[Source, ...]
    merge: Merge = Merge.NONE
    label: str = ""


@dataclass(frozen=True, slots=True)
class Workflow:
    """A Workflow. Its inputs have no bindings and no files as defaults: a workflow carries none."""

    id: str
    inputs: tuple[Input, ...]
    steps: tuple[Step, ...]
    outputs: tuple[WorkflowOutput, ...]
    label: str = ""
    doc: str = ""
    version: str = "v1.2"
    ignored_hints: tuple[str, ...] = ()

    @property
    def blocks(self) -> tuple[Cid, ...]:
        """The blocks that the steps run, each once, in the order of the text."""
        return tuple(dict.fromkeys(step.run for step in self.steps if isinstance(step.run, Cid)))

    @property
    def unpacked(self) -> tuple[str, ...]:
        """The relative paths that steps run and that have no CID yet, each once; a submission may have none."""
        return tuple(dict.fromkeys(step.run for step in self.steps if isinstance(step.run, str)))

    def step(self, name: str) -> Step | None:
        """The step called ``name``, if there is one."""
        return next((each for each in self.steps if each.id == name), None)


def order_of_steps(workflow: Workflow) -> tuple[Step, ...]:
    """The steps, each after all that it takes values from; the same text gives the same order.

    Raises:
        BadInput: steps wait for one another; the message names them in turn. :func:`workflow.flow.parse_workflow`
            returns no such workflow.
    """
    return tuple(_sorted({step.id: step for step in workflow.steps}))


def _sorted(steps: Mapping[str, Step]) -> list[Step]:
    waits = {
        name: [each.step for put in step.inputs for each in put.sources if each.step] for name, step in steps.items()
    }
    try:
        return [steps[name] for name in TopologicalSorter(waits).static_order()]
    except CycleError as error:
        # graphlib lists each step before one that waits for it, the first again at the end.
        circle = error.args[1]
        named = circle if len(circle) <= _LONGEST_CIRCLE else [*circle[:_LONGEST_CIRCLE], "…"]
        raise BadInput(f"steps wait for one another: {' → '.join(named)}; break the circle") from error
