"""Who takes part in the vectors: four sites and three persons, whose keys come from seeds of one repeated byte."""

from nacl.public import PrivateKey as EncryptionKey

from catalog.key import PrivateKey

SEEDS = {
    "anna-root": 1,
    "anna-node": 2,
    "anna-steward": 3,
    "nordstad-root": 4,
    "nordstad-node": 5,
    "nordstad-steward": 6,
    "institute-root": 7,
    "institute-node": 8,
    "institute-steward": 9,
    "mara": 10,
    "anna-auditor": 11,
    "tomas": 12,
    "trust-root": 13,
    "trust-node": 14,
    "nordstad-root-2": 15,
    "anna-node-2": 16,
}
KEYS = {name: PrivateKey(bytes([number]) * 32) for name, number in SEEDS.items()}
DID = {name: key.did for name, key in KEYS.items()}
X25519 = {name: bytes(EncryptionKey(bytes([100 + number]) * 32).public_key) for name, number in SEEDS.items()}
SITES = {"anna": "St. Anna", "nordstad": "Nordstad", "institute": "Institute"}

HOUR = 3_600_000
T0 = 1_790_000_000_000
"""Unix milliseconds at which the story begins."""

T1 = T0 + 24 * HOUR
"""When epoch 1 has its signatures."""

T2 = T1 + 3 * HOUR
"""When epoch 2 has."""


def epoch_at(millis: int) -> int:
    """The epoch in which something was written."""
    return (millis > T1) + (millis > T2)
