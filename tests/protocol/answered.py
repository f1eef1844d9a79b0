"""What comes later in the audit logs, and what is answered about it."""

import dataclasses

from msgspec import structs

from catalog.dagcbor import cid_of, encode
from catalog.headmap import Head, HeadMap, subject_hash
from catalog.key import UNSIGNED, signed
from catalog.origin import LogName
from node.message import Halt, Opening, Proof, ReceiptsAnswer, Row, SeenAnswer, Who, WhoAnswer
from node.replicate.catchup import BodiesAnswer
from privacy.request import PersonAsker
from privacy.schema import facts_of, in_cedar
from tests.protocol import computed, forked, later, published, sharing
from tests.protocol.logged import Log, salt
from tests.protocol.people import DID, HOUR, KEYS, T0, T1, T2
from tests.protocol.published import DATASET, PROJECT, PURPOSE
from tests.protocol.recorded import AUDIT, account, chain, kept, noted
from workflow.account import (
    AccessFields,
    ApprovalFields,
    Chain,
    DestroyFields,
    EraseFields,
    FetchFields,
    HaltFields,
    HeadsFields,
    InquiryFields,
    ReadFields,
    RefusalFields,
    ReleaseFields,
    Side,
    UnwrittenFields,
)
from workflow.inquiry import Answer, Inquiry

# --- what is asked and said -------------------------------------------------------------------------------------------

SUBMISSION = signed(
    structs.replace(
        computed.SUBMISSION,
        person=DID["tomas"],
        grants=(cid_of(later.PASSED_ON),),
        not_before=T0 + 2 * HOUR,
        deadline=T0 + 3 * HOUR,
        not_after=T0 + 3 * HOUR,
        nonce=bytes([0x08]) * 16,
    ),
    KEYS["tomas"],
)
ORDER = signed(
    structs.replace(computed.ORDER, submission=cid_of(SUBMISSION), not_after=T0 + 3 * HOUR), KEYS["institute-node"]
)
LATE = signed(structs.replace(ORDER, attempt=2), KEYS["institute-node"])
"""Tomas' order once more, when its time was over."""

REFUSED = dataclasses.replace(
    computed.COMPUTE,
    asker=PersonAsker(DID["tomas"], DID["institute-root"], frozenset({"researcher"})),
    granted=False,
    ungranted="the grant was revoked: «passed on by mistake»",
)
"""What St. Anna's policy is asked about Tomas' order."""

DENIED = structs.replace(
    computed.DECISION,
    allowed=False,
    rules=(),
    reason="no rule of St. Anna's policy allows compute: the grant was revoked: «passed on by mistake»",
    facts=facts_of(in_cedar(REFUSED)),
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
    structs.replace(HALT, resume=True, reason="its members suspended it", at=T1 + 1000, nonce=bytes([0x4E]) * 16),
    KEYS["anna-steward"],
)
WHO = signed(
    Who(
        person=DID["anna-auditor"],
        site=DID["anna-root"],
        dataset=DATASET,
        at=T1 + 2 * HOUR,
        nonce=bytes([0x3B]) * 16,
        sig=UNSIGNED,
    ),
    KEYS["anna-auditor"],
)
ABOUT = signed(
    Who(
        person=DID["institute-steward"],
        site=DID["institute-root"],
        dataset=None,
        about=DID["mara"],
        since=T0,
        until=T0 + 24 * HOUR,
        at=T1 + 2 * HOUR,
        nonce=bytes([0x3C]) * 16,
        sig=UNSIGNED,
    ),
    KEYS["institute-steward"],
)

# --- St. Anna's audit log from index 6 on -----------------------------------------------------------------------------


def _halted(word: Halt, links: Chain) -> HaltFields:
    reason = f"{word.reason} (by anna-steward)"
    return HaltFields(project=None, member=word.member, reason=reason, statement=encode(word), chain=links)


INQUIRY = Inquiry(
    person=DID["tomas"],
    home=DID["institute-root"],
    project=PROJECT,
    purpose=PURPOSE,
    block=published.BLOCK,
    inputs=dict(ORDER.inputs),
    outputs=dict(ORDER.outputs),
)
"""What St. Anna's stewards would be asked of that order, if policy left it to them."""

