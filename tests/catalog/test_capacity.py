"""What a node may say of itself: a boast is bounded when it is read, and an entry stays small."""

import pytest

from catalog.body import fields_of, read_body, write_body
from catalog.capacity import MOST_ENVIRONMENTS, REFERENCE, CapacityFields
from catalog.cid import Cid
from catalog.dagcbor import encode
from catalog.error import VerificationFailed
from catalog.key import PrivateKey
from catalog.offer import Most, OfferFields

NODE = PrivateKey(b"n" * 32)
MOST = {"seconds": 300, "cpu_seconds": 300, "memory_mib": 1024}
SPEED = {"integer": 1000, "floating": 1000, "hashing": 1000, "writing": 1000, "at": 0}
SAID = {
    "runner": "sandbox", "platform": "linux/amd64", "processor": "Z80", "processors": 2, "memory_mib": 4096,
    "at_once": 2, "most": MOST, "environments": [], "speed": SPEED, "load": "idle",
}  # fmt: skip


def read(**changes: object) -> CapacityFields:
    """The fields as another member reads them."""
    offer = OfferFields(runner="sandbox", price=0, step_millis=1)
    body = write_body("capacity", offer, site=NODE.did, at=0, by=NODE)
    told = encode({**_plain(body), "fields": {**SAID, **changes}})
    return fields_of(read_body(told), CapacityFields)


def _plain(body: object) -> dict[str, object]:
    return {name: getattr(body, name) for name in body.__struct_fields__}


def test_what_is_said_is_read() -> None:
    assert read().most == Most(**MOST)
    assert read(speed=None).speed is None


@pytest.mark.parametrize("pace", [0, 100 * REFERENCE + 1, 1 << 53])
def test_a_boast_is_bounded(pace: int) -> None:
    """Lost: a planner that divides by a site's speed finds that it ends before it began."""
    with pytest.raises(VerificationFailed):
        read(speed={**SPEED, "integer": pace})


@pytest.mark.parametrize(
    "changes",
    [
        {"load": "asleep"},
        {"processors": 0},
        {"processors": (1 << 16) + 1},
        {"memory_mib": (1 << 30) + 1},
        {"at_once": 0},
        {"processor": "x" * 81},
        {"processor": "\x1b[2J"},
        {"platform": "linux"},
        {"environments": [Cid.of(bytes([number])) for number in range(MOST_ENVIRONMENTS + 1)]},
        {"most": {**MOST, "seconds": 0}},
        {"gpus": 1},
    ],
)
def test_what_no_node_has_is_refused(changes: dict[str, object]) -> None:
    """Lost: an entry without end, or one that steers a terminal, in every member's catalog."""
    with pytest.raises(VerificationFailed):
        read(**changes)
