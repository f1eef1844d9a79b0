"""What comes later in the audit logs, and what is answered about it."""

from msgspec import structs

from catalog.body import Body, write_body
from catalog.cid import DAG_CBOR, Cid
from catalog.dagcbor import Value, cid_of, encode
from catalog.httpsig import kept_request, sign_request
from catalog.key import UNSIGNED, signed
from node.message import Halt, Opening, Proof, ReceiptsAnswer, Row, Who, WhoAnswer
from node.replicate.catchup import BodiesAnswer
from privacy.decision import Decision
from tests.protocol import computed, later, published
from tests.protocol.later import T1, salt
from tests.protocol.people import DID, KEYS, T0
from tests.protocol.published import DATASET, HOUR, PROJECT, PURPOSE
from workflow.account import (
    AccessFields,
    Chain,
    DestroyFields,
    EntryFields,
    EraseFields,
    FetchFields,
    HaltFields,
    Link,
    ReleaseFields,
    Side,
)


def account(kind: str, fields: Value, at: int, by: str = "anna-node") -> Body:
    """A body of the audit log of the site of the node ``by``, for nobody else."""
    site = DID[f"{by.partition('-')[0]}-root"]
    return write_body(kind, fields, site=site, at=at, by=KEYS[by], audience=())


def links(**subjects: tuple[int | None, int]) -> Chain:
    """The links backwards: for ``dataset`` or the name of a key its (before, count)."""
    return {
        str(DATASET) if name == "dataset" else DID[name.replace("_", "-")]: Link(before=before, count=count)
        for name, (before, count) in subjects.items()
    }


# --- St. Anna's audit log from index 6 on -----------------------------------------------------------------------------

SUBMISSION = signed(
    structs.replace(
        computed.SUBMISSION,
        person=DID["tomas"],
        grants=(cid_of(later.PASSED_ON),),
        not_before=T0 + 2 * HOUR,
        deadline=T0 + 3 * HOUR,
        not_after=T0 + 3 * HOUR,
        nonce=bytes([0x08]) * 16,
        sig=UNSIGNED,
    ),
    KEYS["tomas"],
)
ORDER = signed(
    structs.replace(computed.ORDER, submission=cid_of(SUBMISSION), not_after=T0 + 3 * HOUR, sig=UNSIGNED),
    KEYS["institute-node"],
)
DENIED = Decision(
    allowed=False,
    action="compute",
    rules=(),
    reason="no rule of St. Anna's policy allows compute: the grant was revoked: «passed on to the wrong person»",
    facts={"granted": "false", "principal": DID["tomas"]},
    policy="4",
)
HALT = signed(
    Halt(
        site=DID["anna-root"],
        person=DID["anna-steward"],
        resume=False,
        project=None,
        member=DID["nordstad-root"],
        reason="it signed two histories",
        at=T0 + 3 * HOUR,
        nonce=bytes([0x4D]) * 16,
        sig=UNSIGNED,
    ),
    KEYS["anna-steward"],
)
RESUME = signed(
    structs.replace(HALT, resume=True, reason="the members decide", at=T1, nonce=bytes([0x4E]) * 16, sig=UNSIGNED),
    KEYS["anna-steward"],
)


def _halted(word: Halt, chain: Chain) -> HaltFields:
    reason = f"{word.reason} (by anna-steward)"
    return HaltFields(project=None, member=word.member, reason=reason, statement=encode(word), chain=chain)


