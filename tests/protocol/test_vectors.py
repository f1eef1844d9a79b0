"""The vectors against the product, against a second implementation, and against the pages that quote them.

What signatures and logs cover cannot be changed cheaply: a difference here is a new protocol version or a fault.
"""

import json
import re
from datetime import UTC, datetime

import pytest
from cryptography import x509

from catalog.body import Body, read_body
from catalog.checkpoint import cosigners, open_checkpoint
from catalog.cid import DAG_PB, Cid
from catalog.dagcbor import Value, cid_of, decode, encode
from catalog.error import VerificationFailed
from catalog.grant import Grant
from catalog.httpsig import digest_of, verify_request
from catalog.index import Index
from catalog.key import PrivateKey, check
from catalog.label import Label
from catalog.leaf import decode_leaf, opens
from catalog.member import Epoch, check_epoch0
from catalog.merkle import verify_consistency, verify_inclusion
from catalog.tiles import decode_bundle
from node.founding import Invite, Knock, node_of
from node.message import Envelope, HeadsAnswer, Reply, Who, read_reply
from node.replicate.catchup import BodiesAnswer
from privacy.label import effective_readers
from tests.protocol import computed, published, second
from tests.protocol.make_vectors import DOCS, FILE, MARK, page_with, quote, vectors, written
from tests.protocol.people import DID
from workflow.account import ACCOUNTS
from workflow.evidence import Evidence
from workflow.flow import parse_workflow
from workflow.order import Order
from workflow.parse import parse_tool
from workflow.receipt import Receipt, Release
from workflow.submission import Submission
from workflow.subset import check_subset

TOLD = json.loads(FILE.read_text())
KINDS: dict[str, type[Value]] = {
    "body": Body,
    "grant": Grant,
    "epoch": Epoch,
    "invite": Invite,
    "knock": Knock,
    "submission": Submission,
    "order": Order,
    "receipt": Receipt,
    "release": Release,
    "who": Who,
    "label": Label,
    "envelope": Envelope,
    "reply": Reply,
    "bodies answer": BodiesAnswer,
}
VALUES = TOLD["values"] | TOLD["messages"] | {f"answer about {name}": each for name, each in TOLD["bodies"].items()}
SIGNED = {name: each for name, each in VALUES.items() if "signed_by" in each}
PAGES = sorted(DOCS.glob("*.md"))


def seed(name: str) -> bytes:
    return bytes.fromhex(TOLD["keys"][name]["seed"])


def test_the_file_is_what_the_generator_makes():
    """Lost: vectors that say what this version does. Make them anew: python -m tests.protocol.make_vectors."""
    assert FILE.read_text() == written(vectors())


# --- the product reads what the file says -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(VALUES))
def test_the_product_reads_each_value_and_writes_the_same_bytes(name):
    each = VALUES[name]
    data = bytes.fromhex(each["bytes"])
    value = decode(KINDS[each["type"]], data)
    assert encode(value) == data
    assert str(cid_of(value)) == each["cid"]


@pytest.mark.parametrize("name", sorted(SIGNED))
def test_a_signature_counts_for_its_value_and_for_no_other(name):
    """Lost: that altered values are refused."""
    each = SIGNED[name]
    value = decode(KINDS[each["type"]], bytes.fromhex(each["bytes"]))
    check(value, DID[each["signed_by"]])
    other = "anna-auditor" if each["signed_by"] != "anna-auditor" else "mara"
    with pytest.raises(VerificationFailed):
        check(value, DID[other])
    altered = bytearray.fromhex(each["bytes"])
    at = altered.index(value.sig) + 5
    altered[at] ^= 1
    with pytest.raises(VerificationFailed):
        check(decode(KINDS[each["type"]], bytes(altered)), DID[each["signed_by"]])


def test_the_logs_hold_together():
    for name, each in TOLD["logs"].items():
        origin, key = each["origin"], DID[each["key"]]
        checkpoint = open_checkpoint(each["cosigned"], origin, key)
        leaves = decode_bundle(bytes.fromhex(each["bundle"]["bytes"]), each["size"])
        entries = [leaf for leaf in TOLD["leaves"].values() if leaf["origin"] == origin]
        assert [leaf.hex() for leaf in leaves] == [entry["bytes"] for entry in entries], name
        for leaf, entry in zip(leaves, entries, strict=True):
            body = bytes.fromhex(TOLD["values"][entry["body"]]["bytes"])
            assert opens(decode_leaf(leaf), body, bytes.fromhex(entry["salt"]))
        proof = each["inclusion"]
        verify_inclusion(
            bytes.fromhex(entries[proof["index"]]["hash"]),
            proof["index"],
            checkpoint.size,
            checkpoint.root,
            [bytes.fromhex(step) for step in proof["hashes"]],
        )
        grown = each["consistency"]
        verify_consistency(
            grown["old"],
            bytes.fromhex(grown["old_root"]),
            grown["new"],
            checkpoint.root,
            [bytes.fromhex(step) for step in grown["hashes"]],
        )
        witnesses = {line["name"]: DID[line["key"]] for line in each["cosignatures"]}
        assert cosigners(each["cosigned"], witnesses) == {n["name"]: n["seconds"] for n in each["cosignatures"]}


