"""The job of a workflow as people write it, turned into arguments: Files become data of the site that holds them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from catalog.cid import Cid
from catalog.dataset import DatasetFields
from catalog.error import BadInput
from catalog.index import Index
from privacy.trust import has_left
from workflow.argument import Argument, Data, Literal, Many

SCHEME = "comity:"


def read_job(text: bytes, index: Index) -> dict[str, Argument]:
    """Read a CWL job object in JSON; a File or Directory names its data as ``{"class": …, "location": "comity:CID"}``.

    Raises:
        BadInput: not a JSON object, or data that no catalog here holds; the message names the input.
    """
    try:
        job = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"the job is not JSON: {error}") from error
    if not isinstance(job, dict):
        raise BadInput("the job is not an object of inputs by name")
    return {name: _argument(name, value, index) for name, value in job.items()}


def write_job(inputs: Mapping[str, Argument]) -> bytes:
    """The job that :func:`read_job` reads as ``inputs``, as far as the catalog still says the same of its data."""
    return json.dumps({name: _written(each) for name, each in sorted(inputs.items())}).encode()


def _written(argument: Argument) -> object:
    match argument:
        case Many(items=items):
            return [_written(item) for item in items]
        case Data(cid=cid):
            return {"class": "File", "location": f"{SCHEME}{cid}"}
        case Literal(json=text):
            return json.loads(text)


def _no_number(name: str) -> object:
    raise ValueError(f"{name} is no number in JSON")


def _argument(name: str, value: object, index: Index) -> Argument:
    if isinstance(value, list) and any(_is_data(item) for item in value):
        return Many(items=tuple(_item(name, item, index) for item in value))
    return _item(name, value, index)


def _item(name: str, value: object, index: Index) -> Data | Literal:
    if isinstance(value, dict) and _is_data(value):
        return _data(name, value, index)
    return Literal(json=json.dumps(value))


def _is_data(value: object) -> bool:
    return isinstance(value, dict) and value.get("class") in ("File", "Directory")


def _data(name: str, value: Mapping[str, object], index: Index) -> Data:
    location = value.get("location")
    if not isinstance(location, str) or not location.startswith(SCHEME):
        raise BadInput(f"input «{name}»: a {value['class']} needs a location «comity:CID»; see «comity dataset list»")
    cid = Cid.parse(location.removeprefix(SCHEME))
    found = {
        root: fields
        for root, site in index.sites.items()
        if (fields := site.typed(DatasetFields, "dataset", str(cid))) is not None and not fields.withdrawn
    }
    offered = {root: fields for root, fields in found.items() if not has_left(index, root)}
    if found and not offered:
        raise BadInput(f"input «{name}»: the dataset {cid} is not offered any more: its site left the consortium")
    found = offered
    if not found:
        raise BadInput(f"input «{name}»: no dataset {cid} stands in the catalog; see «comity dataset list»")
    if cid.is_keyed and len(found) > 1:
        # A keyed CID cannot be checked against bytes: who of the two really holds it, only people can tell.
        raise BadInput(f"input «{name}»: {len(found)} sites claim the resident dataset {cid}; ask their stewards")
    root, fields = next(iter(found.items()))
    return Data(site=root, cid=cid, name=_basename(fields))


def _basename(fields: DatasetFields) -> str:
    """A plain file name for a dataset inside a step, whatever people call it."""
    letters = (c if (c.isalnum() and c.isascii()) or c in "._-" else "-" for c in fields.name)
    return "".join(letters).lstrip(".-")[:100] or "data"
