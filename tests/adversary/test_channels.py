"""Ways by which a step tells a bit of its data to whoever asked, without any release. Each is tried again with its
defence taken away, where the bit arrives."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from catalog.block import EndorseFields
from catalog.cid import Cid
from catalog.policy import PolicyFields
from node.automator import automator, result
from node.automator.automator import Automator
from node.automator.endorsing import Endorsing
from node.step import Finished, Product, Usage
from privacy.disclosure import form
from privacy.disclosure.examine import examine
from privacy.disclosure.ledger import Ledger
from privacy.disclosure.population import Populations
from privacy.disclosure.rules import Rules
from privacy.starters import HOSPITAL
from tests.adversary.stage import Stage
from tests.adversary.test_steps import PROJECT
from tests.node.execute.test_values import Bench, on_a_bench
from tests.simulation.consortium import CIDS, PRICE
from tests.simulation.steps import SimulatedSteps
from workflow.argument import Data
from workflow.flow import parse_workflow
from workflow.receipt import Form, Receipt, Status


def told(monkeypatch: pytest.MonkeyPatch, bit: int, finished: Finished) -> Receipt:
    """What whoever asked is told of a step that ends like this, depending on a bit."""
    del bit

    async def ends(*_: object) -> Finished:
        return finished

    monkeypatch.setattr(SimulatedSteps, "run", ends)
    stage = Stage()
    receipt = stage.place(stage.honest())
    # What differs between any two runs, and says nothing.
    return structs.replace(receipt, place=None, at=0, sig=bytes(64), previous=None)


@pytest.mark.parametrize("defended", [True, False])
def test_an_exit_code_that_carries_a_bit(defended: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a step ends with the code 1 or 2, and says so, as a patient is ill or not."""
    if not defended:
        monkeypatch.setattr(automator, "RAN_AND_FAILED", "its command ended with code {}")
        real = Automator._fail

        async def says(self: Automator, attempt: object, usage: object, reason: str, **more: object) -> None:
            monkeypatch.setattr(automator, "RAN_AND_FAILED", reason)
            await real(self, attempt, usage, reason, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(Automator, "_fail", says)
    usage, said = Usage(0.1, 0.1, 1), [Product("stderr", Cid.of(bytes([bit])), bit + 1, Form.FILE) for bit in (0, 1)]
    ended = [Finished({}, usage, f"its command ended with code {bit + 1}", errors=said[bit]) for bit in (0, 1)]
    receipts = [told(monkeypatch, bit, each) for bit, each in enumerate(ended)]
    assert {each.status for each in receipts} == {Status.FAILED}
    assert (receipts[0] == receipts[1]) is defended


@pytest.mark.parametrize("defended", [True, False])
@pytest.mark.parametrize("channel", ["time", "memory"])
def test_usage_that_carries_a_bit(channel: str, defended: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a step takes 1.1 or 1.2 seconds, or megabytes, as a patient is ill or not."""
    if not defended:
        monkeypatch.setattr(result, "rounded_up", int)
    used = [Usage(1.1, 0.1, 1100), Usage(1.2, 0.1, 1100)]
    if channel == "memory":
        used = [Usage(1.1, 0.1, 1100), Usage(1.1, 0.1, 1200)]
    receipts = [told(monkeypatch, bit, Finished({}, usage, "x")) for bit, usage in enumerate(used)]
    assert (receipts[0] == receipts[1]) is defended


BRANCH = """cwlVersion: v1.2
class: Workflow
requirements: {InlineJavascriptRequirement: {}}
inputs: {patients: File}
steps:
  next:
    run: none.cwl
    in: {patients: {source: patients, loadContents: true}}
    when: $(inputs.patients.contents.indexOf("ill") >= 0)
    out: [said]
outputs: {said: {type: Any, outputSource: next/said}}
"""
NEXT = """cwlVersion: v1.2
class: CommandLineTool
baseCommand: [echo, hello]
inputs: {patients: File}
stdout: said
outputs: {said: stdout}
"""


def test_a_branch_on_what_a_step_found(tmp_path: Path) -> None:
    """Else the next step runs or does not, for everybody to see, as a patient is ill or not."""
    [step] = parse_workflow(BRANCH, "w.cwl").steps

    async def story(bench: Bench) -> None:
        ended = []
        for found in (b"ill", b"well"):
            data = Data(site=PROJECT.site, cid=await bench.blobs.add(found), name="patients.csv")
            ended.append(await bench.run(NEXT, {"patients": data}, step.alone))
        assert [each.failure for each in ended] == ["", ""], "both are done"
        assert [set(each.products) for each in ended] == [{"said"}, {"said"}], "and deliver, under the same release"
        assert ended[0].products != ended[1].products, "else nothing was tried"
        assert None not in [each.usage for each in ended]

    on_a_bench(tmp_path, story)


@pytest.mark.parametrize("defended", [True, False])
def test_a_block_that_changed_since_it_was_endorsed(defended: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a block is endorsed, and then made to write rows."""

    def prepare(stage: Stage) -> None:
        stage.publish(stage.anna, "policy", "", PolicyFields(text=HOSPITAL))
        # What was endorsed is another CID, which the block had before.
        for block, withdrawn in ((CIDS["copy"], False), (CIDS["count"], True)):
            fields = EndorseFields(block=block, output_types=("statistics",), withdrawn=withdrawn)
            stage.publish(stage.anna, "endorse", str(block), fields)

    stage = Stage(prepare)
    if defended:
        receipt = stage.place(stage.honest())
        assert (receipt.status, receipt.outputs["result"].cid, receipt.cost) == (Status.HELD, None, PRICE)
    else:
        monkeypatch.setattr(Endorsing, "endorsed", lambda *_: True)
        monkeypatch.setattr(Endorsing, "endorsements", lambda *_: 1)
        assert stage.place(stage.honest()).status is Status.DONE


@pytest.mark.parametrize("defended", [True, False])
def test_rows_hidden_in_the_digits_of_a_statistic(defended: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else an endorsed sum of 357 people carries rows of single ones behind its seventh digit."""
    rows = "590417283465"  # three people's ages and weights
    total = f"4337.123{rows}"
    text = (
        '{"disclosure": 1, "type": "statistics", "by": ["diagnosis"], "measures": ["radius"],'
        f' "groups": {{"benign": {{"count": 357, "sum": [{total}]}}}}}}'
    )
    if not defended:
        monkeypatch.setattr(form, "to_digits", lambda value, _: value)
    left = examine("statistics", text.encode(), "1", Rules(), Ledger(Populations.of(())).past({"data"})).text
    assert left is not None
    assert (rows not in left.decode()) is defended
