"""Nordstad's catalog in two histories, the proofs of that, and the epoch of the log that its new root key opens."""

from catalog.beat import BeatFields
from catalog.body import Body, write_body
from catalog.dagcbor import encode
from catalog.fork import Fork, ForkFile
from catalog.key import UNSIGNED, signed
from catalog.member import KeyFields, Role
from catalog.origin import LogName
from catalog.reopening import Reopening
from tests.protocol.logged import Log
from tests.protocol.people import DID, KEYS, T0, T1, X25519
from tests.protocol.published import NORDSTAD


def beat(site: str, at: int, previous: int | None = None, by: str | None = None) -> Body:
    """A sign of life of a site's node."""
    key = KEYS[by or f"{site}-node"]
    return write_body("beat", BeatFields(), site=DID[f"{site}-root"], at=at, by=key, previous=previous)


def _history(*times: int) -> Log:
    """Nordstad's catalog as it began, and then beats at these times."""
    beats = [beat("nordstad", at, 1 + number if number else None) for number, at in enumerate(times)]
    return Log("nordstad", LogName.CATALOG, [*NORDSTAD, *(("", body) for body in beats)])


ONE = _history(T0 + 600_000, T0 + 1_200_000)
OTHER = _history(T0 + 660_000, T0 + 1_260_000, T0 + 1_860_000)
"""What a node writes that began again from an old copy of its disk, with two leaves."""

FORK_EQUAL = Fork(first=ONE.note(3, "nordstad-node"), second=OTHER.note(3, "nordstad-node"))
FORK_LONGER = Fork(
    first=ONE.note(4, "nordstad-node"), second=OTHER.note(5, "nordstad-node"), consistency=OTHER.path(4, 5)
)
FORK_FILE = ForkFile(fork=FORK_LONGER, enrolments=(encode(NORDSTAD[0][1]),))

REOPENING = signed(
    Reopening(
        site=DID["nordstad-root"],
        log=LogName.CATALOG,
        number=1,
        size=2,
        root=ONE.tree(2),
        node=DID["nordstad-node"],
        lost=3,
        reason="restored from a backup",
        sig=UNSIGNED,
    ),
    KEYS["nordstad-root-2"],
)

NORDSTAD_LATER = [
    (
        "nordstad-steward-removed",
        write_body(
            "key",
            KeyFields(
                did=DID["nordstad-steward"],
                role=Role.STEWARD,
                name="nordstad-steward",
                x25519=X25519["nordstad-steward"],
                removed=True,
            ),
            site=DID["nordstad-root"],
            at=T1 + 1000,
            by=KEYS["nordstad-root-2"],
            previous=1,
        ),
    ),
    ("nordstad-beat", beat("nordstad", T1 + 2000)),
]
"""Nordstad's catalog from index 2 on, where its new root key acts, in epoch 1 of the log."""

REOPENED = Log("nordstad", LogName.CATALOG, [*NORDSTAD, *NORDSTAD_LATER], number=1, taken=2)
EMPTY_AUDIT = Log("nordstad", LogName.AUDIT, [])
