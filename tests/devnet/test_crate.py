"""A crate of a real submission: it holds, whatever is changed in it is found, and it runs again to the same CIDs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from msgspec import structs

from catalog.dagcbor import decode, encode
from catalog.error import ComityError
from node.crates import check, read_crate, with_metadata, write_crate
from privacy.label import effective_readers
from tests.devnet.consortium import Consortium, run
from workflow.crate.layout import METADATA, README, SUBMISSION, WORKFLOW, Shown, path_of
from workflow.order import Order
from workflow.receipt import Receipt
from workflow.submission import Submission

KINDS = (METADATA, README, SUBMISSION, WORKFLOW, "orders/", "receipts/", "epochs/", "logs/", "blocks/", "results/")


@dataclass(frozen=True)
class Exported:
    """A crate as the command wrote it, and its files."""

    path: Path
    files: Mapping[str, bytes]
    submission: str

    def first(self, kind: str, end: str = "") -> str:
        """The first file of a kind."""
        return next(path for path in sorted(self.files) if path.startswith(kind) and path.endswith(end))


@pytest.fixture(scope="module")
def exported(consortium: Consortium, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    path = tmp_path_factory.mktemp("crate") / "run.zip"
    with consortium.researcher() as mara:
        ended = run(mara, consortium.workflow, [each.dataset for each in consortium.known.hospitals]).check()
    told = consortium.command("submission", "export", str(ended.submission), "--to", str(path), "--results", "--json")
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["files"] == len(read_crate(path))
    return Exported(path, read_crate(path), str(ended.submission))


def faults(files: Mapping[str, bytes]) -> list[str]:
    return check(files).wrong


def derived_anew(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """As whoever forges would hand it out: with a metadata file that fits, where there can be one."""
    plain = {path: data for path, data in files.items() if path not in (METADATA, README)}
    try:
        return with_metadata(plain)
    except ComityError:
        return dict(files)


def test_it_holds_without_a_node_and_says_what_was_checked(
    consortium: Consortium, exported: Exported, tmp_path: Path
) -> None:
    """Lost: that anybody can check what was done, when the consortium is long gone."""
    told = consortium.command("submission", "verify", str(exported.path), "--json", "--site", str(tmp_path))
    assert told.returncode == 0, told.stderr
    report = json.loads(told.stdout)
    hospitals = len(consortium.known.hospitals)
    assert (report["orders"], report["receipts"], report["releases"]) == (hospitals + 1, hospitals + 1, hospitals)
    assert report["rows"] == hospitals, "the rows by which the institute wrote down what it was given"
    assert (report["submission"], report["wrong"]) == (exported.submission, [])
    assert not any("fewer than" in each for each in report["unchecked"]), "every log is cosigned by a quorum"
    other = consortium.command("submission", "verify", str(exported.path), "--consortium", exported.submission)
    assert (other.returncode, "is of the consortium" in other.stderr) == (5, True)


@pytest.mark.parametrize("kind", KINDS)
def test_one_byte_changed_in_any_kind_of_file_is_found(
    consortium: Consortium, exported: Exported, kind: str, tmp_path: Path
) -> None:
    """Lost: what a crate is for."""
    path = exported.first(kind)
    data = bytearray(exported.files[path])
    data[len(data) // 2] ^= 1
    changed = tmp_path / "changed"
    write_crate({**exported.files, path: bytes(data)}, changed)
    told = consortium.command("submission", "verify", str(changed))
    assert told.returncode == 5, told.stdout
    assert path in told.stderr + told.stdout, "what is wrong is named"


def test_whatever_byte_is_changed_anywhere_is_found(exported: Exported) -> None:
    """Lost: bytes that are in a crate and that nothing vouches for."""
    random = Random(9)
    for _ in range(40):
        path = random.choice(sorted(exported.files))
        data = bytearray(exported.files[path])
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
        assert faults({**exported.files, path: bytes(data)}), path


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_lacks_is_found(exported: Exported, kind: str) -> None:
    """Lost: a receipt that tells of a failure, left out."""
    assert faults({path: data for path, data in exported.files.items() if path != exported.first(kind)})


def test_what_was_left_out_is_told_where_the_rest_shows_it(exported: Exported) -> None:
    """Lost: that a crate without its failed attempts, or without a whole step, looks like one that has all."""
    orders = {path: decode(Order, exported.files[path]) for path in exported.files if path.startswith("orders/")}
    pooled = next(path for path, order in orders.items() if order.step == "pool")
    receipts = {path: decode(Receipt, data) for path, data in exported.files.items() if path.startswith("receipts/")}
    answer = next(path for path, each in receipts.items() if path_of_order(each) == pooled)
    kept = {path: data for path, data in exported.files.items() if path not in (pooled, answer)}
    plain = {path: data for path, data in kept.items() if not path.startswith("results/")}
    report = check(derived_anew(plain))
    assert (report.wrong, "the step «pool»: no order for it is carried" in report.unchecked) == ([], True)
    later = structs.replace(orders[pooled], attempt=3)
    assert (
        "an earlier attempt at pool[0]: its order is not carried"
        in check({**kept, path_of(later): encode(later)}).unchecked
    )


def path_of_order(receipt: Receipt) -> str:
    return f"orders/{receipt.order}.cbor"


def test_a_file_more_is_found(exported: Exported) -> None:
    """Lost: that all in a crate is shown by what was signed."""
    assert faults({**exported.files, "results/notes.txt": b"trust me"})


def test_values_made_anew_without_their_keys_are_found(exported: Exported) -> None:
    """Lost: the signatures. Names and metadata are made to fit, so that nothing else is left to see it by."""

    def forged(old: str, value: Submission | Order | Receipt | Shown) -> list[str]:
        files = {path: data for path, data in exported.files.items() if path != old}
        return faults(derived_anew({**files, path_of(value): encode(value)}))

    asked = decode(Submission, exported.files[SUBMISSION])
    assert forged(SUBMISSION, structs.replace(asked, budget=asked.budget + 1))
    path = exported.first("orders/")
    order = decode(Order, exported.files[path])
    assert forged(path, structs.replace(order, max_cost=order.max_cost - 1))
    path = exported.first("receipts/")
    receipt = decode(Receipt, exported.files[path])
    assert forged(path, structs.replace(receipt, cost=receipt.cost - 1 if receipt.cost else 1))
    for path in (exported.first("logs/"), next(each for each in exported.files if "/audit/" in each)):
        shown = decode(Shown, exported.files[path])
        assert forged(path, structs.replace(shown, salt=bytes(32)))
        assert forged(path, structs.replace(shown, index=shown.index + 1))
        assert forged(path, structs.replace(shown, proof=shown.proof.replace("index ", "index 1", 1)))


def test_another_blocks_tool_and_another_result_are_found(exported: Exported) -> None:
    """Lost: that the code in a crate is the code that ran."""
    tools = sorted(path for path in exported.files if path.endswith("tool.cwl"))
    swapped = {**exported.files, tools[0]: exported.files[tools[1]]}
    assert any("not the tool" in each for each in faults(derived_anew(swapped)))
    result = exported.first("results/")
    assert any("its CID" in each for each in faults(derived_anew({**exported.files, result: b"{}"})))


def test_an_auditor_adds_what_the_members_wrote_down(
    consortium: Consortium, exported: Exported, tmp_path: Path
) -> None:
    """Lost: the rows behind the places that receipts name; or a step's beginning, which only these tell."""
    proven = tmp_path / "proven.zip"
    refused = consortium.command("audit", "prove", str(exported.path), "--to", str(proven))
    assert (refused.returncode, proven.exists()) == (3, False), "a researcher may not ask for rows"
    told = consortium.command("audit", "prove", str(exported.path), "--to", str(proven), "--json", at=consortium.small)
    assert told.returncode == 0, told.stderr
    files = read_crate(proven)
    assert json.loads(told.stdout)["rows"] == sum("/audit/" in path for path in files) > len(consortium.known.hospitals)
    assert not any("places in audit logs" in each for each in check(files).unchecked)
    graph = {each["@id"]: each for each in json.loads(files[METADATA])["@graph"]}
    orders = [each for name, each in graph.items() if name.startswith("#order/")]
    assert all(each["startTime"] <= each["endTime"] for each in orders)
    row = next(path for path in sorted(set(files) - set(exported.files)) if "/audit/" in path)
    shown = decode(Shown, files[row])
    forged = derived_anew({**files, row: encode(structs.replace(shown, body=shown.body[:-1] + b"\0"))})
    assert any(row in each for each in faults(forged))


