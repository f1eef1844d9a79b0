"""How each thing of the vectors is told in the file: values, labels, messages, requests, heads."""

import base64

from catalog.cid import Cid
from catalog.dagcbor import cid_of, decode_plain, encode
from catalog.headmap import HeadMap
from catalog.httpsig import digest_of, sign_request
from catalog.key import Signed, message_of
from catalog.label import Label
from catalog.member import Epoch, content_cid, epoch_message
from node.message import Envelope, Reply
from privacy.label import effective_readers
from tests.protocol.logged import Told
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


def value(kind: str, made: object, by: str | None = None) -> Told:
    """One value: in DAG-JSON, what of it is signed, its bytes and its CID."""
    data = encode(made)
    told: Told = {"type": kind, "value": dag_json(decode_plain(data))}
    if isinstance(made, Signed):
        told |= {"domain": made.DOMAIN, "signed_by": by, "message": message_of(made).hex()}
    return told | {"bytes": data.hex(), "length": len(data), "cid": str(cid_of(made))}


def epoch(document: Epoch) -> Told:
    """An epoch document, which many sign."""
    return value("epoch", document) | {
        "domain": "epoch",
        "message": epoch_message(document).hex(),
        "without": "signatures",
        "content_cid": str(content_cid(document)),
    }


def label(made: Label, how: str) -> Told:
    """A label, how it came about, and who may read what has it."""
    readers = effective_readers(made)
    return value("label", made) | {"how": how, "readers": None if readers is None else sorted(readers)}


def message(made: Envelope | Reply) -> Told:
    """A message on a control connection: the value, the frame that carries it, and the answer in it."""
    data = encode(made)
    told = value("envelope" if isinstance(made, Envelope) else "reply", made)
    told["frame"] = (len(data).to_bytes(4, "big") + data).hex()
    if isinstance(made, Reply) and made.answer is not None:
        told["answer"] = dag_json(decode_plain(made.answer))
    return told


def head_map(heads: HeadMap, subjects: list[str]) -> Told:
    """The map of the heads of an audit log's chains, and the proof of each of ``subjects``."""
    return {
        "heads": [{"subject": each.subject.hex(), "index": each.index, "count": each.count} for each in heads.heads],
        "root": heads.root.hex(),
        "proofs": [{"subject": subject, **value("head proof", heads.prove(subject))} for subject in subjects],
    }


def signed_request(
    method: str, target: str, by: str, peer: str, *, wanted: tuple[int, int] | None = None, body: bytes = b""
) -> Told:
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
