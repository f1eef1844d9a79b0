"""Pruning an audit log: what is old goes, what still carries state stays, also where the ledger is made anew."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from msgspec import structs

from catalog.body import read_body, write_body
from catalog.certificate import NOT_COVERED, CertificateFields
from catalog.cid import Cid
from catalog.dagcbor import Value, encode
from catalog.error import Conflict, Damaged
from catalog.headmap import subject_hash
from catalog.key import UNSIGNED, PrivateKey, signed
from catalog.member import KeyFields, Role, epoch_message
from catalog.member import Member as Founded
from catalog.origin import LogName, origin_of
from catalog.project import ProjectFields, ProjectRef
from catalog.reopening import Reopening
from cli.main import run
from node.api.audit import Account, Blank, Member, Reading
from node.automator.book import AuditBook, Line
from node.automator.decide import Judge
from node.automator.halt import Scope
from node.config import Address, Folder
from node.founding import Founder, Founding
from node.holding import held
from node.keyfile import read_identity
from node.pruning import prune_site
from node.rootkey import new_passphrase, read_root
from node.setup import init_site
from node.site.auditdesk import AuditDesk
from node.site.pruning import DAY_MILLIS, Pruned
from node.site.state import State, read_state
from node.storage.database import Database
from node.storage.facts import Fact, Facts
from node.storage.ledger import DiskLedger
from node.storage.log import DiskLog
from node.storage.reopened import own_origin, reopen
from node.storage.replica import ReplicaLog
from node.system import SystemClock, SystemRandom
from privacy.decision import Decision
from privacy.label import resident
from tests.node.site.house import BRUNO, NODES, NOW, RESEARCHER, STEWARDS, Clock, Recent
from tests.node.site.test_auditdesk import pages, who
from workflow.account import (
    AccessFields,
    Chain,
    EntryFields,
    FetchFields,
    HaltFields,
    Kept,
    RefusalFields,
    ReleaseFields,
    ResultFields,
    Side,
)
from workflow.order import Instance
from workflow.receipt import Form, Output, Status

PASSPHRASE = new_passphrase()
DATA, OTHER = (Cid.of(text).keyed(bytes(32)) for text in (b"births", b"deaths"))
DECISION = Decision(allowed=True, action="compute", rules=("r",), reason="", facts={}, policy="1")
LATER = NOW + 800 * DAY_MILLIS
"""When all that was written at NOW is older than two years."""


class Anna:
    """The folder of a site in a consortium of two, whose audit rows a test writes as its node does."""

    def __init__(self, path: Path) -> None:
        self.folder = Folder(path / "anna")
        here = [Address("127.0.0.1", port) for port in (4101, 4102, 4103)]
        made = init_site(self.folder, "St. Anna", "Agnes", *here, PASSPHRASE)
        self.root, self.steward = read_root(self.folder.root_key, PASSPHRASE.text), made.steward
        self.node = read_identity(self.folder.node_key)
        self.lost = ProjectRef(site=BRUNO.did, name="nobody has heard of it")
        self.running, self.finished, self.ending = (
            ProjectRef(site=BRUNO.did, name=name) for name in ("running", "finished", "ending")
        )
        trio.run(self._found)

    async def _found(self) -> None:
        """The consortium as an earlier run left it, and a replica of Bruno's catalog with his projects."""
        mine = KeyFields(did=self.node.did, role=Role.NODE, name="node", x25519=bytes(32))
        keys = KeyFields(did=NODES[BRUNO.did].did, role=Role.NODE, name="node", x25519=bytes(32))
        founders = [_founder("St. Anna", self.root.key, mine), _founder("Bruno", BRUNO, keys)]
        founding = Founding(consortium="two", expected=2, founders=tuple(founders), signatures={})
        text = epoch_message(founding.epoch())
        signatures = {key.did: key.sign(text) for key in (self.root.key, BRUNO)}
        founding = Founding(consortium="two", expected=2, founders=tuple(founders), signatures=signatures)
        database = Database.open(self.folder.state)
        await Facts(database).set(Fact.FOUNDING, founding)
        database.close()
        steward = KeyFields(did=STEWARDS[BRUNO.did].did, role=Role.STEWARD, name="Berta", x25519=bytes(32))
        entries: list[tuple[str, Value, PrivateKey]] = [
            ("key", keys, BRUNO),
            ("key", steward, BRUNO),
            ("project", project(self.running.name), STEWARDS[BRUNO.did]),
            ("project", project(self.finished.name, ended=True), STEWARDS[BRUNO.did]),
            ("project", project(self.ending.name, ended=True), STEWARDS[BRUNO.did]),
        ]
        bodies = [
            (kind, encode(write_body(kind, fields, site=BRUNO.did, at=NOW, by=by))) for kind, fields, by in entries
        ]
        origin = origin_of(BRUNO.did, LogName.CATALOG)
        key = NODES[BRUNO.did]
        async with await DiskLog.create(self.folder.path.parent / "bruno", origin, 0, key, SystemRandom()) as log:
            await log.append(bodies)
            replica = await ReplicaLog.open(self.folder.replicas / BRUNO.did.rpartition(":")[2], origin, key.did)
            async with replica:
                await replica.extend(log.note, await log.leaves(0, log.size))
                stored = [await log.body(index) for index in range(log.size)]
                await replica.put_bodies([(index, *each) for index, each in enumerate(stored) if each is not None])
        certificate = CertificateFields(
            project=self.finished,
            terms=project(self.finished.name).terms,
            values=1,
            nodes=1,
            bytes=1,
            not_covered=NOT_COVERED,
            audit=0,
        )
        body = write_body("certificate", certificate, site=self.root.did, at=NOW, by=self.node.key)
        origin = origin_of(self.root.did, LogName.CATALOG)
        async with await DiskLog.open(self.folder.catalog, origin, 0, self.node.key, SystemRandom()) as catalog:
            await catalog.append([("certificate", encode(body))])

    @asynccontextmanager
    async def audit(self) -> AsyncIterator[DiskLog]:
        """The audit log, open."""
        origin = own_origin(self.folder.audit, self.root.did, LogName.AUDIT)
        async with await DiskLog.open(self.folder.audit, origin, 0, self.node.key, SystemRandom()) as log:
            yield log

    def write(self, *lines: Line, at: int = NOW) -> int:
        """Audit lines, as the node writes them at a time; the place of the first."""

        async def main() -> int:
            clock = Clock()
            clock.time = at
            async with self.audit() as log:
                ledger = await DiskLedger.open(self.folder.ledger, log)
                index = await AuditBook(self.root.did, self.node.key, log, ledger, clock).write(lines)
                ledger.close()
                return index

        return trio.run(main)

    def refused(self, ref: ProjectRef) -> None:
        """An order for a project that was refused before policy was asked."""
        begun = access(ref, DATA)

        def linked(chain: Chain, _index: int) -> RefusalFields:
            return RefusalFields(
                order=begun.order,
                site=begun.home,
                bus=BRUNO.did,
                person=begun.person,
                home=begun.home,
                project=ref,
                purpose=None,
                instance=None,
                block=None,
                reason="no such project",
                submission=begun.submission,
                chain=chain,
            )

        self.write(Line("refusal", [DATA], linked, (RESEARCHER.did,)))

    def step(self, ref: ProjectRef, data: Cid = DATA, at: int = NOW) -> Cid:
        """A step that ran for a project; the order."""
        begun = access(ref, data)
        order, instance = begun.order, begun.instance

        def linked(chain: Chain, _index: int) -> AccessFields:
            return structs.replace(begun, chain=chain)

        def result(chain: Chain, index: int) -> ResultFields:
            shown = Output(handle=HANDLE, type="table", name="", cid=None, size=None, release=None, reason="")
            made = Kept(
                output=shown, form=Form.FILE, cid=made_for(ref), size=1, label=resident(self.root.did), name="n"
            )
            return ResultFields(
                order=order,
                instance=instance,
                intent=index - 1,
                status=Status.HELD,
                kept={"n": made},
                spent=None,
                cost=0,
                reason="",
                detail="",
                chain=chain,
            )

        people = (RESEARCHER.did,)
        self.write(Line("intent", [data], linked, people), Line("result", [data], result, people), at=at)
        return order

    def halt(self, reason: str, *, resume: bool = False, delivered: Sequence[Instance] = ()) -> None:
        def fields(chain: Chain, _index: int) -> HaltFields:
            return HaltFields(
                project=None,
                member=None,
                reason=reason,
                statement=reason.encode(),
                chain=chain,
                delivered=tuple(delivered),
            )

        self.write(Line("resume" if resume else "halt", (), fields, (self.root.did,)))

    def prune(self, now: int = LATER) -> Pruned:
        return prune_site(self.folder, now)

    def starts(self, check: Callable[[State], Awaitable[None]]) -> None:
        """Two starts of the node: with the ledger that is there, and with one made anew from the log."""

        async def main() -> None:
            state = await read_state(self.folder, SystemClock())
            try:
                await check(state)
            finally:
                await state.aclose()

        trio.run(main)
        self.folder.ledger.unlink()
        trio.run(main)

    @property
    def standing(self) -> dict[int, str]:
        """The bodies that are left, by their places: their kinds."""

        async def main() -> dict[int, str]:
            async with self.audit() as log:
                read = enumerate(await log.read(0, log.size))
                return {index: read_body(stored[1]).kind for index, (_, stored) in read if stored is not None}

        return trio.run(main)


