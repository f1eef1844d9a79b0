"""The input object of a tool or workflow (CWL's «job»): values checked against the inputs, defaults filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from catalog.error import BadInput
from workflow.document import shown
from workflow.tool import Input
from workflow.type import Staged, check_value


class HasInputs(Protocol):
    """A tool or a workflow."""

    @property
    def inputs(self) -> Sequence[Input]:
        """The inputs, by name."""


def check_inputs(
    process: HasInputs, values: Mapping[str, object], files: tuple[type, ...] = (Staged,)
) -> dict[str, object]:
    """The complete job of ``process``: ``values`` by input's name, checked; defaults where none is given.

    ``files`` are the Python types that stand for a File or Directory where the question is asked: a CID or a handle
    when a submission is made, :class:`workflow.type.Staged` when a command is. A default File of a tool comes back
    as :class:`workflow.type.Carried`, which no caller can give. Arrays come back as tuples.

    Raises:
        BadInput: names the input: unknown, not given, or of another type.
    """
    known = {each.name for each in process.inputs}
    for name in values:
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise BadInput(f"there is no input «{shown(name)}»; the inputs are: {listed}")
    job: dict[str, object] = {}
    for each in process.inputs:
        value = values.get(each.name)
        if value is None and each.default is not None:
            job[each.name] = each.default
            continue
        try:
            job[each.name] = check_value(each.type, value, files)
        except BadInput as error:
            raise BadInput(f"input «{each.name}»: {error}") from error
    return job
