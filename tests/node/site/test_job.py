"""The job of a workflow: what people write, turned into what is signed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.body import write_body
from catalog.cid import Cid
from catalog.dagcbor import encode
from catalog.error import BadInput
from catalog.index import Index, SiteIndex
from catalog.key import PrivateKey
from catalog.member import KeyFields, Role
from node.site.job import read_job
from tests.node.site.house import ANNA, BRUNO, STEWARDS, dataset
from workflow.argument import Data, Literal, Many

OPEN, KEYED = Cid.of(b"open"), Cid.of(b"x").keyed(bytes(32))


def index_of(*published: tuple[PrivateKey, Cid, str, bool]) -> Index:
    index = Index([ANNA.did, BRUNO.did])
    for site in (ANNA, BRUNO):
        steward = STEWARDS[site.did]
        fields = KeyFields(did=steward.did, role=Role.STEWARD, name="s", x25519=bytes(32))
        add(index.site(site.did), write_body("key", fields, site=site.did, at=0, by=site))
    for site, cid, name, withdrawn in published:
        of = dataset(cid, name=name, withdrawn=withdrawn)
        add(index.site(site.did), write_body("dataset", of, site=site.did, at=0, by=STEWARDS[site.did]))
    return index


def add(index: SiteIndex, body) -> None:
    assert index.add(index.size, body.kind, body) is not None, index.faults


def file(cid: Cid | str) -> dict[str, str]:
    return {"class": "File", "location": f"comity:{cid}"}


def test_data_literals_and_lists():
    index = index_of((ANNA, OPEN, "births.csv", False), (BRUNO, KEYED, "births.csv", False))
    job = {"a": file(OPEN), "b": [file(OPEN), 3, file(KEYED)], "c": [1.50, None, {"x": "ä"}], "d": "text", "e": []}
    read = read_job(json.dumps(job).encode(), index)
    one = Data(site=ANNA.did, cid=OPEN, name="births.csv")
    assert read["a"] == one
    assert read["b"] == Many(items=(one, Literal(json="3"), Data(site=BRUNO.did, cid=KEYED, name="births.csv")))
    assert {name: json.loads(read[name].json) for name in "cde"} == {"c": job["c"], "d": "text", "e": []}


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a/b", "..", ".ssh", "-rf", "a b;c", "ärzte.csv", "«»", "x" * 120]
)
def test_a_dataset_s_name_becomes_a_plain_file_name(name):
    """Lost: what a steward of another site calls a dataset is a path, or an option, inside a step."""
    [data] = read_job(json.dumps({"a": file(OPEN)}).encode(), index_of((ANNA, OPEN, name, False))).values()
    assert isinstance(data, Data)
    assert 0 < len(data.name) <= 100
    assert all(c.isascii() and (c.isalnum() or c in "._-") for c in data.name)
    assert data.name[0] not in ".-"


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"3", b"null", b"{", b"\xff", b'{"a": NaN}', b'{"a": -Infinity}', b"[" * 100_000, b'{"a":' * 100_000],
)
def test_what_is_no_job_is_bad_input(text):
    with pytest.raises(BadInput):
        read_job(text, index_of())


@pytest.mark.parametrize(
    "location", [None, 5, "", "/etc/passwd", "file:///etc/passwd", "https://a.example/x", f"comity:{KEYED}", "comity:x"]
)
def test_data_come_from_the_catalog_alone(location):
    """Lost: a job that names a file of the node's machine, or another host, and gets it."""
    index = index_of((ANNA, OPEN, "births.csv", False))
    with pytest.raises(BadInput):
        read_job(json.dumps({"a": {"class": "File", "location": location}}).encode(), index)


def test_withdrawn_data_are_not_found_and_two_claims_to_resident_data_are_people_s_to_settle():
    with pytest.raises(BadInput, match="no dataset"):
        read_job(json.dumps({"a": file(OPEN)}).encode(), index_of((ANNA, OPEN, "a", True)))
    two = index_of((ANNA, KEYED, "a", False), (BRUNO, KEYED, "a", False))
    with pytest.raises(BadInput, match="2 sites claim"):
        read_job(json.dumps({"a": file(KEYED)}).encode(), two)


@given(st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(), st.lists))
def test_a_literal_says_what_was_written(value):
    [literal] = read_job(json.dumps({"a": value}).encode(), index_of()).values()
    assert isinstance(literal, Literal)
    assert json.loads(literal.json) == value
    assert encode(literal)
