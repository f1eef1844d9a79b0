"""Nonces taken once: what keeps a signed request from being used twice."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Final

from catalog.error import VerificationFailed
from catalog.httpsig import SKEW_SECONDS, SignedBy
from catalog.key import public_bytes, short

WINDOW_SECONDS: Final = 2 * SKEW_SECONDS + 1
"""How long a nonce is remembered after it arrived: from ``created`` 60 s ahead to 60 s past it, and a rounding."""

PER_KEY: Final = 1 << 16
"""Nonces remembered for one key, some 20 MB at most; further ones are refused until the window moves on."""

_STRANGERS: Final = ""


class Nonces:
    """The nonces of the last two minutes, for one event loop.

    Each known key has a bound of its own; all unknown keys share one, for anybody can make keys. So what strangers
    or one member do never refuses another member's request, and memory is bounded by the number of members.

    A request made before this object is refused: what was taken by the process before this one is not known any
    more. Nor does a clock that is set back bring a forgotten nonce to life.
    """

    def __init__(self, now: Callable[[], int], known: Callable[[str], bool], per_key: int = PER_KEY) -> None:
        """``now`` gives Unix milliseconds; ``known`` says whether a did:key is a member's."""
        self._now = now
        self._known = known
        self._per_key = per_key
        self._taken: set[bytes] = set()
        self._arrivals: deque[tuple[int, int, str, bytes]] = deque()
        self._counts: Counter[str] = Counter()
        self._refused_until = now() // 1000 - 1

    def take(self, signed_by: SignedBy) -> None:
        """Accept this nonce now and never again; call it once the request is verified.

        Raises:
            VerificationFailed: it was taken, is too old to know, or its key sent too many.
        """
        now = self._now() // 1000
        self._forget(now)
        name = short(signed_by.did)
        if signed_by.created <= self._refused_until:
            raise VerificationFailed(f"a request by {name} is older than what is remembered of nonces")
        entry = signed_by.nonce + public_bytes(signed_by.did)
        if entry in self._taken:
            raise VerificationFailed(f"a request by {name} came twice")
        lane = signed_by.did if self._known(signed_by.did) else _STRANGERS
        if self._counts[lane] >= self._per_key:
            raise VerificationFailed(f"more than {self._per_key:,} requests within two minutes; the last is by {name}")
        self._taken.add(entry)
        self._counts[lane] += 1
        self._arrivals.append((now, signed_by.created, lane, entry))

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._arrivals)

    def _forget(self, now: int) -> None:
        while self._arrivals and self._arrivals[0][0] + WINDOW_SECONDS < now:
            _, created, lane, entry = self._arrivals.popleft()
            self._refused_until = max(self._refused_until, created)
            self._taken.discard(entry)
            self._counts[lane] -= 1
            if not self._counts[lane]:
                del self._counts[lane]