HANDLE = f"held:{BRUNO.did}/{bytes(16).hex()}"


def access(ref: ProjectRef, data: Cid) -> AccessFields:
    """What is written down of an order, without its chain."""
    return AccessFields(
        order=Cid.of(f"{ref.name} {data}".encode()),
        instance=Instance(submission=Cid.of(ref.name.encode()), step="count", shard=0),
        attempt=1,
        person=RESEARCHER.did,
        home=BRUNO.did,
        project=ref,
        purpose="DUO:0000006",
        block=DATA,
        decision=DECISION,
        shown=DECISION,
        max_cost=0,
        submission=b"signed",
        chain={},
    )


def made_for(ref: ProjectRef) -> Cid:
    return Cid.of(b"made for " + ref.name.encode())


def project(name: str, *, ended: bool = False) -> ProjectFields:
    return ProjectFields(
        name=name,
        people={RESEARCHER.did: bytes(32)},
        purpose="DUO:0000006",
        datasets=(),
        not_after=LATER * 2,
        ended=ended,
    )


def _founder(name: str, root: PrivateKey, fields: KeyFields) -> Founder:
    body = write_body("key", fields, site=root.did, at=NOW, by=root)
    place = {"control": "/ip4/127.0.0.1/tcp/1", "bulk": "https://127.0.0.1:2"}
    return Founder(member=Founded(site=name, root=root.did), enrolment=encode(body), **place)


