"""The text of a CWL Workflow, read into a :class:`workflow.graph.Workflow`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from catalog.cid import Cid
from catalog.error import BadInput
from workflow.cwl import METADATA, Header, confirm, read_header, read_hints
from workflow.document import OURS, Part, shown
from workflow.graph import Merge, Source, Step, StepInput, Workflow, WorkflowOutput, order_of_steps
from workflow.link import check_links
from workflow.name import plain_name, relative_path
from workflow.parse import bounded, plain_value, read_default, read_parameter, text_of
from workflow.tool import Input, Tool
from workflow.type import Type, read_type

MAX_STEPS: Final = 512
RUN_PREFIX: Final = "comity:"
PIN: Final = "comity:site"
"""The field of a step that names the only site where it may run."""

_MET: Final = ("ScatterFeatureRequirement", "MultipleInputFeatureRequirement")


def parse_workflow(
    text: str | bytes,
    file: str,
    packed: Mapping[str, Cid] | None = None,
    tools: Mapping[Cid | str, Tool] | None = None,
) -> Workflow:
    """Read a Workflow of CWL v1.0, v1.1 or v1.2; ``file`` is what messages call the document.

    ``packed`` gives the CID of the block that an author's relative path became. ``tools`` gives the tools of blocks
    as far as they are known, by CID or by relative path; links to and from them are checked for name and type.

    Takes some milliseconds, and a second at worst: call it in a worker thread.

    Raises:
        BadInput: in one line ``FILE:LINE:COLUMN: …``: not YAML, not CWL, a source that does not exist, a link whose
            types differ, steps in a circle, or a feature that this node does not support yet.
    """
    header = read_header(text, file)
    root = header.root
    if header.kind != "Workflow":
        raise root.required("class").error(f"«{header.kind}» found, Workflow expected")
    fields = root.record("a Workflow", (*METADATA, "inputs", "outputs", "steps", "requirements", "hints"))
    required = _read_requirements(fields.get("requirements"))
    reader = _Reader(header, required, packed or {})
    steps = [reader.step(name, body) for name, body in bounded(root.required("steps"), MAX_STEPS)]
    workflow = Workflow(
        id=header.id,
        label=header.label,
        doc=header.doc,
        version=header.version,
        inputs=_read_inputs(root.required("inputs")),
        steps=tuple(steps),
        outputs=tuple(reader.output(name, body) for name, body in bounded(root.required("outputs"))),
        ignored_hints=_read_hints(header, fields.get("hints")),
    )
    check_links(workflow, reader.places, tools or {})
    try:
        order_of_steps(workflow)
    except BadInput as error:
        raise root.required("steps").error(str(error)) from error
    names = {"inputs": [each.name for each in workflow.inputs], "outputs": [each.name for each in workflow.outputs]}
    confirm(header, {**names, "steps": [step.id for step in steps]})
    return workflow


class _Reader:
    """Reads steps and outputs of one document, and keeps the place of each link for the messages about it."""

    def __init__(self, header: Header, required: frozenset[str], packed: Mapping[str, Cid]) -> None:
        self._header = header
        self._required = required
        self._packed = packed
        self.places: dict[tuple[str, str], Part] = {}
        """(step, input) and ("", output) → where it is written; (step, "") → the step."""

    def step(self, identifier: str, body: Part) -> Step:
        name = plain_name(body, identifier, "a step")
        if (name, "") in self.places:
            raise body.error(f"the step «{name}» is given twice")
        refused = ("when",)
        known = ("id", "in", "out", "run", "scatter", "scatterMethod", "label", "doc", "hints", "requirements", PIN)
        fields = body.record("a step", known, refused)
        self.places[name, ""] = body
        for field, part in fields.items():
            if field == "requirements":
                for requirement, place in part.entries("class"):
                    raise place.unsupported(f"the requirement «{shown(requirement)}» on a step")
        _read_hints(self._header, fields.get("hints"))
        inputs = [self._input(name, each, given) for each, given in bounded(body.required("in"))]
        return Step(
            id=name,
            run=self._run(body.required("run")),
            inputs=tuple(inputs),
            outputs=tuple(self._out(each) for each in body.required("out").items()),
            scatter=self._scatter(fields, {each.name for each in inputs}),
            label=text_of(fields, "label"),
            site=self._pin(fields.get(PIN)),
        )

    def _pin(self, part: Part | None) -> str:
        if part is None:
            return ""
        if not self._header.expand(PIN).startswith(OURS):
            raise part.error(f'«{PIN}» needs its prefix: write $namespaces: {{comity: "{OURS}"}}')
        if not part.text().strip():
            raise part.unexpected("the name of a site, or its root key")
        return part.text()

    def output(self, identifier: str, body: Part) -> WorkflowOutput:
        name = plain_name(body, identifier, "an output")
        if ("", name) in self.places:
            raise body.error(f"the output «{name}» is given twice")
        self.places["", name] = body
        fields = read_parameter(body, "an output", ("outputSource", "linkMerge"), ("outputBinding", "pickValue"))
        if "outputSource" not in fields:
            raise body.error(f"the output «{name}» has no «outputSource»")
        kind, items = read_type(fields["type"], nesting=2)
        if items is not None:
            raise items.unsupported("an «inputBinding» on an output")
        sources, merge = self._sources(fields["outputSource"], fields.get("linkMerge"))
        return WorkflowOutput(name, kind, sources, merge, text_of(fields, "label"))

    def _run(self, part: Part) -> Cid | str:
        if not isinstance(part.value, str):
            raise part.unsupported("a process written inside a step")
        text = part.text()
        if text.startswith(RUN_PREFIX):
            try:
                return Cid.parse(text.removeprefix(RUN_PREFIX))
            except BadInput as error:
                raise part.error(str(error)) from error
        path = relative_path(part)
        return self._packed.get(path, path)

    def _input(self, step: str, identifier: str, body: Part) -> StepInput:
        name = plain_name(body, identifier, "an input of a step")
        if (step, name) in self.places:
            raise body.error(f"the input «{name}» is given twice")
        self.places[step, name] = body
        if not body.is_map:
            sources, merge = self._sources(body, None) if body.value is not None else ((), Merge.NONE)
            return StepInput(name, sources, merge)
        refused = ("valueFrom", "pickValue", "loadContents", "loadListing")
        fields = body.record("an input of a step", ("id", "source", "linkMerge", "default", "label"), refused)
        sources, merge = ((), Merge.NONE)
        if "source" in fields:
            sources, merge = self._sources(fields["source"], fields.get("linkMerge"))
        default = fields.get("default")
        return StepInput(name, sources, merge, plain_value(default) if default is not None else None)

    def _sources(self, part: Part, merge: Part | None) -> tuple[tuple[Source, ...], Merge]:
        sources = tuple(self._source(each) for each in part.one_or_more())
        if len(sources) > 1 and "MultipleInputFeatureRequirement" not in self._required:
            raise part.error("several sources found: add «MultipleInputFeatureRequirement: {}» to the requirements")
        if merge is not None:
            if merge.value not in (Merge.NESTED, Merge.FLATTENED):
                raise merge.unexpected("merge_nested or merge_flattened")
            return sources, Merge(merge.text())
        return sources, Merge.NESTED if len(sources) > 1 else Merge.NONE

    def _source(self, part: Part) -> Source:
        """``input``, ``step/output``, or either after ``#`` and the workflow's own identifier (v1.0)."""
        text = part.text()
        local = text.rpartition("#")[2]
        if self._header.id and "#" in text:
            local = local.removeprefix(f"{self._header.id}/")
        step, _, name = local.rpartition("/")
        if not re.fullmatch(r"[A-Za-z0-9_.-]*", step) or not name:
            raise part.error(f"«{shown(text)}» found, an input or STEP/OUTPUT expected")
        return Source(step, name)

    def _out(self, part: Part) -> str:
        given = part.record("an output of a step", ("id",)).get("id", part) if part.is_map else part
        return plain_name(given, given.text(), "an output of a step")

    def _scatter(self, fields: Mapping[str, Part], inputs: set[str]) -> tuple[str, ...]:
        if "scatterMethod" in fields and fields["scatterMethod"].text() != "dotproduct":
            raise fields["scatterMethod"].unsupported(f"scatter by «{shown(fields['scatterMethod'].value)}»")
        if "scatter" not in fields:
            return ()
        if "ScatterFeatureRequirement" not in self._required:
            raise fields["scatter"].error("add «ScatterFeatureRequirement: {}» to the requirements")
        found: list[str] = []
        for part in fields["scatter"].one_or_more():
            name = plain_name(part, part.text(), "an input of a step")
            if name not in inputs or name in found:
                raise part.error(f"scatter over «{name}» found, an input of this step expected, each once")
            found.append(name)
        if len(found) > 1 and "scatterMethod" not in fields:
            raise fields["scatter"].error("scatter over several inputs found: add «scatterMethod: dotproduct»")
        return tuple(found)


