"""One machine in the place of a consortium: workflows go through the evaluator, and each step is evaluated and run as a
node does it, in the sandbox."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import trio
from ruamel.yaml import YAML

from catalog.error import BadInput, ComityError, VerificationFailed
from node.execute.cwl.evaluator import Evaluator
from node.execute.cwl.message import Begin, Ended, Load, Loaded, Object, Outputs, Ready, Wanted, Wish
from node.execute.cwl.places import files_in, located, name_of
from node.execute.cwl.tree import NOTHING
from node.execute.evaluation import Evaluation, Failed
from node.execute.sandbox import Sandbox
from node.execute.view import View
from node.step import Limits
from tests.conformance.suite import Case

SUITE = "/suite"
LIMITS = Limits(wall_seconds=60, memory_bytes=1 << 30, processes=128)


class Local:
    """Runs cases of the suite that lies at ``suite``, below ``folder``."""

    def __init__(self, evaluator: Evaluator, suite: Path, folder: Path) -> None:
        self.reason = ""
        self._requirements: list[Object] = []
        self._evaluator = evaluator
        self._sandbox = Sandbox()
        self._folder = folder
        self._outer = View({SUITE: suite})
        self._steps = self._results = 0

    async def run(self, case: Case) -> Object | None:
        """What the case delivers, its files as they lie here; none if it fails, for the ``reason``.

        Raises:
            ComityError: it is no CWL, or its inputs do not fit.
        """
        uri = located(f"{SUITE}/{case.tool.partition('#')[0]}") + "".join(case.tool.partition("#")[1:])
        async with self._evaluator.workflow(self._outer) as flow:
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
        path = self._outer.places[SUITE] / case.job
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
        step = Evaluation(wish.inputs, self._outer, View(self._outer.places), work, place)
        async with self._evaluator.tool(step.view) as tool:
            await tool.ask(Load(uri=uri, step=wish.step, requirements=self._requirements), Loaded)
            ready = await step.command(tool, LIMITS)
            if isinstance(ready, Outputs):
                return ready.values, {}
            if isinstance(ready, Failed):
                raise BadInput(ready.said.decode())
            job = await step.job(ready, _limits(ready), None)
            ended = await step.ended(tool, ready, job, await self._sandbox.run(job), trio.lowlevel.checkpoint)
        if isinstance(ended, Failed):
            self.reason = f"{ended.failure}: {ended.said.decode(errors='replace')}"
            return None, {}
        await trio.to_thread.run_sync(_opened, work)
        folder = f"/out/{self._steps}"
        self._outer.places[folder] = work
        updated = step.places.updated(ready, folder)
        for each in updated.values():
            if await self._outer.look(each) == NOTHING:
                raise VerificationFailed(f"«{each}», which the step was to change in place, is gone")
        links = step.view.left.links if step.view.left is not None else {}
        return step.places.delivered(ended.values, folder, links), updated

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
        path = self._outer.path(name) if name is not None else None
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


def _limits(ready: Ready) -> Limits:
    return LIMITS if not ready.seconds else replace(LIMITS, wall_seconds=ready.seconds)


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
