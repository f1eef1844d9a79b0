"""Only a site's root opens a new epoch of its log, in order, with leaves that stood before."""

from __future__ import annotations

import pytest

from catalog.dagcbor import decode, encode
from catalog.error import VerificationFailed
from catalog.key import UNSIGNED, PrivateKey, signed
from catalog.origin import LogName, earlier, log_of, number_of, origin_of
from catalog.reopening import Reopening, check_chain

ROOT, NODE, THIEF = (PrivateKey(bytes([number]) * 32) for number in (1, 2, 3))


def reopening(number: int = 1, size: int = 5, by: PrivateKey = ROOT, log: LogName = LogName.AUDIT) -> Reopening:
    value = Reopening(
        site=ROOT.did,
        log=log,
        number=number,
        size=size,
        root=bytes(32),
        node=NODE.did,
        lost=2,
        reason="restored",
        sig=UNSIGNED,
    )
    return signed(value, by)


def test_origins_name_a_log_in_each_of_its_epochs() -> None:
    """A log's old leaves name the origin of their epoch: a reader that knows one only would call them forged."""
    origin = origin_of(ROOT.did, LogName.AUDIT, 2)
    assert log_of(origin, ROOT.did) is LogName.AUDIT
    assert number_of(origin) == 2
    assert earlier(origin) == [origin_of(ROOT.did, LogName.AUDIT, number) for number in (2, 1, 0)]
    for wrong in (
        f"{ROOT.did}/audit/01",
        f"{ROOT.did}/audit/-1",
        f"{ROOT.did}/other/0",
        f"{NODE.did}/audit/0",
        "audit",
    ):
        assert log_of(wrong, ROOT.did) is None


def test_a_chain_by_the_root_is_accepted() -> None:
    """A site that could not go on after a loss would be lost to its consortium."""
    chain = [reopening(1, 5), reopening(2, 9)]
    check_chain(ROOT.did, LogName.AUDIT, chain, [ROOT.did])
    assert decode(Reopening, encode(chain[0])) == chain[0]


@pytest.mark.parametrize(
    "chain",
    [
        [reopening(by=NODE)],
        [reopening(by=THIEF)],
        [reopening(2)],
        [reopening(1, 9), reopening(2, 8)],
        [reopening(log=LogName.CATALOG)],
    ],
    ids=["by the node", "by an impostor", "not the next", "fewer leaves", "another log"],
)
def test_others_are_refused(chain: list[Reopening]) -> None:
    """Whoever can open an epoch can drop what a log says."""
    with pytest.raises(VerificationFailed):
        check_chain(ROOT.did, LogName.AUDIT, chain, [ROOT.did])


def test_a_root_that_was_replaced_opens_nothing_any_more() -> None:
    """It was replaced because somebody else has it."""
    with pytest.raises(VerificationFailed, match="root key"):
        check_chain(ROOT.did, LogName.AUDIT, [reopening(1)], [ROOT.did, THIEF.did])
    check_chain(ROOT.did, LogName.AUDIT, [reopening(1), reopening(2, by=THIEF)], [ROOT.did, THIEF.did])
