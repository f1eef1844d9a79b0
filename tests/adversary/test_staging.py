"""Attacks where a step begins and ends: what its block's text names, what its inputs unfold to, what it leaves behind.

Each is tried again with its defence taken away, where the host's file becomes an output, or the disk is filled. What
CWL has and this node has no code for (``loadContents``, ``loadListing``, a Directory's listing, a ``file://`` default)
cannot be weakened: it is refused by name, so that nobody believes it was done.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from catalog.cid import Cid
from catalog.error import BadInput
from node.execute import step as executing
from node.execute.collect import Collected, Entry
from node.execute.sandbox import Sandbox
from node.execute.step import StepExecutor
from node.step import Finished, Limits
from node.storage.disk import DiskBlobs
from node.storage.unixfs import build_file
from tests.adversary.test_steps import PROJECT, SITE, Hostile, Shelf, ran
from workflow import command, parse, requirement
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
    "a_pattern_that_climbs": (lambda work: secret(work) and None, "../../../../secret.json"),
}


def _naive(top: Entry, work: Path, globs: Sequence[str], _: Limits) -> tuple[Collected, ...]:
    """As a runner collects that looks from the host, and follows what it finds."""
    del top
    found = [
        Path(os.path.normpath(work / glob)) if ".." in glob else path for glob in globs for path in work.glob(glob)
    ]
    found = found or [Path(os.path.normpath(work / glob)) for glob in globs if ".." in glob]
    return tuple(Collected(path.name, path.resolve(), path.stat().st_size, is_dir=False) for path in found)


def _weakened(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(executing, "collect", _naive)
    patch.setattr(executing, "is_data_name", lambda _: True)
    for reads in (parse, command):
        patch.setattr(reads, "is_inner_pattern", lambda _: True)


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


@pytest.mark.parametrize("defended", [True, False])
def test_a_work_file_from_elsewhere(defended: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else InitialWorkDirRequirement copies a file of the host into the step's folder, and from there to its output."""
    (tmp_path / "secret.json").write_text(SECRET)
    if not defended:
        monkeypatch.setattr(requirement, "relative_path", lambda part: part.text())
    listing = "[{class: File, location: ../../secret.json, basename: out.json}]"
    tool = (
        f"{HEAD}requirements: {{InitialWorkDirRequirement: {{listing: {listing}}}}}\ninputs: {{}}\n"
        'outputs: {out: {type: File, outputBinding: {glob: "*.json"}}}\n'
    )
    try:
        finished = ran(tmp_path, Hostile(lambda _: None), files={"tool.cwl": tool})
    except BadInput:
        finished = Finished({}, None, "refused before it ran")
    assert (finished.products == {}) is defended


OUT = "outputs: {out: {type: File, outputBinding: {glob: x}}}\n"
UNREAD: Mapping[str, str] = {
    "load_contents_of_an_input": (
        f"inputs: {{a: {{type: File, inputBinding: {{loadContents: true}}}}}}\n{OUT}"
    ),
    "load_contents_of_an_output": (
        "inputs: {}\noutputs: {out: {type: File, outputBinding: {glob: x, loadContents: true}}}\n"
    ),
    "list_a_directory": (
        f"inputs: {{a: {{type: Directory, loadListing: deep_listing}}}}\n{OUT}"
    ),
    "output_directory_with_its_listing": (
        "inputs: {}\noutputs: {out: {type: Directory, outputBinding: {glob: x, loadListing: deep_listing}}}\n"
    ),
    "default_file_of_the_host": (
        f"inputs: {{a: {{type: File, default: {{class: File, location: 'file:///etc/passwd'}}}}}}\n{OUT}"
    ),
    "work_file_of_the_host": (
        "requirements: {InitialWorkDirRequirement: {listing: [{class: File, location: 'file:///etc/passwd'}]}}\n"
        f"inputs: {{}}\n{OUT}"
    ),
    "script_in_a_pattern": (
        "requirements: {InlineJavascriptRequirement: {}}\ninputs: {}\n"
        "outputs: {out: {type: File, outputBinding: {glob: x, outputEval: $(self[0].contents)}}}\n"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNREAD)
def test_what_no_code_here_does(name: str, tmp_path: Path) -> None:
    """Else a block's text has the node read a file of the host for it, as other runners do."""
    with pytest.raises(BadInput):
        ran(tmp_path, Hostile(_written("x")), files={"tool.cwl": HEAD + UNREAD[name]})


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
        executor = StepExecutor(Hostile(lambda _: None), Shelf(), blobs, tmp_path / "work", limits)
        await executor.start()
        return await executor.run(tool, {"a": Data(site=SITE, cid=bomb, name="a.bin")}, 30.0, Cid.of(b"order"), PROJECT)

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
