"""The Cedar schema of policies, and a request written in its terms.

All attributes are required, so that a rule cannot read one that is missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

from cedarpy import Entities, Schema

from privacy.decision import ACTIONS, Action
from privacy.label import site_of
from privacy.request import (
    Asker,
    AuditRef,
    BlockRef,
    Compute,
    DatasetRef,
    Fetch,
    PersonAsker,
    ProjectQuestion,
    Request,
    RuleRef,
    See,
    StepQuestion,
)

SCHEMA: Final = """\
entity Site { site: Site, roles: Set<String>, claims: Set<String> };
entity Person { site: Site, roles: Set<String>, claims: Set<String> };

entity Dataset { owner: Site, level: String, purposes: Set<String> };
entity Block { owner: Site };
entity Value { owners: Set<Site>, outputType: String };
entity AuditTrail { owner: Site };
entity Rule { owner: Site };

action see appliesTo {
  principal: [Person, Site],
  resource: [Dataset, Block, Value, AuditTrail, Rule],
  context: { here: Site, granted: Bool, fresh: Bool, reader: Bool }
};

action fetch appliesTo {
  principal: [Person, Site],
  resource: [Dataset, Block, Value],
  context: {
    here: Site, granted: Bool, fresh: Bool, reader: Bool,
    project: String, purpose: String, purposeMatches: Bool
  }
};

action compute appliesTo {
  principal: [Person],
  resource: [Dataset, Value],
  context: {
    here: Site, granted: Bool, fresh: Bool, reader: Bool,
    project: String, purpose: String, purposeMatches: Bool,
    block: String, blockSigner: Site, endorsed: Bool, endorsements: Long,
    readers: Set<String>, destinations: Set<Site>, runner: String,
    outputTypes: Set<String>
  }
};

action release appliesTo {
  principal: [Person],
  resource: [Value],
  context: {
    here: Site, granted: Bool, fresh: Bool,
    project: String, purpose: String, purposeMatches: Bool,
    block: String, blockSigner: Site, endorsed: Bool, endorsements: Long,
    readers: Set<String>, destinations: Set<Site>, runner: String
  }
};

action report appliesTo {
  principal: [Site],
  resource: [Value],
  context: {
    here: Site, granted: Bool, fresh: Bool,
    project: String, purpose: String, purposeMatches: Bool,
    block: String, blockSigner: Site, endorsed: Bool, endorsements: Long,
    readers: Set<String>, destinations: Set<Site>, runner: String
  }
};
"""
"""What rules may speak of (Cedar schema syntax)."""

_FACT_LENGTH: Final = 1000
_ENTITY: Final = re.compile(r"entity (\w+) \{([^}]*)\}")
_ACTION: Final = re.compile(r"action (\w+) appliesTo \{[^}]*context: \{([^}]*)\}")
_ATTRIBUTE: Final = re.compile(r"(\w+): (Set<\w+>|\w+)")

ENTITIES: Final = {name: dict(_ATTRIBUTE.findall(body)) for name, body in _ENTITY.findall(SCHEMA)}
"""For each type of entity its attributes and their types, as the schema has them."""

CONTEXTS: Final[dict[Action, dict[str, str]]] = {
    action: dict(_ATTRIBUTE.findall(body))
    for name, body in _ACTION.findall(SCHEMA)
    for action in ACTIONS
    if action == name
}
"""For each action the attributes of the context and their types."""


@cache
def schema() -> Schema:
    """The schema, parsed once."""
    return Schema.from_str(SCHEMA)


@dataclass(frozen=True, slots=True, order=True)
class Uid:
    """A Cedar entity's name: its type and id."""

    type: str
    id: str


Attribute = str | bool | int | Uid | frozenset[str] | frozenset[Uid]


@dataclass(frozen=True, slots=True)
class CedarRequest:
    """A request in Cedar's terms: three entities and the attributes that rules may read of them and the context."""

    principal: Uid
    action: Action
    resource: Uid
    about_principal: dict[str, Attribute]
    about_resource: dict[str, Attribute]
    context: dict[str, Attribute]


def in_cedar(request: Request) -> CedarRequest:
    """Write ``request`` in the schema's terms."""
    principal, about_principal = _principal(request.asker)
    resource, about_resource = _resource(request)
    return CedarRequest(
        principal=principal,
        action=request.action,
        resource=resource,
        about_principal=about_principal,
        about_resource=about_resource,
        context=_context(request),
    )


def cedar_request(question: CedarRequest) -> dict[str, object]:
    """The request that the authorizer takes."""
    return {
        "principal": {"type": question.principal.type, "id": question.principal.id},
        "action": {"type": "Action", "id": question.action},
        "resource": {"type": question.resource.type, "id": question.resource.id},
        "context": {name: _json(value) for name, value in question.context.items()},
    }


