"""The product reads what the vectors say, and the story that they tell is one in which every rule holds.

What signatures and logs cover cannot be changed cheaply: a difference here is a new protocol version or a fault.
"""

from contextlib import nullcontext
from datetime import UTC, datetime
from typing import get_args

import pytest
from cryptography import x509

from catalog.body import Body, read_body
from catalog.checkpoint import cosigners, open_checkpoint
from catalog.dagcbor import Value, cid_of, decode, encode
from catalog.entry import KINDS
from catalog.error import VerificationFailed
from catalog.fork import Fork, ForkFile
from catalog.grant import Grant
from catalog.headmap import HeadProof
from catalog.httpsig import digest_of, verify_request
from catalog.index import Index
from catalog.key import Signed, check, did_of, verify
from catalog.label import Label
from catalog.leaf import decode_leaf, opens
from catalog.member import Epoch, check_epoch0
from catalog.merkle import verify_consistency, verify_inclusion
from catalog.proof import parse_proof, verify_proof
from catalog.reopening import Reopening
from catalog.tiles import decode_bundle
from node.admission import Announcement, Standing
from node.founding import Founding, Invite, Knock, nodes_of
from node.message import Envelope, Halt, HeadsAnswer, Question, ReceiptsAnswer, Reply, SeenAnswer, Who, read_reply
from node.replicate.catchup import BodiesAnswer
from privacy.disease import standard
from privacy.label import effective_readers
from privacy.modifier import Use
from privacy.policy import Policy, decide, told
from privacy.purpose import mismatch
from privacy.trust import approved
from tests.protocol import answered, computed, later, published
from tests.protocol.people import DID
from tests.protocol.told import SIGNED, TOLD, VALUES, leaves_of
from workflow.account import ACCOUNTS
from workflow.cancellation import Cancellation
from workflow.evidence import Evidence
from workflow.flow import parse_workflow
from workflow.inquiry import Answer
from workflow.order import Order
from workflow.parse import parse_tool
from workflow.receipt import Receipt, Release
from workflow.report import Report
from workflow.submission import Submission
from workflow.subset import check_subset

TYPES: dict[str, type[Value]] = {
    "body": Body,
    "grant": Grant,
    "epoch": Epoch,
    "invite": Invite,
    "knock": Knock,
    "founding": Founding,
    "submission": Submission,
    "order": Order,
    "receipt": Receipt,
    "release": Release,
    "report": Report,
    "who": Who,
    "label": Label,
    "envelope": Envelope,
    "reply": Reply,
    "bodies answer": BodiesAnswer,
    "seen answer": SeenAnswer,
    "receipts answer": ReceiptsAnswer,
    "standing": Standing,
    "announcement": Announcement,
    "fork": Fork,
    "fork file": ForkFile,
    "reopening": Reopening,
    "halt": Halt,
    "answer": Answer,
    "cancellation": Cancellation,
    "head proof": HeadProof,
}


@pytest.mark.parametrize("name", sorted(VALUES))
def test_the_product_reads_each_value_and_writes_the_same_bytes(name):
    each = VALUES[name]
    data = bytes.fromhex(each["bytes"])
    value = decode(TYPES[each["type"]], data)
    assert encode(value) == data
    assert str(cid_of(value)) == each["cid"]


@pytest.mark.parametrize("name", sorted(SIGNED))
def test_a_signature_counts_for_its_value_and_for_no_other(name):
    """Lost: that altered values are refused."""
    each = SIGNED[name]
    value = decode(TYPES[each["type"]], bytes.fromhex(each["bytes"]))
    check(value, DID[each["signed_by"]])
    other = "anna-auditor" if each["signed_by"] != "anna-auditor" else "mara"
    with pytest.raises(VerificationFailed):
        check(value, DID[other])
    altered = bytearray.fromhex(each["bytes"])
    at = altered.index(value.sig) + 5
    altered[at] ^= 1
    with pytest.raises(VerificationFailed):
        check(decode(TYPES[each["type"]], bytes(altered)), DID[each["signed_by"]])


