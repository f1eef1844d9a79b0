"""The story's second part: Mara's submission, the order to St. Anna, what its policy says, and its receipts."""

from msgspec import structs

from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.key import UNSIGNED, signed
from node.message import (
    Cancel,
    Complained,
    Consistency,
    Envelope,
    Foresee,
    Heads,
    Outcome,
    Place,
    Refusal,
    Reply,
    Reporting,
)
from privacy.decision import Decision
from privacy.label import joined, released, resident
from privacy.request import Compute, DatasetRef, PersonAsker, ValueRef
from privacy.request import Release as AskRelease
from privacy.schema import facts_of, in_cedar
from tests.protocol.people import DID, HOUR, KEYS, T0
from tests.protocol.published import (
    BLOCK,
    CONSORTIUM,
    DATASET,
    GRANT,
    PROJECT,
    PUBLICATION,
    PURPOSE,
    block,
)
from workflow.argument import Data, Many, handle
from workflow.cancellation import Cancellation
from workflow.order import Order, Wanted
from workflow.receipt import Form, Output, Receipt, Release, Spent, Status
from workflow.receipt import Place as AuditPlace
from workflow.report import Report
from workflow.submission import Submission

WORKFLOW = f"""cwlVersion: v1.2
class: Workflow
requirements: {{ScatterFeatureRequirement: {{}}}}
inputs: {{tables: "File[]"}}
steps:
  local: {{run: "comity:{BLOCK}", in: {{data: tables}}, scatter: data, out: [result]}}
outputs: {{sums: {{type: "File[]", outputSource: local/result}}}}
"""
INPUT = Data(site=DID["anna-root"], cid=DATASET, name="tumours")
RESULT = b'{"n": 3, "sum": 6.0}'
VALUE = Cid.of(RESULT)
HANDLE = handle(DID["anna-root"], bytes([0x4A]) * 16)
JOINED = joined([resident(DID["anna-root"]), block("anna").label])
FREED = released(JOINED, DID["anna-root"], [DID["institute-root"]])
REPORT = "endorsed by this site's steward for the type «statistics»"

SUBMISSION = signed(
    Submission(
        consortium=CONSORTIUM,
        epoch=0,
        person=DID["mara"],
        site=DID["institute-root"],
        project=PROJECT,
        workflow=Cid.of(WORKFLOW.encode()),
        inputs={"tables": Many(items=(INPUT,))},
        grants=(cid_of(GRANT),),
        destinations=(DID["institute-root"],),
        deadline=T0 + HOUR,
        budget=2_000_000,
        min_sites=1,
        not_before=T0 + 20_000 - 60_000,
        not_after=T0 + HOUR,
        buses=(DID["institute-node"],),
        nonce=bytes([0x07]) * 16,
        sig=UNSIGNED,
    ),
    KEYS["mara"],
)

ORDER = signed(
    Order(
        consortium=CONSORTIUM,
        epoch=0,
        submission=cid_of(SUBMISSION),
        step="local",
        shard=0,
        attempt=1,
        site=DID["anna-root"],
        bus=DID["institute-node"],
        block=BLOCK,
        inputs={"data": INPUT},
        proofs=(),
        outputs={"result": Wanted(type="statistics", readers=(DID["institute-root"],))},
        max_cost=100_000,
        not_after=T0 + HOUR,
        sig=UNSIGNED,
    ),
    KEYS["institute-node"],
)

COMPUTE = Compute(
    asker=PersonAsker(DID["mara"], DID["institute-root"], frozenset({"researcher"})),
    here=DID["anna-root"],
    granted=True,
    fresh=True,
    resource=DatasetRef(str(DATASET), DID["anna-root"], "resident", (PURPOSE, PUBLICATION)),
    reader=True,
    project=PROJECT.name,
    purpose=PURPOSE,
    purpose_matches=True,
    block=str(BLOCK),
    block_signer=DID["institute-root"],
    endorsed=True,
    endorsements=1,
    readers=frozenset({DID["institute-root"]}),
    runner="sandbox",
    output_types=frozenset({"statistics"}),
)
"""What St. Anna's policy is asked before the step runs."""

DECISION = Decision(
    allowed=True,
    action="compute",
    rules=("granted-compute",),
    reason="rule «granted-compute» of St. Anna's policy allows compute",
    facts=facts_of(in_cedar(COMPUTE)),
    policy="4",
)
SHOWN = structs.replace(DECISION, facts={})
FREEING = AskRelease(
    asker=COMPUTE.asker,
    here=COMPUTE.here,
    granted=True,
    fresh=True,
    resource=ValueRef(HANDLE, frozenset(JOINED.owners), "statistics"),
    project=COMPUTE.project,
    purpose=COMPUTE.purpose,
    purpose_matches=True,
    block=COMPUTE.block,
    block_signer=COMPUTE.block_signer,
    endorsed=True,
    endorsements=1,
    readers=COMPUTE.readers,
    runner=COMPUTE.runner,
)
"""What it is asked before the result gains a reader."""

