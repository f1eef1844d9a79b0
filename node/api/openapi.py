"""The OpenAPI 3.1 document of the local interface, made from the table of operations and the types in it."""

from __future__ import annotations

import inspect
from typing import Any, Final

import msgspec

from catalog.cid import Cid
from node.api.operation import MAX_WAIT, OPERATIONS, Operation, Parameter
from node.api.schema import ErrorView
from node.api.service import Service

_TEMPLATE: Final = "#/components/schemas/{name}"
_BEARER: Final = "token"
_PERSON: Final = "person"

# JSON whose shape only its readers know is a dictionary here, as OpenAPI is.
Json = dict[str, Any]


def openapi(version: str) -> Json:
    """The document, as JSON-like values; ``version`` is the node's."""
    types = [kind for each in OPERATIONS for kind in (each.answer, each.request) if kind not in (None, bytes)]
    shapes, components = msgspec.json.schema_components(
        [*types, ErrorView], schema_hook=_custom, ref_template=_TEMPLATE
    )
    shape = dict(zip([*map(repr, types), repr(ErrorView)], shapes, strict=True))
    paths: Json = {}
    for each in OPERATIONS:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, shape)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Comity node",
            "version": version,
            "description": "The local interface of one site's node, for terminals and notebooks on the same machine.",
        },
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _SCHEMES},
        "security": [{_BEARER: []}],
    }


_SCHEMES: Final[Json] = {
    _BEARER: {"type": "http", "scheme": "bearer", "description": "The content of the site's file api.token."},
    _PERSON: {
        "type": "apiKey",
        "in": "header",
        "name": "Signature",
        "description": "An HTTP Message Signature (RFC 9421) by the person's did:key, in the profile of "
        "catalog/httpsig.py, with the node's key as Comity-Peer.",
    },
}


def _operation(each: Operation[object], shape: Json) -> Json:
    lines = (inspect.getdoc(getattr(Service, each.name)) or "").partition("\n")
    told: Json = {
        "operationId": each.name,
        "summary": lines[0],
        "security": [{_BEARER: [], _PERSON: []} if each.person else {_BEARER: []}],
        "parameters": [_parameter(parameter) for parameter in each.parameters],
        "responses": {
            "200": {"description": "Done.", "content": _content(each, shape)},
            "default": {
                "description": "It failed; «kind» is a class of catalog.error.",
                "content": {"application/json": {"schema": shape[repr(ErrorView)]}},
            },
        },
    }
    if lines[2].strip():
        told["description"] = lines[2].strip()
    if each.request is not None:
        told["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": shape[repr(each.request)]}},
        }
    return told


def _content(each: Operation[object], shape: Json) -> Json:
    if each.answer is bytes:
        return {"application/octet-stream": {}}
    return {"application/x-ndjson" if each.streams else "application/json": {"schema": shape[repr(each.answer)]}}


def _parameter(parameter: Parameter) -> Json:
    kind: Json = {"type": "string"}
    if parameter.type is float:
        kind = {"type": "number", "minimum": 0, "maximum": MAX_WAIT}
    if parameter.type is Cid:
        kind = _custom(Cid)
    told: Json = {"name": parameter.name, "in": parameter.place, "required": parameter.default is None, "schema": kind}
    return told


def _custom(kind: type) -> Json:
    if kind is Cid:
        return {"type": "string", "description": "A CIDv1 in base32.", "pattern": "^b[a-z2-7]{20,95}$"}
    raise NotImplementedError(f"{kind.__name__} has no JSON schema")
