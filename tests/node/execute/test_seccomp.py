"""The list of system calls: its numbers are the kernel's, and what it lets through is what was meant."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from node.execute.syscalls import _TABLE, NEWEST, numbers

HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
REFUSED = (
    "ptrace",
    "unshare",
    "setns",
    "mount",
    "add_key",
    "bpf",
    "io_uring_setup",
    "memfd_create",
    "shmget",
    "clone3",
)


@pytest.mark.parametrize("processor", HEADERS)
def test_numbers_are_those_of_the_kernels_headers(processor: str) -> None:
    """Lost: another call than the one that was meant is allowed."""
    if not HEADERS[processor].exists():
        pytest.skip("the kernel's headers are not installed here")
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", HEADERS[processor].read_text())
    known = {name: int(number) for name, number in found}
    known["newfstatat"] = known.get("newfstatat", known.get("fstatat", 0))
    column = list(HEADERS).index(processor)
    for entry in _TABLE.split():
        name, _, both = entry.partition("=")
        number = both.split("/")[column]
        if number and name in known:
            assert int(number) == known[name], name
    assert not {known[name] for name in REFUSED if name in known} & set(numbers(processor))


@pytest.mark.parametrize("processor", HEADERS)
def test_each_number_is_listed_once_and_known(processor: str) -> None:
    """Lost: a slip in the table that nobody sees."""
    listed = numbers(processor)
    assert len(set(listed)) == len(listed) > 200
    assert max(listed) <= NEWEST