def fetched(data: Cid = DATA) -> Line:
    def fields(chain: Chain, _index: int) -> FetchFields:
        return FetchFields(root=data, site=BRUNO.did, person=None, chain=chain, side=Side.RECIPIENT)

    return Line("fetch", [data], fields)


def noted(entry: int) -> Line:
    def fields(chain: Chain, _index: int) -> EntryFields:
        return EntryFields(entry=entry, body=DATA, actor=RESEARCHER.did, chain=chain)

    return Line("policy", (), fields, (RESEARCHER.did,))


@pytest.fixture
def anna(tmp_path: Path) -> Anna:
    return Anna(tmp_path)


def test_a_standing_halt_is_kept_however_old_it_is(anna: Anna) -> None:
    """Lost: a site that a steward halted goes on by itself once its log is pruned."""
    anna.write(fetched())
    anna.halt("a doubt about the tables")
    anna.write(fetched())
    assert anna.prune() == Pruned(erased=2, kept=1)
    assert anna.standing == {1: "halt"}

    async def check(state: State) -> None:
        assert state.book.halts.standing == {Scope(None, None): "a doubt about the tables"}

    anna.starts(check)


def test_what_was_delivered_before_a_restore_and_every_word_that_was_used_are_kept(anna: Anna) -> None:
    """Lost: an instance is delivered and charged twice; a steward's old word halts the site, or frees it, again."""
    instance = Instance(submission=DATA, step="count", shard=0)
    anna.halt("the site was restored", delivered=[instance])
    anna.halt("looked at", resume=True)
    assert anna.prune().erased == 0

    async def check(state: State) -> None:
        assert state.book.halts.standing == {}
        assert state.book.halts.delivered == {instance}
        assert all(state.book.halts.used(word) for word in (b"the site was restored", b"looked at"))

    anna.starts(check)