def test_signed_requests_are_accepted_as_they_stand():
    for each in TOLD["requests"].values():
        body = bytes.fromhex(each["body"])
        by = verify_request(
            each["method"],
            each["target"],
            each["headers"].items(),
            body_digest=digest_of(body),
            peer=each["peer"],
            now=each["now"] + 60_000,
        )
        assert by.did == DID[each["signed_by"]]


def test_the_vectors_tell_a_story_in_which_every_rule_holds():
    """Lost: examples that a correct implementation would accept, entry by entry and label by label."""
    check_epoch0(published.EPOCH)
    assert node_of(published.FOUNDER) == DID["anna-node"]
    index = Index([DID["anna-root"], DID["institute-root"], DID["nordstad-root"]])
    for site, entries in (
        ("anna", published.ANNA),
        ("institute", published.INSTITUTE),
        ("nordstad", published.NORDSTAD),
    ):
        for number, (name, body) in enumerate(entries):
            found = index.site(DID[f"{site}-root"])
            assert found.add(number, body.kind, read_body(encode(body))), (name, found.faults)
    evidence = Evidence(index, cid_of(computed.SUBMISSION), [(computed.ORDER, computed.DONE)])
    workflow = parse_workflow(computed.WORKFLOW, "workflow")
    tool = parse_tool(published.TOOL.decode(), "tool.cwl")
    check_subset(computed.ORDER, computed.SUBMISSION, workflow, tool, evidence)
    (made,) = evidence._made[DID["anna-root"], computed.VALUE]
    assert made[1].label == computed.FREED
    assert effective_readers(made[1].label) == {DID["anna-root"], DID["institute-root"]}
    for _, body in computed.AUDIT:
        decode(ACCOUNTS[body.kind], encode(body.fields))


def test_a_control_message_reads_as_the_answer_that_it_carries():
    answer = read_reply(HeadsAnswer, bytes.fromhex(TOLD["messages"]["heads-answer"]["bytes"]))
    assert answer.notes[0] == TOLD["logs"]["anna-catalog"]["checkpoint"]
    assert read_reply(Receipt, bytes.fromhex(TOLD["messages"]["receipt-answer"]["bytes"])) == computed.DONE


def test_the_certificate_holds_the_key_and_never_expires():
    certificate = x509.load_der_x509_certificate(bytes.fromhex(TOLD["certificates"]["anna-node"]["der"]))
    assert certificate.public_key().public_bytes_raw().hex() == TOLD["keys"]["anna-node"]["public"]
    assert certificate.not_valid_after_utc == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


# --- a second implementation, from the pages alone --------------------------------------------------------------------


def test_keys_as_a_second_implementation_has_them():
    for name, key in TOLD["keys"].items():
        assert second.public_of(seed(name)).hex() == key["public"]
        assert second.did(bytes.fromhex(key["public"])) == key["did"] == PrivateKey(seed(name)).did
        peer = second.base58(b"\x00\x24\x08\x01\x12\x20" + bytes.fromhex(key["public"]))
        assert peer == key["peer_id"]


@pytest.mark.parametrize("name", sorted(VALUES))
def test_values_as_a_second_implementation_has_them(name):
    """Lost: that the pages suffice to write what others verify."""
    each = VALUES[name]
    data = second.cbor(each["value"])
    assert data.hex() == each["bytes"]
    assert second.cid(data, "dag-cbor") == each["cid"]
    if "signed_by" in each:
        message = second.message(each["domain"], each["value"])
        assert message.hex() == each["message"]
        signature = second.sign(seed(each["signed_by"]), message)
        assert second.cbor(each["value"]["sig"]) == b"\x58\x40" + signature
    if "frame" in each:
        assert each["frame"] == len(data).to_bytes(4, "big").hex() + data.hex()


