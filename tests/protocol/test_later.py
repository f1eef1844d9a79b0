"""The later part of the story in the product: epochs, forks, a new key, a grant passed on, an answer to an auditor."""

from itertools import pairwise

import pytest

from catalog.body import Body, fields_of, read_body
from catalog.checkpoint import open_checkpoint
from catalog.dagcbor import cid_of, decode, encode
from catalog.epoch import EpochSignatureFields, charters, check_successor, successor
from catalog.error import Denied, VerificationFailed
from catalog.fork import check_file, check_fork
from catalog.headmap import HeadProof, verify_head
from catalog.index import Index, SiteIndex
from catalog.merkle import roots_of_path
from catalog.multiproof import root_of_many
from catalog.origin import LogName
from catalog.reopening import check_chain
from node.admission import announced, check_new, extended
from node.api.audit import Account, Blank, Member, Reading
from node.api.committed import check_committed
from node.automator.halt import Halts
from node.automator.ledger import Ledger
from node.founding import node_of
from node.message import AddCheckpoint, Envelope, WhoAnswer, read_reply
from privacy.grant import Logs, chain_of
from tests.protocol import answered, forked, later, published
from tests.protocol.logged import Log
from tests.protocol.people import DID
from tests.protocol.told import TOLD
from workflow.account import ACCOUNTS, HeadsFields

CHAIN = (published.EPOCH, later.EPOCH_1, later.EPOCH_2)
ENTRIES = {
    "anna": [*published.ANNA, *later.ANNA_LATER],
    "institute": [*published.INSTITUTE, *later.INSTITUTE_LATER],
    "nordstad": [*published.NORDSTAD, *forked.NORDSTAD_LATER],
    "trust": later.TRUST_LOG,
}


def indexed(stop: dict[str, int] | None = None) -> Index:
    """All catalogs as the product reads them, each up to its ``stop``, under the epochs of the story."""
    roots = charters(CHAIN)
    index = Index([DID[f"{site}-root"] for site in ENTRIES])
    for site, entries in ENTRIES.items():
        found = index.site(DID[f"{site}-root"])
        found.govern(roots[found.root])
        index.replace(read_whole(found, entries[: (stop or {}).get(site)]))
    return index


def read_whole(index: SiteIndex, entries: list) -> SiteIndex:
    """An index fed with all entries, again as long as a removal reaches back."""
    for number, (_, body) in enumerate(entries):
        index.add(number, body.kind, read_body(encode(body)))
    return read_whole(index.anew(), entries) if index.due else index


def test_the_later_entries_count_in_the_product_as_the_story_says():
    """Lost: that the examples of each new kind are ones that a member would take."""
    index = indexed()
    faults = {site: index.site(DID[f"{site}-root"]).faults for site in ENTRIES}
    assert faults == {site: {} for site in ENTRIES}
    anna = index.site(DID["anna-root"])
    assert anna.node() == DID["anna-node-2"]
    assert anna.signs(DID["anna-node"], LogName.AUDIT, 9)
    assert not anna.signs(DID["anna-node"], LogName.AUDIT, 10)
    assert anna.latest("dataset", str(later.DRAFT.cid)) is None
    assert index.site(DID["nordstad-root"]).keys.root_at(2) == DID["nordstad-root-2"]


def test_the_epochs_follow_each_other_from_the_signatures_in_the_members_logs():
    for now, then in pairwise(CHAIN):
        check_successor(now, then)
        signed = {
            body.site: signature_in(body)
            for entries in ENTRIES.values()
            for _, body in entries
            if body.kind == "epoch-signature" and signature_in(body).document.number == then.number
        }
        assert successor(now, signed) == then
    assert extended((), CHAIN, published.CONSORTIUM) == CHAIN
    assert extended(CHAIN[: later.KNOCK.since], later.STANDING.epochs, published.CONSORTIUM) == CHAIN[:2]


def signature_in(body: Body) -> EpochSignatureFields:
    return fields_of(read_body(encode(body)), EpochSignatureFields)


def test_the_fork_is_proven_and_the_reopening_ends_it():
    for fork in (forked.FORK_EQUAL, forked.FORK_LONGER):
        check_fork(fork, [DID["nordstad-node"]])
        with pytest.raises(VerificationFailed):
            check_fork(fork, [DID["anna-node"]])
    assert check_file(forked.FORK_FILE)[0] == DID["nordstad-root"]
    roots = (DID["nordstad-root"], DID["nordstad-root-2"])
    check_chain(DID["nordstad-root"], LogName.CATALOG, [forked.REOPENING], roots)
    with pytest.raises(VerificationFailed):
        check_chain(DID["nordstad-root"], LogName.CATALOG, [forked.REOPENING], roots[:1])


