"""A person's signed word that what they submitted shall end: the bus keeps it, and shows it to each site it tells."""

from __future__ import annotations

from typing import ClassVar

from catalog.body import Millis
from catalog.cid import Cid
from catalog.key import Did, Signed


class Cancellation(Signed, frozen=True, kw_only=True):
    """``person``, who signed ``submission``, ends it. There is no way back, so the word may be shown any time."""

    DOMAIN: ClassVar[str] = "cancellation"

    person: Did
    submission: Cid
    at: Millis
