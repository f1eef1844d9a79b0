"""How each thing of the vectors is told in the file: values, logs, labels, requests."""

import base64
from collections.abc import Sequence

from catalog.body import Body
from catalog.checkpoint import Checkpoint, add_line, cosign, sign_checkpoint
from catalog.cid import Cid
from catalog.dagcbor import cid_of, decode_plain, encode
from catalog.httpsig import digest_of, sign_request
from catalog.key import Signed, message_of
from catalog.label import Label
from catalog.leaf import encode_leaf, log_id, seal
from catalog.merkle import Frontier, full_path, leaf_hash, prove_consistency, prove_inclusion
from catalog.multiproof import prove_many
from catalog.note import parse_note
from catalog.tiles import encode_bundle
from node.replicate.catchup import bundle_path
from privacy.label import effective_readers
from tests.protocol.later import salt
from tests.protocol.people import DID, KEYS, T0


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


