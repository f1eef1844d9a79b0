"""Exported events: valid FHIR, each after its BALP pattern, with a proof that others can check.

The codes are those of IHE BALP 1.1 (Read, Query, PrivacyDisclosure.Source and .Recipient, AuthZconsent).
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from catalog.dagcbor import cid_of, encode
from catalog.key import UNSIGNED, signed
from catalog.leaf import decode_leaf, opens
from catalog.proof import parse_proof, verify_proof
from cli.export import _plain
from node.api import fhir
from node.api.audit import Account, Reading
from node.api.view import AuditRow
from tests.node.api.rows import BLOCK, GRANTS, TRIAL, VALUE, access, asked, release, shown, write
from tests.node.site.house import ANNA, BRUNO, CLARA, NODES, RESEARCHER, STEWARDS, House, dataset, play
from tests.node.site.test_auditdesk import DATA, MEMBERS, STEWARD, desk, fetched, pages, read_by, who
from workflow.account import AccountFields, DestroyFields, EntryFields, FetchFields, RefusalFields, Side
from workflow.argument import Argument, Data

event = pytest.importorskip("fhir.resources.R4B.auditevent")

DCM = "http://dicom.nema.org/resources/ontology/DCM"
TERMS = "http://terminology.hl7.org/CodeSystem"
SOURCE, DESTINATION, APPLICATION = (f"{DCM}#{code}" for code in ("110153", "110152", "110150"))
USER = f"{TERMS}/v3-ParticipationType#IRCP"
ORGANISATION = f"{TERMS}/v3-RoleClass#PROV"
AUTHORIZER = f"{TERMS}/extra-security-role-type#authserver"
REST = f"{TERMS}/audit-event-type#rest"
OBJECT, OTHER = (f"{TERMS}/audit-entity-type#{code}" for code in ("2", "4"))
CONSENT = "http://hl7.org/fhir/resource-types#Consent"
REPORT, DOMAIN, JOB, QUERY = (f"{TERMS}/object-role#{code}" for code in ("3", "4", "20", "24"))
AUTHZ = "https://profiles.ihe.net/ITI/BALP/CodeSystem/AuthZsubType"
READ, SEARCH = (f"http://hl7.org/fhir/restful-interaction#{code}" for code in ("read", "search"))
DISCLOSE = f"{TERMS}/iso-21089-lifecycle#disclose"

Agents = set[tuple[str, str, bool]]
Entities = set[tuple[str, str, str]]


@dataclass(frozen=True)
class Pattern:
    """What an event must say: its codes, who took part in which role (and asked), and what it was about."""

    kind: str
    subtype: str
    action: str
    outcome: str
    agents: Agents
    entities: Entities


def code(coding: dict[str, Any]) -> str:
    return f"{coding['system']}#{coding['code']}"


def pattern(made: dict[str, Any]) -> Pattern:
    """What an event says."""
    agents = [
        (code(coding), agent["who"]["identifier"]["value"], agent["requestor"])
        for agent in made["agent"]
        for coding in agent["type"]["coding"]
    ]
    entities = [
        (
            code(each["type"]),
            code(each["role"]) if "role" in each else "",
            each["query"] if "query" in each else "#".join(each["what"]["identifier"].values()),
        )
        for each in made["entity"]
    ]
    assert len(set(agents)) == len(agents)
    assert len(set(entities)) == len(entities)
    [subtype] = made["subtype"]
    return Pattern(code(made["type"]), code(subtype), made["action"], made["outcome"], set(agents), set(entities))


def event_of(house: House, row: AuditRow, account: Account) -> dict[str, Any]:
    """The event of a row: valid, proven, and by its own word written down by one who took part."""
    made: dict[str, Any] = fhir.audit_event(row, account)
    event.AuditEvent.model_validate(made)
    parts = {part["url"]: base64.b64decode(part["valueBase64Binary"]) for part in made["extension"]}
    leaf = parts[fhir.LEAF]
    verify_proof(parse_proof(parts[fhir.PROOF].decode()), leaf, house.audit.origin, NODES[ANNA.did].did)
    assert opens(decode_leaf(leaf), parts[fhir.BODY], parts[fhir.SALT])
    assert made["id"] == f"{account.site[-12:]}-{account.index}"
    assert "meta" not in made, "no profile is claimed that is not checked"
    assert made["source"]["observer"] in [agent["who"] for agent in made["agent"]]
    return made


def exported(tmp_path: Path, kind: str, fields: AccountFields, *people: str) -> dict[str, Any]:
    """The event of a row that was written."""
    made: list[dict[str, Any]] = []

    async def story(house: House) -> None:
        await write(house, kind, fields, *people)
        made.append(event_of(house, *(await shown(house))[0]))

    play(tmp_path, story)
    return made[0]


ABOUT: Entities = {(OTHER, DOMAIN, f"urn:comity:dataset#{DATA}")}
PROJECT: Entities = {(OTHER, JOB, f"urn:comity:project#{TRIAL.site}/{TRIAL.name}")}
STEP: Entities = {*PROJECT, (OTHER, JOB, f"urn:comity:block#{BLOCK}")}
BYTES: Entities = {(OBJECT, DOMAIN, f"urn:comity:data#{DATA}")}
RESULT: Entities = {(OBJECT, REPORT, f"urn:comity:result#{VALUE}")}
MARA = (USER, RESEARCHER.did, True)
GAVE: Agents = {(SOURCE, ANNA.did, False), (DESTINATION, CLARA.did, False)}
GOT: Agents = {(SOURCE, BRUNO.did, False), (DESTINATION, ANNA.did, False)}


def test_a_persons_fetch_is_a_read(tmp_path: Path) -> None:
    """Bytes flow from the server to the client, which is the destination; one system object, what was read."""

    async def story(house: House) -> None:
        await read_by(house, RESEARCHER, project=TRIAL)
        agents = {(SOURCE, ANNA.did, False), (DESTINATION, ANNA.did, False), MARA}
        assert pattern(event_of(house, *(await shown(house))[0])) == Pattern(
            REST, READ, "R", "0", agents, {*BYTES, *ABOUT, *PROJECT}
        )

    play(tmp_path, story)


def test_a_question_to_the_log_is_a_query(tmp_path: Path) -> None:
    """The question flows from the client, which is the source; the one system object is what was asked."""

    async def story(house: House) -> None:
        asker, question = STEWARDS[BRUNO.did], who(STEWARDS[BRUNO.did], BRUNO)
        house.entry(BRUNO, "dataset", dataset(DATA))
        await pages(desk(house), question, BRUNO)
        [asking, *_] = [each for each in await shown(house) if each[0].kind == "read"]
        agents = {(SOURCE, BRUNO.did, False), (DESTINATION, ANNA.did, False), (USER, asker.did, True)}
        query = (OBJECT, QUERY, base64.b64encode(encode(question)).decode())
        assert pattern(event_of(house, *asking)) == Pattern(REST, SEARCH, "E", "0", agents, {query, *ABOUT})

    play(tmp_path, story)


def test_another_sites_fetch_is_a_privacy_disclosure_at_the_source(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        await fetched(house, CLARA, project=TRIAL)
        assert pattern(event_of(house, *(await shown(house))[0])) == Pattern(
            f"{DCM}#110106", DISCLOSE, "R", "0", GAVE, {*BYTES, *ABOUT, *PROJECT}
        )

    play(tmp_path, story)


def test_bytes_that_came_are_a_privacy_disclosure_at_the_recipient(tmp_path: Path) -> None:
    fields = FetchFields(root=DATA, site=BRUNO.did, person=None, chain={}, side=Side.RECIPIENT)
    assert pattern(exported(tmp_path, "fetch", fields)) == Pattern(
        f"{DCM}#110107", DISCLOSE, "C", "0", GOT, {*BYTES, *ABOUT}
    )


def test_a_release_is_a_privacy_disclosure_at_the_source(tmp_path: Path) -> None:
    assert pattern(exported(tmp_path, "release", release(Side.SOURCE), RESEARCHER.did)) == Pattern(
        f"{DCM}#110106", DISCLOSE, "R", "0", {*GAVE, MARA}, {*RESULT, *ABOUT}
    )


def test_a_release_that_came_is_a_privacy_disclosure_at_the_recipient(tmp_path: Path) -> None:
    assert pattern(exported(tmp_path, "release", release(Side.RECIPIENT), RESEARCHER.did)) == Pattern(
        f"{DCM}#110107", DISCLOSE, "C", "0", {*GOT, MARA}, {*RESULT, *ABOUT, *PROJECT}
    )


DECIDING: Agents = {
    (AUTHORIZER, ANNA.did, False),
    (APPLICATION, NODES[CLARA.did].did, False),
    (ORGANISATION, CLARA.did, False),
    MARA,
}


@pytest.mark.parametrize(("kind", "allowed", "outcome"), [("intent", True, "0"), ("decision", False, "8")])
def test_what_was_allowed_or_denied_is_an_authorization_decision(
    tmp_path: Path, kind: str, allowed: bool, outcome: str
) -> None:
    """The client is the node that brought the request, the consent each grant that the person cited."""
    made = exported(tmp_path, kind, access(*GRANTS, allowed=allowed), RESEARCHER.did)
    consents = {(CONSENT, "", f"urn:comity:grant#{grant}") for grant in GRANTS}
    assert pattern(made) == Pattern(
        f"{DCM}#110113", f"{AUTHZ}#AuthZ-Consent", "E", outcome, DECIDING, {*consents, *ABOUT, *STEP}
    )
    assert made["outcomeDesc"] == ("allowed by researchers" if allowed else "denied: no grant")
    assert [code(each) for each in made["purposeOfEvent"][0]["coding"]] == [
        "http://purl.obolibrary.org/obo/duo.owl#DUO:0000006"
    ]


def test_what_was_refused_before_is_one_too_and_names_the_node_that_brought_it(tmp_path: Path) -> None:
    """Lost: an event about a person does not say who sent what it is about, where that was not their home."""
    whole = access(*GRANTS)
    buses = (NODES[CLARA.did].did, NODES[BRUNO.did].did)
    inputs: dict[str, Argument] = {"data": Data(site=ANNA.did, cid=DATA, name="births")}
    two = signed(structs.replace(asked(*GRANTS), buses=buses, inputs=inputs, sig=UNSIGNED), RESEARCHER)
    fields = RefusalFields(
        order=whole.order,
        site=BRUNO.did,
        bus=NODES[BRUNO.did].did,
        person=whole.person,
        home=whole.home,
        project=whole.project,
        purpose=whole.purpose,
        instance=None,
        block=None,
        reason="its time is over",
        submission=encode(two),
        chain={},
    )
    made = exported(tmp_path, "refusal", fields, RESEARCHER.did)
    consents = {(CONSENT, "", f"urn:comity:grant#{grant}") for grant in GRANTS}
    brought = (DECIDING - {(APPLICATION, NODES[CLARA.did].did, False)}) | {(APPLICATION, NODES[BRUNO.did].did, False)}
    assert pattern(made) == Pattern(
        f"{DCM}#110113", f"{AUTHZ}#AuthZ-Consent", "E", "8", brought, {*consents, *ABOUT, *PROJECT}
    )
    assert made["outcomeDesc"] == "denied: its time is over (brought by Bruno)"


def test_a_decision_without_a_grant_is_one_by_roles(tmp_path: Path) -> None:
    """Lost: an event that claims a consent, and names none."""
    made = exported(tmp_path, "intent", access(), RESEARCHER.did)
    assert pattern(made) == Pattern(f"{DCM}#110113", f"{AUTHZ}#AuthZ-Role", "E", "0", DECIDING, {*ABOUT, *STEP})


def test_where_several_nodes_may_have_brought_a_request_their_site_is_the_client(tmp_path: Path) -> None:
    """Lost: one of them is named, and it was another."""
    buses = (NODES[CLARA.did].did, NODES[BRUNO.did].did)
    two = signed(structs.replace(asked(*GRANTS), buses=buses, sig=UNSIGNED), RESEARCHER)
    instance = structs.replace(access().instance, submission=cid_of(two))
    fields = structs.replace(access(*GRANTS), submission=encode(two), instance=instance)
    agents = pattern(exported(tmp_path, "intent", fields, RESEARCHER.did)).agents
    assert {each for kind, each, _ in agents if kind == APPLICATION} == {CLARA.did}


BY_STEWARD: Agents = {(APPLICATION, ANNA.did, False), (USER, STEWARD.did, True)}
REVOKED: Entities = {(CONSENT, "", f"urn:comity:grant#{GRANTS[0]}"), *PROJECT}


@pytest.mark.parametrize(
    ("kind", "fields", "agents", "about"),
    [
        (
            "revoke",
            EntryFields(entry=3, body=DATA, actor=STEWARD.did, chain={}, grant=GRANTS[0], project=TRIAL),
            BY_STEWARD,
            REVOKED,
        ),
        ("policy", EntryFields(entry=3, body=DATA, actor=STEWARD.did, chain={}), BY_STEWARD, set()),
        (
            "destroy",
            DestroyFields(project=TRIAL, values=1, nodes=1, bytes=1, chain={}),
            {(APPLICATION, ANNA.did, False)},
            PROJECT,
        ),
    ],
)
def test_what_no_pattern_is_for_is_an_activity_of_the_application(
    tmp_path: Path, kind: str, fields: AccountFields, agents: Agents, about: Entities
) -> None:
    assert pattern(exported(tmp_path, kind, fields, STEWARD.did)) == Pattern(
        f"{DCM}#110100", f"urn:comity:audit#{kind}", "E", "0", agents, {*ABOUT, *about}
    )


def test_without_proofs_none_is_made(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        await fetched(house, BRUNO)
        question = who(STEWARD, ANNA)
        reading = Reading(question, ANNA.did, MEMBERS)
        rows = [row for answer in await pages(desk(house), question, ANNA) for row in reading.take(encode(answer))]
        assert [row.proof for row in rows if isinstance(row, Account)] == [None]

    play(tmp_path, story)


@pytest.mark.parametrize(("cell", "shown"), [("=1+1", "'=1+1"), ("@x", "'@x"), ("Mara", "Mara"), ("", "")])
def test_a_table_holds_no_formula(cell: str, shown: str) -> None:
    """Lost: a name that a member chose runs in the auditor's spreadsheet."""
    assert _plain(cell) == shown
