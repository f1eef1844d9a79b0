"""One machine in the place of a consortium: workflows go through the evaluator, and each step runs in the sandbox."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import trio
from ruamel.yaml import YAML

from catalog.error import ComityError, VerificationFailed
from node.execute.cwl.evaluator import Evaluator
from node.execute.cwl.links import WORK, followed, is_within
from node.execute.cwl.message import (
    Begin,
    Collect,
    Command,
    Ended,
    Load,
    Loaded,
    Object,
    Outputs,
    Placed,
    Ready,
    Wanted,
    Wish,
)
from node.execute.cwl.places import Places, files_in, located, name_of
from node.execute.cwl.tree import NOTHING, Seen
from node.execute.sandbox import Sandbox
from node.step import Ending, Exit, Job, Limits, Mount
from tests.conformance.suite import Case

SUITE = "/suite"
LIMITS = Limits(wall_seconds=60, memory_bytes=1 << 30, processes=128)


class Host:
    """A :class:`node.execute.cwl.tree.Tree` of folders and files of this machine, each below a name."""

    def __init__(self, places: Mapping[str, Path]) -> None:
        self._places = places
        self.links: dict[str, str] = {}

    def path(self, name: str) -> Path | None:
        """Where what is called ``name`` lies, or what that leads to if it is a link in a step's work folder."""
        if is_within(name, WORK):
            led = followed(name, self.links)
            if led is None:
                return None
            name = led
        whole = max((each for each in self._places if is_within(name, each)), key=len, default=None)
        if whole is None:
            return None
        path = self._places[whole]
        for part in filter(None, name[len(whole) :].split("/")):
            path = path / part
            if path.is_symlink():
                return None
        return path

    async def look(self, name: str) -> Seen:
        path = self.path(name)
        if path is None:
            return Seen("folder") if await self.names(name) else NOTHING
        if not path.exists():
            return NOTHING
        return Seen("folder") if path.is_dir() else Seen("file", path.stat().st_size)

    async def names(self, name: str) -> list[str]:
        path = self.path(name)
        if path is not None:
            there = sorted(each.name for each in path.iterdir())
            return [each for each in there if await self.look(f"{name.rstrip('/')}/{each}") != NOTHING]
        top = name.rstrip("/") + "/"
        return sorted({each[len(top) :].split("/")[0] for each in self._places if each.startswith(top)})

    async def read(self, name: str, most: int) -> bytes | None:
        path = self.path(name)
        if path is None or not path.is_file():
            return None
        with path.open("rb") as file:
            return file.read(most)


