"""Who takes part: keys, catalogs, data, blocks and policies of a small consortium, all from one seed.

Hospitals hold resident data and take one of five stances; the institute shares the blocks, runs the project and
pools; a data trust, if there is one, only witnesses. A liar, if there is one, is a hospital that lies with its own
keys (liar.py).
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Final

from catalog.approve import ApproveFields
from catalog.block import BlockFields, EndorseFields
from catalog.body import Body, write_body
from catalog.cid import Cid
from catalog.dagcbor import Value, encode
from catalog.dataset import DatasetFields, Level
from catalog.grant import Action, Grant, GrantFields
from catalog.key import UNSIGNED, PrivateKey, signed
from catalog.keyring import Charter
from catalog.member import KeyFields, Role, quorum_for
from catalog.offer import OfferFields
from catalog.origin import LogName, origin_of
from catalog.policy import PolicyFields
from catalog.project import ProjectFields, ProjectRef
from privacy.label import resident, shared
from privacy.starters import HOSPITAL, INSTITUTE
from tests.simulation.disk import Disk, new_log
from workflow.flow import parse_workflow
from workflow.graph import Workflow
from workflow.parse import parse_tool
from workflow.tool import Tool

PURPOSE: Final = "DUO:0000006"
LATER: Final = 1 << 45
DAY: Final = 86_400_000
NAMES: Final = ("St. Anna", "St. Bruno", "St. Clara", "St. Dora", "St. Ewald")
PRICE: Final = 100_000
EPOCH_BEGAN: Final = 1_700_000_000_000
"""Unix milliseconds at the simulation's time 0."""

_TOOL: Final = """\
cwlVersion: v1.2
class: CommandLineTool
$namespaces: {comity: "urn:comity:cwl#"}
label: %s
baseCommand: none
hints:
  comity:Output: {%s: {type: statistics}}
inputs:
  %s: {type: "%s", inputBinding: {position: 1}}
outputs:
  %s: {type: File, outputBinding: {glob: "%s.json"}}
"""

COUNT: Final = _TOOL % ("count", "result", "data", "File", "result", "result")
COPY: Final = _TOOL % ("copy", "same", "value", "File", "same", "same")
POOL: Final = _TOOL % ("pool", "pooled", "parts", "File[]", "pooled", "pooled")
BLOCKS: Final = {"count": COUNT, "copy": COPY, "pool": POOL}
CIDS: Final = {name: Cid.of(text.encode()) for name, text in BLOCKS.items()}


class Stance(StrEnum):
    """What a hospital lets others do."""

    WILLING = "willing"
    UNENDORSED = "unendorsed"
    UNGRANTED = "ungranted"
    CLOSED = "closed"
    OFFERLESS = "offerless"


def workflow_text(copies: int) -> str:
    """Count at every hospital, copy the results ``copies`` times at the institute, pool them."""
    steps = [f"  count: {{run: 'comity:{CIDS['count']}', scatter: data, in: {{data: data}}, out: [result]}}"]
    source = "count/result"
    for number in range(copies):
        name = f"copy{number}"
        steps.append(
            f"  {name}: {{run: 'comity:{CIDS['copy']}', scatter: value, in: {{value: {source}}}, out: [same]}}"
        )
        source = f"{name}/same"
    steps.append(f"  pool: {{run: 'comity:{CIDS['pool']}', in: {{parts: {source}}}, out: [pooled]}}")
    return (
        "cwlVersion: v1.2\nclass: Workflow\nrequirements: {ScatterFeatureRequirement: {}}\ninputs: {data: 'File[]'}\n"
        "steps:\n" + "\n".join(steps) + "\noutputs: {pooled: {type: File, outputSource: pool/pooled}}\n"
    )


@lru_cache(maxsize=64)
def read_tool(text: str) -> Tool:
    """A tool from its CWL text; reading takes long, and a text has one meaning."""
    return parse_tool(text, "tool.cwl")


@lru_cache(maxsize=64)
def read_workflow(text: str) -> Workflow:
    """A workflow from its CWL text."""
    return parse_workflow(text, "workflow.cwl")


def compute(command: str, files: list[bytes]) -> bytes:
    """What the tools do: pure functions of the bytes that they are given."""
    if command == "copy":
        return files[0]
    values = [json.loads(each) for each in files]
    if command == "count":
        return statistics(len(values[0]), sum(values[0]))
    told = [each["groups"]["all"] for each in values]
    return statistics(sum(each["count"] for each in told), sum(each["sum"] for each in told))


