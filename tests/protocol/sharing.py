"""A dataset that St. Anna shares with Mara, and its key on its way to her."""

from msgspec import structs

from catalog.body import Body
from catalog.cid import Cid
from catalog.crypt4gh import SEGMENT, seal_segment, write_header
from catalog.dagcbor import encode
from catalog.dataset import Level
from catalog.httpsig import digest_of, kept_request, sign_request
from catalog.label import Label
from catalog.manifest import MANIFEST, Manifest, SharedFile
from node.header import HEADER_PATH, OPEN_PATH, ForPerson, HeaderRequest
from node.storage.directory import build_directory
from node.storage.unixfs import Child, build_file, chunks_of
from tests.protocol.computed import DECISION
from tests.protocol.described import signed_request, value
from tests.protocol.logged import Told
from tests.protocol.people import DID, HOUR, KEYS, T2, X25519
from tests.protocol.published import DATASET_FIELDS, PROJECT
from tests.protocol.recorded import account, kept
from workflow.account import KeyReleaseFields, Link, Side, WithheldFields

DATA_KEY = bytes([0x71]) * 32
WRITER = bytes([0x72]) * 32
PACKET_NONCE = bytes([0x73]) * 12
FILES = {"empty.txt": b"", "ward/table.csv": b"age,diagnosis\n61,C50\n"}

nodes: dict[Cid, bytes] = {}


def sealed(data: bytes, first: int) -> bytes:
    """A body whose segments have the nonces ``first`` and on, big-endian."""
    starts = range(0, len(data), SEGMENT)
    return b"".join(
        seal_segment(DATA_KEY, data[at : at + SEGMENT], (first + number).to_bytes(12, "big"))
        for number, at in enumerate(starts)
    )


def stored(body: bytes) -> Child:
    """A body as UnixFS has it."""
    return build_file(chunks_of(body), nodes.__setitem__)


BODIES = {path: sealed(data, 16 * number) for number, (path, data) in enumerate(FILES.items(), 1)}
MANIFEST_VALUE = Manifest(
    folder=True,
    files=tuple(
        SharedFile(path=path, size=len(data), media_type="text/plain", body=stored(BODIES[path]).cid)
        for path, data in FILES.items()
    ),
)
MANIFEST_BODY = sealed(encode(MANIFEST_VALUE), 1)
ROOT = build_directory(
    {MANIFEST: stored(MANIFEST_BODY), **{str(number): stored(body) for number, body in enumerate(BODIES.values())}},
    nodes.__setitem__,
).cid

READER = f"{DID['mara']}@{DID['institute-root']}"
FIELDS = structs.replace(
    DATASET_FIELDS,
    cid=ROOT,
    name="biopsies",
    level=Level.SHARED,
    label=Label(owners={DID["anna-root"]: tuple(sorted((DID["anna-root"], READER)))}),
    size=MANIFEST_VALUE.size,
    custodians=(DID["nordstad-root"],),
)

_RANDOM = iter((WRITER, PACKET_NONCE))
HEADER = write_header(DATA_KEY, X25519["mara"], lambda _count: next(_RANDOM))

OPENS = f"{OPEN_PATH}{ROOT}?project={PROJECT.name}&project_site={PROJECT.site}"
AT = T2 + 3 * HOUR
ASKED = HeaderRequest(
    owner=DID["anna-root"],
    dataset=ROOT,
    asked=ForPerson(request=kept("mara", "institute-node", OPENS, AT, 0x74)),
)
_headers = sign_request(
    KEYS["institute-node"],
    "POST",
    HEADER_PATH,
    peer=DID["anna-node-2"],
    now=AT,
    nonce=bytes([0x75]) * 16,
    body=encode(ASKED),
)
_GIVEN = KeyReleaseFields(
    root=ROOT,
    reader=READER,
    site=DID["institute-root"],
    person=DID["mara"],
    project=PROJECT,
    chain={str(ROOT): Link(before=None, count=1), DID["mara"]: Link(before=4, count=4)},
    asked=encode(ASKED),
    request=kept_request(
        "POST", HEADER_PATH, _headers.items(), body_digest=digest_of(encode(ASKED)), peer=DID["anna-node-2"]
    ),
    decision=structs.replace(
        DECISION,
        action="fetch",
        rules=("readers-fetch",),
        reason="rule «readers-fetch» of St. Anna's policy allows fetch",
        facts={},
    ),
)
GIVEN: Body = account("key-release", _GIVEN, AT + 100, "anna-node-2")
WITHHELD: Body = account(
    "withheld",
    WithheldFields(
        root=ROOT,
        site=DID["institute-root"],
        person=DID["mara"],
        project=PROJECT,
        key=True,
        reason="the grant was revoked: «the vote was withdrawn»",
        chain={str(ROOT): Link(before=15, count=2), DID["mara"]: Link(before=15, count=5)},
        asked=encode(ASKED),
        request=_GIVEN.request,
    ),
    AT + 300,
    "anna-node-2",
)
CAME: Body = account(
    "key-release",
    structs.replace(
        _GIVEN,
        site=DID["anna-root"],
        side=Side.RECIPIENT,
        request=None,
        decision=None,
        chain={str(ROOT): Link(before=None, count=1), DID["mara"]: Link(before=4, count=5)},
    ),
    AT + 200,
    "institute-node",
)


def shared() -> Told:
    """The dataset, from plaintext to what is stored, and what its reader gets."""
    return {
        "data_key": DATA_KEY.hex(),
        "writer_secret": _secret(WRITER).hex(),
        "packet_nonce": PACKET_NONCE.hex(),
        "reader": "mara",
        "header": HEADER.hex(),
        "files": {
            path: {"plain": data.hex(), "body": BODIES[path].hex(), "cid": str(stored(BODIES[path]).cid)}
            for path, data in FILES.items()
        },
        "manifest": value("manifest", MANIFEST_VALUE) | {"body": MANIFEST_BODY.hex()},
        "folder": nodes[ROOT].hex(),
        "root": str(ROOT),
        "fields": value("dataset fields", FIELDS),
        "asked": value("header request", ASKED),
        "request": signed_request("POST", HEADER_PATH, "institute-node", "anna-node-2", body=encode(ASKED)),
    }


def _secret(seed: bytes) -> bytes:
    """libsodium's ``crypto_kx_seed_keypair``: the secret key is the first 32 bytes of the seed's BLAKE2b."""
    from nacl.bindings import crypto_kx_seed_keypair

    return bytes(crypto_kx_seed_keypair(seed)[1])
