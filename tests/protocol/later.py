"""What comes later: a grant passed on and revoked, a fork, two more epochs, a changed node key, a project that ends."""

from catalog.approve import ApproveFields
from catalog.beat import BeatFields
from catalog.body import Body, write_body
from catalog.certificate import NOT_COVERED, CertificateFields
from catalog.checkpoint import Checkpoint, sign_checkpoint
from catalog.cid import Cid
from catalog.claim import Claim, ClaimFields, ClaimType, Identity
from catalog.dagcbor import Value, cid_of, encode
from catalog.dataset import DatasetFields, Level
from catalog.epoch import next_epoch, sign_epoch
from catalog.fork import AccuseFields, Fork
from catalog.grant import Action, Grant, GrantFields
from catalog.key import UNSIGNED, signed
from catalog.leaf import encode_leaf, seal
from catalog.member import Epoch, KeyFields, Member, Role, epoch_message
from catalog.merkle import Frontier, full_path, leaf_hash, prove_consistency
from catalog.origin import LogName, origin_of
from catalog.project import ProjectFields
from catalog.reopening import Reopening
from catalog.revoke import RevokeFields
from catalog.withdraw import WithdrawFields
from node.admission import Announcement, Standing
from node.founding import Founder, Invite, Knock
from privacy.label import resident
from tests.protocol import computed, published
from tests.protocol.people import DID, KEYS, T0, X25519
from tests.protocol.published import BLOCK, CONSORTIUM, DATASET, EPOCH, GRANT, HOUR, PROJECT, PURPOSE

T1 = T0 + 24 * HOUR
FLOOR = '@id("no-open-release")\nforbid (principal, action == Action::"release", resource)\nunless { context.endorsed };\n'


def salt(number: int) -> bytes:
    """The salt of the leaf at ``number``; a real one is random."""
    return bytes([0xA0 + number]) * 32


def entry(who: str, kind: str, fields: Value, at: int, previous: int | None = None, audience=None) -> Body:
    """An entry of the site of ``who``, signed by that key."""
    root = DID[f"{'institute' if who in ('mara', 'tomas') else who.partition('-')[0]}-root"]
    return write_body(kind, fields, site=root, at=at, by=KEYS[who], previous=previous, audience=audience)


def key(who: str, role: Role, name: str, **more: object) -> KeyFields:
    """The fields of a ``key`` entry about ``who``."""
    return KeyFields(did=DID[who], role=role, name=name, x25519=X25519[who], **more)


# --- a grant passed on, with less -------------------------------------------------------------------------------------

