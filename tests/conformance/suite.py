"""The suite's cases, and a copy of its files with the helper programs that its data come without."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).parent / "programs"
ELSEWHERE = {"loadit.py": "tests/iwd", "mkfilelist.py": "tests/loadContents", "hello.py": "tests/subdirsecondaries"}
UNDERSCORE = "underscore@1.13.7"
JAVA = 'public class Hello { public static void main(String[] a) { System.out.println("hello"); } }\n'


@dataclass(frozen=True)
class Case:
    """One test: a ``tool`` and the file of its inputs, by their paths in the suite, and what they are to deliver."""

    id: str
    tool: str
    job: str
    expected: Any
    fails: bool
    tags: tuple[str, ...]


def data() -> Path:
    """The folder of the suite's data."""
    shared = Path(os.environ.get("COMITY_SHARED", ROOT.parent / "shared"))
    found = shared / "conformance" / "cwl-v1.2"
    if not found.is_dir():
        raise FileNotFoundError(f"the suite's data are not at {found}: set COMITY_SHARED")
    return found


def cases() -> list[Case]:
    """All of them, in the suite's order."""
    return list(_listed(data() / "conformance_tests.yaml", ""))


def third(every: list[Case], number: int) -> list[Case]:
    """The ``number``-th of three parts of all cases, each with some of every tag that has three: they are dealt out by
    their rarest tag.
    """
    often = Counter(tag for each in every for tag in each.tags)

    def rarest(case: Case) -> tuple[int, str]:
        return min(((often[tag], tag) for tag in case.tags), default=(0, ""))

    return sorted(every, key=rarest)[number % 3 :: 3]


def _listed(index: Path, folder: str) -> Iterator[Case]:
    for each in YAML(typ="safe").load(index):
        if "$import" in each:
            further = each["$import"]
            yield from _listed(index.parent / further, f"{Path(further).parent}/")
            continue
        yield Case(
            id=str(each["id"]),
            tool=folder + each["tool"],
            job=folder + each["job"] if each.get("job") else "",
            expected=_expected(each.get("output"), index.parent),
            fails=bool(each.get("should_fail")),
            tags=tuple(each.get("tags") or ()),
        )


def _expected(value: Any, folder: Path) -> Any:
    if isinstance(value, dict) and "$import" in value:
        return json.loads((folder / value["$import"]).read_text())
    return value


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of the suite with its helper programs, which steps may read."""
    with tempfile.TemporaryDirectory(prefix="comity-conformance-") as folder:
        place = Path(folder, "suite")
        shutil.copytree(data(), place)
        for each in PROGRAMS.glob("*.py"):
            shutil.copy(each, place / ELSEWHERE.get(each.name, "tests"))
        (place / "tests" / "Hello.java").write_text(JAVA)
        (place / "tests" / "underscore.js").write_bytes(_underscore(Path(folder)))
        for each in (Path(folder), place, *place.rglob("*")):
            each.chmod(0o755)
        yield place


def _underscore(folder: Path) -> bytes:
    """The library, from its npm package."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "comity-infra", f"{UNDERSCORE}.js")
    if not cache.exists():
        subprocess.run(["npm", "pack", "--silent", UNDERSCORE], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (packed,) = folder.glob("underscore-*.tgz")
        with tarfile.open(packed) as tar:
            found = tar.extractfile("package/underscore-umd.js")
            assert found is not None
            cache.parent.mkdir(parents=True, exist_ok=True)
            fresh = cache.with_suffix(f".{os.getpid()}")
            fresh.write_bytes(found.read())
            fresh.rename(cache)
    return cache.read_bytes()
