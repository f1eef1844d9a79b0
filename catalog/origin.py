"""The names of a site's two logs, as their checkpoints carry them: ``ROOT-KEY/catalog/0``.

The number is the epoch of the log itself, which only the root key can raise after a fork.
"""

from __future__ import annotations

from enum import StrEnum

LOG_EPOCH = 0


class LogName(StrEnum):
    """The two logs of a site."""

    CATALOG = "catalog"
    AUDIT = "audit"


def origin_of(site: str, log: LogName) -> str:
    """The origin of a site's log."""
    return f"{site}/{log}/{LOG_EPOCH}"


def log_of(origin: str, site: str) -> LogName | None:
    """Which of the site's logs an origin names; ``None`` if it is another's or unknown."""
    return next((log for log in LogName if origin_of(site, log) == origin), None)