def test_a_halt_that_is_gone_from_the_log_keeps_the_node_from_starting(anna: Anna) -> None:
    """Lost: whoever erases one body sets a halted site free."""
    anna.halt("a doubt")

    async def erase() -> None:
        async with anna.audit() as log:
            await log.erase(0)
        with pytest.raises(Damaged, match="leaf 0 of the audit log, about a halt"):
            await read_state(anna.folder, SystemClock())

    trio.run(erase)


def test_what_projects_that_are_not_over_left_is_kept_until_they_are(anna: Anna) -> None:
    """Lost: with the ledger made anew a site does not know what to destroy, and carries an old order out again."""
    orders = {ref: anna.step(ref) for ref in (anna.running, anna.lost, anna.ending)}
    anna.step(anna.finished)
    assert anna.prune() == Pruned(erased=2, kept=6)
    assert sorted(anna.standing) == [0, 1, 2, 3, 4, 5]

    async def check(state: State) -> None:
        traces = state.ledger.traces
        for ref, order in orders.items():
            assert (traces.of(ref).values, traces.of(ref).datasets) == ({made_for(ref)}, {DATA})
            attempt = state.ledger.attempt(order)
            assert attempt is not None
            assert attempt.result is not None
            instance = attempt.access.instance
            assert [each.access.order for each in state.ledger.attempts(instance)] == [order]
            assert order in [each.access.order for each in state.ledger.submitted(instance.submission)]
            assert state.ledger.submitted(order) == [], "none is of a submission of that CID"
        assert {each.access.order for each in state.ledger.ended()} == set(orders.values())

    anna.starts(check)


def test_a_refused_order_is_no_attempt_and_outlives_no_retention(anna: Anna) -> None:
    """Lost: an order that was refused for a moment is refused for good after a restart; or its row stays for ever."""
    for ref in (anna.running, ProjectRef(site=BRUNO.did, name="nobody knows it")):
        anna.refused(ref)

    async def check(state: State) -> None:
        assert state.ledger.attempt(access(anna.running, DATA).order) is None
        assert list(state.ledger.traces.projects()) == []
        assert state.ledger.chain([RESEARCHER.did])[RESEARCHER.did].count == 3

    anna.starts(check)
    assert anna.prune() == Pruned(erased=2, kept=0)


def test_what_came_for_a_project_that_is_not_over_is_not_written_down_again(anna: Anna) -> None:
    """Lost: a receipt that is told again makes a second row, which has no counterpart at the owner's."""
    for ref in (anna.running, anna.finished):
        anna.write(came(ref))
    assert anna.prune() == Pruned(erased=1, kept=1)

    async def check(state: State) -> None:
        assert state.ledger.received(Cid.of(anna.running.name.encode()))

    anna.starts(check)


def came(ref: ProjectRef) -> Line:
    """Something that Bruno released for a project."""

    def fields(chain: Chain, _index: int) -> ReleaseFields:
        return ReleaseFields(
            order=Cid.of(ref.name.encode()),
            output="n",
            handle=HANDLE,
            value=DATA,
            added=(),
            policy=1,
            decision=None,
            report="",
            chain=chain,
            side=Side.RECIPIENT,
            site=BRUNO.did,
            project=ref,
        )

    return Line("release", [DATA], fields, (RESEARCHER.did,))