def test_the_grant_that_was_passed_on_holds_until_it_is_revoked():
    cited = cid_of(later.PASSED_ON)
    chain = chain_of(Logs(indexed({"institute": 8})), cited, published.CONSORTIUM)
    assert [link.grant for link in chain.links] == [later.PASSED_ON, published.GRANT]
    with pytest.raises(Denied, match="revoked"):
        chain_of(Logs(indexed()), cited, published.CONSORTIUM)


def test_the_candidate_and_the_new_key_are_what_their_roots_say():
    assert node_of(later.CANDIDATE) == DID["trust-node"]
    charter = charters(CHAIN)[DID["anna-root"]]
    assert announced(later.ANNOUNCEMENT, charter) == (DID["anna-node-2"], (DID["anna-node"],))
    check_new(later.ANNOUNCEMENT, charter, [DID["anna-node"]])
    with pytest.raises(Denied):
        check_new(later.ANNOUNCEMENT, charter, [DID["anna-node"], DID["anna-node-2"]])


def test_the_answer_to_who_is_accepted_by_the_product_row_by_row():
    """Lost: one example of a whole answer that a careful reader takes, blank and all."""
    members = {
        DID["anna-root"]: Member(DID["anna-node-2"], (DID["anna-node"], DID["anna-node-2"])),
        DID["institute-root"]: Member(DID["institute-node"], (DID["institute-node"],)),
        DID["trust-root"]: Member(DID["trust-node"], (DID["trust-node"],)),
    }
    told = read_reply(WhoAnswer, bytes.fromhex(TOLD["messages"]["who-answer"]["bytes"]))
    reading = Reading(answered.WHO, DID["anna-root"], members)
    rows = list(reading.take(encode(told)))
    assert [type(row) for row in rows] == [Blank, *5 * [Account]]
    assert reading.done
    assert isinstance(rows[1], Account)
    assert rows[1].cosigners == tuple(sorted((DID["institute-root"], DID["trust-root"])))


@pytest.mark.parametrize("log", [answered.AUDIT_LOG, Log("institute", LogName.AUDIT, answered.INSTITUTE)])
def test_each_audit_row_of_the_story_is_chained_and_committed_as_its_site_would_write_it(log):
    """Lost: rows whose links, heads and signed requests a careful reader takes."""
    ledger = Ledger()
    nodes = {DID[f"{site}-root"]: (DID[f"{site}-node"], DID.get(f"{site}-node-2", "")) for site in ENTRIES}
    for index, (name, body) in enumerate(log.bodies):
        fields = decode(ACCOUNTS[body.kind], encode(body.fields))
        assert fields.chain == ledger.chain(list(fields.chain)), name
        assert body.actor in nodes[body.site]
        check_committed(body, fields, lambda site: nodes[site])
        if isinstance(fields, HeadsFields):
            assert (fields.root, fields.count, fields.upto) == (ledger.heads().root, len(ledger.heads().heads), index)
        ledger.take(index, read_body(encode(body)))


def test_what_was_halted_goes_on():
    halts = Halts()
    for index, (name, body) in enumerate(answered.AUDIT_LOG.bodies):
        halts.take(index, body)
        assert bool(halts.standing) is (name == "halt-entry")


def test_the_product_accepts_the_proofs():
    for told in TOLD["multiproofs"].values():
        leaves = {int(index): bytes.fromhex(leaf) for index, leaf in told["leaves"].items()}
        assert root_of_many(leaves, told["size"], bytes.fromhex(told["proof"])).hex() == told["root"]
    for told in TOLD["head_maps"].values():
        for proof in told["proofs"]:
            read = decode(HeadProof, bytes.fromhex(proof["bytes"]))
            verify_head(proof["subject"], bytes.fromhex(told["root"]), len(told["heads"]), read)
    pushed = decode(Envelope, bytes.fromhex(TOLD["messages"]["add-checkpoint"]["bytes"])).question
    assert isinstance(pushed, AddCheckpoint)
    grown = TOLD["logs"]["anna-catalog-later"]
    ends = roots_of_path(pushed.old, grown["size"], pushed.proof)
    assert ends is not None
    assert [each.hex() for each in ends] == [grown["consistency"]["old_root"], grown["root"]]
    both = TOLD["changed"]
    for key in both["keys"]:
        assert open_checkpoint(both["note"], grown["origin"], DID[key]).size == both["size"]