AUDIT_LATER = [
    (
        "grant-noted",
        account(
            "grant",
            EntryFields(
                entry=7,
                body=Cid.of(encode(dict(published.ANNA)["grant-entry"]), DAG_CBOR),
                actor=DID["anna-steward"],
                chain=links(dataset=(5, 6), anna_steward=(None, 1)),
            ),
            T0 + 31_000,
        ),
    ),
    (
        "denial",
        account(
            "decision",
            AccessFields(
                order=cid_of(ORDER),
                instance=ORDER.instance,
                attempt=1,
                person=DID["tomas"],
                home=DID["institute-root"],
                project=PROJECT,
                purpose=PURPOSE,
                block=published.BLOCK,
                decision=DENIED,
                shown=structs.replace(DENIED, facts={}),
                max_cost=100_000,
                submission=encode(SUBMISSION),
                chain=links(dataset=(6, 7), tomas=(None, 1)),
            ),
            T0 + 2 * HOUR,
        ),
    ),
    ("erase", account("erase", EraseFields(site=DID["anna-root"], withdraw=12, places=1, chain={}), T0 + 2 * HOUR)),
    ("halt-entry", account("halt", _halted(HALT, links(anna_root=(None, 1))), T0 + 3 * HOUR)),
    ("resume-entry", account("resume", _halted(RESUME, links(anna_root=(9, 2))), T1)),
    (
        "destroy",
        account(
            "destroy",
            DestroyFields(
                project=PROJECT, values=1, nodes=1, bytes=len(computed.RESULT), chain=links(dataset=(7, 8))
            ),
            T1 + 2 * HOUR,
            "anna-node-2",
        ),
    ),
]
"""St. Anna's audit log from index 6 on; the last is by the node's new key."""

# --- the institute's audit log: the other side of the fetch and the release -------------------------------------------

TARGET = f"/v1/blobs/{computed.VALUE}"
ASKED = kept_request(
    "GET",
    TARGET,
    sign_request(
        KEYS["mara"], "GET", TARGET, peer=DID["institute-node"], now=T0 + 20_400, nonce=bytes([0x5B]) * 16
    ).items(),
    body_digest=None,
    peer=DID["institute-node"],
)

INSTITUTE = [
    (
        "release-received",
        account(
            "release",
            ReleaseFields(
                order=cid_of(computed.ORDER),
                output="result",
                handle=computed.HANDLE,
                value=computed.VALUE,
                added=(DID["institute-root"],),
                policy=4,
                decision=None,
                report=computed.REPORT,
                chain=links(dataset=(None, 1), mara=(None, 1)),
                side=Side.RECIPIENT,
                site=DID["anna-root"],
                statement=computed.RELEASE,
                place=0,
            ),
            T0 + 20_150,
            "institute-node",
        ),
    ),
    (
        "fetch-received",
        account(
            "fetch",
            FetchFields(
                root=computed.VALUE,
                site=DID["anna-root"],
                person=None,
                chain=links(dataset=(0, 2)),
                side=Side.RECIPIENT,
            ),
            T0 + 20_300,
            "institute-node",
        ),
    ),
    (
        "fetch-by-mara",
        account(
            "fetch",
            FetchFields(
                root=computed.VALUE,
                site=DID["institute-root"],
                person=DID["mara"],
                chain=links(dataset=(1, 3), mara=(0, 2)),
                request=ASKED,
            ),
            T0 + 20_400,
            "institute-node",
        ),
    ),
]
"""The institute's audit log, in order."""

# --- answers ----------------------------------------------------------------------------------------------------------

ABOUT = signed(
    Who(
        person=DID["institute-steward"],
        site=DID["institute-root"],
        dataset=None,
        about=DID["mara"],
        since=T0,
        until=T0 + 24 * HOUR,
        at=T0 + 40_000,
        nonce=bytes([0x3C]) * 16,
        sig=UNSIGNED,
    ),
    KEYS["institute-steward"],
)

ERASED = 1
"""The row of St. Anna's audit log whose body is not there any more when it is asked for."""


def who_answer(note: str, leaves: list[bytes], proof: bytes) -> WhoAnswer:
    """The answer to the auditor's question about the dataset, under a checkpoint of the longer log."""

    def row(index: int) -> Row:
        body = None if index == ERASED else encode(computed.AUDIT[index][1])
        return Row(index=index, leaf=leaves[index], salt=None if index == ERASED else salt(index), body=body)

    opening = Opening(heads=row(4), asked=row(5), proof=computed.HEADS.prove(str(DATASET)))
    return WhoAnswer(note=note, rows=tuple(map(row, range(4))), proof=proof, opening=opening, more=False)


BODIES = BodiesAnswer(
    stop=6,
    leaves=(3, 5),
    salts=(salt(3), salt(5)),
    bodies=tuple(encode(published.ANNA[index][1]) for index in (3, 5)),
)
"""What a member gets of St. Anna's leaves from 3 up to 6: the policy at 4 is for St. Anna alone."""

RECEIPTS = ReceiptsAnswer(proofs=(Proof(order=computed.ORDER, receipt=computed.DONE),), more=False)
