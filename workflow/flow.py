"""The text of a CWL Workflow, read into a :class:`workflow.graph.Workflow`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from catalog.cid import Cid
from catalog.error import BadInput
from workflow.alone import MOST_TEXT, Alone, alone, shared_of
from workflow.cwl import METADATA, Header, confirm, read_header, read_hints
from workflow.document import OURS, Part, shown
from workflow.graph import Merge, Source, Step, StepInput, Workflow, WorkflowOutput, order_of_steps
from workflow.link import check_links
from workflow.name import plain_name, relative_path
from workflow.parse import bounded, files_named, read_parameter, text_of
from workflow.requirement import check_met
from workflow.tool import Input, Tool
from workflow.type import Type, check_value, named_types, read_type

MAX_STEPS: Final = 512
RUN_PREFIX: Final = "comity:"
PIN: Final = "comity:site"
"""The field of a step that names the only site where it may run."""

COMPUTED: Final = ("valueFrom", "loadContents", "loadListing")
"""Fields of a step's input by which its block gets something else than comes."""

_ABOUT_LINKS: Final = (
    "ScatterFeatureRequirement", "MultipleInputFeatureRequirement", "StepInputExpressionRequirement",
    "SubworkflowFeatureRequirement",
)  # fmt: skip
"""Requirements that say nothing to a step's block."""


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
    required = required_by(fields.get("requirements"))
    hints = hinted_by(header, fields.get("hints"))
    shared = shared_of(header.version, header.prefixes, required, hints)
    classes = frozenset(str(each["class"]) for each in required)
    reader = _Reader(header, classes, shared, packed or {}, inherits=bool(classes - set(_ABOUT_LINKS) or hints))
    steps = [reader.step(name, body) for name, body in bounded(root.required("steps"), MAX_STEPS)]
    workflow = Workflow(
        id=header.id,
        label=header.label,
        doc=header.doc,
        version=header.version,
        inputs=_read_inputs(root.required("inputs"), named_types(root)),
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

    def __init__(
        self, header: Header, required: frozenset[str], shared: str, packed: Mapping[str, Cid], *, inherits: bool
    ) -> None:
        self._header = header
        self._required = required
        self._shared = shared
        self._inherits = inherits
        self._packed = packed
        self._named = named_types(header.root)
        self.places: dict[tuple[str, str], Part] = {}
        """(step, input) and ("", output) → where it is written; (step, "") → the step."""

    def step(self, identifier: str, body: Part) -> Step:
        name = plain_name(body, identifier, "a step")
        if (name, "") in self.places:
            raise body.error(f"the step «{name}» is given twice")
        known = (
            "id", "in", "out", "run", "scatter", "scatterMethod", "label", "doc", "hints", "requirements", "when", PIN,
        )  # fmt: skip
        fields = body.record("a step", known)
        self.places[name, ""] = body
        inputs = [self._input(name, each, given) for each, given in bounded(body.required("in"))]
        step = Step(
            id=name,
            run=self._run(body.required("run")),
            inputs=tuple(inputs),
            outputs=tuple(self._out(each) for each in body.required("out").items()),
            scatter=self._scatter(fields, inputs),
            label=text_of(fields, "label"),
            site=self._pin(fields.get(PIN)),
        )
        around = self._alone(fields, step)
        if around is not None and (size := len(around.text.encode())) > MOST_TEXT:
            raise body.error(
                f"what this workflow has around the block of «{name}» is {size:,} bytes as JSON, and stewards are shown"
                f" {MOST_TEXT:,}: put it into the block"
            )
        return replace(step, alone=around)

    def _alone(self, fields: Mapping[str, Part], step: Step) -> Alone | None:
        """What the site that runs a step has to know of its text."""
        own: dict[str, object] = {"out": list(step.outputs)}
        own |= {"when": fields["when"].text()} if "when" in fields else {}
        own["requirements"] = required_by(fields.get("requirements"))
        own["hints"] = hinted_by(self._header, fields.get("hints"))
        given: dict[str, dict[str, object]] = {}
        for (_, body), each in zip(bounded(fields["in"]), step.inputs, strict=True):
            texts = body.fields() if body.is_map else {}
            read = {field: part.plain() for field, part in texts.items() if field not in ("id", "source", "linkMerge")}
            given[each.name] = read | ({"source": len(each.sources)} if each.sources else {})
        return alone(step.id, self._shared, own, given, inherits=self._inherits)

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
        fields = read_parameter(body, "an output", ("outputSource", "linkMerge", "pickValue"))
        if "pickValue" in fields:
            raise fields["pickValue"].unsupported("«pickValue» on an output")
        if "outputSource" not in fields:
            raise body.error(f"the output «{name}» has no «outputSource»")
        kind = read_type(fields["type"], self._named, nesting=2)
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
        known = ("id", "source", "linkMerge", "default", "label", *COMPUTED, "pickValue")
        fields = body.record("an input of a step", known)
        sources, merge = ((), Merge.NONE)
        if "source" in fields:
            sources, merge = self._sources(fields["source"], fields.get("linkMerge"))
        default = fields.get("default")
        if default is not None and files_named(default):
            raise default.unsupported("a File as a step's default")
        computed = any(field in fields for field in COMPUTED)
        picked = "pickValue" in fields
        if picked and merge is Merge.FLATTENED:
            raise fields["pickValue"].unsupported("«pickValue» with merge_flattened")
        value = default.plain() if default is not None else None
        return StepInput(name, sources, merge, value, picked=picked, computed=computed)

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

    def _scatter(self, fields: Mapping[str, Part], given: Sequence[StepInput]) -> tuple[str, ...]:
        inputs = {each.name for each in given}
        picked = {each.name for each in given if each.picked}
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
            if name in picked:
                raise part.unsupported(f"scatter over «{name}», which has «pickValue»,")
            found.append(name)
        if len(found) > 1 and "scatterMethod" not in fields:
            raise fields["scatter"].error("scatter over several inputs found: add «scatterMethod: dotproduct»")
        return tuple(found)


def _read_inputs(part: Part, named: frozenset[str]) -> tuple[Input, ...]:
    found: dict[str, Input] = {}
    for identifier, entry in bounded(part):
        name = plain_name(entry, identifier, "an input")
        if name in found:
            raise entry.error(f"the input «{name}» is given twice")
        fields = read_parameter(entry, "an input", ("default", "inputBinding"))
        kind = read_type(fields["type"], named)
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
    if files_named(part):
        raise part.unsupported("a File as a workflow's default")
    try:
        return check_value(kind, part.plain(), ())
    except BadInput as error:
        raise part.error(f"this default does not fit: {error}") from error


def required_by(part: Part | None) -> list[dict[str, object]]:
    """The requirements of a workflow or a step, each a map with its class; none of them one that no site meets.

    Raises:
        BadInput: one is.
    """
    found = []
    for name, body in part.entries("class") if part is not None else ():
        check_met(name, body)
        found.append({**_plain(body), "class": name})
    return found


def hinted_by(header: Header, part: Part | None) -> list[dict[str, object]]:
    """The hints of a workflow or a step, each a map with its class; ours belong on a tool.

    Raises:
        BadInput: one is ours.
    """
    _read_hints(header, part)
    return [{**_plain(body), "class": name} for name, body in (part.entries("class") if part is not None else ())]


def _plain(body: Part) -> dict[str, object]:
    plain = body.plain()
    return plain if isinstance(plain, dict) else {}


def _read_hints(header: Header, part: Part | None) -> tuple[str, ...]:
    acted, ignored = read_hints(header, part)
    for name, body in acted.items():
        if name.startswith(OURS):
            raise body.error(f"«{shown(name)}» is no hint of a workflow: it belongs on a tool")
    return (*ignored, *acted)
