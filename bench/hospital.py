"""A hospital that takes orders in this process, on a real disk and with its real sandbox; and an institute's orders.

It is the site that a node serves, put together the same way, without the network: orders are handed to its automator
as the control connection would. Its releases count as cosigned at once, for that is other sites' time.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import trio

from bench.consortium import OUTPUT
from catalog.approve import ApproveFields
from catalog.block import BlockFields, EndorseFields
from catalog.body import write_body
from catalog.cid import Cid
from catalog.dagcbor import Value, cid_of
from catalog.dataset import DatasetFields, Level
from catalog.error import ComityError
from catalog.index import SiteIndex
from catalog.key import UNSIGNED, PrivateKey, signed
from catalog.member import KeyFields, Role
from catalog.offer import OfferFields
from catalog.policy import PolicyFields
from catalog.project import ProjectFields, ProjectRef
from node.automator.decide import Judge
from node.automator.verify import Consortium, Verifier
from node.config import Address, Folder
from node.execute.step import StepExecutor
from node.message import Place
from node.rootkey import new_passphrase
from node.setup import init_site
from node.site.consorting import automator_of
from node.site.site import Site
from node.step import Limits, Runner
from privacy.decision import Action
from privacy.label import resident, shared
from workflow.argument import Argument, Data
from workflow.order import Order, Wanted
from workflow.submission import Submission

PURPOSE: Final = "DUO:0000006"
PRICE: Final = 1000
HOUR: Final = 3_600_000
INSTITUTE, NODE, STEWARD, PERSON = (PrivateKey(f"bench {name}".encode().ljust(32, b".")) for name in "inrp")
PROJECT: Final = ProjectRef(site=INSTITUTE.did, name="bench")
CONSORTIUM: Final = Cid.of(b"bench")

TRUE: Final = f"""cwlVersion: v1.2
class: CommandLineTool
$namespaces: {{comity: "urn:comity:cwl#"}}
hints: {{comity:Output: {{result: {{type: statistics}}}}}}
requirements: {{WorkReuse: {{enableReuse: false}}}}
baseCommand: printf
arguments: ['{OUTPUT}']
inputs: {{}}
stdout: result.json
outputs:
  result: {{type: stdout}}