def statistics(count: int, total: int) -> bytes:
    """The form that disclosure control reads; what leaves of it is written anew."""
    group = {"sum": total, "count": count}
    form = {"disclosure": 1, "type": "statistics", "measures": ["value"], "where": {}, "groups": {"all": group}}
    return json.dumps(form).encode()


@dataclass(eq=False)
class Site:
    """One institution: its keys, its disk, its stance, and what its data are (root CID → dataset's name).

    ``skew`` is by how many milliseconds its clock is wrong now; ``grant`` what it gave the researcher.
    """

    name: str
    root: PrivateKey
    node: PrivateKey
    steward: PrivateKey
    stance: Stance
    disk: Disk
    skew: int
    policy: str
    datasets: dict[Cid, str] = field(default_factory=dict)
    subjects: dict[tuple[str, str], int] = field(default_factory=dict)
    grant: Grant | None = None
    witness_only: bool = False
    did: str = field(init=False)

    def __post_init__(self) -> None:
        self.did = self.root.did

    @property
    def charter(self) -> Charter:
        """What the consortium says of it."""
        return Charter(((0, self.did),), witness_only=self.witness_only)


def _key(seed: str) -> PrivateKey:
    return PrivateKey(random.Random(seed).randbytes(32))


class Consortium:
    """The founding of ``hospitals`` and an institute, with a researcher there.

    ``trust`` adds a member that only witnesses, ``liar`` one that lies. Clocks are wrong by up to ``skew``, and by
    days at the ``strays``. Grants end at ``not_after``.
    """

    def __init__(
        self,
        seed: str,
        hospitals: int,
        *,
        liar: bool,
        wholesome: bool,
        skew: int,
        trust: bool = False,
        strays: int = 0,
        not_after: int = LATER,
    ) -> None:
        self.random = random.Random(f"{seed}/consortium")
        self._seed = seed
        self._not_after = not_after
        self.cid = Cid.of(seed.encode())
        self.hospitals = [self._site(name, self._stance(wholesome), skew) for name in NAMES[:hospitals]]
        self.institute = self._site("Institute", Stance.WILLING, skew)
        self.trust = self._site("Data Trust", Stance.OFFERLESS, skew) if trust else None
        self.liar = self._site("Liar", Stance.WILLING, skew) if liar else None
        self.honest = [*self.hospitals, self.institute, *([self.trust] if self.trust else [])]
        for site in self.random.sample(self.honest, strays):
            site.skew += self.random.choice([-1, 1]) * self.random.randint(DAY, 4 * DAY)
        self.sites = [*self.honest, *([self.liar] if self.liar else [])]
        if self.trust is not None:
            self.trust.witness_only = True
        self.quorum = quorum_for(len(self.sites))
        self.researcher = _key(f"{seed}/researcher")
        self.project = ProjectRef(site=self.institute.did, name="trial")
        self.terms = ProjectFields(
            name="trial", people={self.researcher.did: bytes(32)}, purpose=PURPOSE, datasets=(), not_after=LATER
        )
        self.grants: list[Cid] = []
        self._made = 0
        for site in self.sites:
            for other in self.sites:
                if other is not site:
                    origin = origin_of(other.did, LogName.CATALOG)
                    replica = new_log(origin, other.node)
                    replica.note = ""
                    site.disk.replicas[other.did] = replica
        for site in self.sites:
            self._found(site)

    @property
    def names(self) -> Mapping[str, str]:
        """Name for people by root key."""
        return {site.did: site.name for site in self.sites}

    @property
    def nodes(self) -> Mapping[str, str]:
        """Node key by root key."""
        return {site.did: site.node.did for site in self.sites}

    def _stance(self, wholesome: bool) -> Stance:
        if wholesome or self.random.random() < 0.7:
            return Stance.WILLING
        return self.random.choice([each for each in Stance if each is not Stance.WILLING])

    def _site(self, name: str, stance: Stance, skew: int) -> Site:
        root, node, steward = (_key(f"{self._seed}/{name}/{what}") for what in ("root", "node", "steward"))
        disk = Disk(
            new_log(origin_of(root.did, LogName.CATALOG), node), new_log(origin_of(root.did, LogName.AUDIT), node)
        )
        policy = INSTITUTE if name == "Institute" else "" if stance is Stance.CLOSED else HOSPITAL
        return Site(name, root, node, steward, stance, disk, self.random.randint(-skew, skew), policy)

    def _found(self, site: Site) -> None:
        self.publish(site, "key", site.node.did, _enrolment(site.node, Role.NODE, site.name), by=site.root)
        if site.witness_only:
            return
        self.publish(site, "key", site.steward.did, _enrolment(site.steward, Role.STEWARD, site.name), by=site.root)
        self.publish(site, "policy", "", PolicyFields(text=site.policy))
        if site.stance is not Stance.OFFERLESS:
            self.publish(site, "offer", "", OfferFields(runner="sandbox", price=PRICE, step_millis=1000))
        if site is self.institute:
            self._found_institute(site)
        elif site is not self.liar:
            self._found_hospital(site)

    def _found_institute(self, site: Site) -> None:
        enrolment = _enrolment(self.researcher, Role.RESEARCHER, "Mara")
        self.publish(site, "key", self.researcher.did, enrolment)
        self.publish(site, "project", "trial", self.terms)
        label = shared(site.did, [each.did for each in self.honest])
        for name, cid in CIDS.items():
            tool = read_tool(BLOCKS[name])
            outputs = {each.name: str(each.disclosure) for each in tool.outputs}
            fields = BlockFields(cid=cid, name=name, label=label, description="", outputs=outputs)
            self.publish(site, "block", str(cid), fields, by=self.researcher)
            site.disk.blobs[cid] = BLOCKS[name].encode()

    def _found_hospital(self, site: Site) -> None:
        for number in range(self.random.choice([1, 1, 2])):
            self._made += 1
            rows = [self._made * 1000, *(self.random.randrange(100) for _ in range(15))]
            data = json.dumps(rows).encode()
            cid = Cid.of(data).keyed(self.random.randbytes(32))
            site.disk.blobs[cid] = data
            site.datasets[cid] = f"{site.name} data {number}"
            self.publish(site, "dataset", str(cid), dataset_fields(site, cid))
        self.approve(site, self.project, self.terms)
        if site.stance is not Stance.UNGRANTED:
            self._grant(site)
        if site.stance is not Stance.UNENDORSED:
            fields = EndorseFields(block=CIDS["count"], output_types=("statistics",))
            self.publish(site, "endorse", str(CIDS["count"]), fields)

    def approve(self, site: Site, project: ProjectRef, terms: ProjectFields) -> None:
        """A site's steward approves a project as it stands."""
        self.publish(site, "approve", project.subject, ApproveFields.of(project, terms))

    def _grant(self, site: Site) -> None:
        grant = signed(
            Grant(
                consortium=self.cid,
                issuer=site.steward.did,
                site=site.did,
                subject=self.researcher.did,
                project=self.project,
                claims=(),
                datasets=tuple(site.datasets),
                purposes=(PURPOSE,),
                actions=(Action.SEE, Action.COMPUTE, Action.RELEASE),
                blocks=(),
                destinations=(self.institute.did,),
                not_after=self._not_after,
                parent=None,
                sig=UNSIGNED,
            ),
            site.steward,
        )
        site.grant = grant
        fields = GrantFields(grant=grant)
        self.grants.append(fields.cid)
        self.publish(site, "grant", str(fields.cid), fields, audience=[self.institute.did])

    def publish(
        self,
        site: Site,
        kind: str,
        subject: str,
        fields: Value,
        *,
        by: PrivateKey | None = None,
        audience: Iterable[str] | None = None,
    ) -> int:
        """Write an entry to a site's catalog on disk before its node first runs; its index."""
        body = encode(self.body(site, kind, subject, fields, by=by, audience=audience))
        index = site.disk.catalog.put(site.node, 0, [(kind, body, self.random.randbytes(32))])
        site.subjects[kind, subject] = index
        return index

    def body(
        self,
        site: Site,
        kind: str,
        subject: str,
        fields: Value,
        *,
        by: PrivateKey | None = None,
        audience: Iterable[str] | None = None,
    ) -> Body:
        """The signed body of the next version of a subject."""
        return write_body(
            kind,
            fields,
            site=site.did,
            at=EPOCH_BEGAN,
            by=by or site.steward,
            previous=site.subjects.get((kind, subject)),
            audience=None if audience is None else tuple(audience),
        )


def dataset_fields(site: Site, cid: Cid) -> DatasetFields:
    """The entry of a resident dataset."""
    return DatasetFields(
        cid=cid,
        name=site.datasets.get(cid, "more data"),
        level=Level.RESIDENT,
        label=resident(site.did),
        purposes=(PURPOSE,),
        description="",
        media_type="application/json",
        size=1,
    )


def _enrolment(key: PrivateKey, role: Role, name: str) -> KeyFields:
    return KeyFields(did=key.did, role=role, name=name, x25519=bytes(32))


def removal(key: PrivateKey, role: Role, name: str) -> KeyFields:
    """The entry that removes a key."""
    return KeyFields(did=key.did, role=role, name=name, x25519=bytes(32), removed=True)
