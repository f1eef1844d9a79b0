"""Steps unfolded into instances: what each shard of a step is given, from the submission and from earlier steps."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from catalog.error import BadInput
from workflow.argument import Argument, Data, Literal, Many, members
from workflow.graph import Merge, Source, Step, StepInput, Workflow
from workflow.order import MAX_SHARDS

Values = Mapping[Source, Argument]
"""What is known so far: inputs of the workflow (source with an empty step) and outputs of steps that ended."""


def given_inputs(workflow: Workflow, inputs: Mapping[str, Argument]) -> dict[Source, Argument]:
    """The workflow's own inputs as sources, defaults filled in.

    Raises:
        BadInput: an input that the workflow has not, or one that is missing.
    """
    known = {each.name for each in workflow.inputs}
    for name in inputs:
        if name not in known:
            raise BadInput(f"the workflow has no input «{name}»; its inputs are: {', '.join(sorted(known)) or 'none'}")
    values: dict[Source, Argument] = {}
    for each in workflow.inputs:
        if each.name in inputs:
            values[Source("", each.name)] = inputs[each.name]
        elif each.default is not None or each.type.optional:
            values[Source("", each.name)] = Literal(json=json.dumps(each.default))
        else:
            raise BadInput(f"the workflow's input «{each.name}» is not given; add it to the job")
    return values


def shards(step: Step, values: Values) -> list[dict[str, Argument]]:
    """The inputs of every instance of ``step``; one instance if it is not scattered.

    Raises:
        BadInput: scattered inputs are no lists, differ in length, or are longer than 4,096.
    """
    whole = {each.name: argument for each in step.inputs if (argument := whole_argument(each, values)) is not None}
    if not step.scatter:
        return [whole]
    lists = {name: members(whole.get(name)) for name in step.scatter}
    lengths = {len(each) for each in lists.values() if each is not None}
    if len(lengths) != 1 or None in lists.values():
        raise BadInput(
            f"step «{step.id}» is scattered over {', '.join(step.scatter)}: lists of one length are expected"
        )
    (length,) = lengths
    if length > MAX_SHARDS:
        raise BadInput(f"step «{step.id}» is scattered over {length:,} items; at most {MAX_SHARDS:,} are run")
    known = {name: each for name, each in lists.items() if each is not None}
    return [whole | {name: items[shard] for name, items in known.items()} for shard in range(length)]


def whole_argument(given: StepInput, values: Values) -> Argument | None:
    """What feeds one input of a step before scattering; ``None`` if nothing does.

    Raises:
        BadInput: lists of lists, which this version does not carry.
    """
    found = [values[source] for source in given.sources if source in values]
    if given.picked and len(given.sources) > 1:
        return Many(items=tuple(_picked_from(given, values.get(source)) for source in given.sources))
    if not found:
        return None if given.default is None else Literal(json=json.dumps(given.default))
    if given.merge is Merge.NONE:
        return found[0]
    items: list[Data | Literal] = []
    for each in found:
        if isinstance(each, Many) == (given.merge is Merge.NESTED):
            raise BadInput(f"input «{given.name}»: lists of lists are not supported by this node yet")
        items.extend(each.items if isinstance(each, Many) else (each,))
    return Many(items=tuple(items))


def _picked_from(given: StepInput, value: Argument | None) -> Data | Literal:
    """One of several sources of which the site that runs the step picks."""
    if isinstance(value, Many):
        raise BadInput(f"input «{given.name}»: to pick among lists is not supported by this node yet")
    return Literal(json="null") if value is None else value


def fed_by(step: Step, shard: int, lengths: Mapping[Source, int]) -> Iterator[tuple[Source, int | None]]:
    """The outputs of steps that feed an instance of ``step``, each with the member of it that does, or none for all.

    ``lengths`` are those of the outputs that are lists.
    """
    for each in step.inputs:
        sources = [source for source in each.sources if source.step]
        if each.name not in step.scatter:
            yield from ((source, None) for source in sources)
        elif each.merge is Merge.NONE:
            yield from ((source, shard) for source in sources)
        else:
            yield from _member(each, shard, lengths)


def _member(given: StepInput, shard: int, lengths: Mapping[Source, int]) -> Iterator[tuple[Source, int | None]]:
    """Which source of a merged list has the member ``shard`` of it, and where."""
    before = 0
    for source in given.sources:
        length = 1 if given.merge is Merge.NESTED else lengths.get(source, 1)
        if before <= shard < before + length and source.step:
            yield source, shard - before
        before += length
