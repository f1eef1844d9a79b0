"""Steps taken apart into instances: which members of which lists an instance is given, and which proofs go with it."""

from __future__ import annotations

import pytest

from catalog.cid import Cid
from catalog.error import BadInput
from workflow.argument import Argument, Data, Literal, Many, members
from workflow.graph import Merge, Source, Step, StepInput
from workflow.unfold import fed_by, shards


def data(name: str) -> Data:
    return Data(site="did:key:z6Mk" + "a" * 44, cid=Cid.of(name.encode()), name=name)


def step(*inputs: StepInput, scatter: tuple[str, ...] = ()) -> Step:
    return Step(id="one", run="tool.cwl", inputs=inputs, outputs=(), scatter=scatter)


def test_a_list_of_numbers_is_scattered_over_with_the_digits_that_were_given() -> None:
    """Lost: hyperparameters cannot be tried side by side; or a step is given another number than was signed for."""
    over = step(StepInput("rate", (Source("", "rates"),)), scatter=("rate",))
    values: dict[Source, Argument] = {Source("", "rates"): Literal(json='[0.10, 1e-3, 3, "a,b", null, [1, 2]]')}
    given = [each["rate"] for each in shards(over, values)]
    assert given == [Literal(json=text) for text in ("0.10", "1e-3", "3", '"a,b"', "null", "[1, 2]")]


@pytest.mark.parametrize("text", ["1", '"[1]"', "{}", "[1", "[1] x", "", "[" * 100_000])
def test_what_is_no_list_is_not_scattered_over(text: str) -> None:
    assert members(Literal(json=text)) is None
    over = step(StepInput("rate", (Source("", "rates"),)), scatter=("rate",))
    with pytest.raises(BadInput, match="lists of one length"):
        shards(over, {Source("", "rates"): Literal(json=text)})


def test_lists_of_different_length_are_refused_whatever_is_in_them() -> None:
    over = step(StepInput("a", (Source("", "a"),)), StepInput("b", (Source("", "b"),)), scatter=("a", "b"))
    with pytest.raises(BadInput, match="lists of one length"):
        shards(over, {Source("", "a"): Literal(json="[1, 2]"), Source("", "b"): Many(items=(data("x"),))})


def test_an_instance_rests_on_its_own_member_alone() -> None:
    """Lost: each of a thousand orders carries the proofs of all thousand; or one lacks the proof of what it reads."""
    x, y = Source("x", "out"), Source("y", "out")
    plain = step(StepInput("part", (x,)), StepInput("all", (y,)), scatter=("part",))
    assert list(fed_by(plain, 3, {x: 5, y: 2})) == [(x, 3), (y, None)]


def test_a_member_of_a_merged_list_is_of_the_source_that_it_came_from() -> None:
    x, y, given = Source("x", "out"), Source("y", "out"), Source("", "given")
    flat = step(StepInput("part", (x, given, y), Merge.FLATTENED), scatter=("part",))
    lengths = {x: 2, given: 1, y: 2}
    assert [list(fed_by(flat, shard, lengths)) for shard in range(5)] == [[(x, 0)], [(x, 1)], [], [(y, 0)], [(y, 1)]]
    nested = step(StepInput("part", (x, y), Merge.NESTED), scatter=("part",))
    assert [list(fed_by(nested, shard, {})) for shard in range(2)] == [[(x, 0)], [(y, 0)]]
