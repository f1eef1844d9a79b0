"""Blocks that bring their environment: the product reads the vectors, and a second implementation computes them."""

import io
import json
import tarfile
from pathlib import Path

import pytest
import trio

from catalog.block import BlockFields
from catalog.body import fields_of
from catalog.cid import Cid
from catalog.error import VerificationFailed
from node.execute.environment.description import Description, Reference, read, write
from node.execute.environment.image import make_image
from node.execute.environment.lock import read_lock
from node.storage.disk import DiskBlobs
from tests.protocol import environments, secondfolder
from tests.protocol.told import TOLD
from workflow.parse import parse_tool

EXAMPLES = TOLD["environments"]
NAMES = sorted(EXAMPLES)


def files_of(example: dict) -> dict[str, bytes]:
    """The environment's folder, as the file has it."""
    root = {f"root/{path}": bytes.fromhex(data) for path, data in example["root"].items()}
    return {"environment.json": example["description"].encode(), **root}


def block_of(example: dict) -> dict[str, bytes]:
    return {path: text.encode() for path, text in example["block"].items()}


def entry_of(name: str) -> dict:
    return TOLD["values"][f"block-in-{name}"]["value"]["fields"]


@pytest.mark.parametrize("name", NAMES)
def test_a_second_implementation_names_the_environment_and_its_block_alike(name):
    """Lost: that a site of another make serves, and asks for, what ours does under one name."""
    each = EXAMPLES[name]
    described, reference = json.loads(each["description"]), json.loads(each["reference"])
    assert secondfolder.folder(files_of(each))[0] == each["environment"] == reference["environment"]
    assert secondfolder.folder(block_of(each))[0] == each["cid"]
    assert each["block"]["environment.json"] == each["reference"]
    assert reference["bytes"] == sum(len(bytes.fromhex(data)) for data in each["root"].values())
    kept = ("platform", "lock", "image")
    assert {field: described[field] for field in kept} == {field: reference[field] for field in kept}
    assert entry_of(name)["cid"] == {"/": each["cid"]}
    assert entry_of(name)["environment"] == {"/": each["environment"]}


def test_a_second_implementation_comes_from_the_lock_to_what_the_block_says_of_it():
    """Lost: who verifies that a block was made of the lock that lies in it."""
    each = EXAMPLES["python"]
    lock, reference = each["made_of"]["lock"], json.loads(each["reference"])
    assert each["block"]["requirements.lock"] == lock
    assert secondfolder.digest(lock.encode()) == each["digest"] == reference["lock"]
    assert secondfolder.locked(lock) == reference["packages"]


def test_a_second_implementation_makes_of_the_image_what_ours_did():
    """Lost: that an image's digest says what a step finds; layers that each side applies in its own way."""
    each = EXAMPLES["image"]
    made, described = each["made_of"], json.loads(each["description"])
    manifest, config = bytes.fromhex(made["manifest"]), bytes.fromhex(made["config"])
    assert secondfolder.digest(manifest) == each["digest"] == described["image"]
    files, links, settings = secondfolder.image(manifest, config, [bytes.fromhex(layer) for layer in made["layers"]])
    assert {path: data.hex() for path, data in files.items()} == each["root"]
    assert links == described["links"]
    assert dict(setting.split("=", 1) for setting in settings) == described["variables"]


@pytest.mark.parametrize("name", NAMES)
def test_the_product_reads_them_and_stores_them_under_these_names(name, tmp_path: Path):
    """Lost: vectors of something that no node here takes."""
    each = EXAMPLES[name]
    described = read(Description, each["description"].encode())
    reference = read(Reference, each["reference"].encode())
    assert (write(described), write(reference)) == (each["description"].encode(), each["reference"].encode())
    for folder, files, cid in (
        ("tree", files_of(each), each["environment"]),
        ("block", block_of(each), each["cid"]),
    ):
        for path, data in files.items():
            place = tmp_path / folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        assert trio.run(DiskBlobs(tmp_path / "blobs").add_path, tmp_path / folder) == Cid.parse(cid)
    tool = parse_tool(each["block"]["tool.cwl"], "tool.cwl")
    assert tool.runs_in is not None
    if tool.runs_in.lock:
        assert read_lock(block_of(each)[tool.runs_in.lock], tool.runs_in.lock).digest == described.lock
    else:
        assert tool.runs_in.image == described.image
    fields = fields_of(dict(environments.BLOCKS)[f"block-in-{name}"], BlockFields)
    assert (fields.cid, fields.environment) == (Cid.parse(each["cid"]), reference.cid)


@pytest.mark.parametrize("why", TOLD["environments_refused"])
def test_the_product_refuses_what_no_environment_says(why):
    """Lost: a description that one site runs and another does not."""
    with pytest.raises(VerificationFailed):
        read(Description, TOLD["environments_refused"][why].encode())


def test_the_product_makes_the_image_s_environment_byte_for_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Lost: an example that the code which makes environments would not make."""
    for module in ("description", "image"):
        monkeypatch.setattr(f"node.execute.environment.{module}.platform_here", lambda: environments.PLATFORM)
    each = EXAMPLES["image"]
    made = each["made_of"]
    blobs = [bytes.fromhex(data) for data in (made["manifest"], made["config"], *made["layers"])]
    index = json.dumps({"schemaVersion": 2, "manifests": [{"digest": each["digest"], "size": len(blobs[0])}]})
    archive = {f"blobs/{secondfolder.digest(data).replace(':', '/')}": data for data in blobs}
    with tarfile.open(tmp_path / "image.tar", "w") as tar:
        for path, data in {"index.json": index.encode(), **archive}.items():
            member = tarfile.TarInfo(path)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    (tmp_path / "made").mkdir()
    make_image(tmp_path / "image.tar", each["digest"], tmp_path / "made")
    made_here = trio.run(DiskBlobs(tmp_path / "blobs").add_path, tmp_path / "made" / "tree")
    assert str(made_here) == each["environment"]
