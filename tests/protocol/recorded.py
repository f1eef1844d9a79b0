"""What St. Anna's node wrote into its audit log: notes of what its steward gave, then all that came of Mara's order."""

from catalog.body import Body, write_body
from catalog.cid import DAG_CBOR, Cid
from catalog.dagcbor import Value, cid_of, encode
from catalog.httpsig import SignedRequest, kept_request, sign_request
from node.site.gateway import PREFIX
from tests.protocol.computed import (
    DECISION,
    FREED,
    HANDLE,
    OFFER,
    ORDER,
    OUTPUT,
    RELEASED,
    REPORT,
    RESULT,
    SHOWN,
    SPENT,
    SUBMISSION,
    VALUE,
)
from tests.protocol.people import DID, KEYS, T0
from tests.protocol.published import ANNA, BLOCK, DATASET, GRANT, PROJECT, PURPOSE
from workflow.account import (
    AccessFields,
    Chain,
    EntryFields,
    FetchFields,
    Kept,
    Link,
    ReleaseFields,
    ResultFields,
    Side,
)
from workflow.receipt import Form, Status


def account(kind: str, fields: Value, at: int, by: str = "anna-node") -> Body:
    """A body of the audit log of the site of the node ``by``, for nobody else."""
    site = DID[f"{by.partition('-')[0]}-root"]
    return write_body(kind, fields, site=site, at=at, by=KEYS[by], audience=())


def chain(**links: tuple[int | None, int]) -> Chain:
    """The links backwards: for ``dataset`` or the name of a key its (before, count)."""
    return {
        str(DATASET) if name == "dataset" else DID[name.replace("_", "-")]: Link(before=before, count=count)
        for name, (before, count) in links.items()
    }


def noted(entry: Body, index: int, chain: Chain, at: int, by: str = "anna-node") -> Body:
    """A row that notes an entry at ``index`` of the catalog of the node ``by``."""
    fields = EntryFields(entry=index, body=Cid.of(encode(entry), DAG_CBOR), actor=entry.actor, chain=chain)
    return account(entry.kind, fields, at, by)


def kept(who: str, node: str, path: str, at: int, nonce: int) -> SignedRequest:
    """What the node ``node`` keeps of a request for ``path`` that the key ``who`` signed."""
    headers = sign_request(KEYS[who], "GET", path, peer=DID[node], now=at, nonce=bytes([nonce]) * 16)
    return kept_request("GET", path, headers.items(), body_digest=None, peer=DID[node])


AUDIT = [
    ("policy-noted", noted(ANNA[4][1], 4, chain(anna_steward=(None, 1)), T0 + 3000)),
    ("grant-noted", noted(ANNA[7][1], 7, chain(dataset=(None, 1), anna_steward=(0, 2)), T0 + 10_000)),
    (
        "intent",
        account(
            "intent",
            AccessFields(
                order=cid_of(ORDER),
                instance=ORDER.instance,
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
                chain=chain(dataset=(1, 2), mara=(None, 1)),
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
                chain=chain(dataset=(2, 3), mara=(2, 2)),
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
                instance=ORDER.instance,
                intent=2,
                status=Status.DONE,
                kept={
                    "result": Kept(
                        output=OUTPUT,
                        cid=VALUE,
                        size=len(RESULT),
                        form=Form.FILE,
                        label=FREED,
                        name="result.json",
                    )
                },
                spent=SPENT,
                cost=100_000,
                reason="",
                detail="",
                chain=chain(dataset=(3, 4), mara=(3, 3)),
                offer=OFFER,
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
                chain=chain(dataset=(4, 5)),
                request=kept("institute-node", "anna-node", f"{PREFIX}{VALUE}?format=raw", T0 + 20_200, 0x5A),
            ),
            T0 + 20_200,
        ),
    ),
]
"""St. Anna's audit log, in order; it goes on in ``answered.py``."""
