"""The names of a site's two logs, as their checkpoints carry them: ``ROOT-KEY/catalog/0``.

The number is the epoch of the log itself, which only the root key can raise, after a fork or a loss
(:mod:`catalog.reopening`).
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

MAX_NUMBER: Final = 999_999
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,5}", re.ASCII)


class LogName(StrEnum):
    """The two logs of a site."""

    CATALOG = "catalog"
    AUDIT = "audit"


def origin_of(site: str, log: LogName, number: int = 0) -> str:
    """The origin of a site's log in its epoch ``number``."""
    return f"{site}/{log}/{number}"


def log_of(origin: str, site: str) -> LogName | None:
    """Which of the site's logs an origin names, in whatever epoch; ``None`` if it is another's or unknown."""
    start, _, number = origin.rpartition("/")
    named = next((log for log in LogName if f"{site}/{log}" == start), None)
    return named if _NUMBER.fullmatch(number) else None


def site_of(origin: str) -> str:
    """The site whose log an origin names."""
    return origin.rpartition("/")[0].rpartition("/")[0]


def number_of(origin: str) -> int:
    """The epoch of the log that an origin names; 0 for what is no origin of a site's log."""
    number = origin.rpartition("/")[2]
    return int(number) if _NUMBER.fullmatch(number) else 0


def earlier(origin: str) -> list[str]:
    """The origins of the same log in this epoch and in all before it: its leaves name one of these."""
    start = origin.rpartition("/")[0]
    return [f"{start}/{number}" for number in range(number_of(origin), -1, -1)]


LOG_EPOCH = 0
