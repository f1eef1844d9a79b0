"""Audit rows as FHIR R4 AuditEvents, after the patterns of IHE BALP 1.1 (Basic Audit Log Patterns).

An intent or a denial is an Authorization Decision; a person's fetch a Read; a question to the log a Query; a fetch by
another site, and a release, a Privacy Disclosure, at the source or at the recipient. What else stands in a log is a
security event of the application. Data here are datasets and never a patient, so the patterns' patient entity is
absent, and no event claims a BALP profile in ``meta.profile``.

Each event carries what shows it (extensions below): the C2SP tlog-proof with the cosigned checkpoint, the leaf, and
the salt and body that the leaf commits to.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from catalog.dagcbor import encode
from catalog.proof import write_proof
from node.api.audit import Account
from node.api.view import AuditRow
from workflow.account import FetchFields, ReleaseFields, Side, datasets_of

Json = dict[str, object]

PROOF: Final = "urn:comity:fhir:tlog-proof"
LEAF: Final = "urn:comity:fhir:leaf"
SALT: Final = "urn:comity:fhir:salt"
BODY: Final = "urn:comity:fhir:body"

_DCM: Final = "http://dicom.nema.org/resources/ontology/DCM"
_ENTITY: Final = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_ROLE: Final = "http://terminology.hl7.org/CodeSystem/object-role"
_PARTICIPATION: Final = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_OBSERVER: Final = "http://terminology.hl7.org/CodeSystem/security-source-type"
_REST: Final[Json] = {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest"}
_INTERACTION: Final = "http://hl7.org/fhir/restful-interaction"
_DISCLOSE: Final[Json] = {"system": "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle", "code": "disclose"}
_AUTHZ: Final[Json] = {"system": "https://profiles.ihe.net/ITI/BALP/CodeSystem/AuthZsubType", "code": "AuthZ-Consent"}


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
            "type": [{"system": _OBSERVER, "code": "4", "display": "Application Server"}],
        },
        "entity": list(_entities(row, account)),
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
            there = _who(other, row.home_name or row.who)
            if side is Side.SOURCE:
                return _dcm("110106", "Export"), _DISCLOSE, "R", [_source(here), _destination(there), *_user(row)]
            return _dcm("110107", "Import"), _DISCLOSE, "C", [_source(there), _destination(here), *_user(row)]
        case FetchFields():
            read: Json = {"system": _INTERACTION, "code": "read"}
            return _REST, read, "R", [_source(here), _destination(here), *_user(row)]
        case _ if row.kind == "read":
            search: Json = {"system": _INTERACTION, "code": "search"}
            return _REST, search, "E", [_source(here), _destination(_who("", row.home_name)), *_user(row)]
        case _ if row.allowed is not None:
            authorizer = _agent({"system": _AUTHSERVER, "code": "authserver"}, here)
            home = _agent({"system": _ROLE_CLASS, "code": "PROV"}, _who("", row.home_name))
            return _dcm("110113", "Security Alert"), _AUTHZ, "E", [authorizer, home, *_user(row)]
        case _:
            own: Json = {"system": "urn:comity:audit", "code": row.kind}
            application = _agent({"system": _DCM, "code": "110150", "display": "Application"}, here)
            return _dcm("110100", "Application Activity"), own, "E", [application, *_user(row)]


_AUTHSERVER: Final = "http://terminology.hl7.org/CodeSystem/extra-security-role-type"
_ROLE_CLASS: Final = "http://terminology.hl7.org/CodeSystem/v3-RoleClass"


def _dcm(code: str, display: str) -> Json:
    return {"system": _DCM, "code": code, "display": display}


def _agent(kind: Json, who: Json, *, requestor: bool = False) -> Json:
    return {"type": {"coding": [kind]}, "who": who, "requestor": requestor}


def _source(who: Json) -> Json:
    return _agent(_dcm("110153", "Source Role ID"), who)


def _destination(who: Json) -> Json:
    return _agent(_dcm("110152", "Destination Role ID"), who)


def _user(row: AuditRow) -> list[Json]:
    """The person who asked, where the row has one."""
    if row.person is None:
        return []
    return [_agent({"system": _PARTICIPATION, "code": "IRCP"}, _who(row.person, row.who), requestor=True)]


def _who(did: str, name: str) -> Json:
    told: Json = {"display": name or "unknown"}
    return told | {"identifier": {"system": "https://www.w3.org/ns/did", "value": did}} if did else told


def _entities(row: AuditRow, account: Account) -> Iterator[Json]:
    for dataset in datasets_of(account.fields.chain):
        yield _entity("4", "Domain Resource", "dataset", str(dataset))
    if row.project:
        yield _entity("20", "Job", "project", row.project)
    if row.block is not None:
        yield _entity("20", "Job", "block", str(row.block))


def _entity(role: str, display: str, what: str, value: str) -> Json:
    return {
        "type": {"system": _ENTITY, "code": "2", "display": "System Object"},
        "role": {"system": _ROLE, "code": role, "display": display},
        "what": {"identifier": {"system": f"urn:comity:{what}", "value": value}},
        "name": what,
    }


def _shown(account: Account) -> Iterator[tuple[str, str]]:
    parts = (
        (PROOF, write_proof(account.proof).encode() if account.proof is not None else None),
        (LEAF, account.row.leaf),
        (SALT, account.row.salt),
        (BODY, encode(account.body)),
    )
    return ((url, base64.b64encode(data).decode()) for url, data in parts if data is not None)
