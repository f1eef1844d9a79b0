"""A consortium to measure on: real node processes on loopback, hospitals with a small table each, one institute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from bench.workplace import workplace
from catalog.cid import Cid
from catalog.error import ComityError
from devnet.founding import found
from devnet.launch import make_sites, start_nodes
from devnet.process import Process, end
from devnet.publication import as_researcher, endorse, open_projects, publish_sites
from devnet.state import read_state
from devnet.topology import PROJECT, Places, Topology, topology
from node.api.client import Node
from node.api.view import Plan

OUTPUT = '{"disclosure": 1, "type": "statistics", "groups": {"all": {"count": 100}}}'

BLOCK = f"""\
cwlVersion: v1.2
class: CommandLineTool
label: a count
$namespaces: {{comity: "urn:comity:cwl#"}}
hints: {{comity:Output: {{result: {{type: statistics}}}}}}
baseCommand: [printf]
arguments: ['{OUTPUT}']
stdout: result.json
inputs: {{data: File}}
outputs:
  result: {{type: File, outputBinding: {{glob: result.json}}}}
"""
"""The least that a step can do: one input, and one output that leaves."""

_WORKFLOW = """\
cwlVersion: v1.2
class: Workflow
requirements: {{ScatterFeatureRequirement: {{}}}}
inputs: {{tables: "File[]"}}
steps:
  copy: {{run: "comity:{block}", in: {{data: tables}}, scatter: data, out: [result]}}
outputs: {{copies: {{type: "File[]", outputSource: copy/result}}}}
"""


@dataclass(frozen=True, slots=True)
class Running:
    """A consortium that runs: ``processes`` by handle, the block and the tables that its steps are made of."""

    places: Places
    known: Topology
    processes: Mapping[str, Process]
    block: Cid
    tables: tuple[Cid, ...]

    @property
    def workflow(self) -> str:
        """One scattered step."""
        return _WORKFLOW.format(block=self.block)

    def researcher(self) -> Node:
        """The researcher's client at the institute's node."""
        return as_researcher(self.places, self.known)

    def plan(self, researcher: Node) -> Plan:
        """A plan of the workflow over the first table, in one shard."""
        return researcher.plan(
            self.workflow, {"tables": [self.tables[0]]}, project=PROJECT, deadline="2h", budget="1.00", min_sites=1
        )


@contextmanager
def consortium(sites: int = 2) -> Iterator[Running]:
    """Sites, founded, with everything signed that a step needs; all processes are ended afterwards."""
    with workplace() as folder:
        places, known = Places(folder), topology(sites)
        make_sites(places, known)
        for number, hospital in enumerate(known.hospitals):
            table = places.table(hospital)
            table.parent.mkdir(parents=True, exist_ok=True)
            table.write_text("".join(f"{row},{row * row + number}\n" for row in range(1000)))
        try:
            state = start_nodes(places, known)
            found(places, known)
            published = publish_sites(places, known)
            open_projects(places, known)
            with as_researcher(places, known) as researcher:
                block = researcher.publish_block({"tool.cwl": BLOCK}, name="copy").cid
                researcher.share_block(block, [each.name for each in known.hospitals])
            for each in known.hospitals:
                endorse(places, known, each, str(block))
            tables = tuple(published[each.handle].cid for each in known.hospitals)
            yield Running(places, known, state.processes, block, tables)
        finally:
            # As recorded: a node that did not start leaves the others running.
            stubborn = end(read_state(places).processes.values())
        if stubborn:
            raise ComityError(f"{len(stubborn)} nodes had to be killed; see their logs")
