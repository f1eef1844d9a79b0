"""Each signature of a run is verified once for all who verify it: a pure function of its bytes, and the dearest one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from unittest import mock

import nacl.bindings


@contextmanager
def verified_once() -> Iterator[None]:
    """While this lasts, a signature that was found good is known to be; a bad one is looked at again."""
    known = cache(nacl.bindings.crypto_sign_open)
    with mock.patch.object(nacl.bindings, "crypto_sign_open", known):
        yield