def _read_inputs(part: Part) -> tuple[Input, ...]:
    found: dict[str, Input] = {}
    for identifier, entry in bounded(part):
        name = plain_name(entry, identifier, "an input")
        if name in found:
            raise entry.error(f"the input «{name}» is given twice")
        fields = read_parameter(entry, "an input", ("default",), ("inputBinding",))
        kind, items = read_type(fields["type"])
        if items is not None:
            raise items.unsupported("an «inputBinding» on a workflow's input")
        found[name] = Input(
            name,
            kind,
            default=_default(fields.get("default"), kind),
            label=text_of(fields, "label"),
            doc=text_of(fields, "doc"),
        )
    return tuple(found.values())


def _default(part: Part | None, kind: Type) -> object:
    if part is None:
        return None
    if kind.is_file:
        raise part.unsupported("a File as a workflow's default")
    return read_default(part, kind)


def _read_requirements(part: Part | None) -> frozenset[str]:
    names = part.entries("class") if part is not None else []
    for name, body in names:
        if name not in _MET:
            raise body.unsupported(f"the requirement «{shown(name)}» on a workflow")
    return frozenset(name for name, _ in names)


def _read_hints(header: Header, part: Part | None) -> tuple[str, ...]:
    acted, ignored = read_hints(header, part)
    for name, body in acted.items():
        if name.startswith(OURS):
            raise body.error(f"«{shown(name)}» is no hint of a workflow: it belongs on a tool")
    return (*ignored, *acted)
