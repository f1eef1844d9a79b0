"""What a node has to know of a CWL CommandLineTool or ExpressionTool, as values (CWL v1.0–v1.2).

What the tool does with its inputs is for the evaluator alone (:mod:`node.execute.cwl`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from workflow.type import Type


class Disclosure(StrEnum):
    """What an output discloses, as its author declares it; releases are decided per type of output.

    An output without the hint counts as rows. The declaration binds nobody: an owner's endorsement names the block
    and the type, and the checks of the type look at the bytes.
    """

    STATISTICS = "statistics"
    TABLE = "table"
    MODEL = "model"
    ROWS = "row-level"


@dataclass(frozen=True, slots=True)
class Input:
    """An input; ``default`` is as JSON has it. ``carried``: that has a file of the tool's own folder in it."""

    name: str
    type: Type
    default: object = None
    carried: bool = False
    label: str = ""
    doc: str = ""

    @property
    def required(self) -> bool:
        """Whether a value must be given."""
        return not self.type.optional and self.default is None


@dataclass(frozen=True, slots=True)
class Output:
    """An output."""

    name: str
    type: Type
    disclosure: Disclosure = Disclosure.ROWS
    label: str = ""
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Environment:
    """The environment that a tool runs in: the packages of the ``lock`` that it carries, or an ``image``.

    ``lock`` is a path in the tool's own folder, ``image`` a digest as ``sha256:…``; one of the two is there.
    """

    lock: str = ""
    image: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """A CommandLineTool, or the ExpressionTool that its ``kind`` says.

    ``files`` are the paths, inside the tool's own folder, of all files and folders that its text names. ``reuse`` says
    that it makes the same of the same (WorkReuse): one that draws lots or reads the clock denies it. ``runs_in`` is
    none for one that runs in whatever a site has. ``ignored_hints`` names the hints that nothing here acts on.
    """

    id: str
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    kind: str = "CommandLineTool"
    files: tuple[str, ...] = ()
    reuse: bool = True
    label: str = ""
    doc: str = ""
    version: str = "v1.2"
    ignored_hints: tuple[str, ...] = ()
    runs_in: Environment | None = None

    def input(self, name: str) -> Input | None:
        """The input called ``name``, if there is one."""
        return next((each for each in self.inputs if each.name == name), None)

    def output(self, name: str) -> Output | None:
        """The output called ``name``, if there is one."""
        return next((each for each in self.outputs if each.name == name), None)
