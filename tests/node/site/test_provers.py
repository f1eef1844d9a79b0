"""Processes that check bodies say what this process would say, and none of their ends is taken for a good one."""

import os
import signal

import pytest
import trio

from catalog.body import write_body
from catalog.dagcbor import encode
from catalog.error import ComityError
from catalog.key import PrivateKey
from catalog.leaf import encode_leaf, seal
from catalog.origin import LogName, origin_of
from catalog.policy import PolicyFields
from node.replicate.indexing import read_here
from node.site.provers import PART, Provers

ROOT, STEWARD = (PrivateKey(bytes([number]) * 32) for number in (1, 2))


ORIGIN = origin_of(ROOT.did, LogName.CATALOG)


def rows(count: int) -> list[tuple[bytes, bytes | None]]:
    """Leaves with good bodies, forged ones, garbage, and none."""
    body = encode(write_body("policy", PolicyFields(text="x"), site=ROOT.did, at=1, by=STEWARD))
    kinds = [body, body[:-1] + b"\0", b"\xff", b"", None]
    bodies = [kinds[0 if at % 7 else at % 5] for at in range(count)]
    leaves = [encode_leaf(seal(ORIGIN, 0, "policy", each or b"", bytes(32))) for each in bodies]
    return list(zip(leaves, bodies, strict=True))


@pytest.mark.parametrize("count", [0, 3, 5 * PART + 1])
def test_they_say_what_is_said_here(count):
    """Lost: an entry counts, or does not, by how many came with it."""

    async def main() -> None:
        provers = Provers()
        given = rows(count)
        found = await provers(ORIGIN, 10, given)
        assert found == await read_here(ORIGIN, 10, given)
        await provers.aclose()

    trio.run(main)


def test_a_process_that_was_ended_is_an_error_and_the_next_reading_starts_another():
    """Lost: forged entries count after the machine ran out of memory."""

    async def main() -> None:
        provers = Provers()
        given = rows(2 * PART)
        await provers(ORIGIN, 0, given)
        for prover in provers._idle:
            os.kill(prover._process.pid, signal.SIGKILL)
            prover._process.wait()
        with pytest.raises(ComityError, match="ended by itself"):
            await provers(ORIGIN, 0, given)
        assert await provers(ORIGIN, 0, given) == await read_here(ORIGIN, 0, given)
        await provers.aclose()

    trio.run(main)
