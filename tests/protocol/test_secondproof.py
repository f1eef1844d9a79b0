"""What proves something to somebody who was not there, as a second implementation from the pages alone checks it."""

from tests.protocol import second, secondproof
from tests.protocol.people import DID
from tests.protocol.told import BY_BYTES, TOLD, VALUES, hashes_of, leaves_of


def test_epochs_follow_in_a_second_implementation():
    documents = [VALUES[f"epoch-{number}"]["value"] for number in range(3)]
    for number, document in enumerate(documents):
        assert secondproof.content(document) == VALUES[f"epoch-{number}"]["content_cid"]
    assert secondproof.follows(documents[0], documents[1])
    assert secondproof.follows(documents[1], documents[2])
    assert not secondproof.follows(documents[0], documents[2])
    for number in (1, 2):
        for site in ("anna", "institute", "trust"):
            told = VALUES.get(f"{site}-epoch-{number}")
            if told is None:
                continue
            fields = told["value"]["fields"]
            assert fields["document"] == documents[number] | {"signatures": {}}
            assert fields["signature"] == documents[number]["signatures"][DID[f"{site}-root"]]


def test_forks_are_proven_in_a_second_implementation():
    node = TOLD["keys"]["nordstad-node"]["did"]
    equal, longer = (VALUES[name]["value"] for name in ("fork-equal", "fork-longer"))
    assert secondproof.forked(equal, node)
    assert secondproof.forked(longer, node)
    assert VALUES["accuse"]["value"]["fields"]["fork"] == longer
    assert not secondproof.forked(equal | {"second": equal["first"]}, node)


def test_the_reopening_is_of_what_both_histories_begin_with():
    reopening = VALUES["reopening"]["value"]
    note = TOLD["messages"]["heads-answer-reopened"]["answer"]["notes"][0]
    origin, size, root = secondproof.opened(note, reopening["node"])
    assert origin == f"{reopening['site']}/{reopening['log']}/{reopening['number']}"
    assert (size, root) == (reopening["size"], secondproof.raw(reopening["root"]))
    taken, new = leaves_of(TOLD["logs"]["nordstad-catalog-reopened"])[:2], f"{reopening['site']}/catalog/1"
    assert {leaf["origin"] for leaf in taken} == {f"{reopening['site']}/catalog/0"}
    assert second.root([bytes.fromhex(leaf["hash"]) for leaf in taken]) == root
    assert leaves_of(TOLD["logs"]["nordstad-catalog-reopened"])[2]["origin"] == new == origin


def test_proofs_that_travel_alone_in_a_second_implementation():
    for name, each in TOLD["logs"].items():
        hashes, index = hashes_of(name), each["inclusion"]["index"]
        assert secondproof.travelling(index, second.path(index, hashes), each["cosigned"]) == each["proof"]
        tile = bytes.fromhex(each["tile"]["bytes"])
        assert tile == b"".join(hashes)
        old, new = each["consistency"]["old"], each["size"]
        path = [bytes.fromhex(step) for step in each["consistency"]["full_path"]]
        assert path == secondproof.full_path(old, hashes)
        assert secondproof.ends(old, new, path) == (second.root(hashes[:old]), second.root(hashes))


def test_one_proof_for_many_leaves_in_a_second_implementation():
    logs = {"all": "anna-audit-later", "some": "anna-catalog-later", "one": "anna-catalog"}
    for name, told in TOLD["multiproofs"].items():
        hashes = hashes_of(logs[name])
        leaves = {int(index): bytes.fromhex(leaf) for index, leaf in told["leaves"].items()}
        proof = bytes.fromhex(told["proof"])
        assert secondproof.given(leaves, hashes) == proof
        assert secondproof.rebuilt(leaves, told["size"], proof).hex() == told["root"]
    assert TOLD["multiproofs"]["all"]["proof"] == ""


def test_heads_in_a_second_implementation():
    """Lost: that presence, and absence at the beginning, in the middle and at the end, are shown to others."""
    for told in TOLD["head_maps"].values():
        heads = [(bytes.fromhex(each["subject"]), each["index"], each["count"]) for each in told["heads"]]
        assert heads == sorted(heads)
        root = second.root([secondproof.head_leaf(*each) for each in heads])
        assert root.hex() == told["root"]
        known = {subject: (index, count) for subject, index, count in heads}
        for proof in told["proofs"]:
            key = second.hashlib.sha256(proof["subject"].encode()).digest()
            assert secondproof.head(proof["subject"], len(heads), root, proof["value"]) == known.get(key)
    assert {len(proof["value"]["heads"]) for proof in TOLD["head_maps"]["seven"]["proofs"]} == {1, 2}


def test_a_pushed_checkpoint_in_a_second_implementation():
    asked = TOLD["messages"]["add-checkpoint"]["value"]["question"]
    grown = TOLD["logs"]["anna-catalog-later"]
    path = [secondproof.raw(step) for step in asked["proof"]]
    assert path == secondproof.full_path(asked["old"], hashes_of("anna-catalog-later"))
    _, size, root = secondproof.opened(asked["note"], DID["anna-node-2"])
    old_root = TOLD["logs"]["anna-catalog"]["root"]
    assert [each.hex() for each in secondproof.ends(asked["old"], size, path)] == [old_root, root.hex()]
    added = TOLD["messages"]["added"]["answer"]
    assert (added["size"], added["line"]) == (size, grown["cosignatures"][0]["line"])
    both = TOLD["changed"]
    _, size, root = secondproof.opened(both["note"], *(DID[key] for key in both["keys"]))
    assert root == second.root(hashes_of("anna-catalog-later")[:size])