class Local:
    """Runs cases of the suite that lies at ``suite``, below ``folder``."""

    def __init__(self, evaluator: Evaluator, suite: Path, folder: Path) -> None:
        self.reason = ""
        self._requirements: list[Object] = []
        self._evaluator = evaluator
        self._sandbox = Sandbox()
        self._folder = folder
        self._places: dict[str, Path] = {SUITE: suite}
        self._steps = self._results = 0

    async def run(self, case: Case) -> Object | None:
        """What the case delivers, its files as they lie here; none if it fails, for the ``reason``.

        Raises:
            ComityError: it is no CWL, or its inputs do not fit.
        """
        uri = located(f"{SUITE}/{case.tool.partition('#')[0]}") + "".join(case.tool.partition("#")[1:])
        async with self._evaluator.workflow(Host(self._places)) as flow:
            inputs = self._inputs(case)
            self._requirements = inputs.pop("cwl:requirements", [])
            await flow.ask(Load(uri=uri, requirements=self._requirements), Loaded)
            told = await flow.ask(Begin(inputs=inputs), Wanted)
            wishes = list(told.wishes)
            while not told.over:
                wish = wishes.pop(0)
                delivered, updated = await self._delivered(uri, wish)
                told = await flow.ask(Ended(number=wish.number, outputs=delivered, updated=updated), Wanted)
                wishes += told.wishes
        self.reason = self.reason or told.reason
        return None if told.outputs is None else self._described(told.outputs)

    def _inputs(self, case: Case) -> Object:
        if not case.job:
            return {}
        path = self._places[SUITE] / case.job
        inputs: Object = YAML(typ="safe").load(path) or {}
        for each in files_in(inputs):
            given = each.pop("path", None) or unquote(each.get("location", ""))
            if given:
                each["location"] = located(os.path.normpath(f"{SUITE}/{Path(case.job).parent}/{given}"))
        return inputs

    async def _delivered(self, uri: str, wish: Wish) -> tuple[Object | None, dict[str, str]]:
        try:
            return await self._step(uri, wish)
        except ComityError as error:
            self.reason = str(error)
            return None, {}

    async def _step(self, uri: str, wish: Wish) -> tuple[Object | None, dict[str, str]]:
        self._steps += 1
        place = self._folder / f"step-{self._steps}"
        work = place / "left" / "work"
        work.mkdir(parents=True)
        places, outer = Places(), Host(self._places)
        inputs = places.staged(wish.inputs)
        inner = {target: path for target, name in places.shown.items() if (path := outer.path(name)) is not None}
        tree = Host({**self._places, **inner, "/work": work})
        async with self._evaluator.tool(tree) as tool:
            await tool.ask(Load(uri=uri, step=wish.step, requirements=self._requirements), Loaded)
            ready = await tool.answer(Command(inputs=inputs, cores=2, ram_mib=4096))
            if isinstance(ready, Outputs):
                return ready.values, {}
            assert isinstance(ready, Ready)
            ended = await self._carried_out(ready, place, work, {**self._places, **inner}, tree)
            if not _succeeded(ready, ended):
                self.reason = f"{ended.ending} {ended.code} {ended.reason} {ended.errors.decode(errors='replace')}"
                return None, {}
            tree.links = _links(work) | ({} if ready.work == WORK else {ready.work: WORK})
            outputs = (await tool.ask(Collect(code=ended.code), Outputs)).values
        await trio.to_thread.run_sync(_opened, work)
        folder = f"/out/{self._steps}"
        self._places[folder] = work
        updated = places.updated(ready, folder)
        for each in updated.values():
            if await Host(self._places).look(each) == NOTHING:
                raise VerificationFailed(f"«{each}», which the step was to change in place, is gone")
        return places.delivered(outputs, folder, tree.links), updated

    async def _carried_out(self, ready: Ready, place: Path, work: Path, shown: Mapping[str, Path], tree: Host) -> Exit:
        roots = {ready.work: work}  # what is made anew for this step, and what stands in it
        for number, each in enumerate(ready.placed):
            root = next((root for root in roots if is_within(each.target, root)), None)
            if root is None:
                root = each.target
                roots[root] = place / f"placed-{number}"
            source = tree.path(each.source) if each.source is not None else None
            await trio.to_thread.run_sync(_put, each, source, Path(f"{roots[root]}{each.target[len(root) :]}"))
        mounts = {**shown, **{target: path for target, path in roots.items() if path != work}}
        for stream in (ready.stdout, ready.stderr):
            if stream is not None:
                (work / stream).parent.mkdir(parents=True, exist_ok=True)
        job = Job(
            argv=tuple(ready.argv),
            work=work,
            mounts=tuple(Mount(path, target) for target, path in sorted(mounts.items())),
            variables={"HOME": ready.work, "TMPDIR": "/tmp"} | ready.variables,
            place=ready.work,
            stdin=ready.stdin,
            stdout=ready.stdout,
            stderr=ready.stderr,
            limits=LIMITS if ready.seconds is None else Limits(wall_seconds=ready.seconds or 60),
            succeeds=frozenset(range(256)),
        )
        return await self._sandbox.run(job)

    def _described(self, value: Any) -> Any:
        """A value with what the suite compares of its files: names, sizes, checksums and listings."""
        if isinstance(value, list):
            return [self._described(each) for each in value]
        if not isinstance(value, dict):
            return value
        if value.get("class") not in ("File", "Directory"):
            return {name: self._described(each) for name, each in value.items()}
        place = self._folder / f"result-{self._results}"
        self._results += 1
        place.mkdir()
        made = value | _description(self._written(value, place))
        if "secondaryFiles" in value:
            made["secondaryFiles"] = self._described(value["secondaryFiles"])
        return made

    def _written(self, value: Object, place: Path) -> Path:
        """A File or Directory in ``place`` under its own name; of a literal, what stands in it."""
        name = name_of(value)
        path = Host(self._places).path(name) if name is not None else None
        target = place / (value.get("basename") or (path.name if path is not None else "literal"))
        if path is not None:
            return _copied(path, target)
        if value["class"] == "File":
            target.write_text(value["contents"])
        else:
            target.mkdir()
            for each in value.get("listing", ()):
                self._written(each, target)
        return target


def _succeeded(ready: Ready, ended: Exit) -> bool:
    successes, temporary, permanent = ready.codes
    usual = ended.code == 0 and 0 not in temporary + permanent
    return ended.ending is Ending.EXITED and (usual or ended.code in successes)


def _put(placed: Placed, source: Path | None, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if placed.text is not None:
        path.write_text(placed.text)
    elif source is None:
        path.mkdir(exist_ok=True)
    elif source.is_dir():
        shutil.copytree(source, path, symlinks=True, dirs_exist_ok=True)
    else:
        shutil.copy(source, path)
    _opened(path)


def _links(work: Path) -> dict[str, str]:
    """Every link in what a step left, by its name inside; none is followed."""
    found = {}
    for folder, folders, files in os.walk(work):
        for path in (Path(folder, name) for name in (*folders, *files)):
            if path.is_symlink():
                found[f"{WORK}/{path.relative_to(work)}"] = os.readlink(path)
    return found


def _opened(path: Path) -> None:
    """Let every step read it, whoever made it; and write to its copies."""
    for each in (path, *(path.rglob("*") if path.is_dir() else ())):
        if not each.is_symlink():
            each.chmod(0o777 if each.is_dir() else 0o666 | (each.stat().st_mode & stat.S_IXUSR and 0o111))


def _copied(path: Path, target: Path) -> Path:
    if path.is_dir():
        return Path(shutil.copytree(path, target, symlinks=True))
    return Path(shutil.copy(path, target, follow_symlinks=False))


def _description(path: Path) -> dict[str, Any]:
    if path.is_symlink():
        raise VerificationFailed(f"«{path.name}», in an output, is a link: write a file in its place")
    found = {"basename": path.name, "location": path.as_uri(), "path": str(path)}
    if path.is_dir():
        return {"class": "Directory", **found, "listing": [_description(each) for each in sorted(path.iterdir())]}
    data = path.read_bytes()
    return {"class": "File", **found, "size": len(data), "checksum": f"sha1${hashlib.sha1(data).hexdigest()}"}
