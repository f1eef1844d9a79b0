"""The story's first half: what the sites publish, and the epoch document that they sign."""

from msgspec import structs

from catalog.block import BlockFields, EndorseFields
from catalog.body import Body, write_body
from catalog.cid import Cid
from catalog.dagcbor import cid_of, encode
from catalog.dataset import DatasetFields, Level
from catalog.grant import Action, Grant, GrantFields
from catalog.key import UNSIGNED, signed
from catalog.member import Epoch, KeyFields, Member, Role, epoch_message, quorum_for
from catalog.offer import OfferFields
from catalog.policy import PolicyFields
from catalog.project import ProjectFields, ProjectRef
from node.founding import Founder, Founding, Invite, Knock
from node.storage.directory import build_directory
from node.storage.unixfs import build_file
from privacy.label import resident, shared
from tests.protocol.people import DID, HOUR, KEYS, SITES, T0, X25519

PURPOSE = "DUO:0000006"
PUBLICATION = "DUO:0000019"
TOOL = b"""cwlVersion: v1.2
class: CommandLineTool
label: local sums
$namespaces: {comity: "urn:comity:cwl#"}
hints: {comity:Output: {result: {type: statistics}}}
baseCommand: [python3]
inputs:
  script: {type: File, default: {class: File, location: local.py}, inputBinding: {position: 0}}
  data: {type: File, inputBinding: {position: 1}}
outputs:
  result: {type: File, outputBinding: {glob: result.json}}
"""
SCRIPT = b"import sys\n"
TABLE = b"x\n1\n2\n3\n"
DATASET_KEY = bytes([0xD1]) * 32
POLICY = """@id("granted-compute")
permit (principal, action == Action::"compute", resource)
when { context.granted && context.purposeMatches && context.fresh };

@id("endorsed-release")
permit (principal, action == Action::"release", resource)
when { context.granted && context.endorsed && context.fresh };

@id("rules-are-known")
permit (principal, action == Action::"see", resource is Rule);
"""

nodes: dict[Cid, bytes] = {}
BLOCK = build_directory(
    {"tool.cwl": build_file([TOOL], nodes.__setitem__), "local.py": build_file([SCRIPT], nodes.__setitem__)},
    nodes.__setitem__,
).cid
PLAIN = Cid.of(TABLE)
DATASET = PLAIN.keyed(DATASET_KEY)
PROJECT = ProjectRef(site=DID["institute-root"], name="breast")


def enrol(site: str, who: str, role: Role, by: str, at: int):
    """A ``key`` entry."""
    name = SITES.get(who.partition("-")[0], "") if role is Role.NODE else who
    fields = KeyFields(did=DID[who], role=role, name=name, x25519=X25519[who])
    return write_body("key", fields, site=DID[f"{site}-root"], at=at, by=KEYS[by])


def anna(kind: str, fields, at: int, audience: tuple[str, ...] | None = None):
    """An entry of St. Anna by its steward."""
    return write_body(kind, fields, site=DID["anna-root"], at=at, by=KEYS["anna-steward"], audience=audience)


def old_offer(at: int) -> Body:
    """An offer as it was written before there were prices of use: what lacks a field has its default."""
    body = anna("offer", OfferFields(runner="sandbox", price=100_000, step_millis=800), at)
    fields = {name: body.fields[name] for name in ("runner", "price", "step_millis")}
    return signed(structs.replace(body, fields=fields), KEYS["anna-steward"])


MEMBERS = tuple(
    sorted((Member(site=name, root=DID[f"{site}-root"]) for site, name in SITES.items()), key=lambda m: m.root)
)


def epoch(signatures: dict[str, bytes]) -> Epoch:
    """Epoch 0, with the signatures given."""
    return Epoch(
        consortium="Breast Alliance",
        number=0,
        previous=None,
        members=MEMBERS,
        quorum=quorum_for(len(MEMBERS)),
        floor="",
        duties={},
        protocol=(1, 1),
        signatures=signatures,
    )


DATASET_FIELDS = DatasetFields(
    cid=DATASET,
    name="tumours",
    level=Level.RESIDENT,
    label=resident(DID["anna-root"]),
    purposes=(PURPOSE, PUBLICATION),
    description="",
    media_type="text/csv",
    size=len(TABLE),
)

_MESSAGE = epoch_message(epoch({}))
EPOCH = epoch({DID[f"{site}-root"]: KEYS[f"{site}-root"].sign(_MESSAGE) for site in sorted(SITES)})
CONSORTIUM = cid_of(EPOCH)

GRANT = signed(
    Grant(
        consortium=CONSORTIUM,
        issuer=DID["anna-steward"],
        site=DID["anna-root"],
        subject=DID["mara"],
        project=PROJECT,
        claims=(),
        datasets=(DATASET,),
        purposes=(PURPOSE,),
        actions=(Action.SEE, Action.COMPUTE, Action.RELEASE),
        blocks=(BLOCK,),
        destinations=(DID["institute-root"],),
        not_after=T0 + 240 * HOUR,
        parent=None,
        sig=UNSIGNED,
    ),
    KEYS["anna-steward"],
)