def test_it_runs_again_to_the_same_cids(consortium: Consortium, exported: Exported) -> None:
    """Lost: that a result can be reproduced from what its crate says."""
    told = consortium.command("submission", "rerun", str(exported.path), "--json")
    assert told.returncode == 0, told.stderr
    outputs = json.loads(told.stdout)["outputs"]
    assert len(outputs) == len(consortium.known.hospitals) + 1
    assert all(each["before"] == each["now"] for each in outputs)


def test_a_steward_publishes_a_result_under_the_label_of_all_its_owners(
    consortium: Consortium, exported: Exported, tmp_path: Path
) -> None:
    """Lost: the hospitals' say in what is made of a model of their data; or where it comes from."""
    institute, out = consortium.known.institute, tmp_path / "pooled.json"
    place = ("submission", "result", str(exported.path), "--publish", "pooled means", "--out", str(out))
    researcher = consortium.command(*place)
    assert (researcher.returncode, out.exists()) == (3, False), "who publishes is a steward"
    everyone = consortium.command(*place, "--level", "open", "--as", institute.steward)
    assert (everyone.returncode, out.exists()) == (3, False)
    assert all(each.name in everyone.stderr for each in consortium.known.hospitals)
    told = consortium.command(*place, "--as", institute.steward, "--json")
    assert told.returncode == 0, told.stderr
    with consortium.steward(institute) as steward:
        fields = steward.dataset("pooled means").fields
        sites = {each.name: each.site for each in steward.members()}
    owners = {each.name for each in consortium.known.publishers}
    assert set(fields.label.owners) == {sites[name] for name in owners}
    assert effective_readers(fields.label) == frozenset({sites[institute.name]})
    assert exported.submission in fields.description
    assert fields.description.count("bafk") == len(consortium.known.hospitals), "the datasets that it was made from"


def test_a_running_one_and_anothers_are_refused(consortium: Consortium, exported: Exported) -> None:
    """Lost: half a crate; or somebody else's submission."""
    other = consortium.command("submission", "export", exported.submission, at=consortium.small)
    assert other.returncode == 1
    assert "no submission" in other.stderr
