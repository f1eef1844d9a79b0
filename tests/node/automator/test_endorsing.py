"""How many sites' stewards endorsed a block, as a floor or a policy may ask for."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from catalog.block import EndorseFields
from catalog.body import write_body
from catalog.cid import Cid
from catalog.dataset import DatasetFields, Level
from catalog.index import Index
from catalog.key import PrivateKey
from catalog.keyring import Charter
from catalog.member import KeyFields, Role
from node.automator.decide import Judge
from privacy.label import resident
from tests.node.automator.test_lapse import Heard
from workflow.alone import Alone
from workflow.argument import Data, Literal

BLOCK = Cid.of(b"a block")
ROOTS = tuple(PrivateKey(bytes([number]) * 32) for number in (80, 81, 82))
STEWARD = PrivateKey(bytes([90]) * 32)


@pytest.fixture
def index() -> Index:
    """Three sites, whose stewards have all endorsed the block for statistics."""
    index = Index([root.did for root in ROOTS])
    for root in ROOTS:
        site = index.site(root.did)
        steward = KeyFields(did=STEWARD.did, role=Role.STEWARD, name="A steward", x25519=bytes(32))
        site.add(0, "key", write_body("key", steward, site=root.did, at=1, by=root))
        fields = EndorseFields(block=BLOCK, output_types=("statistics",))
        assert site.add(1, "endorse", write_body("endorse", fields, site=root.did, at=1, by=STEWARD)) is not None
    return index


def counted(index: Index) -> int:
    judge = Judge(index.site(ROOTS[0].did), index, "the owner", "", Heard())
    alone: Any = SimpleNamespace(block=BLOCK, around=None)
    around: Any = SimpleNamespace(block=BLOCK, around=Alone("count", "", ""))
    assert judge.endorsing.endorsements(alone, {"model"}) == 0
    assert judge.endorsing.endorsements(around, {"statistics"}) == 0, "nobody vouched for what is around it"
    return judge.endorsing.endorsements(alone, {"statistics"})


def test_a_member_that_is_suspended_or_has_left_endorses_nothing(index: Index) -> None:
    """Else two sites that the consortium has put out still open what a policy asks two sites for."""
    assert counted(index) == 3
    index.site(ROOTS[1].did).stop("its members suspended it in epoch 2", "epoch")
    assert counted(index) == 2
    index.site(ROOTS[2].did).stop("it is no member since epoch 2", "epoch")
    assert counted(index) == 1
    index.site(ROOTS[1].did).resume("epoch")
    assert counted(index) == 2


def test_what_a_member_signs_after_it_left_counts_for_nothing(index: Index) -> None:
    """Else a former member endorses on, where nobody has heard yet that it left."""
    site = index.site(ROOTS[1].did)
    site.govern(Charter(((0, ROOTS[1].did),), left=1))
    assert site.due
    anew = site.anew()
    steward = KeyFields(did=STEWARD.did, role=Role.STEWARD, name="A steward", x25519=bytes(32))
    anew.add(0, "key", write_body("key", steward, site=site.root, at=1, by=ROOTS[1]))
    fields = EndorseFields(block=BLOCK, output_types=("statistics",))
    assert anew.add(1, "endorse", write_body("endorse", fields, site=site.root, at=1, by=STEWARD)) is None
    site.become(anew)
    assert counted(index) == 2


SPEC = '{"person": "patient", "by": ["stage"]}'
ROWS, TABLE = "rows", frozenset({"table"})


@dataclass
class Beside:
    """What stands beside an order: datasets, and values by the blocks and types that made them."""

    datasets: frozenset[Cid] = frozenset()
    by: dict[Cid, tuple[Cid, str]] = field(default_factory=dict)

    def owned(self, data: Data, site: str) -> frozenset[Cid]:
        return frozenset({data.cid})

    def dataset(self, data: Data) -> object:
        return data.cid if data.cid in self.datasets else None

    def made(self, data: Data) -> list[object]:
        found = self.by.get(data.cid)
        if found is None:
            return []
        return [
            SimpleNamespace(order=SimpleNamespace(block=found[0], step="rows"), output=SimpleNamespace(type=found[1]))
        ]


def test_the_aggregator_is_vouched_for_where_its_rows_are_and_for_tables_alone(index: Index) -> None:
    """Lost: whoever writes rows writes ten people who are one, and has the node's own aggregator let them out."""
    own, data = Cid.of(b"the aggregator"), Cid.of(b"data")
    endorsing = Judge(index.site(ROOTS[0].did), index, "the owner", "", Heard(), aggregator=own).endorsing
    published = Beside(datasets=frozenset({data}))

    def vouched(
        beside: Beside,
        block: Cid = own,
        types: frozenset[str] = TABLE,
        count: int = 1,
        asked: str = SPEC,
        altered: frozenset[str] = frozenset(),
        around: Alone | None = None,
    ) -> bool:
        given = [Data(site=ROOTS[0].did, cid=data, name="rows.csv")] * count
        spec = Literal(json=json.dumps(asked))
        case: Any = SimpleNamespace(
            block=block, data=given, evidence=beside, inputs={"spec": spec}, around=around, altered=altered
        )
        return endorsing.vouched(case, types)

    assert not vouched(published), "nobody said which column is a person's"
    dataset = DatasetFields(
        cid=data,
        name="rows.csv",
        level=Level.RESIDENT,
        label=resident(ROOTS[0].did),
        purposes=(),
        description="",
        media_type="text/csv",
        size=1,
        person="patient",
    )
    here = index.site(ROOTS[0].did)
    assert here.add(2, "dataset", write_body("dataset", dataset, site=here.root, at=1, by=STEWARD)) is not None
    assert vouched(published)
    for other in ('{"person": "visit"}', '{"person": "patient", "person": "visit"}', "{}", "[]", "[1]", "1", "", "{"):
        assert not vouched(published, asked=other), other
    assert not vouched(published, Cid.of(b"another block"))
    assert not vouched(published, types=frozenset({"table", "rows"}))
    assert not vouched(published, count=0), "of no data"
    assert not vouched(Beside()), "of what is not known"
    assert not vouched(Beside(by={data: (Cid.of(b"nobody's"), ROWS)})), "of rows that nobody vouched for"
    assert not vouched(Beside(by={data: (BLOCK, ROWS)})), "endorsed for statistics is not endorsed for rows"
    assert vouched(Beside(by={data: (BLOCK, "statistics")}))
    made = Beside(by={data: (BLOCK, "statistics")})
    assert not vouched(made, altered=frozenset({"rows"})), "of rows by an endorsed block with something around it"
    assert not vouched(published, around=Alone("count", "", "")), "with something around it"
