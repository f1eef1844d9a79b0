"""What members say of this site's own logs is believed as far as its own key signed it."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog.checkpoint import Checkpoint, sign_checkpoint
from catalog.dagcbor import encode
from catalog.error import NotFound
from catalog.fork import Fork
from catalog.key import PrivateKey
from catalog.origin import LogName, origin_of
from node.message import SeenAnswer
from node.site.standing import ask_members
from tests.node.site.house import ANNA, BRUNO, CLARA, NODES, House, play

KEY = NODES[ANNA.did]


def checkpoint(root: bytes, by: PrivateKey = KEY, number: int = 0, owner: str = ANNA.did) -> str:
    return sign_checkpoint(Checkpoint(origin_of(owner, LogName.CATALOG, number), 7, root * 32), by)


def fork(by: PrivateKey = KEY, number: int = 0, owner: str = ANNA.did, roots: bytes = b"ab") -> Fork:
    """Two checkpoints of one size."""
    return Fork(first=checkpoint(roots[:1], by, number, owner), second=checkpoint(roots[1:], by, number, owner))


class Members:
    """Each answers what it has seen."""

    def __init__(self, *forks: Fork) -> None:
        self.forks = forks

    async def get(self, site: str, path: str, limit: int) -> bytes:
        if site == CLARA.did:
            raise NotFound("it knows nothing of that")
        return encode(SeenAnswer(notes=(), reopenings=(), forks=self.forks))


@pytest.mark.parametrize(
    ("shown", "believed"),
    [
        (fork(), True),
        (fork(NODES[BRUNO.did]), False),
        (fork(roots=b"aa"), False),
        (fork(number=1), False),
        (fork(NODES[BRUNO.did], owner=BRUNO.did), False),
    ],
    ids=["proven", "by another key", "no fork", "of another epoch", "of another site"],
)
def test_a_fork_of_this_site_s_own_log_is_known_by_its_own_signatures(
    tmp_path: Path, shown: Fork, believed: bool
) -> None:
    """Lost: the right one of two copies is found whole, and stays stopped; or anybody has a root open epochs."""

    async def story(house: House) -> None:
        logs = [house.catalog, house.audit]
        heard = await ask_members(Members(shown), ANNA.did, [BRUNO.did, CLARA.did], logs, 1, 0.5)
        assert heard.forked == (frozenset({LogName.CATALOG}) if believed else frozenset())
        assert heard.answered == (BRUNO.did,)

    play(tmp_path, story)
