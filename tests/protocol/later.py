"""What comes later: a grant passed on and revoked, claims, two more epochs, a changed node key, a project that ends."""

from msgspec import structs

from catalog.approve import ApproveFields
from catalog.body import Body, write_body
from catalog.capacity import CapacityFields, Load, Speed
from catalog.certificate import NOT_COVERED, CertificateFields
from catalog.cid import Cid
from catalog.claim import Claim, ClaimFields, ClaimType, Identity
from catalog.dagcbor import Value, cid_of, encode
from catalog.dataset import DatasetFields, Level
from catalog.epoch import next_epoch, sign_epoch
from catalog.fork import AccuseFields
from catalog.grant import Action, Grant, GrantFields
from catalog.key import UNSIGNED, signed
from catalog.member import Epoch, KeyFields, Member, Role, epoch_message
from catalog.mirror import MirrorFields
from catalog.offer import Most, OfferFields
from catalog.revoke import RevokeFields
from catalog.withdraw import WithdrawFields
from node.admission import Announcement, Standing
from node.founding import Founder, Invite, Knock
from privacy.label import resident
from tests.protocol import computed, environments, published
from tests.protocol.forked import FORK_LONGER, beat
from tests.protocol.people import DID, HOUR, KEYS, T0, T1, T2, X25519
from tests.protocol.published import BLOCK, CONSORTIUM, DATASET, EPOCH, GRANT, PROJECT, PROJECT_FIELDS, PURPOSE


def entry(who: str, kind: str, fields: Value, at: int, previous: int | None = None, audience=None) -> Body:
    """An entry of the site of ``who``, signed by that key."""
    root = DID[f"{'institute' if who in ('mara', 'tomas') else who.partition('-')[0]}-root"]
    return write_body(kind, fields, site=root, at=at, by=KEYS[who], previous=previous, audience=audience)


def key(who: str, role: Role, name: str, **more: object) -> KeyFields:
    """The fields of a ``key`` entry about ``who``."""
    return KeyFields(did=DID[who], role=role, name=name, x25519=X25519[who], **more)


def claim(kind: ClaimType, value: str, source: str, by: str, identity: Identity | None = None) -> Claim:
    """A claim for thirty days."""
    return Claim(
        type=kind,
        value=value,
        source=source,
        by=by,
        asserted=T0 // 1000,
        identity=identity,
        not_after=T0 + 720 * HOUR,
    )


# --- what is said of Mara, and what she passes on ---------------------------------------------------------------------

ACCOUNT = Identity(iss="https://login.example.org/", sub="mara-17")
SAID_BY_ANNA = ClaimFields(
    person=DID["mara"],
    claims=(claim(ClaimType.TERMS, "https://example.org/terms/2026", "https://example.org/st-anna", "dac"),),
)
SAID_AT_HOME = ClaimFields(
    person=DID["mara"],
    claims=(
        claim(
            ClaimType.IDENTITIES,
            "mara-17,https:%2F%2Flogin.example.org%2F",
            "https://example.org/institute",
            "so",
            ACCOUNT,
        ),
        claim(
            ClaimType.RESEARCHER,
            "https://doi.org/10.1038/s41431-018-0219-y",
            "https://login.example.org/",
            "so",
            ACCOUNT,
        ),
    ),
)

PASSED_ON = signed(
    Grant(
        consortium=CONSORTIUM,
        issuer=DID["mara"],
        site=DID["anna-root"],
        subject=DID["tomas"],
        project=PROJECT,
        claims=(),
        datasets=(DATASET,),
        purposes=(PURPOSE,),
        actions=(Action.COMPUTE,),
        blocks=(BLOCK,),
        destinations=(DID["institute-root"],),
        not_after=T0 + 120 * HOUR,
        parent=cid_of(GRANT),
        sig=UNSIGNED,
    ),
    KEYS["mara"],
)

# --- epochs 1 and 2 ---------------------------------------------------------------------------------------------------

