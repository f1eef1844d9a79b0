from __future__ import annotations

import pytest

from catalog.error import VerificationFailed
from catalog.httpsig import SKEW_SECONDS, SignedBy
from catalog.key import PrivateKey
from catalog.nonce import WINDOW_SECONDS, Nonces

START = 1_700_000_000
MEMBER, STRANGER, OTHER_STRANGER = (PrivateKey(bytes([n] * 32)).did for n in range(3))


class Fixture:
    """Nonces with a clock and a membership that a test sets."""

    def __init__(self, per_key: int = 100) -> None:
        self.seconds = START
        self.members = {MEMBER}
        self.nonces = Nonces(lambda: self.seconds * 1000, lambda did: did in self.members, per_key)

    def take(self, number: int, did: str = MEMBER, created: int | None = None) -> None:
        created = self.seconds if created is None else created
        self.nonces.take(SignedBy(did=did, created=created, nonce=number.to_bytes(16, "big")))

    def refused(self, number: int, did: str = MEMBER, created: int | None = None) -> bool:
        with pytest.raises(VerificationFailed):
            self.take(number, did, created)
        return True


def test_a_nonce_counts_once_for_each_key() -> None:
    """Lost if it failed: a request that was overheard could be sent again."""
    fixture = Fixture()
    fixture.take(1)
    fixture.take(2)
    fixture.take(1, STRANGER)
    assert fixture.refused(1)


def test_a_nonce_is_remembered_while_its_request_is_fresh_and_forgotten_then() -> None:
    fixture = Fixture()
    ahead = START + SKEW_SECONDS
    fixture.take(1, created=ahead)
    fixture.seconds = ahead + SKEW_SECONDS
    assert fixture.refused(1, created=ahead)
    fixture.seconds = START + WINDOW_SECONDS + 1
    fixture.take(2)
    assert len(fixture.nonces) == 1


def test_a_clock_set_back_brings_no_forgotten_nonce_to_life() -> None:
    fixture = Fixture()
    fixture.take(1)
    fixture.seconds += WINDOW_SECONDS + 1
    fixture.take(2)
    fixture.seconds = START
    assert fixture.refused(1, created=START)


def test_requests_made_before_the_start_are_refused() -> None:
    """Lost if it failed: what the process before this one accepted could be sent again after a restart."""
    fixture = Fixture()
    assert fixture.refused(1, created=START - 1)
    fixture.take(1, created=START)


def test_a_flood_by_one_refuses_nobody_else() -> None:
    fixture = Fixture(per_key=3)
    for number in range(3):
        fixture.take(number, STRANGER)
    assert fixture.refused(9, STRANGER)
    assert fixture.refused(9, OTHER_STRANGER), "strangers share one bound, for anybody can make keys"
    for number in range(3):
        fixture.take(number)
    assert fixture.refused(9)
    assert len(fixture.nonces) == 6
    fixture.seconds += WINDOW_SECONDS + 1
    fixture.take(10)
    fixture.take(10, STRANGER)


def test_becoming_a_member_does_not_make_a_nonce_good_again() -> None:
    fixture = Fixture()
    fixture.take(1, STRANGER)
    fixture.members.add(STRANGER)
    assert fixture.refused(1, STRANGER)