ANNA = [
    ("anna-node-key", enrol("anna", "anna-node", Role.NODE, "anna-root", T0)),
    ("anna-steward-key", enrol("anna", "anna-steward", Role.STEWARD, "anna-root", T0)),
    ("anna-auditor-key", enrol("anna", "anna-auditor", Role.AUDITOR, "anna-steward", T0 + 1000)),
    (
        "dataset",
        anna("dataset", DATASET_FIELDS, T0 + 2000),
    ),
    ("policy", anna("policy", PolicyFields(text=POLICY), T0 + 3000, ())),
    ("offer", old_offer(T0 + 4000)),
    (
        "endorse",
        anna(
            "endorse",
            EndorseFields(block=BLOCK, output_types=("statistics",)),
            T0 + 9000,
            (DID["institute-root"],),
        ),
    ),
    ("grant-entry", anna("grant", GrantFields(grant=GRANT), T0 + 10_000, (DID["institute-root"],))),
]
"""St. Anna's catalog log, in order."""


PROJECT_FIELDS = ProjectFields(
    name=PROJECT.name,
    people={DID["mara"]: bytes([0xE1]) * 32, DID["tomas"]: bytes([0xE2]) * 32},
    purpose=PURPOSE,
    datasets=(DATASET,),
    not_after=T0 + 720 * HOUR,
    members=(DID["anna-root"],),
    undertakings=(PUBLICATION,),
)


def institute(kind: str, fields, at: int, by: str, previous: int | None = None, audience=None):
    """An entry of the institute."""
    return write_body(
        kind, fields, site=DID["institute-root"], at=at, by=KEYS[by], previous=previous, audience=audience
    )


def block(*readers: str) -> BlockFields:
    """The block, shared with the roots of ``readers``."""
    label = shared(DID["institute-root"], [DID[f"{reader}-root"] for reader in readers])
    return BlockFields(cid=BLOCK, name="local sums", label=label, description="", outputs={"result": "statistics"})


INSTITUTE = [
    ("institute-node-key", enrol("institute", "institute-node", Role.NODE, "institute-root", T0)),
    ("institute-steward-key", enrol("institute", "institute-steward", Role.STEWARD, "institute-root", T0)),
    ("mara-key", enrol("institute", "mara", Role.RESEARCHER, "institute-steward", T0 + 1000)),
    (
        "project",
        institute(
            "project",
            PROJECT_FIELDS,
            T0 + 5000,
            "institute-steward",
        ),
    ),
    ("block", institute("block", block(), T0 + 6000, "mara", audience=())),
    (
        "block-shared",
        institute("block", block("anna"), T0 + 7000, "mara", previous=4, audience=(DID["anna-root"],)),
    ),
]
"""The institute's catalog log, in order."""

NORDSTAD = [
    ("nordstad-node-key", enrol("nordstad", "nordstad-node", Role.NODE, "nordstad-root", T0)),
    ("nordstad-steward-key", enrol("nordstad", "nordstad-steward", Role.STEWARD, "nordstad-root", T0)),
]

INVITE = signed(
    Invite(
        consortium="Breast Alliance",
        site="Institute",
        node=DID["institute-node"],
        bulk="https://127.0.0.1:4102",
        secret=bytes([0x5E]) * 32,
        not_after=T0 + 168 * HOUR,
        sig=UNSIGNED,
    ),
    KEYS["institute-node"],
)
ONLY_OUT = "nordstad"
"""The site whose firewall lets nobody in."""

FOUNDERS = {
    site: Founder(
        member=Member(site=name, root=DID[f"{site}-root"]),
        enrolment=encode(entries[0][1]),
        control=f"/ip4/127.0.0.1/tcp/4{number}01" if site != ONLY_OUT else "",
        bulk=f"https://127.0.0.1:4{number}02" if site != ONLY_OUT else "",
    )
    for number, (site, name, entries) in enumerate(
        (("institute", "Institute", INSTITUTE), ("anna", "St. Anna", ANNA), ("nordstad", "Nordstad", NORDSTAD)), 1
    )
}
KNOCK = Knock(secret=INVITE.secret, founder=FOUNDERS["anna"], signature=EPOCH.signatures[DID["anna-root"]])
FOUNDING = Founding(
    consortium=EPOCH.consortium,
    expected=3,
    founders=tuple(FOUNDERS.values()),
    signatures={DID[f"{site}-root"]: EPOCH.signatures[DID[f"{site}-root"]] for site in ("anna", "institute")},
)
"""How far the founding is when St. Anna has knocked with its signature and Nordstad has not signed yet."""
