"""Write ``docs/protocol/vectors.json`` and the examples that the protocol's pages quote from it.

Run ``python -m tests.protocol.make_vectors`` after a change of a wire format, and look at the difference: what was
signed before reads differently from then on.
"""

import base64
import json
import re
from pathlib import Path

from catalog.checkpoint import Checkpoint, add_line, cosign, sign_checkpoint
from catalog.cid import Cid
from catalog.dagcbor import cid_of, decode_plain, encode
from catalog.httpsig import digest_of, sign_request
from catalog.key import Signed, message_of, public_bytes
from catalog.label import Label
from catalog.leaf import encode_leaf, log_id, seal
from catalog.member import epoch_message
from catalog.merkle import Frontier, leaf_hash, prove_consistency, prove_inclusion
from catalog.tiles import encode_bundle
from node.message import AddCheckpoint, Envelope, HeadsAnswer, Reply
from node.network.peer import peer_id_of
from node.network.tls import certificate
from node.replicate.catchup import BodiesAnswer, bodies_path, bundle_path
from node.site.materials import blob_path
from privacy.label import OPEN, effective_readers, resident
from tests.protocol import computed as run
from tests.protocol import published as pub
from tests.protocol.people import DID, KEYS, SEEDS, T0, X25519

DOCS = Path(__file__).parents[2] / "docs" / "protocol"
FILE = DOCS / "vectors.json"

MARK = re.compile(r"<!-- vector: (?P<key>[^ ]+) -->\n```(?P<kind>\w+)\n(?P<text>(?:(?!```).*\n)*)```")
"""An example in a page: the place in the file that it quotes, and the quotation."""


def dag_json(plain: object) -> object:
    """A decoded value as DAG-JSON (IPLD): a link is ``{"/": CID}``, bytes are ``{"/": {"bytes": base64}}``."""
    match plain:
        case Cid():
            return {"/": str(plain)}
        case bytes():
            return {"/": {"bytes": base64.b64encode(plain).decode().rstrip("=")}}
        case dict():
            return {name: dag_json(each) for name, each in plain.items()}
        case list():
            return [dag_json(each) for each in plain]
        case _:
            return plain


def value(kind: str, made: object, by: str | None = None) -> dict[str, object]:
    """One value: in DAG-JSON, what of it is signed, its bytes and its CID."""
    data = encode(made)
    told: dict[str, object] = {"type": kind, "value": dag_json(decode_plain(data))}
    if isinstance(made, Signed):
        told |= {"domain": made.DOMAIN, "signed_by": by, "message": message_of(made).hex()}
    return told | {"bytes": data.hex(), "length": len(data), "cid": str(cid_of(made))}


def salt(number: int) -> bytes:
    """The salt of the leaf at ``number``; a real one is random."""
    return bytes([0xA0 + number]) * 32