RELEASED = Decision(
    allowed=True,
    action="release",
    rules=("endorsed-release",),
    reason="rule «endorsed-release» of St. Anna's policy allows release",
    facts=facts_of(in_cedar(FREEING)),
    policy="4",
)

RELEASE = signed(
    Release(
        order=cid_of(ORDER),
        output="result",
        handle=HANDLE,
        value=VALUE,
        owner=DID["anna-root"],
        added=(DID["institute-root"],),
        policy=4,
        report=REPORT,
        ledger=3,
        sig=UNSIGNED,
    ),
    KEYS["anna-node"],
)
OUTPUT = Output(
    handle=HANDLE,
    type="statistics",
    name="result.json",
    cid=VALUE,
    size=len(RESULT),
    form=Form.FILE,
    release=RELEASE,
    reason="",
)
SALT = bytes([9]) * 32
REPORTED = signed(
    Report(
        order=cid_of(ORDER),
        instance=ORDER.instance,
        output="result",
        handle=HANDLE,
        value=VALUE.keyed(SALT),
        type="statistics",
        owners=tuple(sorted((DID["anna-root"], DID["institute-root"]))),
        readers=(DID["institute-root"],),
        block=ORDER.block,
        finding=REPORT,
        site=DID["anna-root"],
        node=DID["anna-node"],
        sig=UNSIGNED,
    ),
    KEYS["anna-node"],
)
"""As St. Anna would tell the institute, whose block has a part in the result, if its label did not name it."""

FURTHER = signed(
    Release(
        order=cid_of(ORDER),
        output="result",
        handle=HANDLE,
        value=REPORTED.value,
        owner=DID["institute-root"],
        added=REPORTED.readers,
        policy=4,
        report="endorsed by this site's steward for the type «statistics»",
        ledger=6,
        sig=UNSIGNED,
    ),
    KEYS["institute-node"],
)
"""What the institute would answer."""

HELD = Output(
    handle=HANDLE,
    type="statistics",
    name="",
    cid=None,
    size=None,
    release=None,
    reason="no steward here has endorsed this block for outputs of the type «statistics»",
)
SPENT = Spent(wall_millis=64, cpu_millis=32, peak_bytes=1 << 24)


OFFER = 5
"""Where the offer stands in St. Anna's catalog."""


def receipt(previous: Cid | None, status: Status, at: int, outputs: dict[str, Output], cost: int, spent: Spent | None):
    """A receipt of St. Anna for the order."""
    return signed(
        Receipt(
            order=cid_of(ORDER),
            site=DID["anna-root"],
            node=DID["anna-node"],
            previous=previous,
            status=status,
            decision=SHOWN,
            place=AuditPlace(epoch=0, index=2),
            outputs=outputs,
            spent=spent,
            cost=cost,
            reason="",
            at=at,
            sig=UNSIGNED,
            offer=OFFER if cost else None,
        ),
        KEYS["anna-node"],
    )


ACCEPTED = receipt(None, Status.ACCEPTED, T0 + 20_000, {}, 0, None)
WAITING = signed(
    structs.replace(ACCEPTED, reason="done; its release waits for cosignatures by Institute, Nordstad"),
    KEYS["anna-node"],
)
"""What the bus hears while the release has no quorum."""

DONE = receipt(cid_of(ACCEPTED), Status.DONE, T0 + 20_100, {"result": OUTPUT}, 100_000, SPENT)
HELD_RECEIPT = receipt(cid_of(ACCEPTED), Status.HELD, T0 + 20_100, {"result": HELD}, 100_000, SPENT)


CANCELLATION = signed(
    Cancellation(person=DID["mara"], submission=cid_of(SUBMISSION), at=T0 + 21_000, sig=UNSIGNED), KEYS["mara"]
)
"""Mara ends what she submitted."""

PLACE = Place(order=ORDER, submission=SUBMISSION, workflow=WORKFLOW, proofs=(), seconds=20)
_ASKED = structs.replace(SUBMISSION, sig=UNSIGNED)
FORESEEN = structs.replace(
    PLACE, submission=_ASKED, order=structs.replace(ORDER, submission=cid_of(_ASKED), sig=UNSIGNED), seconds=0
)
"""The same before anybody has signed it."""

QUESTIONS = {
    "heads": Envelope(question=Heads()),
    "consistency": Envelope(question=Consistency(origin=f"{DID['anna-root']}/catalog/0", old=4, new=8)),
    "outcome": Envelope(question=Outcome(order=cid_of(ORDER), seconds=20)),
    "cancel": Envelope(question=Cancel(order=cid_of(ORDER), word=CANCELLATION)),
    "report": Envelope(question=Reporting(report=REPORTED, place=PLACE)),
    "order": Envelope(question=PLACE),
    "foresee": Envelope(question=Foresee(place=FORESEEN)),
    "complained": Envelope(question=Complained(order=ORDER, submission=SUBMISSION, proofs=())),
}
REFUSED = Reply(answer=None, refusal=Refusal(kind="NotFound", message="no such order came to this site"))