ANSWER = signed(
    Answer(
        site=DID["anna-root"],
        person=DID["anna-steward"],
        inquiry=cid_of(INQUIRY),
        granted=True,
        reason="as agreed in the board's meeting",
        until=T2 + 28 * HOUR,
        at=T2 + 4 * HOUR,
        nonce=bytes([0x76]) * 16,
        sig=UNSIGNED,
    ),
    KEYS["anna-steward"],
)

HEADS = HeadMap.of(
    Head(subject=subject_hash(subject), index=index, count=count)
    for subject, index, count in (
        (str(DATASET), 7, 6),
        (DID["mara"], 4, 3),
        (DID["tomas"], 7, 1),
        (DID["anna-steward"], 1, 2),
        (DID["anna-root"], 9, 2),
    )
)
"""Where each chain of St. Anna's audit log ended when the question came."""

AUDIT_LATER = [
    ("erase", account("erase", EraseFields(site=DID["anna-root"], withdraw=12, places=1, chain={}), T0 + 604_100)),
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
                chain=chain(dataset=(5, 6), tomas=(None, 1)),
            ),
            T0 + 2 * HOUR,
        ),
    ),
    ("halt-entry", account("halt", _halted(HALT, chain(anna_root=(None, 1))), T0 + 3 * HOUR)),
    ("resume-entry", account("resume", _halted(RESUME, chain(anna_root=(8, 2))), T1 + 1000)),
    (
        "heads-entry",
        account(
            "heads",
            HeadsFields(root=HEADS.root, count=len(HEADS.heads), upto=10, chain={}),
            T1 + 2 * HOUR,
            "anna-node-2",
        ),
    ),
    (
        "read",
        account(
            "read",
            ReadFields(
                person=WHO.person,
                home=WHO.site,
                question=encode(WHO),
                rows=6,
                reason="",
                chain=chain(dataset=(7, 7), anna_auditor=(None, 1)),
            ),
            T1 + 2 * HOUR,
            "anna-node-2",
        ),
    ),
    (
        "destroy",
        account(
            "destroy",
            DestroyFields(project=PROJECT, values=1, nodes=1, bytes=len(computed.RESULT), chain=chain(dataset=(11, 8))),
            T2 + HOUR,
            "anna-node-2",
        ),
    ),
    (
        "refusal-entry",
        account(
            "refusal",
            RefusalFields(
                order=cid_of(LATE),
                site=DID["institute-root"],
                bus=LATE.bus,
                person=DID["tomas"],
                home=DID["institute-root"],
                project=PROJECT,
                purpose=PURPOSE,
                instance=LATE.instance,
                block=LATE.block,
                reason="the order's time is over; submit again with a later deadline",
                submission=encode(SUBMISSION),
                chain=chain(dataset=(12, 9), tomas=(7, 2)),
            ),
            T2 + 2 * HOUR,
            "anna-node-2",
        ),
    ),
    (
        "unwritten",
        account(
            "unwritten",
            UnwrittenFields(site=DID["institute-root"], chain=chain(dataset=(13, 10), institute_root=(None, 1))),
            T2 + 2 * HOUR,
            "anna-node-2",
        ),
    ),
    ("key-release", sharing.GIVEN),
    ("withheld", sharing.WITHHELD),
    (
        "inquiry",
        account(
            "inquiry",
            InquiryFields(
                order=cid_of(ORDER),
                instance=ORDER.instance,
                attempt=1,
                person=DID["tomas"],
                home=DID["institute-root"],
                project=PROJECT,
                purpose=PURPOSE,
                block=published.BLOCK,
                decision=computed.DECISION,
                shown=computed.SHOWN,
                max_cost=100_000,
                submission=encode(SUBMISSION),
                chain=chain(dataset=(14, 11), tomas=(13, 3)),
                inquiry=INQUIRY,
                stewards=1,
                not_after=ORDER.not_after,
                bus=DID["institute-root"],
            ),
            T2 + 4 * HOUR,
            "anna-node-2",
        ),
    ),
    (
        "approval",
        account(
            "approval",
            ApprovalFields(
                inquiry=cid_of(INQUIRY),
                granted=True,
                until=ANSWER.until,
                person=DID["anna-steward"],
                statement=encode(ANSWER),
                chain=chain(dataset=(17, 12), tomas=(17, 4), anna_steward=(1, 3)),
            ),
            ANSWER.at + 100,
            "anna-node-2",
        ),
    ),
]
"""What follows, from index 10 on by the node's new key."""