def test_the_grant_chain_in_a_second_implementation():
    parent, child = VALUES["grant"], VALUES["grant-passed-on"]
    assert secondproof.attenuates(child["value"], parent["value"], parent["cid"])
    wider = child["value"] | {"actions": ["compute", "fetch"]}
    assert not secondproof.attenuates(wider, parent["value"], parent["cid"])
    assert VALUES["revoke"]["value"]["fields"]["grant"] == {"/": child["cid"]}


def test_what_a_project_is_approved_by_and_certified_for():
    fields = VALUES["project"]["value"]["fields"]
    terms, people = second.approval(fields)
    assert terms == TOLD["terms"]["project"]
    approved = VALUES["approve"]["value"]["fields"]["people"]
    assert [second.cbor(each) for each in approved] == [b"\x58\x20" + each for each in people]
    ended = VALUES["project-ended"]["value"]["fields"]
    assert ended == fields | {"ended": True}
    for name in ("approve", "certificate"):
        assert VALUES[name]["value"]["fields"]["terms"] == {"/": terms}
    place = VALUES["certificate"]["value"]["fields"]["audit"]
    assert TOLD["leaves"][f"anna-audit-{place}"]["body"] == "destroy"


def test_the_answer_to_who_in_a_second_implementation():
    answer = TOLD["messages"]["who-answer"]["answer"]
    origin, size, root = secondproof.opened(answer["note"], DID["anna-node-2"])
    opening = answer["opening"]
    rows = [*answer["rows"], opening["heads"], opening["asked"]]
    leaves = {row["index"]: second.leaf_hash(secondproof.raw(row["leaf"])) for row in rows}
    assert secondproof.rebuilt(leaves, size, secondproof.raw(answer["proof"])) == root
    bodies = {}
    for row in rows:
        if row["body"] is None:
            assert (row["index"], row["salt"]) == (1, None)
            continue
        body = secondproof.raw(row["body"])
        bodies[row["index"]] = BY_BYTES[body.hex()]["value"]
        kind = bodies[row["index"]]["kind"]
        epoch = TOLD["leaves"][f"anna-audit-{row['index']}"]["epoch"]
        assert second.leaf(origin, epoch, kind, body, secondproof.raw(row["salt"])) == secondproof.raw(row["leaf"])
    heads, read = (bodies[each["index"]]["fields"] for each in (opening["heads"], opening["asked"]))
    assert (heads["upto"], heads["upto"] + 1) == (opening["heads"]["index"], opening["asked"]["index"])
    assert secondproof.raw(read["question"]).hex() == VALUES["who"]["bytes"]
    dataset = VALUES["who"]["value"]["dataset"]["/"]
    root = secondproof.raw(heads["root"])
    head = secondproof.head(dataset, heads["count"], root, opening["proof"])
    links = [(row["index"], bodies.get(row["index"])) for row in answer["rows"]]
    assert secondproof.walked(dataset, links) == head == (7, read["rows"])
    without = [each for each in links if each[0] != 4]
    assert secondproof.walked(dataset, without) is None
    assert TOLD["head_maps"]["asked"]["root"] == root.hex()


def test_what_rows_commit_to_was_signed_by_whom_they_name():
    """Lost: that others can check a row's claim about a person or another site with the pages in hand."""
    for name, person in (("intent", "mara"), ("denial", "tomas")):
        fields = VALUES[name]["value"]["fields"]
        submission = BY_BYTES[secondproof.raw(fields["submission"]).hex()]
        assert (submission["type"], submission["signed_by"]) == ("submission", person)
        assert fields["instance"]["submission"] == {"/": submission["cid"]}
        assert fields["person"] == DID[person]
    for name, asker, node in (("fetch", "institute-node", "anna-node"), ("fetch-by-mara", "mara", "institute-node")):
        fields = VALUES[name]["value"]["fields"]
        key, peer, path = secondproof.kept(fields["request"])
        assert (key, peer) == (DID[asker], DID[node])
        named = fields["root"] if name == "fetch" else {"/": VALUES["submission"]["cid"]}
        assert named["/"] in path.split("/")
    assert VALUES["release-received"]["value"]["fields"]["statement"] == VALUES["release"]["value"]
    for name, word in (("halt-entry", "halt"), ("resume-entry", "resume")):
        statement = secondproof.raw(VALUES[name]["value"]["fields"]["statement"])
        assert BY_BYTES[statement.hex()] == VALUES[word]
    for name, log in (("policy", "anna"), ("grant", "anna"), ("passed-on", "institute"), ("revoke", "institute")):
        noted = VALUES[f"{name}-noted"]["value"]["fields"]
        leaf = TOLD["leaves"][f"{log}-catalog-{noted['entry']}"]
        assert noted["body"] == {"/": VALUES[leaf["body"]]["cid"]}
        assert noted["actor"] == VALUES[leaf["body"]]["value"]["actor"]
