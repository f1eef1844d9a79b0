"""Write ``docs/protocol/vectors.json``, ``comity.cddl`` and the examples that the protocol's pages quote from it.

Run ``python -m tests.protocol.make_vectors`` after a change of a wire format, and look at the difference: what was
signed before reads differently from then on.
"""

import json
import re
from pathlib import Path

from catalog.dagcbor import encode
from catalog.headmap import Head, HeadMap, subject_hash
from catalog.key import public_bytes
from catalog.origin import LogName
from node.automator.recovery import RECEIPTS_PATH
from node.message import AddCheckpoint, Added, Done, Envelope, HeadsAnswer, ProofAnswer, Reply, Reported, Row, Rows
from node.network.peer import peer_id_of
from node.network.tls import certificate
from node.replicate.catchup import bodies_path, bundle_path, checkpoint_path
from node.site.directory import KEY_PATH
from node.site.entrance import JOIN_PATH
from node.site.gateway import PREFIX, Wanted
from node.site.recollection import SEEN_PATH
from privacy.label import OPEN, resident
from privacy.schema import SCHEMA
from tests.protocol import answered, environments, forked, later, sharing
from tests.protocol import computed as run
from tests.protocol import published as pub
from tests.protocol.answered import AUDIT_LOG, CATALOG_LOG
from tests.protocol.curve import edges
from tests.protocol.described import epoch, head_map, label, message, signed_request, value
from tests.protocol.disclosed import FILE_OF_STATISTICS, released
from tests.protocol.logged import Log, Told, cosignature, salt, with_lines
from tests.protocol.people import DID, KEYS, SEEDS, T0, T1, T2, X25519
from tests.protocol.schema import cddl

DOCS = Path(__file__).parents[2] / "docs" / "protocol"
FILE = DOCS / "vectors.json"
TYPES = DOCS / "comity.cddl"

MARK = re.compile(r"<!-- vector: (?P<key>[^ ]+) -->\n```(?P<kind>\w+)\n(?P<text>(?:(?!```).*\n)*)```")
"""An example in a page: the place in the file that it quotes, and the quotation."""

ANNA = DID["anna-root"]
INSTITUTE_LOG = Log("institute", LogName.CATALOG, [*pub.INSTITUTE, *later.INSTITUTE_LATER])
INSTITUTE_AUDIT = Log("institute", LogName.AUDIT, answered.INSTITUTE)
TRUST_LOG = Log("trust", LogName.CATALOG, later.TRUST_LOG)
LOGS = (CATALOG_LOG, AUDIT_LOG, INSTITUTE_LOG, INSTITUTE_AUDIT, forked.REOPENED, TRUST_LOG)


def values() -> dict[str, Told]:
    """Every value by its name."""
    return _bodies() | {
        "grant": value("grant", pub.GRANT, "anna-steward"),
        "grant-passed-on": value("grant", later.PASSED_ON, "mara"),
        "epoch-0": epoch(pub.EPOCH),
        "epoch-1": epoch(later.EPOCH_1),
        "epoch-2": epoch(later.EPOCH_2),
        "invite": value("invite", pub.INVITE, "institute-node"),
        "invite-candidate": value("invite", later.INVITE, "anna-node"),
        "knock": value("knock", pub.KNOCK),
        "knock-candidate": value("knock", later.KNOCK),
        "founding": value("founding", pub.FOUNDING),
        "standing": value("standing", later.STANDING),
        "announcement": value("announcement", later.ANNOUNCEMENT),
        "submission": value("submission", run.SUBMISSION, "mara"),
        "submission-of-tomas": value("submission", answered.SUBMISSION, "tomas"),
        "order": value("order", run.ORDER, "institute-node"),
        "receipt-accepted": value("receipt", run.ACCEPTED, "anna-node"),
        "receipt-waiting": value("receipt", run.WAITING, "anna-node"),
        "receipt-done": value("receipt", run.DONE, "anna-node"),
        "receipt-held": value("receipt", run.HELD_RECEIPT, "anna-node"),
        "release": value("release", run.RELEASE, "anna-node"),
        "cancellation": value("cancellation", run.CANCELLATION, "mara"),
        "report": value("report", run.REPORTED, "anna-node"),
        "release-on-report": value("release", run.FURTHER, "institute-node"),
        "who": value("who", answered.WHO, "anna-auditor"),
        "who-about": value("who", answered.ABOUT, "institute-steward"),
        "halt": value("halt", answered.HALT, "anna-steward"),
        "resume": value("halt", answered.RESUME, "anna-steward"),
        "answer": value("answer", answered.ANSWER, "anna-steward"),
        "fork-equal": value("fork", forked.FORK_EQUAL),
        "fork-longer": value("fork", forked.FORK_LONGER),
        "fork-file": value("fork file", forked.FORK_FILE),
        "reopening": value("reopening", forked.REOPENING, "nordstad-root-2"),
        "seen": value("seen answer", answered.SEEN),
        "receipts": value("receipts answer", answered.RECEIPTS),
        "label-open": label(OPEN, "no owner"),
        "label-resident": label(resident(ANNA), "St. Anna's, for itself"),
        "label-block": label(pub.block("anna").label, "the institute's, shared with St. Anna"),
        "label-joined": label(run.JOINED, "the join of label-resident and label-block"),
        "label-released": label(run.FREED, "label-joined after St. Anna added the institute"),
    }