# --- the institute's audit log: the other side of the release and the fetch -------------------------------------------

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
                chain=chain(dataset=(None, 1), mara=(None, 1)),
                side=Side.RECIPIENT,
                site=DID["anna-root"],
                statement=computed.RELEASE,
                place=2,
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
                chain=chain(dataset=(0, 2)),
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
                chain=chain(dataset=(1, 3), mara=(0, 2)),
                request=kept(
                    "mara",
                    "institute-node",
                    f"/v1/submissions/{cid_of(computed.SUBMISSION)}/results/sums",
                    T0 + 20_400,
                    0x5B,
                ),
            ),
            T0 + 20_400,
            "institute-node",
        ),
    ),
    (
        "passed-on-noted",
        noted(
            dict(later.INSTITUTE_LATER)["grant-passed-on-entry"],
            7,
            chain(dataset=(2, 4), mara=(2, 3)),
            T0 + 601_100,
            "institute-node",
        ),
    ),
    (
        "revoke-noted",
        noted(dict(later.INSTITUTE_LATER)["revoke"], 9, chain(mara=(3, 4)), T0 + HOUR + 100, "institute-node"),
    ),
    ("key-received", sharing.CAME),
    (
        "released-on-report",
        account(
            "release",
            ReleaseFields(
                order=cid_of(computed.ORDER),
                output="result",
                handle=computed.HANDLE,
                value=computed.REPORTED.value,
                added=computed.REPORTED.readers,
                policy=4,
                decision=computed.RELEASED,
                report=computed.FURTHER.report,
                chain=chain(mara=(5, 6)),
                side=Side.SOURCE,
                site=DID["anna-root"],
                statement=computed.FURTHER,
                project=computed.SUBMISSION.project,
                reported=encode(computed.REPORTED),
            ),
            T2 + HOUR,
            "institute-node",
        ),
    ),
]
"""The institute's audit log, in order."""

# --- the logs as they grew, and answers from them ---------------------------------------------------------------------

CATALOG_LOG = Log("anna", LogName.CATALOG, [*published.ANNA, *later.ANNA_LATER])
AUDIT_LOG = Log("anna", LogName.AUDIT, [*AUDIT, *AUDIT_LATER])

ERASED = 1
"""The row of St. Anna's audit log whose body is not there any more when it is asked for."""

ASKED = (1, 2, 3, 4, 5, 7)
"""The rows about the dataset when the question came."""


def who_answer(note: str) -> WhoAnswer:
    """The answer to the auditor's question about the dataset, under a checkpoint of twelve leaves."""

    def row(index: int) -> Row:
        leaf, body = AUDIT_LOG.leaves[index], encode(AUDIT_LOG.bodies[index][1])
        blank = index == ERASED
        return Row(index=index, leaf=leaf, salt=None if blank else salt(index), body=None if blank else body)

    return WhoAnswer(
        note=note,
        rows=tuple(map(row, ASKED)),
        proof=AUDIT_LOG.many([*ASKED, 10, 11], 12),
        opening=Opening(heads=row(10), asked=row(11), proof=HEADS.prove(str(DATASET))),
        more=False,
    )


BODIES = BodiesAnswer(
    stop=6,
    leaves=(3, 5),
    salts=(salt(3), salt(5)),
    bodies=tuple(encode(published.ANNA[index][1]) for index in (3, 5)),
)
"""What a member gets of St. Anna's leaves from 3 up to 6: the policy at 4 is for St. Anna alone."""

SEEN = SeenAnswer(notes=(forked.REOPENED.note(4, "nordstad-node"),), reopenings=(forked.REOPENING,))
"""What Nordstad hears from a member about its own logs."""

RECEIPTS = ReceiptsAnswer(proofs=(Proof(order=computed.ORDER, receipt=computed.DONE),), more=False)
