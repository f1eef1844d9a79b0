"""Order ⊆ submission: what a site checks before it believes that a person asked for a step."""

from __future__ import annotations

from catalog.error import BadInput, VerificationFailed
from workflow.argument import Argument, Data, Many, data_in, members
from workflow.evidence import Evidence
from workflow.graph import Step, Workflow
from workflow.order import Order
from workflow.submission import Submission
from workflow.tool import Tool
from workflow.unfold import given_inputs, whole_argument


def check_subset(order: Order, submission: Submission, workflow: Workflow, tool: Tool, evidence: Evidence) -> None:
    """Check that ``order`` asks for nothing that ``submission`` does not.

    Raises:
        VerificationFailed: another block, other inputs, other outputs or other readers than were signed for; or a file
            in the place of one that the block carries.
    """
    step = workflow.step(order.step)
    if step is None or step.run != order.block:
        raise VerificationFailed(f"the order's step «{order.step}» does not run that block in the signed workflow")
    if set(order.outputs) != set(step.outputs):
        raise VerificationFailed(f"the order's outputs are not those of step «{order.step}»")
    for name, wanted in order.outputs.items():
        declared = tool.output(name)
        if declared is None or str(declared.disclosure) != wanted.type:
            raise VerificationFailed(f"the block declares output «{name}» otherwise than the order")
        if not set(wanted.readers) <= set(submission.destinations):
            raise VerificationFailed(f"the order would let others read «{name}» than the submission names")
    if not step.scatter and order.shard:
        raise VerificationFailed(f"step «{order.step}» has one instance, and the order asks for another")
    if order.max_cost > submission.budget:
        raise VerificationFailed("the order may cost more than the whole submission")
    if not order.not_after <= submission.not_after:
        raise VerificationFailed("the order outlives its submission")
    _check_carried(order, tool)
    _check_inputs(order, submission, workflow, step, evidence)


def _check_carried(order: Order, tool: Tool) -> None:
    """What the block carries, its code for one, is part of what was endorsed: with other files it is another block."""
    for each in tool.inputs:
        given = order.inputs.get(each.name)
        if each.carried and given is not None and any(data_in({each.name: given})):
            raise VerificationFailed(f"the order gives another file in the place of the block's own «{each.name}»")


def _check_inputs(order: Order, submission: Submission, workflow: Workflow, step: Step, evidence: Evidence) -> None:
    for item in data_in(order.inputs):
        if item.at is not None and not evidence.made(item):
            raise VerificationFailed(f"«{item.name}» is no value that a step made, and the order means a part of one")
    if not set(order.inputs) <= {each.name for each in step.inputs}:
        raise VerificationFailed(f"the order gives step «{step.id}» inputs that it has not")
    try:
        values = given_inputs(workflow, submission.inputs)
        for each in step.inputs:
            argument = order.inputs.get(each.name)
            made = {(source.step, source.name) for source in each.sources if source.step}
            if made:
                _check_made(each.name, argument, made, evidence)
                _check_part(each.name, argument, order.shard if each.name in step.scatter else None)
            elif argument != _shard(whole_argument(each, values), each.name in step.scatter, order.shard):
                raise VerificationFailed(f"the order's input «{each.name}» is not what was signed for")
    except BadInput as error:
        raise VerificationFailed(f"the submission's inputs do not fit its workflow: {error}") from error


def _shard(argument: Argument | None, scattered: bool, shard: int) -> Argument | None:
    if not scattered:
        return argument
    items = members(argument)
    if items is None or shard >= len(items):
        raise BadInput("a scattered input is no list, or shorter than the shard that was ordered")
    return items[shard]


def _check_made(name: str, argument: Argument | None, made: set[tuple[str, str]], evidence: Evidence) -> None:
    """Every piece of ``argument`` must be an output, proven by its receipt, of a step that feeds this input."""
    for item in argument.items if isinstance(argument, Many) else (argument,):
        found = evidence.made(item) if isinstance(item, Data) else ()
        if not any((each.order.step, each.name) in made for each in found):
            raise VerificationFailed(f"the order's input «{name}» is not a proven output of the step that feeds it")


def _check_part(name: str, argument: Argument | None, shard: int | None) -> None:
    """Of stored values an order means all; or, of one that its step is scattered over, the member of its shard."""
    items = argument.items if isinstance(argument, Many) else (argument,)
    parts = {item.at for item in items if isinstance(item, Data)} - {None, ""}
    if parts and not (isinstance(argument, Data) and parts == {f"/{shard}"}):
        raise VerificationFailed(f"the order's input «{name}» is another part than its shard's")
