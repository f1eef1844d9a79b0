"""Documents, the files that they name, and one evaluator for all tests of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import trio

from node.execute.cwl.evaluator import Evaluator, Session
from node.execute.cwl.message import Command, Load, Loaded
from node.execute.cwl.tree import NOTHING, Seen

TOOL: dict[str, Any] = {"cwlVersion": "v1.2", "class": "CommandLineTool", "inputs": {}, "outputs": {}}
EXPRESSION = {
    "cwlVersion": "v1.2",
    "class": "ExpressionTool",
    "requirements": {"InlineJavascriptRequirement": {}},
    "inputs": {"n": "int?"},
    "outputs": {"made": "Any"},
}


class Texts:
    """A tree of files in memory."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = dict(texts)
        self.asked: list[str] = []

    async def look(self, name: str) -> Seen:
        self.asked.append(name)
        if name in self.texts:
            return Seen("file", len(self.texts[name].encode()))
        return Seen("folder") if await self.names(name) else NOTHING

    async def names(self, name: str) -> list[str]:
        top = name.rstrip("/") + "/"
        return sorted({each[len(top) :].split("/")[0] for each in self.texts if each.startswith(top)})

    async def read(self, name: str, most: int) -> bytes | None:
        return self.texts[name].encode()[:most] if name in self.texts else None


EVALUATOR = Evaluator(8)
"""One for all tests, as a node has one for all documents: what one of them leaves to the next would be seen."""


def with_evaluator(main: Callable[[Evaluator], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        with trio.fail_after(180):
            await main(EVALUATOR)

    trio.run(whole)


async def loaded(session: Session) -> None:
    await session.ask(Load(uri="file:///block/tool.cwl"), Loaded)


async def evaluated(made: Evaluator, document: Mapping[str, Any] | str, inputs: Mapping[str, Any] | None = None) -> Any:
    """What a document says to its inputs: a command, or the outputs of an expression."""
    text = document if isinstance(document, str) else json.dumps(document)
    async with made.tool(Texts({"/block/tool.cwl": text})) as tool:
        await loaded(tool)
        return await tool.answer(Command(inputs=dict(inputs or {}), cores=2, ram_mib=1024))


WORKFLOW = {
    "cwlVersion": "v1.2",
    "class": "Workflow",
    "requirements": {
        "ScatterFeatureRequirement": {},
        "SubworkflowFeatureRequirement": {},
        "InlineJavascriptRequirement": {},
        "StepInputExpressionRequirement": {},
    },
    "inputs": {"numbers": "int[]"},
    "steps": {
        "outer": {
            "in": {"number": {"source": "numbers", "valueFrom": "$(self * 10)"}},
            "scatter": "number",
            "out": ["made"],
            "run": {
                "class": "Workflow",
                "inputs": {"number": "int"},
                "steps": {
                    "inner": {
                        "in": {"number": "number"},
                        "out": ["made"],
                        "run": {
                            "class": "CommandLineTool",
                            "baseCommand": "echo",
                            "inputs": {"number": {"type": "int", "inputBinding": {}}},
                            "outputs": {"made": "int"},
                        },
                    }
                },
                "outputs": {"made": {"type": "int", "outputSource": "inner/made"}},
            },
        }
    },
    "outputs": {"all": {"type": "int[]", "outputSource": "outer/made"}},
}