FLOOR = (
    '@id("no-open-release")\nforbid (principal, action == Action::"release", resource)\nunless { context.endorsed };\n'
)
ANNA, NORDSTAD, INSTITUTE = (published.FOUNDERS[site].member for site in ("anna", "nordstad", "institute"))
TRUST = Member(site="Data Trust", root=DID["trust-root"], witness_only=True)
REPLACED = structs.replace(NORDSTAD, suspended=True, acting=DID["nordstad-root-2"], acting_from=2)


def _signed(document: Epoch, *signers: str) -> Epoch:
    message = epoch_message(document)
    signatures = {DID[f"{site}-root"]: KEYS[f"{site}-root"].sign(message) for site in signers}
    return structs.replace(document, signatures=signatures)


EPOCH_1 = _signed(next_epoch(EPOCH, (ANNA, REPLACED, INSTITUTE, TRUST), floor=FLOOR), "anna", "institute")
EPOCH_2 = _signed(next_epoch(EPOCH_1, (ANNA, INSTITUTE, TRUST), gone={NORDSTAD.root: 4}), "anna", "institute", "trust")


def approval(site: str, document: Epoch, at: int) -> Body:
    """The ``epoch-signature`` by which the root of ``site`` signs a document."""
    return entry(f"{site}-root", "epoch-signature", sign_epoch(document, KEYS[f"{site}-root"]), at)


INVITE = signed(
    Invite(
        consortium=EPOCH.consortium,
        site="St. Anna",
        node=DID["anna-node"],
        bulk=published.FOUNDERS["anna"].bulk,
        secret=bytes([0x5F]) * 32,
        not_after=T0 + 180 * HOUR,
        founded=CONSORTIUM,
        sig=UNSIGNED,
    ),
    KEYS["anna-node"],
)
TRUST_LOG = [
    ("trust-node-key", entry("trust-root", "key", key("trust-node", Role.NODE, "Data Trust"), T0 + 12 * HOUR)),
    ("trust-epoch-2", approval("trust", EPOCH_2, T2)),
]
"""The Data Trust's catalog log, in order."""

CANDIDATE = Founder(
    member=TRUST,
    enrolment=encode(TRUST_LOG[0][1]),
    control="/ip4/127.0.0.1/tcp/4401",
    bulk="https://127.0.0.1:4402",
)
KNOCK = Knock(secret=INVITE.secret, founder=CANDIDATE, signature=None, since=1)
STANDING = Standing(epochs=(EPOCH_1,), members=(*published.FOUNDERS.values(), CANDIDATE))
"""What a candidate that has epoch 0 hears once epoch 1 has admitted it."""

# --- the catalogs, from where the first part of the story ended -------------------------------------------------------

DRAFT = DatasetFields(
    cid=Cid.of(b"x\n1\n").keyed(published.DATASET_KEY),
    name="draft",
    level=Level.RESIDENT,
    label=resident(DID["anna-root"]),
    purposes=(PURPOSE,),
    description="",
    media_type="text/csv",
    size=4,
)
AUDIT_AT_CHANGE = 10
"""How many leaves St. Anna's audit log had when its node's key was changed."""

CERTIFIED = 12
"""Where its audit log says that what was held for the project is gone."""

PRICED = OfferFields(
    runner="sandbox",
    price=20_000,
    step_millis=800,
    cpu_hour=90_000,
    gb_hour=30_000,
    gb_moved=10_000,
    most=Most(seconds=300, cpu_seconds=300, memory_mib=1024),
)
CAPACITY = CapacityFields(
    runner="sandbox",
    platform="linux/amd64",
    processor="AMD EPYC 7763",
    processors=16,
    memory_mib=64_000,
    at_once=16,
    most=Most(seconds=300, cpu_seconds=300, memory_mib=1024),
    environments=(Cid.of(b"an environment"),),
    speed=Speed(integer=1100, floating=1050, hashing=1600, writing=700, at=T2 + 2 * HOUR),
    load=Load.BUSY,
)

