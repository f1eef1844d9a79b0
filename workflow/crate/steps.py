"""The prospective half of a crate: the workflow, its steps, the blocks that they run, and their parameters."""

from __future__ import annotations

from typing import Final

from catalog.block import BlockFields
from catalog.cid import Cid
from workflow.crate.entities import Entities, Ref, Told, additional_type, ref
from workflow.crate.layout import WORKFLOW, tool_path
from workflow.graph import Source, Step, order_of_steps
from workflow.type import Type

CWL: Final = "https://w3id.org/workflowhub/workflow-ro-crate#cwl"
_PARAMETER: Final = "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"
_WORKFLOW: Final = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"


def block_id(block: Cid) -> str:
    """How a block is named: by its CID."""
    return f"ipfs://{block}"


class Steps:
    """Adds the workflow and its steps. A parameter is there if a value was given for it (:meth:`used`)."""

    def __init__(self, told: Told, entities: Entities) -> None:
        self._told = told
        self._entities = entities
        self._used: dict[str, set[str]] = {}

    def parameter(self, owner: str, name: str, kind: Type | None) -> str:
        """The id of the parameter ``name`` of the workflow (no owner) or of a block, which is there from now on."""
        named = f"#parameter/{owner}/{name}" if owner else f"#parameter/{name}"
        self._entities.add(
            named,
            "FormalParameter",
            name=name,
            additionalType=additional_type(kind),
            conformsTo=ref(_PARAMETER),
            multipleValues="True" if kind is not None and kind.depth else "",
            valueRequired="False" if kind is not None and kind.optional else "",
        )
        self._used.setdefault(owner, set()).add(named)
        return named

    def input_of(self, block: Cid, name: str) -> str:
        """The parameter of a block's input."""
        tool = self._told.tools.get(block)
        kind = next((each.type for each in tool.inputs if each.name == name), None) if tool is not None else None
        return self.parameter(str(block), f"in/{name}", kind)

    def output_of(self, block: Cid, name: str) -> str:
        """The parameter of a block's output."""
        tool = self._told.tools.get(block)
        declared = tool.output(name) if tool is not None else None
        return self.parameter(str(block), f"out/{name}", declared.type if declared is not None else None)

    def input(self, name: str) -> str:
        """The parameter of an input of the workflow."""
        kind = next((each.type for each in self._told.workflow.inputs if each.name == name), None)
        return self.parameter("", f"in/{name}", kind)

    def output(self, name: str) -> str:
        """The parameter of an output of the workflow."""
        kind = next((each.type for each in self._told.workflow.outputs if each.name == name), None)
        return self.parameter("", f"out/{name}", kind)

    def finish(self) -> None:
        """Add the workflow, its blocks and its steps, with the parameters that were used."""
        workflow, entities = self._told.workflow, self._entities
        blocks = [self._add_block(block) for block in workflow.blocks if str(block) in self._ran]
        steps = [self._add_step(number, step) for number, step in enumerate(order_of_steps(workflow))]
        inputs, outputs = self._parameters("")
        entities.add(CWL, "ComputerLanguage", name="Common Workflow Language", alternateName="CWL",
                     identifier=ref("https://w3id.org/cwl/v1.2/"), url=ref("https://www.commonwl.org/"))  # fmt: skip
        entities.add(
            WORKFLOW,
            ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
            name=workflow.label or "workflow",
            description=workflow.doc,
            programmingLanguage=ref(CWL),
            version=str(self._told.submission.workflow),
            url=block_id(self._told.submission.workflow),
            conformsTo=ref(_WORKFLOW),
            hasPart=blocks,
            step=[each for each in steps if each],
            input=inputs,
            output=outputs,
            connection=self._connections(),
        )

    @property
    def _ran(self) -> set[str]:
        return {str(order.block) for order in self._told.bundle.orders.values()}

    def _parameters(self, owner: str) -> tuple[list[Ref], list[Ref]]:
        used = sorted(self._used.get(owner, ()))
        start = f"#parameter/{owner}/" if owner else "#parameter/"
        return [ref(e) for e in used if e.startswith(f"{start}in/")], [
            ref(e) for e in used if e.startswith(f"{start}out/")
        ]

    def _add_block(self, block: Cid) -> Ref:
        tool = self._told.tools.get(block)
        published = self._told.index.by_subject("block", str(block))
        fields = published.fields if published is not None and isinstance(published.fields, BlockFields) else None
        inputs, outputs = self._parameters(str(block))
        environment = fields.environment if fields is not None else None
        if environment is not None:
            self._entities.add(
                block_id(environment),
                "CreativeWork",
                name=f"Environment {environment}",
                description="The programs that the block runs with, under one CID",
                identifier=str(environment),
            )
        carried = block in self._told.bundle.tools
        if carried:
            self._entities.add(tool_path(block), ["File", "SoftwareSourceCode"], name=f"tool.cwl of {block}",
                               url=block_id(block), programmingLanguage=ref(CWL), version=str(block))  # fmt: skip
        return self._entities.add(
            block_id(block),
            "SoftwareApplication",
            name=(fields.name if fields is not None else "") or (tool.label if tool is not None else "") or str(block),
            description=(fields.description if fields is not None else "") or (tool.doc if tool is not None else ""),
            softwareVersion=str(block),
            identifier=str(block),
            url=block_id(block),
            hasPart=[ref(tool_path(block))] if carried else [],
            softwareRequirements=ref(block_id(environment)) if environment is not None else None,
            input=inputs,
            output=outputs,
        )

    def _add_step(self, number: int, step: Step) -> Ref | None:
        if not isinstance(step.run, Cid) or str(step.run) not in self._ran:
            return None
        return self._entities.add(
            step_id(step.id),
            "HowToStep",
            name=step.label or step.id,
            position=str(number),
            workExample=ref(block_id(step.run)),
            connection=self._connections_of(step),
        )

    def _connections_of(self, step: Step) -> list[Ref]:
        """What feeds the step's block, as far as both parameters had a value."""
        found = []
        for each in step.inputs:
            target = f"#parameter/{step.run}/in/{each.name}"
            for source in each.sources:
                found += self._connect(self._source(source), target, f"{step.id}/{each.name}")
        return found

    def _connections(self) -> list[Ref]:
        """What gives the workflow its outputs."""
        found = []
        for each in self._told.workflow.outputs:
            for source in each.sources:
                found += self._connect(self._source(source), f"#parameter/out/{each.name}", each.name)
        return found

    def _source(self, source: Source) -> str:
        if not source.step:
            return f"#parameter/in/{source.name}"
        step = self._told.workflow.step(source.step)
        return f"#parameter/{step.run}/out/{source.name}" if step is not None else ""

    def _connect(self, source: str, target: str, name: str) -> list[Ref]:
        used = set().union(*self._used.values()) if self._used else set()
        if not {source, target} <= used:
            return []
        return [
            self._entities.add(
                f"#connection/{name}/{source.removeprefix('#parameter/')}",
                "ParameterConnection",
                sourceParameter=ref(source),
                targetParameter=ref(target),
            )
        ]


def step_id(step: str) -> str:
    """How a step is named: as part of the workflow's text."""
    return f"{WORKFLOW}#{step}"