def cedar_entities(question: CedarRequest) -> Entities:
    """The entities that the authorizer may look at: asker, thing, and every site that either or the context names.

    Raises:
        ValueError: Cedar cannot read them.
    """
    known = {question.principal: question.about_principal, question.resource: question.about_resource}
    named = {
        uid
        for values in (question.about_principal, question.about_resource, question.context)
        for value in values.values()
        for uid in _uids(value)
    }
    told = ((uid, tuple(about.items())) for uid, about in known.items())
    return _entities(tuple(told), frozenset(named - known.keys()))


@lru_cache(maxsize=64)
def _entities(known: tuple[tuple[Uid, tuple[tuple[str, Attribute], ...]], ...], sites: frozenset[Uid]) -> Entities:
    """Read by Cedar once: whoever asks for one thing asks for it again, and it takes longer than the rules."""
    everything = [*known, *((site, tuple(_about_site(site).items())) for site in sorted(sites))]
    text = json.dumps(
        [
            {
                "uid": {"type": uid.type, "id": uid.id},
                "attrs": {name: _json(value) for name, value in about},
                "parents": [],
            }
            for uid, about in everything
        ]
    )
    return Entities.from_json_str(text, schema())


def facts_of(question: CedarRequest) -> dict[str, str]:
    """Everything that rules could read, by name and as text, sorted; for the record of a decision."""
    facts = {"principal": question.principal.id, "resource": f"{question.resource.type} {question.resource.id}"}
    facts |= {f"principal.{name}": _text(value) for name, value in question.about_principal.items()}
    facts |= {f"resource.{name}": _text(value) for name, value in question.about_resource.items()}
    facts |= {f"context.{name}": _text(value) for name, value in question.context.items()}
    return {name: plain(text, _FACT_LENGTH) for name, text in sorted(facts.items())}


def plain(text: str, limit: int) -> str:
    """``text`` as one printable line of at most ``limit`` characters."""
    if len(text) <= limit and text.isprintable():
        return text
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _principal(asker: Asker) -> tuple[Uid, dict[str, Attribute]]:
    if isinstance(asker, PersonAsker):
        return Uid("Person", asker.did), {
            "site": Uid("Site", asker.site),
            "roles": asker.roles,
            "claims": asker.claims,
        }
    site = Uid("Site", asker.site)
    return site, _about_site(site)


def _about_site(site: Uid) -> dict[str, Attribute]:
    return {"site": site, "roles": frozenset({"node"}), "claims": frozenset[str]()}


def _resource(request: Request) -> tuple[Uid, dict[str, Attribute]]:
    thing = request.resource
    if isinstance(thing, DatasetRef):
        owner = Uid("Site", thing.owner)
        return Uid("Dataset", thing.name), {"owner": owner, "level": thing.level, "purposes": frozenset(thing.purposes)}
    if isinstance(thing, BlockRef):
        return Uid("Block", thing.cid), {"owner": Uid("Site", thing.owner)}
    if isinstance(thing, AuditRef):
        return Uid("AuditTrail", thing.dataset), {"owner": Uid("Site", thing.owner)}
    if isinstance(thing, RuleRef):
        return Uid("Rule", thing.rule), {"owner": Uid("Site", thing.owner)}
    return Uid("Value", thing.handle), {"owners": _sites(thing.owners), "outputType": thing.output_type}


def _context(request: Request) -> dict[str, Attribute]:
    context: dict[str, Attribute] = {
        "here": Uid("Site", request.here),
        "granted": request.granted,
        "fresh": request.fresh,
    }
    if isinstance(request, See | Fetch | Compute):
        context["reader"] = request.reader
    if isinstance(request, ProjectQuestion):
        context |= {
            "project": request.project,
            "purpose": request.purpose,
            "purposeMatches": request.purpose_matches,
        }
    if isinstance(request, StepQuestion):
        context |= {
            "block": request.block,
            "blockSigner": Uid("Site", request.block_signer),
            "endorsed": request.endorsed,
            "endorsements": request.endorsements,
            "readers": request.readers,
            "destinations": _sites(site_of(reader) for reader in request.readers),
            "runner": request.runner,
        }
    if isinstance(request, Compute):
        context["outputTypes"] = request.output_types
    return context


def _sites(sites: Iterable[str]) -> frozenset[Uid]:
    return frozenset(Uid("Site", site) for site in sites)


def _uids(value: Attribute) -> Iterator[Uid]:
    if isinstance(value, Uid):
        yield value
    elif isinstance(value, frozenset):
        yield from (item for item in value if isinstance(item, Uid))


def _json(value: Attribute) -> object:
    if isinstance(value, Uid):
        return {"__entity": {"type": value.type, "id": value.id}}
    if isinstance(value, frozenset):
        return [_json(item) for item in value]
    return value


def _text(value: Attribute) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, frozenset):
        return " ".join(sorted(_text(item) for item in value))
    return value.id if isinstance(value, Uid) else str(value)
