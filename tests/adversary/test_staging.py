"""Attacks where a step begins and ends: what its block's text names, what its inputs unfold to, what it leaves behind.

What is left behind, and what unfolds, is tried again with the defence taken away, where the host's file becomes an
output, or the disk is filled. What a text names cannot be weakened so: no code here looks at it on the host.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import trio

from catalog.cid import Cid
from catalog.error import BadInput
from node.execute import evaluation, products
from node.execute.collect import Collected, Entry
from node.execute.cwl.tree import NOTHING, Seen
from node.execute.sandbox import Sandbox
from node.execute.step import StepExecutor
from node.step import Finished, Limits, Work
from node.storage.disk import DiskBlobs
from node.storage.unixfs import build_file
from tests.adversary.test_steps import PROJECT, SITE, Hostile, Shelf, ran
from tests.node.execute.cwl.evaluating import EVALUATOR
from workflow.argument import Data

SECRET = "SECRET-of-patient-17"
HEAD = "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: [tool]\n"


def secret(work: Path) -> Path:
    """A file of the host, beside the folders of steps."""
    place = work.parents[3] / "secret.json"
    place.write_text(SECRET)
    return place


def _link(work: Path) -> None:
    (work / "out.json").symlink_to(secret(work))


def _linked_folder(work: Path) -> None:
    secret(work)
    (work / "folder").symlink_to(work.parents[3])


def _second_name(work: Path) -> None:
    os.link(secret(work), work / "out.json")


def _written(name: str) -> Callable[[Path], None]:
    return lambda work: (work / name).write_text(SECRET) and None


LEFT: Mapping[str, tuple[Callable[[Path], None], str]] = {
    "a_link_to_a_host_file": (_link, "*.json"),
    "a_linked_folder_on_the_way": (_linked_folder, "folder/secret.json"),
    "a_second_name_of_a_host_file": (_second_name, "*.json"),
    "a_name_of_two_lines": (_written("out\n2026-01-01 all is well.json"), "*.json"),
    "a_name_that_steers_a_terminal": (_written("\x1b[2Jout.json"), "*.json"),
}


class Naive:
    """What was left, as a runner looks at it from the host, and follows what it finds."""

    def __init__(self, top: Entry, work: Path, limits: Limits, place: str = "/work") -> None:
        del top, limits, place
        self._work = work
        self.links: Mapping[str, str] = {}

    def led(self, name: str) -> str:
        return name

    def look(self, name: str) -> Seen:
        path = self._path(name)
        return Seen("folder") if path.is_dir() else Seen("file", path.stat().st_size) if path.exists() else NOTHING

    def names(self, name: str) -> list[str]:
        return sorted(os.listdir(self._path(name)))

    def taken(self, name: str) -> Collected:
        path = self._path(name).resolve()
        return Collected(name, path, path.stat().st_size, is_dir=False)

    def _path(self, name: str) -> Path:
        return Path(f"{self._work}{name.removeprefix('/work')}")


def _weakened(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(evaluation, "Left", Naive)
    patch.setattr(products, "is_data_name", lambda _: True)


@pytest.mark.parametrize("defended", [True, False])
@pytest.mark.parametrize("name", LEFT)
def test_what_is_left_behind(name: str, defended: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a step reads the host's files by what it leaves, or forges what people and logs are shown."""
    act, glob = LEFT[name]
    if not defended:
        _weakened(monkeypatch)
    tool = f'{HEAD}inputs: {{}}\noutputs: {{out: {{type: File, outputBinding: {{glob: "{glob}"}}}}}}\n'
    try:
        finished = ran(tmp_path, Hostile(act), files={"tool.cwl": tool})
    except BadInput:
        finished = Finished({}, None, "refused before it ran")
    assert bool(finished.failure) is defended
    assert (finished.products == {}) is defended


