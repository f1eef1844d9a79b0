"""Audit rows as FHIR R4 AuditEvents, after the patterns of IHE BALP 1.1 (Basic Audit Log Patterns).

An intent, a denial or a refusal is an Authorization Decision; a person's fetch a Read; a question to the log a Query; a
fetch by another site, and a release, a Privacy Disclosure, at the source or at the recipient. What else stands in a log
is a security event of the application. Data here are datasets and never a patient, so the patterns' patient entity is
absent, as are the agents' network addresses, which no row has; no event claims a BALP profile in ``meta.profile``.

The patterns tell entities apart by their type: the one *System Object* of a Read is what was read, that of a Query what
was asked; a decision's *Consent* is the grant. So all that stands around these is of the type *Other*.

Each event carries what shows it (extensions below): the C2SP tlog-proof with the cosigned checkpoint, the leaf, and
the salt and body that the leaf commits to.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from catalog.cid import Cid
from catalog.dagcbor import decode, encode
from catalog.key import short
from catalog.proof import write_proof
from node.api.audit import Account
from node.api.view import AuditRow
from workflow.account import (
    MAX_REQUEST,
    AccessFields,
    EntryFields,
    FetchFields,
    InquiryFields,
    KeyReleaseFields,
    ReadFields,
    RefusalFields,
    ReleaseFields,
    Side,
    datasets_of,
)
from workflow.submission import Submission

Json = dict[str, object]
Decided = AccessFields | RefusalFields

PROOF: Final = "urn:comity:fhir:tlog-proof"
LEAF: Final = "urn:comity:fhir:leaf"
SALT: Final = "urn:comity:fhir:salt"
BODY: Final = "urn:comity:fhir:body"

_TERMS: Final = "http://terminology.hl7.org/CodeSystem"
_DCM: Final = "http://dicom.nema.org/resources/ontology/DCM"
_AUTHZ: Final = "https://profiles.ihe.net/ITI/BALP/CodeSystem/AuthZsubType"


def audit_event(row: AuditRow, account: Account) -> Json:
    """The AuditEvent of a verified row, as JSON; the caller validates it."""
    kind, subtype, action, agents = _pattern(row, account)
    event: Json = {
        "resourceType": "AuditEvent",
        "id": f"{row.site[-12:]}-{row.index}",
        "extension": [{"url": url, "valueBase64Binary": data} for url, data in _shown(account)],
        "type": kind,
        "subtype": [subtype],
        "action": action,
        "recorded": datetime.fromtimestamp(row.at / 1000, UTC).isoformat(timespec="milliseconds"),
        "outcome": "8" if row.allowed is False else "0",
        "agent": agents,
        "source": {
            "site": row.site_name,
            "observer": _who(row.site, row.site_name),
            "type": [_coding(f"{_TERMS}/security-source-type", "4", "Application Server")],
        },
        "entity": [*_subjects(account), *_around(row, account)],
    }
    if row.verdict:
        event["outcomeDesc"] = row.verdict
    if row.purpose:
        event["purposeOfEvent"] = [
            {"coding": [{"system": "http://purl.obolibrary.org/obo/duo.owl", "code": row.purpose}]}
        ]
    return event


def _pattern(row: AuditRow, account: Account) -> tuple[Json, Json, str, list[Json]]:
    """Type, subtype, action and agents of the pattern that a row follows."""
    here = _who(row.site, row.site_name)
    match account.fields:
        case FetchFields(person=None, site=other, side=side) | ReleaseFields(site=other, side=side):
            return _disclosure(row, here, _who(other, row.home_name or row.who), side)
        case KeyReleaseFields(site=other, side=side) if other != account.site:
            return _disclosure(row, here, _who(other, row.home_name if side is Side.SOURCE else short(other)), side)
        case FetchFields() | KeyReleaseFields():
            # Whoever reads is the destination: the bytes flow there.
            return _REST, _restful("read"), "R", [_source(here), _destination(here), *_user(row)]
        case ReadFields(home=home):
            # In a Query the client is the source, for it is the question that flows from there.
            client = _source(_who(home, row.home_name))
            return _REST, _restful("search"), "E", [client, _destination(here), *_user(row)]
        case (AccessFields() | RefusalFields()) as access if not isinstance(access, InquiryFields):
            return _dcm("110113", "Security Alert"), _authorization(access), "E", _deciding(row, access, here)
        case _:
            own: Json = {"system": "urn:comity:audit", "code": row.kind}
            return _dcm("110100", "Application Activity"), own, "E", [_application(here), *_user(row)]


def _disclosure(row: AuditRow, here: Json, there: Json, side: Side) -> tuple[Json, Json, str, list[Json]]:
    if side is Side.SOURCE:
        return _dcm("110106", "Export"), _DISCLOSE, "R", [_source(here), _destination(there), *_user(row)]
    return _dcm("110107", "Import"), _DISCLOSE, "C", [_source(there), _destination(here), *_user(row)]


def _authorization(access: Decided) -> Json:
    if _grants(access):
        return _coding(_AUTHZ, "AuthZ-Consent", "Authorization Decision using Roles and Consent")
    return _coding(_AUTHZ, "AuthZ-Role", "Authorization Decision using only Roles")


def _deciding(row: AuditRow, access: Decided, here: Json) -> list[Json]:
    """Who decided, for whom and for which institution, and the node that brought the request."""
    home = _who(access.home, row.home_name)
    return [
        _agent(_coding(f"{_TERMS}/extra-security-role-type", "authserver", "authorization server"), here),
        _application(_client(row, access, home)),
        _agent(_coding(f"{_TERMS}/v3-RoleClass", "PROV", "healthcare provider"), home),
        *_user(row),
    ]


def _client(row: AuditRow, access: Decided, home: Json) -> Json:
    if isinstance(access, RefusalFields):
        return _who(access.bus, f"the node of {row.home_name}" if access.site == access.home else short(access.site))
    buses = _submission(access).buses
    return _who(buses[0], f"the node of {row.home_name}") if len(buses) == 1 else home


def _submission(access: Decided) -> Submission:
    return decode(Submission, access.submission, MAX_REQUEST)


def _grants(access: Decided) -> Sequence[Cid]:
    """The grants that the person cited."""
    return _submission(access).grants


# --- codings ---------------------------------------------------------------------------------------------------------


def _coding(system: str, code: str, display: str) -> Json:
    return {"system": system, "code": code, "display": display}


def _dcm(code: str, display: str) -> Json:
    return _coding(_DCM, code, display)


def _restful(interaction: str) -> Json:
    return _coding("http://hl7.org/fhir/restful-interaction", interaction, interaction)


_REST: Final[Json] = {"system": f"{_TERMS}/audit-event-type", "code": "rest"}
_DISCLOSE: Final = _coding(f"{_TERMS}/iso-21089-lifecycle", "disclose", "Disclose Record Lifecycle Event")
_OBJECT: Final = _coding(f"{_TERMS}/audit-entity-type", "2", "System Object")
_OTHER: Final = _coding(f"{_TERMS}/audit-entity-type", "4", "Other")
_CONSENT: Final = _coding("http://hl7.org/fhir/resource-types", "Consent", "Consent")


def _role(code: str, display: str) -> Json:
    return _coding(f"{_TERMS}/object-role", code, display)


_REPORT: Final = _role("3", "Report")
_DATA: Final = _role("4", "Domain Resource")
_JOB: Final = _role("20", "Job")
_QUERY: Final = _role("24", "Query")


# --- agents ----------------------------------------------------------------------------------------------------------


def _agent(kind: Json, who: Json, *, requestor: bool = False) -> Json:
    return {"type": {"coding": [kind]}, "who": who, "requestor": requestor}


def _source(who: Json) -> Json:
    return _agent(_dcm("110153", "Source Role ID"), who)


def _destination(who: Json) -> Json:
    return _agent(_dcm("110152", "Destination Role ID"), who)


def _application(who: Json) -> Json:
    return _agent(_dcm("110150", "Application"), who)


def _user(row: AuditRow) -> list[Json]:
    """The person who asked, where the row has one."""
    if row.person is None:
        return []
    kind = _coding(f"{_TERMS}/v3-ParticipationType", "IRCP", "information recipient")
    return [_agent(kind, _who(row.person, row.who), requestor=True)]


def _who(did: str, name: str) -> Json:
    return {"display": name or "unknown", "identifier": {"system": "https://www.w3.org/ns/did", "value": did}}


# --- entities --------------------------------------------------------------------------------------------------------


def _subjects(account: Account) -> Iterator[Json]:
    """What was read, asked, disclosed or relied on."""
    match account.fields:
        case FetchFields(root=root) | KeyReleaseFields(root=root):
            yield _entity(_OBJECT, _DATA, "data", str(root))
        case ReleaseFields(value=value):
            yield _entity(_OBJECT, _REPORT, "result", str(value))
        case ReadFields(question=question):
            # A query and no name: FHIR allows one of the two.
            yield {"type": _OBJECT, "role": _QUERY, "query": base64.b64encode(question).decode()}
        case AccessFields() | RefusalFields() as access:
            for grant in _grants(access):
                yield _entity(_CONSENT, None, "grant", str(grant))
        case EntryFields(grant=Cid() as grant):
            yield _entity(_CONSENT, None, "grant", str(grant))
        case _:
            pass


def _around(row: AuditRow, account: Account) -> Iterator[Json]:
    """The data that it is accounted to, the project and the block."""
    for dataset in datasets_of(account.fields.chain):
        yield _entity(_OTHER, _DATA, "dataset", str(dataset))
    if row.project:
        yield _entity(_OTHER, _JOB, "project", f"{row.project_site}/{row.project}")
    if row.block is not None:
        yield _entity(_OTHER, _JOB, "block", str(row.block))


def _entity(kind: Json, role: Json | None, what: str, value: str) -> Json:
    told: Json = {"type": kind, "what": {"identifier": {"system": f"urn:comity:{what}", "value": value}}, "name": what}
    return told if role is None else told | {"role": role}


def _shown(account: Account) -> Iterator[tuple[str, str]]:
    parts = (
        (PROOF, write_proof(account.proof).encode() if account.proof is not None else None),
        (LEAF, account.row.leaf),
        (SALT, account.row.salt),
        (BODY, encode(account.body)),
    )
    return ((url, base64.b64encode(data).decode()) for url, data in parts if data is not None)
