"""Links of a workflow: every source exists, and its type fits where it goes, as far as the blocks are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from catalog.cid import Cid
from catalog.error import BadInput
from workflow.document import Part, shown
from workflow.graph import Merge, Source, Step, StepInput, Workflow
from workflow.tool import Tool
from workflow.type import Type, check_value

_Tools = Mapping[Cid | str, Tool]


def check_links(workflow: Workflow, places: Mapping[tuple[str, str], Part], tools: _Tools) -> None:
    """Check every link of ``workflow``; ``places`` are where (step, input) and ("", output) are written.

    Raises:
        BadInput: a source that does not exist, an input that a block has not or that nothing feeds, an output that a
            block has not, or types that differ.
    """
    for step in workflow.steps:
        tool = tools.get(step.run)
        if tool is not None:
            _check_names(step, tool, places[step.id, ""])
        for put in step.inputs:
            place = places[step.id, put.name]
            given = _given(workflow, put.sources, put.merge, place, tools)
            wanted = _wanted(step, put, tool)
            if put.name in step.scatter and not put.sources:
                raise place.error(f"scatter over «{put.name}», which nothing feeds")
            if given is not None and put.name in step.scatter and not given.depth:
                raise place.error(f"scatter over «{put.name}», whose source is {given}: an array expected")
            if wanted is not None:
                _check_default(put, wanted, place)
                _check_fit(place, f"input «{put.name}» of step «{step.id}»", given, wanted)
    for output in workflow.outputs:
        place = places["", output.name]
        given = _given(workflow, output.sources, output.merge, place, tools)
        _check_fit(place, f"output «{output.name}»", given, output.type)


def _check_names(step: Step, tool: Tool, place: Part) -> None:
    for put in step.inputs:
        if tool.input(put.name) is None:
            listed = ", ".join(each.name for each in tool.inputs) or "none"
            raise place.error(f"the block of step «{step.id}» has no input «{put.name}»; its inputs are: {listed}")
    for name in step.outputs:
        if tool.output(name) is None:
            listed = ", ".join(each.name for each in tool.outputs) or "none"
            raise place.error(f"the block of step «{step.id}» has no output «{name}»; its outputs are: {listed}")
    fed = {put.name for put in step.inputs if put.sources or put.default is not None or put.computed}
    for each in tool.inputs:
        if each.required and each.name not in fed:
            raise place.error(f"step «{step.id}» gives nothing to the input «{each.name}» of its block")


def _wanted(step: Step, put: StepInput, tool: Tool | None) -> Type | None:
    """What the step takes: the block's type, an array of it where it is scattered, null where a default stands in."""
    parameter = tool.input(put.name) if tool is not None else None
    if parameter is None or put.computed or put.picked:
        return None
    scattered = put.name in step.scatter
    kind = parameter.type.array if scattered else parameter.type
    return replace(kind, optional=put.default is not None or not (scattered or parameter.required))


def _given(workflow: Workflow, sources: tuple[Source, ...], merge: Merge, place: Part, tools: _Tools) -> Type | None:
    """The type that the sources give together; None where a block is not known, or where there are none."""
    types = [_type_of(workflow, source, place, tools) for source in sources]
    known = [each for each in types if each is not None]
    if not types or len(known) < len(types):
        return None
    if merge is Merge.NONE:
        return known[0]
    if any(each.optional for each in known):
        raise place.unsupported("a list of sources of which one may be null")
    members = [each.item if merge is Merge.FLATTENED and each.depth else each for each in known]
    for each in members[1:]:
        if not members[0].takes(each):
            raise place.error(f"sources of types {members[0]} and {each} found, one type expected")
    return members[0].array


def _type_of(workflow: Workflow, source: Source, place: Part, tools: _Tools) -> Type | None:
    """The type of ``source``, None if its block is not known.

    Raises:
        BadInput: there is no such source.
    """
    if not source.step:
        kind = next((each.type for each in workflow.inputs if each.name == source.name), None)
        if kind is None:
            listed = ", ".join(each.name for each in workflow.inputs) or "none"
            raise place.error(f"the source «{shown(source)}» does not exist; the workflow's inputs are: {listed}")
        default = next(each.default for each in workflow.inputs if each.name == source.name)
        return replace(kind, optional=kind.optional and default is None)
    step = workflow.step(source.step)
    if step is None or source.name not in step.outputs:
        listed = ", ".join(f"{each.id}/{name}" for each in workflow.steps for name in each.outputs) or "none"
        raise place.error(f"the source «{shown(source)}» does not exist; the outputs of steps are: {shown(listed)}")
    tool = tools.get(step.run)
    output = tool.output(source.name) if tool is not None else None
    if output is None:
        return None
    if step.scatter and output.type.optional:
        raise place.unsupported(f"a list of outputs of which some may be null (scattered «{source}»)")
    return output.type.array if step.scatter else output.type


def _check_default(put: StepInput, wanted: Type, place: Part) -> None:
    if put.default is None:
        return
    try:
        check_value(wanted, put.default, ())
    except BadInput as error:
        raise place.error(f"the default of «{put.name}» does not fit: {error}") from error


def _check_fit(place: Part, what: str, given: Type | None, wanted: Type) -> None:
    if given is None:
        return
    if not wanted.takes(given):
        raise place.error(f"{what} is {wanted}, and its source is {given}")
    if given.optional and not wanted.optional:
        raise place.error(f"{what} is {wanted}, and its source may be null ({given}): give it a default")
