"""The operating system's clock and randomness, as the core's ports."""

from __future__ import annotations

import secrets
import time

import trio


class SystemClock:
    """The ``Clock`` port."""

    def now(self) -> int:
        """Unix milliseconds."""
        return time.time_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        """Come back after ``seconds``."""
        await trio.sleep(seconds)


class SystemRandom:
    """The ``Random`` port."""

    def token(self, count: int) -> bytes:
        """``count`` random bytes."""
        return secrets.token_bytes(count)
