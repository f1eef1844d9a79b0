"""What stays there to be had while its author is away: mirrored blocks and data, on a running devnet."""

from __future__ import annotations

import secrets
from pathlib import Path

from catalog.error import NotFound, Unreachable
from devnet import faults
from devnet.patience import eventually
from devnet.publication import endorse
from tests.devnet.consortium import POOL_CODE, POOL_TOOL, SUMS_CODE, SUMS_TOOL, WORKFLOW, Consortium, run


def test_the_author_of_a_mirrored_block_and_of_open_data_is_away_and_both_are_still_had(
    consortium: Consortium, tmp_path: Path
) -> None:
    """Lost: what one institution published is gone for all with its machine, though others said that they hold it."""
    known, mark = consortium.known, secrets.token_hex(8)
    first, second, third = known.hospitals[:3]
    table = tmp_path / f"open-{mark}.csv"
    table.write_text(f"mark\n{mark}\n" * 800_000)  # more than a node gives at once
    with consortium.steward(third) as author:
        tool = SUMS_TOOL.replace("MARK", mark)
        code = SUMS_CODE.replace("LONG", str(10**9))
        sums = author.publish_block({"tool.cwl": tool, "step.py": code}, f"sums {mark}")
        author.share_block(sums.cid, [first.name, second.name, known.institute.name])
        made = author.publish_dataset(table, f"open {mark}", "open")
    with consortium.researcher() as mara:
        pool = mara.publish_block({"tool.cwl": POOL_TOOL, "pool.py": POOL_CODE}, f"pool {mark}")
    workflow = WORKFLOW.replace("SUMS", str(sums.cid)).replace("POOL", str(pool.cid))
    with consortium.steward(first) as mirror:
        block = eventually(lambda: _known(lambda: mirror.block_entry(sums.cid)), "the block at the mirror")
        mirror.mirror(block)
    done = consortium.command("dataset", "mirror", str(made.cid), at=first)
    assert done.returncode == 0, done.stderr
    assert "is held here too" in done.stdout
    with consortium.steward(second) as other:
        endorse(consortium.places, known, second, str(sums.cid))
        eventually(lambda: _holding(other, made.cid) == 2 or None, "the mirror in the other's catalog")
    with consortium.researcher() as mara:
        # The institute reads the block to plan with it, from whoever has it.
        faults.strike(consortium.places, "stop", third.handle)
        try:
            ended = run(mara, workflow, [second.dataset], min_sites=1).check()
            assert second.name in ended.took_part
            away = consortium.command("dataset", "list", at=second)
            assert any(f"open {mark}" in line and "1 of 2" in line for line in away.stdout.splitlines()), away.stdout
            part = consortium.command("dataset", "fetch", str(made.cid), "--bytes", "5-36", at=second)
            assert part.stdout == table.read_text()[5:37]
            wrong = consortium.command("dataset", "fetch", str(made.cid), "--bytes", "36-5", at=second)
            assert wrong.returncode == 2, wrong.stderr
            got = consortium.command("dataset", "fetch", str(made.cid), "--out", str(tmp_path / "got"), at=second)
            assert got.returncode == 0, got.stderr
            assert (tmp_path / "got").read_text() == table.read_text()
        finally:
            faults.strike(consortium.places, "resume", third.handle)
            eventually(lambda: all(m.here or m.connected for m in mara.members()) or None, "the node that came back")
    with consortium.steward(second) as other:
        rows = other.audit(made.cid).rows
    fetched = {(row.site_name, row.home_name) for row in rows if row.kind == "fetch"}
    assert fetched >= {(first.name, second.name), (second.name, first.name)}, "both sides wrote it down"
    ended_ = consortium.command("dataset", "mirror", str(made.cid), "--end", at=first)
    assert ended_.returncode == 0, ended_.stderr


def _known(look):  # type: ignore[no-untyped-def]
    try:
        return look()
    except (NotFound, Unreachable):
        return None


def _holding(node, cid) -> int:  # type: ignore[no-untyped-def]
    return next((len(each.holders) for each in node.holders() if each.cid == cid), 0)
