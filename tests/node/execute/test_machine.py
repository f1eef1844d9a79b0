"""What a node says of its machine: what it may use of it, in words that no terminal obeys."""

from pathlib import Path

import pytest

from node.execute.machine import this_machine


def system(folder: Path, name: str, memory_max: str | None) -> tuple[Path, Path]:
    proc, groups = folder / "proc", folder / "cgroup"
    proc.mkdir()
    groups.mkdir()
    (proc / "meminfo").write_text("MemTotal:       16384000 kB\nMemFree: 1 kB\n")
    (proc / "cpuinfo").write_text(f"processor\t: 0\nmodel name\t: {name}\n\nmodel name\t: other\n")
    if memory_max is not None:
        (groups / "memory.max").write_text(f"{memory_max}\n")
    return proc, groups


@pytest.mark.parametrize(("bound", "mib"), [(None, 16000), ("max", 16000), (str(2 << 30), 2048), ("1", 1)])
def test_a_container_has_what_it_was_given(tmp_path: Path, bound: str | None, mib: int) -> None:
    """Lost: a node in a small container promises the memory of its host."""
    assert this_machine(*system(tmp_path, "AMD EPYC 7763", bound)).memory_mib == mib


def test_a_name_is_ascii_and_short(tmp_path: Path) -> None:
    """Lost: that the catalog takes it."""
    made = this_machine(*system(tmp_path, "\x1b[2JAMD® " + "x" * 200, None))
    assert made.processor == ("[2JAMD " + "x" * 200)[:80]


def test_this_very_machine_has_something() -> None:
    here = this_machine()
    assert here.platform.startswith("linux/")
    assert here.processors >= 1
    assert here.memory_mib > 64
