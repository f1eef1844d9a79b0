"""The filter that the kernel puts every system call of a step through: what is not in the list is refused.

A classic BPF program, as seccomp(2) takes it. Three calls are looked at more closely, since what they do depends on
what they are asked: clone (no further namespaces), socket (none that reach beyond the network namespace, as those of
a virtual machine's host do) and ioctl (nothing is typed into a terminal).
"""

from __future__ import annotations

import errno
import json
import os
import struct
from collections.abc import Sequence
from functools import cache
from typing import Final

from catalog.error import Denied
from node.execute.syscalls import NEWEST, names, numbers

_LOAD, _EQUAL, _ABOVE, _NOT_BELOW, _BITS, _RETURN = 0x20, 0x15, 0x25, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND = 0, 4, 16, 24
_KILL, _ERROR, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_UNKNOWN, _FORBIDDEN, _NO_FAMILY = (_ERROR | number for number in (errno.ENOSYS, errno.EPERM, errno.EAFNOSUPPORT))
_X32: Final = 0x40000000
_CLONE3: Final = 435
_NEW_NAMESPACES: Final = 0x7E020000
_FAMILIES: Final = (1, 2, 10)  # local, IPv4, IPv6
_TYPING: Final = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX

# As in linux/audit.h; then the numbers of clone, socket and ioctl.
_PROCESSORS: Final = {"x86_64": (0xC000003E, 56, 41, 16), "aarch64": (0xC00000B7, 220, 198, 29)}


@cache
def filter_program() -> bytes:
    """The program for bubblewrap's --seccomp.

    Raises:
        Denied: system calls of this processor are not known here.
    """
    machine = os.uname().machine
    if machine not in _PROCESSORS:
        raise Denied(f"the sandbox has no system call filter for «{machine}»: run this node on x86_64 or aarch64")
    architecture, clone, socket, ioctl = _PROCESSORS[machine]
    program = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUAL, architecture, 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
        # The second set of numbers that x86_64 has: above every number here.
        _step(_NOT_BELOW, _X32, 0, 1),
        _step(_RETURN, _UNKNOWN),
        # Its flags lie in memory, where a filter cannot look: the C library then takes clone.
        _step(_EQUAL, _CLONE3, 0, 1),
        _step(_RETURN, _UNKNOWN),
        *_asked(clone, _FIRST, [_step(_BITS, _NEW_NAMESPACES, 0, 1), _step(_RETURN, _FORBIDDEN)], _ALLOW),
        *_asked(socket, _FIRST, _each(_FAMILIES, _ALLOW), _NO_FAMILY),
        *_asked(ioctl, _SECOND, _each(_TYPING, _FORBIDDEN), _ALLOW),
        # To what a list from today cannot know, as an older kernel would answer: programs have another way then.
        _step(_ABOVE, NEWEST, 0, 1),
        _step(_RETURN, _UNKNOWN),
        *_listed(numbers(machine)),
        _step(_RETURN, _FORBIDDEN),
    ]
    return b"".join(program)


@cache
def profile() -> str:
    """The same as containers take it: the JSON of an OCI runtime's «seccomp», with Docker's names for its parts.

    What is typed into a terminal is not looked at: a container of a step has none.

    Raises:
        Denied: system calls of this processor are not known here.
    """
    machine = os.uname().machine
    if machine not in _PROCESSORS:
        raise Denied(f"there is no system call filter for «{machine}»: run this node on x86_64 or aarch64")
    clone = {"index": 0, "value": _NEW_NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
    families = [{"index": 0, "value": 0xFFFFFFFF, "valueTwo": each, "op": "SCMP_CMP_MASKED_EQ"} for each in _FAMILIES]
    rules: list[dict[str, object]] = [
        {"names": [*names(machine), "ioctl"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [clone]},
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS},
    ]
    rules += [{"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [each]} for each in families]
    architectures = [f"SCMP_ARCH_{machine.upper()}"]
    return json.dumps(
        {
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": errno.EPERM,
            "architectures": architectures,
            "syscalls": rules,
        }
    )


def _asked(number: int, argument: int, tests: Sequence[bytes], otherwise: int) -> list[bytes]:
    """For the call ``number``: the tests of an argument, then what comes of it if none returned."""
    body = [_step(_LOAD, argument), *tests, _step(_RETURN, otherwise)]
    return [_step(_EQUAL, number, 0, len(body)), *body]


def _each(values: Sequence[int], then: int) -> list[bytes]:
    return [part for value in values for part in (_step(_EQUAL, value, 0, 1), _step(_RETURN, then))]


def _listed(allowed: Sequence[int]) -> list[bytes]:
    """Allow ``allowed``, which are in order, run by run."""
    program: list[bytes] = []
    start = 0
    for at, number in enumerate(allowed, 1):
        if at == len(allowed) or allowed[at] != number + 1:
            program += [
                _step(_ABOVE, number, 3, 0),
                _step(_NOT_BELOW, allowed[start], 0, 1),
                _step(_RETURN, _ALLOW),
                _step(_RETURN, _FORBIDDEN),
            ]
            start = at
    return program


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
