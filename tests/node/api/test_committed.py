"""What a row says of a person or another site was signed by them: each lie of a node is refused where rows are read."""

from collections.abc import Collection

import pytest
from msgspec import structs

from catalog.body import Body, fields_of, read_body, write_body
from catalog.dagcbor import encode
from catalog.error import VerificationFailed
from catalog.key import signed
from catalog.project import ProjectRef
from node.api.committed import check_committed
from node.header import ForCustodian
from tests.protocol import answered, computed, published, recorded, sharing
from tests.protocol.people import DID, KEYS, T0
from workflow.account import ACCOUNTS, AccountFields, Link

ASKED_FOR_KEEPING = encode(structs.replace(sharing.ASKED, asked=ForCustodian()))
FIRST = Link(before=None, count=1)
ROWS = dict([*recorded.AUDIT, *answered.AUDIT_LATER, *answered.INSTITUTE])


def nodes(site: str) -> Collection[str]:
    keys = {"anna": ("anna-node", "anna-node-2"), "institute": ("institute-node",)}
    return [DID[key] for name, its in keys.items() for key in its if DID[f"{name}-root"] == site]


def fields_in(body: Body) -> AccountFields:
    return fields_of(read_body(encode(body)), ACCOUNTS[body.kind])


def read(name: str, **changed: object) -> None:
    """Read the row ``name`` of the protocol's story, with other fields, as its node would sign them."""
    body = ROWS[name]
    fields = structs.replace(fields_in(body), **changed)
    node = next(key for key in KEYS.values() if key.did == body.actor)
    again = write_body(body.kind, fields, site=body.site, at=T0, by=node, audience=())
    check_committed(again, fields, nodes)


@pytest.mark.parametrize("name", sorted(ROWS))
def test_an_honest_row_is_read(name):
    read(name)


LIES = {
    "another person asked": ("intent", {"person": DID["tomas"]}),
    "for another home": ("intent", {"home": DID["anna-root"]}),
    "outside the person's chain": ("intent", {"chain": {}}),
    "another person was refused": ("refusal-entry", {"person": DID["mara"]}),
    "refused for another home": ("refusal-entry", {"home": DID["anna-root"]}),
    "refused for another project": ("refusal-entry", {"project": ProjectRef(site=DID["anna-root"], name="breast")}),
    "refused outside the person's chain": ("refusal-entry", {"chain": {}}),
    "refused data that nobody asked for": (
        "refusal-entry",
        {"chain": {DID["tomas"]: FIRST, str(published.BLOCK): FIRST}},
    ),
    "refused in another's chain": ("refusal-entry", {"chain": {DID["tomas"]: FIRST, DID["mara"]: FIRST}}),
    "refused a step of another submission": ("refusal-entry", {"instance": computed.ORDER.instance}),
    "refused a step without its block": ("refusal-entry", {"block": None}),
    "refused a block without its step": ("refusal-entry", {"instance": None}),
    "brought by a node of another site": ("refusal-entry", {"bus": DID["anna-node"]}),
    "brought by a site that was not named": ("refusal-entry", {"site": DID["anna-root"], "bus": DID["anna-node"]}),
    "a question of nobody's": ("read", {"question": encode(structs.replace(answered.WHO, at=T0))}),
    "another read": ("read", {"person": DID["mara"]}),
    "a fetch that nobody signed": ("fetch", {"request": None}),
    "by another site": ("fetch", {"site": DID["anna-root"]}),
    "of other bytes": ("fetch", {"root": published.BLOCK}),
    "another person fetched": ("fetch-by-mara", {"person": DID["tomas"]}),
    "a release that no owner stated": ("release-received", {"statement": None}),
    "of more than was stated": ("release-received", {"added": (DID["nordstad-root"],)}),
    "a release on a report of something else": ("released-on-report", {"value": computed.VALUE}),
    "a release on another site's report": ("released-on-report", {"site": DID["nordstad-root"]}),
    "a release on an altered report": (
        "released-on-report",
        {"reported": encode(structs.replace(computed.REPORTED, finding="all is well"))},
    ),
    "a release on a report without a statement": ("released-on-report", {"statement": None}),
    "a release that came on no report": ("release-received", {"place": None}),
    "a key that nobody asked for": ("key-release", {"request": None}),
    "a key asked for by nobody's bytes": ("key-release", {"asked": None}),
    "a key for another site": ("key-release", {"site": DID["nordstad-root"]}),
    "a key of other data": ("key-release", {"root": published.BLOCK}),
    "a key for another person": ("key-release", {"person": DID["tomas"]}),
    "a key outside the person's chain": ("key-release", {"chain": {str(sharing.ROOT): FIRST}}),
    "a key outside the data's chain": ("key-release", {"chain": {DID["mara"]: FIRST}}),
    "a key for the node of a person's site": ("key-release", {"reader": DID["institute-root"]}),
    "a key in another project": ("key-release", {"project": ProjectRef(site=DID["anna-root"], name="breast")}),
    "a key that came for another person": ("key-received", {"person": DID["tomas"]}),
    "a key that came for other bytes": ("key-received", {"asked": ASKED_FOR_KEEPING}),
    "a key that came for another reader": ("key-received", {"reader": DID["institute-root"]}),
    "another halted": ("halt-entry", {"member": DID["institute-root"]}),
    "a word that nobody signed": ("halt-entry", {"statement": encode(structs.replace(answered.HALT, at=T0))}),
    "the word to go on": ("halt-entry", {"statement": encode(answered.RESUME)}),
    "another wrote the entry": ("grant-noted", {"actor": DID["mara"]}),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_about_others_is_refused(lie):
    """Lost: that a node cannot invent an access, or a steward's word."""
    name, changed = LIES[lie]
    with pytest.raises(VerificationFailed):
        read(name, **changed)


def test_a_request_to_another_node_is_none_to_this_one():
    """Lost: that what was asked of one site cannot be shown as asked of another."""
    body = ROWS["fetch"]
    with pytest.raises(VerificationFailed, match="another node"):
        check_committed(structs.replace(body, actor=DID["institute-node"]), fields_in(body), nodes)


def test_a_word_for_another_site_halts_nothing_here():
    word = signed(structs.replace(answered.HALT, site=DID["institute-root"]), KEYS["anna-steward"])
    with pytest.raises(VerificationFailed):
        read("halt-entry", statement=encode(word))


def test_a_restored_site_halts_by_nobodys_word():
    read("halt-entry", statement=None)