def test_the_epoch_as_a_second_implementation_has_it():
    epoch = TOLD["values"]["epoch-0"]
    message = second.message("epoch", epoch["value"], without="signatures")
    assert message.hex() == epoch["message"]
    roots = {TOLD["keys"][name]["did"]: name for name in TOLD["keys"]}
    for root, signature in epoch["value"]["signatures"].items():
        made = second.sign(seed(roots[root]), message)
        assert second.cbor(signature) == b"\x58\x40" + made
    assert set(epoch["value"]["signatures"]) == {member["root"] for member in epoch["value"]["members"]}


def test_names_as_a_second_implementation_has_them():
    for each in TOLD["cids"].values():
        assert second.cid(bytes.fromhex(each["data"]), each["codec"]) == each["cid"]
    for each in TOLD["keyed_cids"].values():
        assert second.keyed(each["plain"], bytes.fromhex(each["key"])) == each["cid"]
    for each in TOLD["handles"].values():
        assert f"held:{each['site']}/{each['token']}" == each["handle"]
    assert Cid.parse(TOLD["cids"]["block"]["cid"]).codec == DAG_PB


def test_logs_as_a_second_implementation_has_them():
    for entry in TOLD["leaves"].values():
        body = bytes.fromhex(TOLD["values"][entry["body"]]["bytes"])
        leaf = second.leaf(entry["origin"], entry["epoch"], entry["kind"], body, bytes.fromhex(entry["salt"]))
        assert leaf.hex() == entry["bytes"]
        assert len(leaf) == 120
        assert second.leaf_hash(leaf).hex() == entry["hash"]
    for each in TOLD["logs"].values():
        entries = [entry for entry in TOLD["leaves"].values() if entry["origin"] == each["origin"]]
        hashes = [bytes.fromhex(entry["hash"]) for entry in entries]
        root = second.root(hashes)
        assert root.hex() == each["root"]
        bundle = b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in (bytes.fromhex(e["bytes"]) for e in entries))
        assert bundle.hex() == each["bundle"]["bytes"]
        assert second.checkpoint(each["origin"], each["size"], root, seed(each["key"])) == each["checkpoint"]
        for line in each["cosignatures"]:
            made = second.cosignature(each["checkpoint"], line["name"], line["seconds"], seed(line["key"]))
            assert made == line["line"]
        assert each["cosigned"] == each["checkpoint"] + "".join(line["line"] + "\n" for line in each["cosignatures"])
        proof, grown = each["inclusion"], each["consistency"]
        assert [step.hex() for step in second.path(proof["index"], hashes)] == proof["hashes"]
        assert [step.hex() for step in second.subproof(grown["old"], hashes)] == grown["hashes"]


def test_labels_as_a_second_implementation_has_them():
    label = {name: each["value"]["owners"] for name, each in TOLD["values"].items() if each["type"] == "label"}
    assert second.joined([label["label-resident"], label["label-block"]]) == label["label-joined"]
    owner, added = DID["anna-root"], DID["institute-root"]
    after = label["label-joined"] | {owner: sorted({*label["label-joined"][owner], added})}
    assert after == label["label-released"]
    for name, owners in label.items():
        readers = sorted(set.intersection(*map(set, owners.values()))) if owners else None
        assert readers == TOLD["values"][name]["readers"], name


def test_requests_as_a_second_implementation_has_them():
    for each in TOLD["requests"].values():
        signature = each["headers"]["Signature"].removeprefix("comity=:").removesuffix(":")
        base = "\n".join(each["base"]).encode("ascii")
        assert second.base64.b64encode(second.sign(seed(each["signed_by"]), base)).decode() == signature
        if each["body"]:
            digest = second.hashlib.sha256(bytes.fromhex(each["body"])).digest()
            assert each["headers"]["Content-Digest"] == f"sha-256=:{second.base64.b64encode(digest).decode()}:"


# --- the pages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_a_page_quotes_the_vectors_as_they_are(page):
    """Lost: examples that agree with the file. Make them anew: python -m tests.protocol.make_vectors."""
    text = page.read_text()
    assert page_with(text, TOLD) == text
    assert MARK.search(text) or page.name == "README.md"


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_long_value_in_a_page_is_one_of_the_file(page):
    """Lost: keys, CIDs and handles in running text that exist nowhere else."""
    whole = FILE.read_text()
    for found in re.findall(
        r"did:key:z6Mk[1-9A-HJ-NP-Za-km-z]{44}|\bb[a-z2-7]{58,}\b|12D3KooW\w{44}", page.read_text()
    ):
        assert found in whole, found


def test_a_quotation_that_is_wrong_would_be_seen():
    page = "<!-- vector: cids.table.cid -->\n```text\nbafkwrong\n```"
    assert page_with(page, TOLD) != page
    assert quote(TOLD, "cids.table.cid") in page_with(page, TOLD)