def _bodies() -> dict[str, Told]:
    """The body of every leaf."""
    names = {did: name for name, did in DID.items()}
    nordstad = Log("nordstad", LogName.CATALOG, pub.NORDSTAD)
    return {name: value("body", body, names[body.actor]) for log in (*LOGS, nordstad) for name, body in log.bodies}


def logs() -> dict[str, Told]:
    """The logs at the sizes at which somebody asks for them."""
    both, first, last = ("institute", "nordstad"), T0 // 1000 + 11, T2 // 1000 + 3700
    return {
        "anna-catalog": CATALOG_LOG.told(8, "anna-node", both, first, 4),
        "anna-catalog-later": CATALOG_LOG.told(19, "anna-node-2", ("institute", "trust"), last, 8),
        "anna-audit": AUDIT_LOG.told(6, "anna-node", both, T0 // 1000 + 21, 2),
        "anna-audit-later": AUDIT_LOG.told(15, "anna-node-2", ("institute", "trust"), last, 6),
        "institute-catalog": INSTITUTE_LOG.told(6, "institute-node", ("anna", "nordstad"), first, 3),
        "institute-audit": INSTITUTE_AUDIT.told(5, "institute-node", (), first, 2),
        "nordstad-catalog-reopened": forked.REOPENED.told(4, "nordstad-node", ("anna", "institute"), T1 // 1000 + 3, 2),
        "trust-catalog": TRUST_LOG.told(2, "trust-node", (), last, 1),
    }


def messages(told: dict[str, Told]) -> dict[str, Told]:
    """Questions and answers on a control connection."""
    early, later_, audit = (told[name] for name in ("anna-catalog", "anna-catalog-later", "anna-audit-later"))
    pushed = AddCheckpoint(note=str(later_["checkpoint"]), old=8, proof=CATALOG_LOG.path(8, 19))
    new = Row(index=18, leaf=CATALOG_LOG.leaves[18], salt=salt(18), body=encode(CATALOG_LOG.bodies[18][1]))
    shown = AddCheckpoint(note=str(later_["checkpoint"]), old=18, proof=CATALOG_LOG.path(18, 19), rows=(new,))
    line = str(later_["cosignatures"][0]["line"])  # type: ignore[index]
    heads = HeadsAnswer(
        notes=(str(later_["checkpoint"]), str(audit["checkpoint"])),
        known={INSTITUTE_LOG.origin: (14, INSTITUTE_LOG.tree(14)), TRUST_LOG.origin: (2, TRUST_LOG.tree(2))},
        cosigned=(str(later_["cosigned"]),),
    )
    reopened = HeadsAnswer(
        notes=(forked.REOPENED.note(2, "nordstad-node"), forked.EMPTY_AUDIT.note(0, "nordstad-node")),
        reopenings=(forked.REOPENING,),
    )
    made = {
        **run.QUESTIONS,
        "rows": Envelope(question=Rows(who=answered.WHO, after=None)),
        "add-checkpoint-first": Envelope(question=AddCheckpoint(note=str(early["checkpoint"]), old=0, proof=())),
        "add-checkpoint": Envelope(question=pushed),
        "add-checkpoint-shown": Envelope(question=shown),
        "heads-answer": _answer(heads),
        "heads-answer-reopened": _answer(reopened),
        "consistency-answer": _answer(ProofAnswer(hashes=CATALOG_LOG.path(4, 8))),
        "added-behind": _answer(Added(size=8, line=None)),
        "added": _answer(Added(size=19, line=line)),
        "receipt-answer": _answer(run.DONE),
        "reported-waits": _answer(Reported(release=None, waits="a steward there is asked")),
        "reported": _answer(Reported(release=run.FURTHER, waits="")),
        "who-answer": _answer(answered.who_answer(_asked_note())),
        "done": _answer(Done()),
        "refusal": run.REFUSED,
    }
    return {name: message(each) for name, each in made.items()}


def _answer(value: object) -> Reply:
    return Reply(answer=encode(value), refusal=None)


def _asked_note() -> str:
    """The checkpoint under which the auditor is answered."""
    note = AUDIT_LOG.note(12, "anna-node-2")
    return with_lines(
        note, [str(cosignature(note, each, T1 // 1000 + 7201)["line"]) for each in ("institute", "trust")]
    )


def multiproofs() -> dict[str, Told]:
    """One proof for all leaves of a log, for some, and for one."""
    return {
        "all": AUDIT_LOG.told_many(range(15), 15),
        "some": CATALOG_LOG.told_many([0, 3, 4, 11, 18], 19),
        "one": CATALOG_LOG.told_many([4], 8),
    }


def head_maps() -> dict[str, Told]:
    """Maps of heads, with what is there and what is not: at the beginning, in the middle, at the end."""
    names = sorted(DID.values(), key=subject_hash)
    there = [*names[1:5], *names[6:9]]
    seven = HeadMap.of(Head(subject=subject_hash(each), index=10 * at, count=at + 1) for at, each in enumerate(there))
    one = HeadMap.of([Head(subject=subject_hash(names[4]), index=4, count=2)])
    return {
        "asked": head_map(answered.HEADS, [str(pub.DATASET), DID["anna-auditor"]]),
        "seven": head_map(seven, [*there, names[0], names[5], names[9]]),
        "one": head_map(one, [names[4], names[0], names[9]]),
        "empty": head_map(HeadMap.of([]), [names[0]]),
    }


def requests() -> dict[str, Told]:
    """Signed requests."""
    root = f"{PREFIX}{run.VALUE}?format=raw"
    anna = {
        "blob": root,
        "bodies": bodies_path(ANNA, 3, 6),
        "bundle": bundle_path(ANNA, "tile/entries/000.p/8"),
        "checkpoint": checkpoint_path(ANNA),
        "seen": SEEN_PATH,
        "receipts": f"{RECEIPTS_PATH}/0",
    }
    knock, announcement = encode(pub.KNOCK), encode(later.ANNOUNCEMENT)
    return {
        **{name: signed_request("GET", path, "institute-node", "anna-node") for name, path in anna.items()},
        "nodes": signed_request(
            "QUERY", f"{PREFIX}{run.VALUE}", "institute-node", "anna-node", body=encode(Wanted(cids=(run.VALUE,)))
        ),
        "range": signed_request("GET", root, "institute-node", "anna-node", wanted=(0, 9)),
        "join": signed_request("POST", JOIN_PATH, "anna-node", "institute-node", body=knock),
        "key": signed_request("POST", KEY_PATH, "anna-node-2", "institute-node", body=announcement),
    }


def vectors() -> dict[str, object]:
    """The whole file."""
    told = logs()
    return {
        "comment": "Test vectors of Comity's protocol, version 1. Bytes are hexadecimal, values stand in DAG-JSON.",
        "keys": {
            name: {
                "seed": (bytes([number]) * 32).hex(),
                "public": public_bytes(DID[name]).hex(),
                "did": DID[name],
                "peer_id": str(peer_id_of(DID[name])),
                "x25519": X25519[name].hex(),
            }
            for name, number in SEEDS.items()
        },
        "cids": {
            "table": {"data": pub.TABLE.hex(), "codec": "raw", "cid": str(pub.PLAIN)},
            "workflow": {"data": run.WORKFLOW.encode().hex(), "codec": "raw", "cid": str(run.SUBMISSION.workflow)},
            "result": {"data": run.RESULT.hex(), "codec": "raw", "cid": str(run.VALUE)},
            "block": {"data": pub.nodes[pub.BLOCK].hex(), "codec": "dag-pb", "cid": str(pub.BLOCK)},
        },
        "keyed_cids": {
            "dataset": {
                "plain": str(pub.PLAIN),
                "key": pub.DATASET_KEY.hex(),
                "digest": pub.DATASET.digest.hex(),
                "cid": str(pub.DATASET),
            }
        },
        "signatures": edges(),
        "handles": {"result": {"site": ANNA, "token": (bytes([0x4A]) * 16).hex(), "handle": run.HANDLE}},
        "disclosure": {"file": FILE_OF_STATISTICS, "released": released(FILE_OF_STATISTICS)},
        "workflow": {"text": run.WORKFLOW, "literal": json.dumps([1, "é\U0001f9ec", 0.1, 1e21, True, None, "a/b"])},
        "policy": {"schema": SCHEMA, "published": pub.POLICY, "floor": later.FLOOR},
        "terms": {"project": str(pub.PROJECT_FIELDS.terms)},
        "values": values(),
        "leaves": {name: leaf for log in LOGS for name, leaf in log.told_leaves().items()},
        "logs": told,
        "changed": {
            "keys": ["anna-node-2", "anna-node"],
            "size": 17,
            "note": CATALOG_LOG.note(17, "anna-node-2", "anna-node"),
        },
        "bodies": {
            "some": value("bodies answer", answered.BODIES) | {"path": bodies_path(ANNA, 3, 6)},
        },
        "messages": messages(told),
        "multiproofs": multiproofs(),
        "head_maps": head_maps(),
        "requests": requests(),
        "environments": environments.told(),
        "environments_refused": environments.REFUSED,
        "shared": sharing.shared(),
        "certificates": {"anna-node": {"der": certificate(KEYS["anna-node"]).hex()}},
    }


def quote(told: dict[str, object], key: str) -> str:
    """What a page quotes: the text at ``key``, a path of names; hexadecimal in lines, structures as JSON."""
    found: object = told
    for name in key.split("."):
        found = found[int(name)] if isinstance(found, list) else found[name]  # type: ignore[index]
    if isinstance(found, str):
        if re.fullmatch("[0-9a-f]{65,}", found):
            return "\n".join(found[start : start + 96] for start in range(0, len(found), 96))
        return found.rstrip("\n")
    if isinstance(found, list) and all(isinstance(each, str) for each in found):
        return "\n".join(found)
    if isinstance(found, dict) and key.endswith("headers"):
        return "\n".join(f"{name}: {each}" for name, each in found.items())
    return json.dumps(found, indent=2, ensure_ascii=False)


def page_with(text: str, told: dict[str, object]) -> str:
    """A page with every quotation made anew."""
    return MARK.sub(lambda m: f"<!-- vector: {m['key']} -->\n```{m['kind']}\n{quote(told, m['key'])}\n```", text)


def written(told: dict[str, object]) -> str:
    """The file's text."""
    return json.dumps(told, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the file and the pages."""
    told = vectors()
    FILE.write_text(written(told))
    TYPES.write_text(cddl())
    for page in sorted(DOCS.glob("*.md")):
        page.write_text(page_with(page.read_text(), told))


if __name__ == "__main__":
    main()
