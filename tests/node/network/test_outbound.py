"""A node that only dials out keeps lines where it can, whatever members say and do."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from catalog.error import BadInput
from catalog.key import PrivateKey
from node.network import outbound
from node.network.dial import Direct, https_endpoint
from node.network.line import MOST_OF_SITE
from node.network.outbound import IDLE
from node.network.proxy import Proxy
from tests.node.network.station import Consortium, Station, run, started, until


def test_lines_used_up_are_opened_again_and_never_more_than_a_member_takes() -> None:
    """After a few requests nobody would reach the hospital any more."""

    async def test(nursery: trio.Nursery, consortium: Consortium) -> None:
        member, hospital = await started(nursery, consortium, True, False)
        for _ in range(2 * MOST_OF_SITE):
            member.client.close()
            member.client = member.fresh_client()
            assert await member.get(hospital) == hospital.did.encode()
            assert member.lines.counts[hospital.did] <= MOST_OF_SITE
        await until(lambda: hospital.outbound._idle[member.did] == IDLE)

    run(test)


def test_a_member_that_comes_back_gets_lines_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restart of the member that relays would cut the hospital off for good."""
    monkeypatch.setattr(outbound, "LEAST_WAIT", 0.02)

    async def test(nursery: trio.Nursery, consortium: Consortium) -> None:
        member, hospital = Station(consortium, inbound=True), Station(consortium, inbound=False)
        await hospital.start(nursery)
        async with trio.open_nursery() as life:
            await member.start(life)
            await until(lambda: hospital.outbound.waiting_at == {member.did})
            life.cancel_scope.cancel()
        await until(lambda: hospital.outbound.waiting_at == set())
        again = Station(consortium, inbound=True, key=member.key)
        await again.start(nursery)
        await until(lambda: hospital.outbound.waiting_at == {again.did})
        assert await again.get(hospital) == hospital.did.encode()

    run(test)


def test_lines_to_who_is_no_member_any_more_are_cut() -> None:
    async def test(nursery: trio.Nursery, consortium: Consortium) -> None:
        member, other, hospital = await started(nursery, consortium, True, True, False)
        del consortium.reachable[member.did]
        await until(lambda: hospital.outbound.waiting_at == {other.did})
        await until(lambda: hospital.did not in member.lines.counts)

    run(test)


def test_an_address_that_is_none_stops_nothing(tmp_path: Path) -> None:
    """A member that announces nonsense would end the node, or keep it from all others."""

    async def test(nursery: trio.Nursery, consortium: Consortium) -> None:
        for host in ("x" * 300, ".x", "a..b", "xn--", "0"):
            consortium.reachable[PrivateKey(host.encode().ljust(32)[:32]).did] = (host, 1)
        member, hospital = Station(consortium, inbound=True), Station(consortium, inbound=False)
        await member.start(nursery)
        await hospital.start(nursery)
        await until(lambda: hospital.outbound.waiting_at == {member.did})
        for dialer in (Direct(), Direct(Proxy("127.0.0.1", 1))):
            with pytest.raises(BadInput, match="is not a name"):
                await dialer.dial(member.did, ("a..b", 1))

    run(test)


@pytest.mark.parametrize(
    "text", ["http://x:1", "https://", "https://x:y", "https://x/y", "https://u@x", "x", "https://x?y"]
)
def test_an_address_of_another_kind_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="https://host:port"):
        https_endpoint(text)


def test_an_empty_address_is_that_of_a_node_that_only_dials_out() -> None:
    assert https_endpoint("") is None
    assert https_endpoint("https://node.example.org") == ("node.example.org", 443)
    assert https_endpoint("https://[::1]:8443") == ("::1", 8443)