"""
COPY: Final = TRUE.replace("inputs: {}", "inputs: {data: File}")
"""The least that a step can do, without data and with: it prints a count that leaves, and is run each time."""


class Recent:
    """Everybody was heard just now."""

    def refusal(self, _action: Action, _sites: Iterable[str]) -> str:
        """Nothing is too old."""
        return ""

    def now(self) -> int:
        """Unix milliseconds."""
        return time.time_ns() // 1_000_000


class Covered:
    """Every witness has cosigned everything."""

    def covered(self) -> int:
        """All leaves."""
        return 1 << 40

    def lacking(self, _least: int) -> list[str]:
        """Nobody."""
        return []

    async def reach(self, least: int) -> None:
        """It is reached."""


class Hospital:
    """The site ``site`` whose steward has the key ``steward``; ``blocks`` are those that it shares, by name."""

    def __init__(self, site: Site, steward: PrivateKey) -> None:
        self.site = site
        self.steward = steward
        self.blocks: dict[str, Cid] = {}
        judge = Judge(site.index.site(site.root), site.index, "St. Anna", "", Recent())
        verifier = Verifier(site.root, Consortium(CONSORTIUM, 0), site.index, site.documents, site.steps)
        self.automator = automator_of(site, verifier, judge, Covered(), site.reach)

    async def write(self, kind: str, fields: Value) -> None:
        """An entry of its catalog, signed by its steward."""
        now = time.time_ns() // 1_000_000
        await self.site.writer.write(write_body(kind, fields, site=self.site.root, at=now, by=self.steward))

    async def share(self, name: str, tool: str, folder: Path) -> Cid:
        """Share a block whose one output «result» is a statistic that its steward endorsed."""
        place = folder / name
        place.mkdir()
        (place / "tool.cwl").write_text(tool)
        cid = self.blocks[name] = await self.site.blobs.add_path(place)
        label = shared(self.site.root, [INSTITUTE.did])
        await self.write("block", BlockFields(cid=cid, name=name, label=label, description="", outputs=_OUTPUTS))
        await self.write("endorse", EndorseFields(block=cid, output_types=("statistics",)))
        return cid

    async def publish(self, path: Path) -> Data:
        """Publish the file at ``path`` as resident data."""
        plain = await self.site.blobs.hash_path(path)
        found = await self.site.residents.add(plain, bytes(32), path)
        fields = DatasetFields(
            cid=found.cid,
            name="table.csv",
            level=Level.RESIDENT,
            label=resident(self.site.root),
            purposes=(PURPOSE,),
            description="",
            media_type="text/csv",
            size=(await trio.Path(path).stat()).st_size,
        )
        await self.write("dataset", fields)
        return Data(site=self.site.root, cid=found.cid, name="table.csv")

    def order(self, name: str, inputs: dict[str, Argument]) -> Place:
        """An order for the block ``name``, of a submission of its own."""
        now, block = time.time_ns() // 1_000_000, self.blocks[name]
        wired = "".join(f"{each}: {each}" for each in inputs)
        declared = "".join(f"{each}: {'File' if isinstance(given, Data) else 'int'}" for each, given in inputs.items())
        text = (
            f"cwlVersion: v1.2\nclass: Workflow\ninputs: {{{declared}}}\n"
            f"steps: {{only: {{run: 'comity:{block}', in: {{{wired}}}, out: [result]}}}}\n"
            "outputs: {result: {type: File, outputSource: only/result}}\n"
        )
        submission = signed(
            Submission(
                consortium=CONSORTIUM,
                epoch=0,
                person=PERSON.did,
                site=INSTITUTE.did,
                project=PROJECT,
                workflow=Cid.of(text.encode()),
                inputs=inputs,
                grants=(),
                destinations=(INSTITUTE.did,),
                deadline=now + HOUR,
                budget=PRICE,
                min_sites=1,
                not_before=now - HOUR,
                not_after=now + HOUR,
                buses=(NODE.did,),
                nonce=self.site.random.token(16),
                sig=UNSIGNED,
            ),
            PERSON,
        )
        order = Order(
            consortium=CONSORTIUM,
            epoch=0,
            submission=cid_of(submission),
            step="only",
            shard=0,
            attempt=1,
            site=self.site.root,
            bus=NODE.did,
            block=block,
            inputs=inputs,
            proofs=(),
            outputs={"result": Wanted(type="statistics", readers=(INSTITUTE.did,))},
            max_cost=PRICE,
            not_after=now + HOUR,
            sig=UNSIGNED,
        )
        return Place(order=signed(order, NODE), submission=submission, workflow=text, proofs=(), seconds=20)


_OUTPUTS: Final = {"result": "statistics"}


@asynccontextmanager
async def hospital(folder: Path, runner: Runner | None = None) -> AsyncIterator[Hospital]:
    """A hospital in ``folder``, whose steps may run: in its sandbox, or with ``runner`` if that is given."""
    place, nowhere = Folder(folder / "st-anna"), Address("127.0.0.1", 1)
    made = await trio.to_thread.run_sync(
        init_site, place, "St. Anna", "Ada", nowhere, nowhere, nowhere, new_passphrase()
    )
    site = await Site.open(place)
    site.network.hint = _no_hint  # type: ignore[method-assign, assignment]
    if runner is not None:
        site.steps = StepExecutor(runner, site.evaluator, site.materials, site.blobs, site.folder.work, Limits())
    try:
        there = Hospital(site, made.steward.key)
        project = _institute(there)
        await site.steps.start()
        if site.steps.fault:
            raise ComityError(site.steps.fault)
        permit = '@id("all") permit (principal, action in [Action::"compute", Action::"release"], resource);'
        await there.write("policy", PolicyFields(text=permit))
        await there.write("offer", OfferFields(runner="sandbox", price=PRICE, step_millis=10))
        await there.write("approve", ApproveFields.of(PROJECT, project))
        yield there
    finally:
        with trio.CancelScope(shield=True):
            await site.aclose()


def _institute(there: Hospital) -> ProjectFields:
    """The institute's catalog as the hospital has it; its project."""
    now = time.time_ns() // 1_000_000
    index = SiteIndex(INSTITUTE.did)
    project = ProjectFields(
        name=PROJECT.name, people={PERSON.did: bytes(32)}, purpose=PURPOSE, datasets=(), not_after=now + 24 * HOUR
    )
    for kind, fields, by in (
        ("key", _key(NODE, Role.NODE), INSTITUTE),
        ("key", _key(STEWARD, Role.STEWARD), INSTITUTE),
        ("key", _key(PERSON, Role.RESEARCHER), STEWARD),
        ("project", project, STEWARD),
    ):
        body = write_body(kind, fields, site=INSTITUTE.did, at=now, by=by)
        if index.add(index.size, kind, body) is None:
            raise ComityError(f"a «{kind}» entry of the benchmark does not count: {index.faults}")
    there.site.index.replace(index)
    there.site.membership.nodes = {there.site.root: there.site.node.did, INSTITUTE.did: NODE.did}
    return project


def _key(key: PrivateKey, role: Role) -> KeyFields:
    return KeyFields(did=key.did, role=role, name="Somebody", x25519=bytes(32))


async def _no_hint(_message: bytes) -> None:
    """Nobody is connected."""
