"""Values of any type through a submission: a list that a step made, scattered over, some of it left out, summed."""

from __future__ import annotations

import json

from devnet.topology import PROJECT
from node.api.client import Node
from tests.devnet.consortium import SECONDS, Consortium

HEAD = "cwlVersion: v1.2\nrequirements: {InlineJavascriptRequirement: {}}\n"
BLOCKS = {
    "numbers": f"""{HEAD}class: ExpressionTool
inputs: {{upto: int}}
outputs: {{list: "int[]"}}
expression: "${{var all = []; for (var i = 1; i <= inputs.upto; i++) all.push(i); return {{list: all}};}}"
""",
    "double": f"""{HEAD}class: CommandLineTool
baseCommand: [python3, -c, "import sys; print(2 * int(sys.argv[1]))"]
inputs: {{n: {{type: int, inputBinding: {{position: 1}}}}}}
stdout: said
outputs:
  twice: {{type: int, outputBinding: {{glob: said, loadContents: true, outputEval: "$(parseInt(self[0].contents))"}}}}
""",
    "total": f"""{HEAD}class: ExpressionTool
inputs: {{parts: Any, more: int}}
outputs: {{sum: int}}
expression: "${{return {{sum: inputs.parts.reduce(function (sum, n) {{return sum + (n || 0);}}, inputs.more)}};}}"
""",
}
WORKFLOW = """cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}, StepInputExpressionRequirement: {}, InlineJavascriptRequirement: {}}
inputs: {upto: int}
steps:
  numbers: {run: "comity:NUMBERS", in: {upto: upto}, out: [list]}
  double: {run: "comity:DOUBLE", in: {n: numbers/list}, scatter: n, when: $(inputs.n > 2), out: [twice]}
  total:
    run: "comity:TOTAL"
    in: {parts: double/twice, more: {source: upto, valueFrom: $(self * 100)}}
    out: [sum]
outputs: {sum: {type: int, outputSource: total/sum}, all: {type: "int[]", outputSource: numbers/list}}
"""


def test_numbers_and_lists_go_from_step_to_step(consortium: Consortium) -> None:
    """Lost: a step that makes no file cannot be one; a list that is made on the way is taken by nobody."""
    with consortium.researcher() as mara:
        text = WORKFLOW
        for name, tool in BLOCKS.items():
            text = text.replace(name.upper(), published(mara, name, tool))
        ended = mara.wait(submitted(mara, text, 5), SECONDS).check()
        assert json.loads(mara.result(ended.submission, "sum")) == 500 + 2 * (3 + 4 + 5)
        assert json.loads(mara.result(ended.submission, "all")) == [1, 2, 3, 4, 5]
        assert len([each for each in ended.view.instances if each.step == "double"]) == 5
        none = mara.wait(submitted(mara, text, 0), SECONDS).check()
        assert json.loads(mara.result(none.submission, "sum")) == 0
        assert [each for each in none.view.instances if each.step == "double"] == [], "nothing waits that never runs"
        assert mara.result_value(none.submission, "sum") == 0


def published(mara: Node, name: str, tool: str) -> str:
    return str(mara.publish_block({"tool.cwl": tool}, f"values {name}").cid)


def submitted(mara: Node, text: str, upto: int) -> str:
    plan = mara.plan(text, {"upto": upto}, project=PROJECT, deadline="10m", budget="10")
    assert plan.view.unforeseen == ("double",), "else a plan promises what nobody can know"
    return str(mara.submit(plan))