@pytest.mark.parametrize("name", TOLD["signatures"])
def test_signatures_at_the_edge_count_for_all_or_for_none(name):
    """Lost: that two members who verify with different libraries come to the same."""
    each = TOLD["signatures"][name]
    did = did_of(bytes.fromhex(each["public"]))
    with nullcontext() if each["valid"] else pytest.raises(VerificationFailed):
        verify(did, bytes.fromhex(each["message"]), bytes.fromhex(each["signature"]))


def test_the_logs_hold_together():
    for name, each in TOLD["logs"].items():
        origin, key = each["origin"], DID[each["key"]]
        checkpoint = open_checkpoint(each["cosigned"], origin, key)
        leaves = decode_bundle(bytes.fromhex(each["bundle"]["bytes"]), each["size"])
        entries = leaves_of(each)
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


def test_each_kind_of_thing_that_is_signed_logged_or_sent_has_an_example():
    """Lost: that a new kind gets its vector, which is what a second implementation begins with."""
    bodies = [each["value"]["kind"] for each in TOLD["values"].values() if each["type"] == "body"]
    assert set(bodies) == set(KINDS) | set(ACCOUNTS)
    asked = {each["value"]["question"]["type"] for each in TOLD["messages"].values() if each["type"] == "envelope"}
    assert asked == {str(kind.__struct_config__.tag) for kind in get_args(Question)}
    product = (kind for kind in Signed.__subclasses__() if not kind.__module__.startswith("tests."))
    signed = {kind.DOMAIN for kind in product}
    assert {each["domain"] for each in VALUES.values() if "domain" in each} == signed | {Epoch.DOMAIN}
    statuses = {each["value"]["status"] for each in VALUES.values() if each["type"] == "receipt"}
    assert statuses == {"accepted", "done", "held"}


def test_proofs_travel_alone():
    for each in TOLD["logs"].values():
        proof = parse_proof(each["proof"])
        leaf = bytes.fromhex(leaves_of(each)[proof.index]["bytes"])
        assert verify_proof(proof, leaf, each["origin"], DID[each["key"]]).size == each["size"]


def test_the_vectors_tell_a_story_in_which_every_rule_holds():
    """Lost: examples that a correct implementation would accept, entry by entry and label by label."""
    check_epoch0(published.EPOCH)
    assert nodes_of(published.FOUNDING)[DID["anna-root"]] == DID["anna-node"]
    assert published.FOUNDING.founded() is None
    index = Index([DID["anna-root"], DID["institute-root"], DID["nordstad-root"]])
    for site, entries in (
        ("anna", [*published.ANNA, *later.ANNA_LATER[:1]]),
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
    assert approved(index, published.PROJECT, DID["anna-root"]) == ""
    use = Use(purpose=published.PURPOSE, undertakings=published.PROJECT_FIELDS.undertakings)
    dataset = evidence.dataset(computed.INPUT)
    assert dataset is not None
    assert mismatch(dataset.purposes, use, standard()) == ""


def test_the_decisions_are_what_the_published_policy_says():
    """Lost: facts as rules read them, by their names; a second implementation may word its reasons otherwise."""
    policy = Policy.parse(published.POLICY, site="St. Anna", version="4")
    for question, decision in (
        (computed.COMPUTE, computed.DECISION),
        (computed.FREEING, computed.RELEASED),
        (answered.REFUSED, answered.DENIED),
    ):
        assert decide(policy, question) == decision
        assert told(policy, decision, question) == decision.reason


def test_a_control_message_reads_as_the_answer_that_it_carries():
    answer = read_reply(HeadsAnswer, bytes.fromhex(TOLD["messages"]["heads-answer"]["bytes"]))
    assert answer.notes[0] == TOLD["logs"]["anna-catalog-later"]["checkpoint"]
    assert answer.cosigned == (TOLD["logs"]["anna-catalog-later"]["cosigned"],)
    assert read_reply(Receipt, bytes.fromhex(TOLD["messages"]["receipt-answer"]["bytes"])) == computed.DONE


def test_the_certificate_holds_the_key_and_never_expires():
    certificate = x509.load_der_x509_certificate(bytes.fromhex(TOLD["certificates"]["anna-node"]["der"]))
    assert certificate.public_key().public_bytes_raw().hex() == TOLD["keys"]["anna-node"]["public"]
    assert certificate.not_valid_after_utc == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
