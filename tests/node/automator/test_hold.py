"""What is held and for whom: each reader whom an owner allowed gets the bytes, however often they were made."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.cid import Cid
from catalog.error import NotFound
from catalog.key import PrivateKey
from catalog.label import Label
from catalog.project import ProjectRef
from node.automator.hold import Holdings
from privacy.label import flows_to, may_hold, shared
from tests.adversary.stage import Stage
from tests.simulation.node import Node
from workflow.order import Order, Wanted
from workflow.receipt import Status
from workflow.submission import Submission

A, B, C, D = (PrivateKey(bytes([number]) * 32).did for number in range(1, 5))
SITES = (A, B, C, D)
TRIAL, OTHER = (ProjectRef(site=A, name=name) for name in ("trial", "other"))
ROOT, ONE, TWO = (Cid.of(name) for name in (b"bytes", b"one dataset", b"another"))
LABELS = st.dictionaries(st.sampled_from(SITES), st.sets(st.sampled_from(SITES)), max_size=2).map(
    lambda owners: Label(owners={owner: tuple(sorted({owner, *readers})) for owner, readers in owners.items()})
)


def gets(holdings: Holdings, site: str) -> bool:
    try:
        holdings.for_site(ROOT, site)
    except NotFound:
        return False
    return True


@given(st.lists(st.tuples(st.sampled_from((TRIAL, OTHER)), LABELS)), st.booleans())
def test_a_site_gets_what_any_label_of_a_project_that_goes_on_lets_it_have(
    held: list[tuple[ProjectRef, Label]], ends: bool
) -> None:
    """Lost: a result that its owner released does not arrive; or one arrives that nobody released."""
    holdings = Holdings()
    for project, label in held:
        holdings.hold(ROOT, label, [ONE], project)
    if ends:
        holdings.end(TRIAL)
    open_to = [label for project, label in held if not (ends and project == TRIAL)]
    for site in SITES:
        assert gets(holdings, site) == any(may_hold(label, site) for label in open_to)
    assert holdings.holds(ROOT) == bool(open_to)
    for labels in holdings._held.get(ROOT, {}).values():
        assert not any(flows_to(one, two) for one, two in permutations(labels, 2)), "a label is kept that says nothing"


def test_the_same_bytes_for_a_second_site_are_another_release_and_both_are_accounted() -> None:
    """Lost: the second reader's receipt says «released», and the bytes are not there for it."""
    holdings = Holdings()
    holdings.hold(ROOT, shared(A, [B]), [ONE], TRIAL)
    holdings.hold(ROOT, shared(A, [C]), [TWO], TRIAL)
    assert [gets(holdings, site) for site in (B, C, D)] == [True, True, False]
    assert holdings.accounted(ROOT) == sorted((ONE, TWO))
    holdings.hold(ROOT, shared(A, [B, C]), [ONE], TRIAL)
    assert holdings._held[ROOT][TRIAL] == (shared(A, [B, C]),)
    holdings.hold(ROOT, shared(A, []), [ONE], TRIAL)  # as long as a release waits
    assert holdings._held[ROOT][TRIAL] == (shared(A, [B, C]),)
    assert [gets(holdings, site) for site in (B, C, D)] == [True, True, False]
    holdings.end(TRIAL)
    assert not holdings.holds(ROOT)


def granting_bruno(stage: Stage) -> None:
    """Beside its grant for results at the institute, St. Anna gives one for results at St. Bruno."""
    data = stage.data(stage.anna).cid
    made = stage.grant(
        stage.anna,
        [data],
        destinations=(stage.bruno.did,),
    )
    stage.consortium.grants.append(made)


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage(granting_bruno)
    yield made
    made.scheduler.close()
    Stage.playing.remove(made)


def released_to(stage: Stage, reader: str, nonce: bytes) -> tuple[Submission, Order]:
    """St. Anna's count of the one same dataset, for another reader: the bytes are the same."""
    submission = stage.submission(nonce=nonce, destinations=(reader,))
    return submission, stage.order(submission, outputs={"result": Wanted(type="statistics", readers=(reader,))})


def test_both_readers_fetch_what_was_released_to_each_also_after_a_restart(stage: Stage) -> None:
    """Lost: what an audit log says was released cannot be had, or no more once the node was started again."""
    institute, bruno = stage.institute, stage.bruno
    for number, reader in enumerate((institute, bruno)):
        submission, order = released_to(stage, reader.did, bytes([number]) * 16)
        assert stage.place(stage.message(submission, order)).status is Status.DONE
    results = [each.result for each in stage.nodes[stage.anna.did].ledger.ended()]
    made = [kept for result in results if result is not None for kept in result.kept.values()]
    assert [institute.did in kept.label.owners[stage.anna.did] for kept in made] == [True, False]
    [cid] = {kept.cid for kept in made}

    def fetched(reader: str) -> bytes:
        data = stage.play(stage.nodes[reader].bulk.get(stage.anna.did, f"/ipfs/{cid}", 1 << 16))
        assert Cid.of(data) == cid
        return data

    for _ in range(2):
        assert fetched(institute.did) == fetched(bruno.did)
        with pytest.raises(NotFound):
            stage.nodes[stage.anna.did].holdings.for_site(cid, stage.mallory.did)
        stage.scheduler.kill(stage.nodes[stage.anna.did].process)
        again = stage.nodes[stage.anna.did] = stage._node(stage.anna, Node)
        again.start()
        assert stage.scheduler.run(lambda node=again: node.ready, stage.scheduler.now + 120_000)  # type: ignore[misc]
