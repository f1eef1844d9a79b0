"""The system calls that no step needs, refused by the kernel before it looks at them.

They are the ways to further namespaces, to the kernel's keyrings (which namespaces do not divide), and to the
interfaces through which kernels were broken most. A classic BPF program, as seccomp(2) takes it.
"""

from __future__ import annotations

import errno
import os
import struct
from typing import Final

from catalog.error import Denied

_LOAD, _EQUAL, _ABOVE, _BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_KILL, _ERROR, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_NEW_USER: Final = 0x10000000
_X32: Final = 0x40000000


# Architecture (as in linux/audit.h), then numbers: clone, unshare, clone3, and those refused whatever they ask.
_TABLES: Final = {
    "x86_64": (0xC000003E, 56, 272, 435, (308, 248, 249, 250, 321, 298, 323, 425, 426, 427, 246, 320, 101, 310, 311)),
    "aarch64": (0xC00000B7, 220, 97, 435, (268, 217, 218, 219, 280, 241, 282, 425, 426, 427, 104, 294, 117, 270, 271)),
}
# In that order: setns, add_key, request_key, keyctl, bpf, perf_event_open, userfaultfd, io_uring_setup, _enter,
# _register, kexec_load, kexec_file_load, ptrace, process_vm_readv, process_vm_writev.


def filter_program() -> bytes:
    """The program for bubblewrap's --seccomp.

    Raises:
        Denied: system calls of this processor are not known here.
    """
    machine = os.uname().machine
    if machine not in _TABLES:
        raise Denied(f"the sandbox has no system call filter for «{machine}»: run this node on x86_64 or aarch64")
    architecture, clone, unshare, clone3, refused = _TABLES[machine]
    program = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUAL, architecture, 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
        # The second set of numbers that x86_64 has: above every number here.
        _step(_ABOVE, _X32, 0, 1),
        _step(_RETURN, _ERROR | errno.ENOSYS),
        # Its flags lie in memory, where a filter cannot look: the C library then takes clone.
        _step(_EQUAL, clone3, 0, 1),
        _step(_RETURN, _ERROR | errno.ENOSYS),
    ]
    for number in refused:
        program += [_step(_EQUAL, number, 0, 1), _step(_RETURN, _ERROR | errno.EPERM)]
    program += [
        _step(_EQUAL, clone, 1, 0),
        _step(_EQUAL, unshare, 0, 3),
        _step(_LOAD, _FIRST_ARGUMENT),
        _step(_BITS, _NEW_USER, 0, 1),
        _step(_RETURN, _ERROR | errno.EPERM),
        _step(_RETURN, _ALLOW),
    ]
    return b"".join(program)


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
