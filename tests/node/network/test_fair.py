"""Turns: who asks much gets no more than who asks little, and a rate holds for all together."""

from __future__ import annotations

import threading
import time

from node.network.fair import AT_ONCE, Turns


def test_a_site_with_many_requests_gets_no_more_turns_than_one_with_few() -> None:
    """Lost: one institute's large transfer, in many requests, makes everybody else wait for its end."""
    turns, order = Turns(), []
    for _ in range(AT_ONCE):
        turns.take("busy")

    def ask(site: str) -> None:
        turns.take(site)
        order.append(site)
        turns.give(0)

    threads: list[threading.Thread] = []
    sites: list[str] = []
    for site in ["greedy"] * 20 + ["modest"] * 2:
        threads.append(threading.Thread(target=ask, args=(site,)))
        threads[-1].start()
        while not _waits(turns, site, sites):
            time.sleep(0.001)
        sites.append(site)
    turns.give(0)  # one turn alone goes round, so that they write themselves down in the order in which they had it
    for thread in threads:
        thread.join(10)
    assert len(order) == 22
    assert [place for place, site in enumerate(order) if site == "modest"] == [1, 3]


def _waits(turns: Turns, site: str, before: list[str]) -> bool:
    return turns._waiting.count(site) == before.count(site) + 1


def test_under_a_rate_turns_follow_one_another_as_their_bytes_may_go_out() -> None:
    """Lost: a site's only line is taken up by others' fetches, though its operator said how much they may have."""
    turns = Turns(rate=1 << 20)
    began = time.monotonic()
    for _ in range(3):
        turns.take("any")
        turns.give(1 << 18)
    assert time.monotonic() - began >= 0.5, "the third begins when the first two have gone"
