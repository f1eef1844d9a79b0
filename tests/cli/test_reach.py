"""What an operator is told of how the node and the others come to each other."""

from __future__ import annotations

import json

import pytest

from cli.main import run
from node.api.schema import ReachView
from tests.node.api.serving import Running

SEEN = "the server that should be …x shows another key, in a certificate by «Hospital Inspection CA»"


@pytest.mark.parametrize(
    ("reach", "told"),
    [
        (ReachView(inbound=True), ["reach members can connect"]),
        (
            ReachView(inbound=True, lines_of=("Nordstad",), carried=1_234_567),
            ["reach members can connect; lines of Nordstad; 1,234,567 bytes carried for others"],
        ),
        (ReachView(inbound=False), ["reach only dials out; waits at no member"]),
        (
            ReachView(inbound=False, waits_at=("Institute",), proxy="proxy:3128", intercepted=(SEEN,)),
            [
                "reach only dials out; waits at Institute; goes through the proxy proxy:3128",
                f"INTERCEPTED {SEEN}",
            ],
        ),
    ],
)
def test_site_status_says_how_the_node_is_reached_and_who_opens_tls(
    running: Running, capsys: pytest.CaptureFixture[str], reach: ReachView, told: list[str]
) -> None:
    """An operator could not tell a firewall from a site that is away, nor that a proxy reads along."""
    running.site.reach = reach
    assert run(["--site", str(running.folder), "site", "status"]) == 0
    printed = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    for line in told:
        assert line in printed
    assert run(["--site", str(running.folder), "site", "status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["reach"]["intercepted"] == list(reach.intercepted)
