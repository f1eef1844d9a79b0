"""The story's second half: Mara's submission, the order to St. Anna, its receipts and its audit log."""

from catalog.body import write_body
from catalog.cid import Cid
from catalog.dagcbor import cid_of, encode
from catalog.httpsig import kept_request, sign_request
from catalog.key import UNSIGNED, signed
from node.message import Consistency, Envelope, Heads, Outcome, Place, Refusal, Reply, Rows, Who
from privacy.decision import Decision
from privacy.label import joined, released, resident
from tests.protocol.people import DID, KEYS, T0
from tests.protocol.published import BLOCK, CONSORTIUM, DATASET, GRANT, HOUR, PROJECT, PURPOSE, block
from workflow.account import (
    AccessFields,
    Chain,
    FetchFields,
    Kept,
    Link,
    ReadFields,
    ReleaseFields,
    ResultFields,
    Side,
)
from workflow.argument import Data, Many, handle
from workflow.order import Instance, Order, Wanted
from workflow.receipt import Output, Receipt, Release, Spent, Status
from workflow.receipt import Place as AuditPlace
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
INSTANCE = Instance(submission=cid_of(SUBMISSION), step="local", shard=0)

DECISION = Decision(
    allowed=True,
    action="compute",
    rules=("granted-compute",),
    reason="St. Anna's policy allows compute by the rule granted-compute",
    facts={"granted": "true", "principal": DID["mara"]},
    policy="4",
)
SHOWN = Decision(
    allowed=True,
    action="compute",
    rules=("granted-compute",),
    reason="St. Anna's policy allows compute by the rule granted-compute",
    facts={},
    policy="4",
)
RELEASED = Decision(
    allowed=True,
    action="release",
    rules=("endorsed-release",),
    reason="St. Anna's policy allows release by the rule endorsed-release",
    facts={"endorsed": "true"},
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
        ledger=1,
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
    release=RELEASE,
    reason="",
)
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
            place=AuditPlace(epoch=0, index=0),
            outputs=outputs,
            spent=spent,
            cost=cost,
            reason="",
            at=at,
            sig=UNSIGNED,
        ),
        KEYS["anna-node"],
    )


ACCEPTED = receipt(None, Status.ACCEPTED, T0 + 20_000, {}, 0, None)
DONE = receipt(cid_of(ACCEPTED), Status.DONE, T0 + 20_100, {"result": OUTPUT}, 100_000, SPENT)
HELD_RECEIPT = receipt(cid_of(ACCEPTED), Status.HELD, T0 + 20_100, {"result": HELD}, 100_000, SPENT)


def account(kind: str, fields, at: int):
    """A body of St. Anna's audit log: by its node, for nobody else."""
    return write_body(kind, fields, site=DID["anna-root"], at=at, by=KEYS["anna-node"], audience=())


def chain(before: int | None, person: str = DID["mara"], link: Link | None = None) -> Chain:
    """The links backwards about the dataset and a person; the person's is the same if none is given."""
    about = Link(before=before, count=1 if before is None else before + 2)
    return {str(DATASET): about, person: link or about}


WHO = signed(
    Who(
        person=DID["anna-auditor"],
        site=DID["anna-root"],
        dataset=DATASET,
        at=T0 + 30_000,
        nonce=bytes([0x3B]) * 16,
        sig=UNSIGNED,
    ),
    KEYS["anna-auditor"],
)
FETCH = f"/blob/{VALUE}/{VALUE}"
FETCHED = kept_request(
    "GET",
    FETCH,
    sign_request(
        KEYS["institute-node"], "GET", FETCH, peer=DID["anna-node"], now=T0 + 20_200, nonce=bytes([0x5A]) * 16
    ).items(),
    body_digest=None,
    peer=DID["anna-node"],
)
AUDIT = [
    (
        "intent",
        account(
            "intent",
            AccessFields(
                order=cid_of(ORDER),
                instance=INSTANCE,
                attempt=1,
                person=DID["mara"],
                home=DID["institute-root"],
                project=PROJECT,
                purpose=PURPOSE,
                block=BLOCK,
                decision=DECISION,
                shown=SHOWN,
                max_cost=100_000,
                submission=encode(SUBMISSION),
                chain=chain(None),
                granted={str(DATASET): cid_of(GRANT)},
            ),
            T0 + 20_000,
        ),
    ),
    (
        "release-entry",
        account(
            "release",
            ReleaseFields(
                order=cid_of(ORDER),
                output="result",
                handle=HANDLE,
                value=VALUE,
                added=(DID["institute-root"],),
                policy=4,
                decision=RELEASED,
                report=REPORT,
                chain=chain(0),
                side=Side.SOURCE,
                site=DID["institute-root"],
            ),
            T0 + 20_100,
        ),
    ),
    (
        "result",
        account(
            "result",
            ResultFields(
                order=cid_of(ORDER),
                instance=INSTANCE,
                intent=0,
                status=Status.DONE,
                kept={
                    "result": Kept(
                        output=OUTPUT,
                        cid=VALUE,
                        size=len(RESULT),
                        label=FREED,
                        name="result.json",
                    )
                },
                spent=SPENT,
                cost=100_000,
                reason="",
                detail="",
                chain=chain(1),
            ),
            T0 + 20_100,
        ),
    ),
    (
        "fetch",
        account(
            "fetch",
            FetchFields(
                root=VALUE,
                site=DID["institute-root"],
                person=None,
                chain={str(DATASET): Link(before=2, count=4)},
                request=FETCHED,
            ),
            T0 + 20_200,
        ),
    ),
    (
        "read",
        account(
            "read",
            ReadFields(
                person=DID["anna-auditor"],
                home=DID["anna-root"],
                question=encode(WHO),
                rows=4,
                chain=chain(3, DID["anna-auditor"], Link(before=None, count=1)),
            ),
            T0 + 30_000,
        ),
    ),
]
"""St. Anna's audit log, in order."""

QUESTIONS = {
    "heads": Envelope(question=Heads()),
    "consistency": Envelope(question=Consistency(origin=f"{DID['anna-root']}/catalog/0", old=2, new=8)),
    "outcome": Envelope(question=Outcome(order=cid_of(ORDER), seconds=20)),
    "order": Envelope(question=Place(order=ORDER, submission=SUBMISSION, workflow=WORKFLOW, proofs=(), seconds=20)),
    "rows": Envelope(question=Rows(who=WHO, after=None)),
}
REFUSED = Reply(answer=None, refusal=Refusal(kind="NotFound", message="no such order came to this site"))