ANNA_LATER = [
    (
        "approve",
        entry("anna-steward", "approve", ApproveFields.of(PROJECT, PROJECT_FIELDS), T0 + 12_000),
    ),
    ("beat", beat("anna", T0 + 600_000)),
    ("claim-of-owner", entry("anna-steward", "claim", SAID_BY_ANNA, T0 + 602_000)),
    ("draft", entry("anna-steward", "dataset", DRAFT, T0 + 603_000)),
    ("withdraw", entry("anna-steward", "withdraw", WithdrawFields(places=(11,)), T0 + 604_000)),
    ("accuse", entry("anna-node", "accuse", AccuseFields(fork=FORK_LONGER), T0 + 3 * HOUR)),
    ("anna-epoch-1", approval("anna", EPOCH_1, T1)),
    (
        "anna-node-removed",
        entry(
            "anna-root",
            "key",
            key("anna-node", Role.NODE, "St. Anna", removed=True, audit_until=AUDIT_AT_CHANGE),
            T1 + HOUR,
            previous=0,
        ),
    ),
    ("anna-node-2-key", entry("anna-root", "key", key("anna-node-2", Role.NODE, "St. Anna"), T1 + HOUR)),
    ("anna-epoch-2", approval("anna", EPOCH_2, T2)),
    (
        "certificate",
        entry(
            "anna-node-2",
            "certificate",
            CertificateFields(
                project=PROJECT,
                terms=PROJECT_FIELDS.terms,
                values=1,
                nodes=1,
                bytes=len(computed.RESULT),
                not_covered=NOT_COVERED,
                audit=CERTIFIED,
            ),
            T2 + HOUR + 1000,
        ),
    ),
    (
        "mirror",
        entry(
            "anna-steward",
            "mirror",
            MirrorFields(cid=published.BLOCK, owner=DID["institute-root"]),
            T2 + 2 * HOUR,
            audience=(DID["institute-root"],),
        ),
    ),
    ("offer-of-use", entry("anna-steward", "offer", PRICED, T2 + 3 * HOUR, previous=5)),
    ("capacity", entry("anna-node-2", "capacity", CAPACITY, T2 + 3 * HOUR + 1000)),
]
"""St. Anna's catalog log from index 8 on."""

ANNOUNCEMENT = Announcement(
    founder=structs.replace(published.FOUNDERS["anna"], enrolment=encode(dict(ANNA_LATER)["anna-node-2-key"])),
    removals=(encode(dict(ANNA_LATER)["anna-node-removed"]),),
)

INSTITUTE_LATER = [
    ("tomas-key", entry("institute-steward", "key", key("tomas", Role.RESEARCHER, "tomas"), T0 + 600_000)),
    (
        "grant-passed-on-entry",
        entry("mara", "grant", GrantFields(grant=PASSED_ON), T0 + 601_000, audience=(DID["anna-root"],)),
    ),
    ("claim-of-home", entry("institute-steward", "claim", SAID_AT_HOME, T0 + 602_000)),
    (
        "revoke",
        entry(
            "mara",
            "revoke",
            RevokeFields(grant=cid_of(PASSED_ON), reason="passed on by mistake", issuer=DID["mara"]),
            T0 + HOUR,
        ),
    ),
    (
        "tomas-taken-back",
        entry(
            "institute-steward",
            "key",
            key("tomas", Role.RESEARCHER, "tomas", removed=True, until=7),
            T0 + 4 * HOUR,
            previous=6,
        ),
    ),
    ("institute-epoch-1", approval("institute", EPOCH_1, T1)),
    ("institute-epoch-2", approval("institute", EPOCH_2, T2)),
    (
        "project-ended",
        entry("institute-steward", "project", structs.replace(PROJECT_FIELDS, ended=True), T2 + HOUR, previous=3),
    ),
    *environments.BLOCKS,
]
"""The institute's catalog log from index 6 on."""