def log(site: str, name: str, bodies, witnesses: tuple[str, ...]) -> tuple[dict[str, object], list[dict[str, object]]]:
    """A log's leaves, with its checkpoint, cosigned, and a proof of each kind."""
    origin = f"{DID[f'{site}-root']}/{name}/0"
    leaves, told = [], []
    for number, (key, body) in enumerate(bodies):
        leaf = seal(origin, 0, body.kind, encode(body), salt(number))
        data = encode_leaf(leaf)
        leaves.append(data)
        told.append(
            {
                "name": f"{site}-{name}-{number}",
                "origin": origin,
                "index": number,
                "epoch": 0,
                "kind": body.kind,
                "body": key,
                "salt": salt(number).hex(),
                "log": log_id(origin).hex(),
                "commitment": leaf.commitment.hex(),
                "bytes": data.hex(),
                "hash": leaf_hash(data).hex(),
            }
        )
    size, middle = len(leaves), len(leaves) // 2
    hashes = [leaf_hash(leaf) for leaf in leaves]

    def subtree(height: int, index: int) -> bytes:
        return Frontier().extend(hashes[index << height : (index + 1) << height]).root

    checkpoint = Checkpoint(origin, size, Frontier().extend(hashes).root)
    note = sign_checkpoint(checkpoint, KEYS[f"{site}-node"])
    lines = []
    for witness in witnesses:
        line = cosign(note, DID[f"{witness}-root"], KEYS[f"{witness}-node"], T0 // 1000 + 11)
        lines.append(
            {"name": DID[f"{witness}-root"], "key": f"{witness}-node", "seconds": T0 // 1000 + 11, "line": line}
        )
    cosigned = note
    for line in lines:
        cosigned = add_line(cosigned, line["line"])
    return {
        "origin": origin,
        "key": f"{site}-node",
        "size": size,
        "root": checkpoint.root.hex(),
        "checkpoint": note,
        "cosignatures": lines,
        "cosigned": cosigned,
        "bundle": {
            "path": bundle_path(DID[f"{site}-root"], f"tile/entries/000.p/{size}"),
            "bytes": encode_bundle(leaves).hex(),
        },
        "inclusion": {
            "index": middle,
            "size": size,
            "hashes": [h.hex() for h in prove_inclusion(middle, size, subtree)],
        },
        "consistency": {
            "old": middle,
            "old_root": Frontier().extend(hashes[:middle]).root.hex(),
            "new": size,
            "hashes": [h.hex() for h in prove_consistency(middle, size, subtree)],
        },
    }, told


def label(made: Label, how: str) -> dict[str, object]:
    """A label, how it came about, and who may read what has it."""
    readers = effective_readers(made)
    return value("label", made) | {"how": how, "readers": None if readers is None else sorted(readers)}


def signed_request(
    method: str, target: str, by: str, peer: str, *, wanted: tuple[int, int] | None = None, body: bytes = b""
) -> dict[str, object]:
    """A request in the profile of ``catalog/httpsig.py``, with the bytes that its signature covers."""
    nonce = bytes(range(16))
    headers = sign_request(KEYS[by], method, target, peer=DID[peer], now=T0, nonce=nonce, range=wanted, body=body)
    parameters = headers["Signature-Input"].removeprefix("comity=")
    digest = digest_of(body)
    path, _, query = target.partition("?")
    lines = [f'"@method": {method}', f'"@path": {path}', f'"@query": ?{query}']
    lines += [f'"range": {headers["Range"]}'] if wanted else []
    lines += [f'"content-digest": {headers["Content-Digest"]}'] if digest else []
    lines += [f'"comity-peer": {DID[peer]}', f'"@signature-params": {parameters}']
    return {
        "method": method,
        "target": target,
        "signed_by": by,
        "peer": DID[peer],
        "now": T0,
        "nonce": nonce.hex(),
        "range": list(wanted) if wanted else None,
        "body": body.hex(),
        "base": lines,
        "headers": headers,
    }


def values() -> dict[str, dict[str, object]]:
    """Every value by its name."""
    told = {name: value("body", body, by) for name, body, by in _bodies()}
    told |= {
        "grant": value("grant", pub.GRANT, "anna-steward"),
        "epoch-0": value("epoch", pub.EPOCH)
        | {"domain": "epoch", "message": epoch_message(pub.EPOCH).hex(), "without": "signatures"},
        "invite": value("invite", pub.INVITE, "institute-node"),
        "knock": value("knock", pub.KNOCK),
        "submission": value("submission", run.SUBMISSION, "mara"),
        "order": value("order", run.ORDER, "institute-node"),
        "receipt-accepted": value("receipt", run.ACCEPTED, "anna-node"),
        "receipt-done": value("receipt", run.DONE, "anna-node"),
        "receipt-held": value("receipt", run.HELD_RECEIPT, "anna-node"),
        "release": value("release", run.RELEASE, "anna-node"),
        "who": value("who", run.WHO, "anna-auditor"),
        "label-open": label(OPEN, "no owner"),
        "label-resident": label(resident(DID["anna-root"]), "St. Anna's, for itself"),
        "label-block": label(pub.block("anna").label, "the institute's, shared with St. Anna"),
        "label-joined": label(run.JOINED, "the join of label-resident and label-block"),
        "label-released": label(run.FREED, "label-joined after St. Anna added the institute"),
    }
    return told


def _bodies():
    names = {did: name for name, did in DID.items()}
    for name, body in (*pub.ANNA, *pub.INSTITUTE, *pub.NORDSTAD, *run.AUDIT):
        yield name, body, names[body.actor]


def frames(catalog: dict[str, object], audit: dict[str, object]) -> dict[str, dict[str, object]]:
    """Messages on a control connection: the value, and the frame that carries it."""
    made = {
        **run.QUESTIONS,
        "add-checkpoint": Envelope(question=AddCheckpoint(note=str(catalog["checkpoint"]), old=0, proof=())),
        "heads-answer": Reply(
            answer=encode(HeadsAnswer(notes=(str(catalog["checkpoint"]), str(audit["checkpoint"])))), refusal=None
        ),
        "receipt-answer": Reply(answer=encode(run.DONE), refusal=None),
        "refusal": run.REFUSED,
    }
    told = {}
    for name, each in made.items():
        data = encode(each)
        told[name] = value("envelope" if isinstance(each, Envelope) else "reply", each)
        told[name]["frame"] = (len(data).to_bytes(4, "big") + data).hex()
    return told


def vectors() -> dict[str, object]:
    """The whole file."""
    catalog, catalog_leaves = log("anna", "catalog", pub.ANNA, ("institute", "nordstad"))
    audit, audit_leaves = log("anna", "audit", run.AUDIT, ("institute",))
    institute, institute_leaves = log("institute", "catalog", pub.INSTITUTE, ("anna",))
    body = BodiesAnswer(stop=4, leaves=(3,), salts=(salt(3),), bodies=(encode(pub.ANNA[3][1]),))
    site = DID["anna-root"]
    knock = encode(pub.KNOCK)
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
        "handles": {"result": {"site": site, "token": (bytes([0x4A]) * 16).hex(), "handle": run.HANDLE}},
        "values": values(),
        "leaves": {each.pop("name"): each for each in (*catalog_leaves, *audit_leaves, *institute_leaves)},
        "logs": {"anna-catalog": catalog, "anna-audit": audit, "institute-catalog": institute},
        "bodies": {
            "dataset": value("bodies answer", body) | {"path": bodies_path(site, 3, 4)},
        },
        "messages": frames(catalog, audit),
        "requests": {
            "blob": signed_request("GET", blob_path(run.VALUE, run.VALUE), "institute-node", "anna-node"),
            "range": signed_request(
                "GET", blob_path(run.VALUE, run.VALUE), "institute-node", "anna-node", wanted=(0, 9)
            ),
            "bodies": signed_request("GET", bodies_path(site, 3, 4), "institute-node", "anna-node"),
            "bundle": signed_request("GET", bundle_path(site, "tile/entries/000.p/8"), "institute-node", "anna-node"),
            "join": signed_request("POST", "/join", "anna-node", "institute-node", body=knock),
        },
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
    for page in sorted(DOCS.glob("*.md")):
        page.write_text(page_with(page.read_text(), told))


if __name__ == "__main__":
    main()
