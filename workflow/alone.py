"""A step as a workflow of itself: what the signed text says of it, for the site that runs it (CWL v1.2, WorkflowStep).

What a step's text makes of its inputs before its block has them (``valueFrom``, ``loadContents``, ``pickValue``, a
``default`` where nothing comes), whether it is run at all (``when``), and the requirements that its block inherits, are
evaluated where the values may be read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from catalog.error import BadInput

RUN: Final = "file:///block/tool.cwl"
"""What the step runs: the block, where the site has it."""

MOST_TEXT: Final = 8 << 10
"""Bytes of a document: stewards are shown it, and audit logs keep it."""

_READ_FIRST: Final = ("valueFrom", "loadContents", "loadListing", "pickValue")


@dataclass(frozen=True, slots=True)
class Alone:
    """The step ``id``; ``read_first``: something of it has to be evaluated before its block's command can be made.

    ``shared`` and ``own`` are members of the document, as JSON; the first are the same for all steps of a text.
    ``sources`` has the inputs that have one; with how many there are where one of several is picked, else 0.
    """

    id: str
    shared: str
    own: str
    sources: tuple[tuple[str, int], ...] = ()
    read_first: bool = False

    @property
    def text(self) -> str:
        """The document, a Workflow with this step alone."""
        return f"{{{self.shared},{self.own}}}"

    def inputs(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The input object of that workflow, of what an order gives to the step.

        Raises:
            BadInput: of several sources not each is given.
        """
        found: dict[str, Any] = {}
        for name, count in self.sources:
            value = given.get(name)
            if not count:
                found[name] = value
            elif isinstance(value, Sequence) and len(value) == count:
                found |= {_source(name, number): each for number, each in enumerate(value)}
            else:
                raise BadInput(f"the input «{name}» has {count} sources, and not each of them is given")
        return found


def alone(
    step: str, shared: str, fields: Mapping[str, Any], inputs: Mapping[str, Any], *, inherits: bool
) -> Alone | None:
    """What of the ``step`` with these plain ``fields`` and ``inputs`` its site has to know; none if that is nothing.

    ``inherits``: its text has requirements for all steps. ``inputs`` are by name, each a map; one with a source has
    ``source``, with how many there are of it.
    """
    evaluated = any(_is_read_first(each) for each in inputs.values()) or "when" in fields
    own = {name: fields[name] for name in ("when", "requirements", "hints") if fields.get(name)}
    if not (evaluated or inherits or own):
        return None
    several = {name for name, each in inputs.items() if "pickValue" in each and each.get("source", 0) > 1}
    sources = {name: each["source"] if name in several else 0 for name, each in inputs.items() if "source" in each}
    document = {
        "inputs": {name: {"type": ["null", "Any"]} for given in sources for name in _ports(given, sources)},
        "outputs": {name: {"type": ["null", "Any"], "outputSource": f"{step}/{name}"} for name in fields["out"]},
        "steps": {
            step: own
            | {
                "run": RUN,
                "out": fields["out"],
                "in": {name: dict(_in(name, each, sources)) for name, each in inputs.items()},
            }
        },
    }
    text = json.dumps(document)[1:-1]
    return Alone(step, shared, text, tuple(sources.items()), evaluated)


def shared_of(version: str, prefixes: Mapping[str, str], requirements: Sequence[Any], hints: Sequence[Any]) -> str:
    """The members of the document that all steps of a text have alike."""
    found = {"cwlVersion": version, "class": "Workflow", "requirements": requirements, "hints": hints}
    return json.dumps(found | ({"$namespaces": dict(prefixes)} if prefixes else {}))[1:-1]


def _is_read_first(given: Mapping[str, Any]) -> bool:
    return any(name in given for name in _READ_FIRST) or ("default" in given and "source" in given)


def _ports(name: str, sources: Mapping[str, int]) -> list[str]:
    return [_source(name, number) for number in range(sources[name])] or [name]


def _in(name: str, given: Mapping[str, Any], sources: Mapping[str, int]) -> Iterator[tuple[str, Any]]:
    for field, value in given.items():
        if field == "source":
            ports = _ports(name, sources)
            yield field, ports if sources[name] else name
        elif field in ("default", *_READ_FIRST):
            yield field, value


def _source(name: str, number: int) -> str:
    return f"{name}+{number}"  # no input of a step has such a name
