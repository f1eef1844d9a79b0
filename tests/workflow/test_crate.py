"""What a crate tells of outputs: a number as a number, a file as a file."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import structs

from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.index import Index
from tests.protocol import computed as run
from tests.protocol import published
from tests.protocol.people import DID
from workflow.crate.entities import Told
from workflow.crate.layout import Bundle, result_path
from workflow.crate.metadata import metadata
from workflow.flow import parse_workflow
from workflow.receipt import Form


def told(data: bytes, form: Form, *, with_results: bool = True) -> dict[str, Any]:
    """The entities of a crate whose one output is ``data``, by id."""
    cid = Cid.of(data)
    output = structs.replace(run.OUTPUT, cid=cid, form=form, release=None)
    receipt = structs.replace(run.DONE, outputs={"result": output})
    order = run.ORDER
    results = {cid: data} if with_results else {}
    bundle = Bundle(
        orders={cid_of(order): order},
        receipts={cid_of(receipt): receipt},
        finals={cid_of(order): receipt},
        results=results,
    )
    index = Index(list(DID.values()))
    workflow = parse_workflow(run.WORKFLOW, "workflow.cwl")
    text = metadata(
        Told(run.SUBMISSION, workflow, {}, bundle, [published.EPOCH], index),
        {result_path(each): len(data) for each in results},
    )
    return {each["@id"]: each for each in json.loads(text)["@graph"]}


@pytest.mark.parametrize("data", [b"7", b'"text"', b"[1,2.5,null]"])
def test_a_short_value_is_told_as_what_it_is(data: bytes) -> None:
    """Lost: whoever reads a crate opens a file to find one number."""
    graph, named = told(data, Form.VALUE), f"#stored/{Cid.of(data)}"
    assert graph[named]["@type"] == "PropertyValue"
    assert graph[named]["value"] == data.decode()
    assert graph[named]["subjectOf"] == {"@id": result_path(Cid.of(data))}
    assert graph[f"#order/{cid_of(run.ORDER)}"]["result"] == {"@id": named}


@pytest.mark.parametrize(
    ("data", "form"), [(b"7", Form.FILE), (b'"' + b"a" * 5000 + b'"', Form.VALUE), (b"NaN", Form.VALUE)]
)
def test_what_is_a_file_or_long_or_no_value_is_told_as_a_file(data: bytes, form: Form) -> None:
    """Lost: a file of one digit is taken for a number; or a crate of a stranger's cannot be looked at for one lie."""
    graph = told(data, form)
    assert not [each for each in graph if each.startswith("#stored/")]
    assert graph[f"#order/{cid_of(run.ORDER)}"]["result"] == {"@id": result_path(Cid.of(data))}


def test_a_value_that_is_not_in_the_crate_is_told_as_data_elsewhere() -> None:
    """Lost: a value that its person kept for themselves, in what they show to others."""
    graph = told(b"7", Form.VALUE, with_results=False)
    (result,) = [each for each in graph if each.startswith("urn:comity:data:") and each.endswith(str(Cid.of(b"7")))]
    assert graph[f"#order/{cid_of(run.ORDER)}"]["result"] == {"@id": result}
    assert "#stored" not in json.dumps(graph)