def test_up_to_where_the_catalog_was_noted_is_known(anna: Anna) -> None:
    """Lost: the next start notes every grant, revocation and policy again, as of today."""
    for entry in (2, 3, 4):
        anna.write(noted(entry))
    assert anna.prune() == Pruned(erased=2, kept=1)

    async def check(state: State) -> None:
        assert state.ledger.noted == 4

    anna.starts(check)


def test_pruned_rows_stay_in_their_chains_as_blanks(anna: Anna) -> None:
    """Lost: with the ledger made anew an honest site's answers leave rows out, and each asker calls it a liar."""
    for data in (DATA, OTHER, DATA):
        anna.write(fetched(data))
    anna.prune()
    anna.write(fetched(), at=LATER)
    anna.step(anna.running, OTHER, at=LATER)

    async def check(state: State) -> None:
        ledger = state.ledger
        assert ledger.rows(str(DATA), 0, 99, 99) == [0, 2, 3]
        assert ledger.rows(str(OTHER), 0, 99, 99) == [1, 4, 5]
        assert {name: (link.before, link.count) for name, link in ledger.chain([str(DATA), str(OTHER)]).items()} == {
            str(DATA): (3, 4),
            str(OTHER): (5, 4),
        }
        heads = {head.subject: (head.index, head.count) for head in ledger.heads().heads}
        assert heads[subject_hash(str(DATA))] == (3, 3)

    anna.starts(check)


def test_answers_after_pruning_are_whole_also_from_a_ledger_made_anew(anna: Anna) -> None:
    """The reader's own check: what is gone is counted, and nothing else is missed."""
    for data in (DATA, OTHER, DATA):
        anna.write(fetched(data))
    anna.prune()
    anna.write(fetched(), at=LATER)

    async def check(state: State) -> None:
        judge = Judge(state.index.site(anna.root.did), state.index, "St. Anna", "", Recent())
        desk = AuditDesk(anna.root.did, anna.node.did, state.index, judge, state.audit, state.book, Clock())
        question = who(anna.steward.key, anna.root.key)
        reading = Reading(question, anna.root.did, {anna.root.did: Member(anna.node.did, (anna.node.did,))})
        answers = await pages(desk, question, anna.root.key)
        rows = [row for answer in answers for row in reading.take(encode(answer))]
        assert [(type(row), row.index) for row in rows][:3] == [(Blank, 0), (Blank, 2), (Account, 3)]
        assert reading.done

    anna.starts(check)


def test_a_site_whose_log_has_had_a_second_epoch_is_pruned(anna: Anna) -> None:
    """Lost: whoever was restored once keeps everything for ever."""
    anna.write(fetched())

    async def open_second_epoch() -> None:
        async with anna.audit() as log:
            size, root = log.size, log.root
        reopening = Reopening(
            site=anna.root.did,
            log=LogName.AUDIT,
            number=1,
            size=size,
            root=root,
            node=anna.node.did,
            lost=0,
            reason="restored from a backup",
            sig=UNSIGNED,
        )
        reopen(anna.folder.audit, signed(reopening, anna.root.key), anna.node.key, (), (anna.root.did,))

    trio.run(open_second_epoch)
    anna.write(fetched())
    assert anna.prune() == Pruned(erased=2, kept=0)
    assert anna.standing == {}


def test_it_stops_at_the_first_row_that_is_not_old_enough(anna: Anna, capsys: pytest.CaptureFixture[str]) -> None:
    anna.write(fetched())
    anna.write(fetched(), at=NOW + DAY_MILLIS)
    anna.write(fetched())
    days = 730 * DAY_MILLIS
    assert anna.prune(NOW + days) == Pruned(erased=0, kept=0)
    assert anna.prune(NOW + days + 1) == Pruned(erased=1, kept=0)
    assert run(["audit", "prune", str(anna.folder.path)]) == 0
    assert capsys.readouterr().out == "2 rows erased; the log still verifies\n"
    assert run(["audit", "verify", str(anna.folder.path)]) == 0


def test_a_log_that_a_node_has_open_is_not_pruned(anna: Anna) -> None:
    with held(anna.folder), pytest.raises(Conflict, match="stop it first"):
        anna.prune()
