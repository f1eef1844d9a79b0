"""A second implementation, from the pages alone, computes what the vectors say and comes to the same conclusions."""

import pytest

from catalog.cid import DAG_PB, Cid
from catalog.key import PrivateKey
from tests.protocol import second
from tests.protocol.people import DID
from tests.protocol.told import TOLD, VALUES, leaves_of, seed


def test_keys_as_a_second_implementation_has_them():
    for name, key in TOLD["keys"].items():
        assert second.public_of(seed(name)).hex() == key["public"]
        assert second.did(bytes.fromhex(key["public"])) == key["did"] == PrivateKey(seed(name)).did
        peer = second.base58(b"\x00\x24\x08\x01\x12\x20" + bytes.fromhex(key["public"]))
        assert peer == key["peer_id"]


def test_signatures_at_the_edge_as_a_second_implementation_takes_them():
    for name, each in TOLD["signatures"].items():
        public, message, signature = (bytes.fromhex(each[field]) for field in ("public", "message", "signature"))
        assert second.verifies(second.did(public), message, signature) is each["valid"], name


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


@pytest.mark.parametrize("name", ["epoch-0", "epoch-1", "epoch-2"])
def test_the_epochs_as_a_second_implementation_has_them(name):
    epoch = TOLD["values"][name]
    message = second.message("epoch", epoch["value"], without="signatures")
    assert message.hex() == epoch["message"]
    roots = {TOLD["keys"][name]["did"]: name for name in TOLD["keys"]}
    for root, signature in epoch["value"]["signatures"].items():
        made = second.sign(seed(roots[root]), message)
        assert second.cbor(signature) == b"\x58\x40" + made
    signed = set(epoch["value"]["signatures"]) == {member["root"] for member in epoch["value"]["members"]}
    assert signed is (name != "epoch-1")  # of epoch 0 by all founders; epoch 2 happens to be by all who are left


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
        entries = leaves_of(each)
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