TERMS = Claim(
    type=ClaimType.TERMS,
    value="https://example.org/terms/2026",
    source="https://example.org/st-anna",
    by="dac",
    asserted=T0 // 1000,
    identity=None,
    not_after=T0 + 720 * HOUR,
)
ACCOUNT = Identity(iss="https://login.example.org/", sub="mara-17")
RESEARCHER = Claim(
    type=ClaimType.RESEARCHER,
    value="https://doi.org/10.1038/s41431-018-0219-y",
    source="https://example.org/institute",
    by="so",
    asserted=T0 // 1000,
    identity=ACCOUNT,
    not_after=T0 + 720 * HOUR,
)
LINKED = Claim(
    type=ClaimType.IDENTITIES,
    value="mara-17,https:%2F%2Flogin.example.org%2F",
    source="https://example.org/institute",
    by="system",
    asserted=T0 // 1000,
    identity=ACCOUNT,
    not_after=T0 + 720 * HOUR,
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

# --- a fork of Nordstad's catalog, and the new epoch of that log ------------------------------------------------------

NORDSTAD_ORIGIN = origin_of(DID["nordstad-root"], LogName.CATALOG)


def beat(who: str, at: int, previous: int | None = None) -> Body:
    """A sign of life of a node."""
    return entry(who, "beat", BeatFields(), at, previous)


def _history(*times: int) -> list[bytes]:
    """The leaf hashes of Nordstad's catalog with beats at these times."""
    beats = [beat("nordstad-node", at, 1 + number if number else None) for number, at in enumerate(times)]
    bodies = [*(body for _, body in published.NORDSTAD), *beats]
    leaves = (seal(NORDSTAD_ORIGIN, 0, body.kind, encode(body), salt(at)) for at, body in enumerate(bodies))
    return [leaf_hash(encode_leaf(leaf)) for leaf in leaves]


ONE, OTHER = _history(T0 + 600_000), _history(T0 + 660_000, T0 + 1_260_000, T0 + 1_860_000)


def _note(hashes: list[bytes]) -> str:
    root = Frontier().extend(hashes).root
    return sign_checkpoint(Checkpoint(NORDSTAD_ORIGIN, len(hashes), root), KEYS["nordstad-node"])


def _subtree(height: int, index: int) -> bytes:
    return Frontier().extend(OTHER[index << height : (index + 1) << height]).root


PATH = full_path(3, Frontier().extend(OTHER[:3]).root, prove_consistency(3, 5, _subtree))
FORK_EQUAL = Fork(first=_note(ONE), second=_note(OTHER[:3]))
FORK_LONGER = Fork(first=_note(ONE), second=_note(OTHER), consistency=tuple(PATH))

REOPENING = signed(
    Reopening(
        site=DID["nordstad-root"],
        log=LogName.CATALOG,
        number=1,
        size=2,
        root=Frontier().extend(ONE[:2]).root,
        node=DID["nordstad-node"],
        lost=1,
        reason="the node signed two histories from an old copy of its disk",
        sig=UNSIGNED,
    ),
    KEYS["nordstad-root-2"],
)

# --- epochs 1 and 2 ---------------------------------------------------------------------------------------------------

ANNA, NORDSTAD, INSTITUTE = (
    next(member for member in published.MEMBERS if member.root == DID[f"{site}-root"])
    for site in ("anna", "nordstad", "institute")
)
TRUST = Member(site="Data Trust", root=DID["trust-root"], witness_only=True)
REPLACED = Member(
    site=NORDSTAD.site, root=NORDSTAD.root, suspended=True, acting=DID["nordstad-root-2"], acting_from=3
)


def _signed(document: Epoch, *signers: str) -> Epoch:
    message = epoch_message(document)
    signatures = {DID[f"{site}-root"]: KEYS[f"{site}-root"].sign(message) for site in signers}
    return Epoch(**{name: getattr(document, name) for name in Epoch.__struct_fields__} | {"signatures": signatures})


EPOCH_1 = _signed(next_epoch(EPOCH, (ANNA, REPLACED, INSTITUTE, TRUST), floor=FLOOR), "anna", "institute")
EPOCH_2 = _signed(
    next_epoch(EPOCH_1, (ANNA, INSTITUTE, TRUST), gone={NORDSTAD.root: 4}), "anna", "institute", "trust"
)

INVITE = signed(
    Invite(
        consortium=EPOCH.consortium,
        site="St. Anna",
        node=DID["anna-node"],
        bulk="https://127.0.0.1:4202",
        secret=bytes([0x5F]) * 32,
        not_after=T1 + 168 * HOUR,
        founded=CONSORTIUM,
        sig=UNSIGNED,
    ),
    KEYS["anna-node"],
)
TRUST_LOG = [
    ("trust-node-key", entry("trust-root", "key", key("trust-node", Role.NODE, "Data Trust"), T1)),
    ("trust-epoch-2", entry("trust-root", "epoch-signature", sign_epoch(EPOCH_2, KEYS["trust-root"]), T1 + HOUR)),
]
"""The Data Trust's catalog log."""

CANDIDATE = Founder(
    member=TRUST,
    enrolment=encode(TRUST_LOG[0][1]),
    control="/ip4/127.0.0.1/tcp/4501",
    bulk="https://127.0.0.1:4502",
)
KNOCK = Knock(secret=INVITE.secret, founder=CANDIDATE, signature=None, since=0)
STANDING = Standing(epochs=(EPOCH, EPOCH_1), members=(published.FOUNDER, CANDIDATE))

# --- the catalogs, from where the first half of the story ended -------------------------------------------------------

_PROJECT: ProjectFields = published.PROJECT_FIELDS
ENDED = ProjectFields(
    **{name: getattr(_PROJECT, name) for name in ProjectFields.__struct_fields__} | {"ended": True},
)
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
AUDIT_AT_CHANGE = 11
"""How many leaves St. Anna's audit log had when its node's key was changed."""

ANNA_LATER = [
    ("anna-beat", beat("anna-node", T0 + 600_000)),
    ("approve", entry("anna-steward", "approve", ApproveFields(project=PROJECT, terms=_PROJECT.terms), T0 + 601_000)),
    ("claim-terms", entry("anna-steward", "claim", ClaimFields(person=DID["mara"], claims=(TERMS,)), T0 + 602_000)),
    ("draft", entry("anna-steward", "dataset", DRAFT, T0 + 603_000)),
    ("withdraw", entry("anna-steward", "withdraw", WithdrawFields(places=(11,)), T0 + 604_000)),
    ("accuse", entry("anna-node", "accuse", AccuseFields(fork=FORK_LONGER), T0 + 2 * HOUR)),
    ("anna-epoch-1", entry("anna-root", "epoch-signature", sign_epoch(EPOCH_1, KEYS["anna-root"]), T1)),
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
    (
        "certificate",
        entry(
            "anna-node-2",
            "certificate",
            CertificateFields(
                project=PROJECT,
                terms=_PROJECT.terms,
                values=1,
                nodes=1,
                bytes=len(computed.RESULT),
                not_covered=NOT_COVERED,
                audit=AUDIT_AT_CHANGE,
            ),
            T1 + 2 * HOUR,
        ),
    ),
    ("anna-epoch-2", entry("anna-root", "epoch-signature", sign_epoch(EPOCH_2, KEYS["anna-root"]), T1 + 3 * HOUR)),
]
"""St. Anna's catalog log from index 8 on."""

ANNOUNCEMENT = Announcement(
    founder=Founder(
        member=ANNA,
        enrolment=encode(dict(ANNA_LATER)["anna-node-2-key"]),
        control=published.FOUNDER.control,
        bulk=published.FOUNDER.bulk,
    ),
    removals=(encode(dict(ANNA_LATER)["anna-node-removed"]),),
)

INSTITUTE_LATER = [
    ("tomas-key", entry("institute-steward", "key", key("tomas", Role.RESEARCHER, "Tomás"), T0 + 600_000)),
    (
        "grant-passed-on-entry",
        entry("mara", "grant", GrantFields(grant=PASSED_ON), T0 + 601_000, audience=(DID["anna-root"],)),
    ),
    (
        "revoke",
        entry(
            "mara",
            "revoke",
            RevokeFields(grant=cid_of(PASSED_ON), reason="passed on to the wrong person"),
            T0 + HOUR,
        ),
    ),
    (
        "claims-home",
        entry("institute-steward", "claim", ClaimFields(person=DID["mara"], claims=(RESEARCHER, LINKED)), T0 + HOUR),
    ),
    (
        "tomas-taken-back",
        entry(
            "institute-steward",
            "key",
            key("tomas", Role.RESEARCHER, "Tomás", removed=True, until=7),
            T0 + 2 * HOUR,
            previous=6,
        ),
    ),
    ("institute-epoch-1", entry("institute-root", "epoch-signature", sign_epoch(EPOCH_1, KEYS["institute-root"]), T1)),
    ("project-ended", entry("institute-steward", "project", ENDED, T1 + HOUR, previous=3)),
    (
        "institute-epoch-2",
        entry("institute-root", "epoch-signature", sign_epoch(EPOCH_2, KEYS["institute-root"]), T1 + 3 * HOUR),
    ),
]
"""The institute's catalog log from index 6 on."""

NORDSTAD_LATER = [
    ("nordstad-beat", beat("nordstad-node", T0 + 600_000)),
    (
        "nordstad-steward-removed",
        write_body(
            "key",
            key("nordstad-steward", Role.STEWARD, "nordstad-steward", removed=True),
            site=DID["nordstad-root"],
            at=T1 + 1000,
            by=KEYS["nordstad-root-2"],
            previous=1,
        ),
    ),
]
"""Nordstad's catalog log from index 2 on: the second entry is by the key that acts as its root from index 3 on."""