LISTING = "requirements: {InitialWorkDirRequirement: {listing: [%s]}}\ninputs: {}\n"
OUT = 'outputs: {out: {type: File, outputBinding: {glob: "*.json"}}}\n'
NAMED: Mapping[str, str] = {
    "work_file_beside_the_block": LISTING % "{class: File, location: ../secret.json}" + OUT,
    "work_file_of_the_host": LISTING % "{class: File, location: 'file://%s/secret.json'}" + OUT,
    "work_file_by_an_expression": LISTING % '$({"class": "File", "location": "file://%s/secret.json"})' + OUT,
    "work_file_by_its_path": LISTING % "{class: File, path: '%s/secret.json'}" + OUT,
    "work_folder_of_the_host": LISTING % "{class: Directory, location: 'file://%s'}" + OUT,
    "default_file_of_the_host": (
        "inputs: {a: {type: File, default: {class: File, location: 'file://%s/secret.json'},"
        f" inputBinding: {{loadContents: true, valueFrom: $(self.contents)}}}}}}\n{OUT}"
    ),
    "a_pattern_that_climbs": f"inputs: {{}}\n{OUT}".replace("*.json", "../../../../secret.json"),
    "a_pattern_of_the_host": f"inputs: {{}}\n{OUT}".replace("*.json", "%s/secret.json"),
    "an_output_by_an_expression": (
        "requirements: {InlineJavascriptRequirement: {}}\ninputs: {}\noutputs: {out: {type: File, outputBinding:"
        ' {glob: x, outputEval: \'$({"class": "File", "location": "file://%s/secret.json"})\'}}}\n'
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_what_a_text_names_is_no_file_of_the_host(name: str, tmp_path: Path) -> None:
    """Else a block's text has the node read a file of the host for it, as other runners do."""
    (tmp_path / "secret.json").write_text(SECRET)
    try:
        finished = ran(
            tmp_path, Hostile(_written("x")), files={"tool.cwl": HEAD + NAMED[name].replace("%s", str(tmp_path))}
        )
    except BadInput:
        return
    assert finished.failure
    assert finished.products == {}
    assert SECRET not in finished.failure


def test_what_a_text_names_in_its_own_folder_is_there(tmp_path: Path) -> None:
    """Else all of the above is refused because everything is."""
    tool = HEAD + LISTING % "{class: File, location: secret.json}" + OUT
    finished = ran(tmp_path, Hostile(lambda _: None), files={"tool.cwl": tool, "secret.json": SECRET})
    assert (finished.failure, finished.products["out"].size) == ("", len(SECRET))


@pytest.mark.parametrize("defended", [True, False])
def test_an_input_that_unfolds_to_more_than_there_is_room_for(
    defended: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a few hundred kilobytes, which a member may well publish, fill the disk where they are computed on."""
    real = DiskBlobs.checkout

    async def unbounded(self: DiskBlobs, root: Cid, target: Path, **_: Any) -> None:
        await real(self, root, target)

    if not defended:
        monkeypatch.setattr(DiskBlobs, "checkout", unbounded)

    async def play() -> Finished:
        blobs = DiskBlobs(tmp_path / "blobs")
        block = tmp_path / "block"
        block.mkdir()
        (block / "tool.cwl").write_text(HEAD + "inputs: {a: File}\noutputs: {}\n")
        tool = await blobs.add_path(block)
        bomb = await blobs.build(lambda put, _get: build_file(iter([bytes(1 << 18)] * 64), put))
        kept = sum(each.stat().st_size for each in (tmp_path / "blobs").rglob("*") if each.is_file())
        assert kept < 1 << 20, "it is small where it lies"
        limits = Limits(input_bytes=1 << 20)
        executor = StepExecutor(Hostile(lambda _: None), EVALUATOR, Shelf(), blobs, tmp_path / "work", limits)
        await executor.start()
        return await executor.run(
            Work(tool, {"a": Data(site=SITE, cid=bomb, name="a.bin")}), 30.0, Cid.of(b"order"), PROJECT
        )

    assert bool(trio.run(play).failure) is defended


def test_a_plain_output_of_a_real_step_is_collected(tmp_path: Path) -> None:
    """Else all of the above is refused because everything is; the one real sandbox lists what another left."""
    tool = (
        "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: [python3, -c]\n"
        "arguments: [\"open('out.json', 'w').write('{}')\"]\ninputs: {}\n"
        'outputs: {out: {type: File, outputBinding: {glob: "*.json"}}}\n'
    )
    finished = ran(tmp_path, Sandbox(), files={"tool.cwl": tool})
    assert (finished.failure, finished.products["out"].name, finished.products["out"].size) == ("", "out.json", 2)
