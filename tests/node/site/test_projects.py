"""The end of a project at a site: steps stop, what was held and brought is gone from disk, a certificate says so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing
from msgspec import structs

from catalog.body import Body, fields_of, read_body, write_body
from catalog.certificate import CertificateFields
from catalog.cid import Cid
from catalog.dagcbor import encode
from catalog.entry import Entry
from catalog.error import ComityError, Denied, NotFound
from catalog.key import PrivateKey
from catalog.mirror import MirrorFields, mirrored
from catalog.project import ProjectFields, ProjectRef
from node.automator.book import AuditBook, Line
from node.automator.hold import Holdings
from node.automator.ledger import Ledger
from node.message import Place
from node.site.orders import Orders
from node.site.projects import AGAIN_SECONDS, SWEEP_SECONDS, Ending, Projects
from node.step import Made, Product, Work
from node.storage.brought import Brought
from node.storage.database import Database
from node.storage.disk import DiskBlobs
from node.storage.journal import SubmissionJournal
from node.storage.memo import Memos
from privacy.decision import Decision
from privacy.label import resident
from tests.node.site.house import ANNA, BRUNO, NODES, NOW, RESEARCHER, House, dataset, house
from tests.node.storage.walk import names
from workflow.account import AccessFields, AccountFields, Chain, DestroyFields, Kept, ResultFields
from workflow.order import Instance
from workflow.receipt import Form, Output, Receipt, Status

LARGE = bytes(range(256)) * 3000
TRIAL, OTHER = (ProjectRef(site=BRUNO.did, name=name) for name in ("trial", "other"))
DATA = Cid.of(b"data of the hospital").keyed(bytes(32))
DECISION = Decision(allowed=True, action="compute", rules=(), reason="", facts={}, policy="1")
HANDLE = f"held:{ANNA.did}/{bytes(16).hex()}"


def project(ref: ProjectRef, **changes: object) -> ProjectFields:
    fields = ProjectFields(
        name=ref.name,
        people={RESEARCHER.did: bytes(32)},
        purpose="DUO:0000006",
        datasets=(),
        not_after=NOW + 1000,
        members=(ANNA.did,),
    )
    return structs.replace(fields, **changes)  # type: ignore[arg-type]


class Crash(BaseException):
    """The machine went off."""


class Automator:
    """Its steps run until they are ended."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.abandoned: list[tuple[Cid, str]] = []
        self.receipts: dict[Cid, Receipt] = {}

    def seconds_left(self, order: object) -> float:
        return 3600.0

    def waits_for(self, order: Cid) -> int:
        return 0

    def standing(self, order: Cid) -> Receipt | None:
        return None

    async def carry(self, message: Place, asker: str) -> Receipt:
        try:
            await trio.sleep_forever()
        finally:
            self.ended.append(asker)
        raise AssertionError

    async def abandon(self, order: Cid, reason: str) -> None:
        self.abandoned.append((order, reason))


class Bruno:
    """Anna's site, at which steps of Bruno's projects ran. ``again`` is the node's next start on the same disk."""

    def __init__(self, there: House, path: Path, database: Database, nursery: trio.Nursery) -> None:
        self.there, self.path, self.database, self.nursery = there, path, database, nursery
        self.failing = ""
        self.start(there.blobs, there.ledger)

    def start(self, blobs: DiskBlobs, ledger: Ledger) -> None:
        there = self.there
        self.blobs, self.ledger = blobs, ledger
        self.holdings = Holdings(blobs.named)
        self.automator = Automator()
        faked: object = self.automator
        self.orders = Orders(faked, self.nursery, self._reach)  # type: ignore[arg-type]
        self.book = AuditBook(ANNA.did, NODES[ANNA.did], there.audit, ledger, there.clock)
        self.brought = Brought(self.database)
        self.memos = Memos(blobs, "3.11")
        ending = Ending(
            there.index,
            self.holdings,
            blobs,
            self.brought,
            self.memos,
            SubmissionJournal(self.database, lambda: None),
            self.book,
            self.write,
            NODES[ANNA.did],
            there.clock,
        )
        self.projects = Projects(ANNA.did, ending, self.orders)

    async def _reach(self, _least: int) -> None:
        """It is reached."""

    async def again(self) -> None:
        """What a start does: the ledger from the log, what it holds from the ledger, and what is over let go."""
        ledger = Ledger()
        for index in range(self.there.audit.size):
            stored = await self.there.audit.body(index)
            assert stored is not None
            ledger.take(index, read_body(stored[1]))
        self.start(DiskBlobs(self.path / "blobs"), ledger)
        for attempt in ledger.ended():
            for kept in attempt.result.kept.values() if attempt.result else ():
                self.holdings.hold(kept.cid, kept.label, [DATA], attempt.access.project)
        self.projects.close()

    async def write(self, body: Body) -> Entry:
        """An entry in Anna's catalog."""
        self.maybe_crash("certificate")
        index = self.there.index.site(ANNA.did)
        added = index.add(index.size, body.kind, read_body(encode(body)))
        assert added is not None, index.faults
        return added

    def maybe_crash(self, where: str) -> None:
        if self.failing == where:
            self.failing = ""
            raise Crash

    async def step(self, ref: ProjectRef, output: bytes, *, brought: bytes = b"") -> Cid:
        """A step of a project that ran here; what it made."""
        made = await self.blobs.add(output)
        copy = await self.blobs.add(brought) if brought else None
        if copy is not None:
            await self.brought.keep(BRUNO.did, copy)
        order, label = Cid.of(output + ref.name.encode()), resident(ANNA.did)
        instance = Instance(submission=order, step="count", shard=0)

        def access(chain: Chain, _index: int) -> AccountFields:
            return AccessFields(
                order=order,
                instance=instance,
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
                chain=chain,
                copies=() if copy is None else (copy,),
            )

        def result(chain: Chain, index: int) -> AccountFields:
            shown = Output(handle=HANDLE, type="statistics", name="", cid=None, size=None, release=None, reason="")
            return ResultFields(
                order=order,
                instance=instance,
                intent=index - 1,
                status=Status.HELD,
                kept={"n": Kept(output=shown, form=Form.FILE, cid=made, size=len(output), label=label, name="n")},
                spent=None,
                cost=0,
                reason="",
                detail="",
                chain=chain,
            )

        await self.book.write([Line("intent", [DATA], access), Line("result", [DATA], result)])
        self.holdings.hold(made, label, [DATA], ref)
        if copy is not None:
            self.blobs.named(copy)
        return made

    def publish(self, ref: ProjectRef, **changes: object) -> None:
        """A version of one of Bruno's projects."""
        index = self.there.index.site(BRUNO.did)
        latest = index.latest("project", ref.name)
        body = _body("project", project(ref, **changes), latest.index if latest else None)
        assert index.add(index.size, "project", body) is not None, index.faults

    def certificate(self, ref: ProjectRef = TRIAL) -> CertificateFields | None:
        return self.there.index.site(ANNA.did).typed(CertificateFields, "certificate", ref.subject)

    async def destroyed(self) -> list[DestroyFields]:
        bodies = await self.there.audited()
        return [fields_of(body, DestroyFields) for body in bodies if body.kind == "destroy"]

    def files(self) -> list[str]:
        return sorted(path.name for path in (self.path / "blobs" / "nodes").rglob("*") if path.is_file())


def _body(kind: str, fields: ProjectFields, previous: int | None) -> Body:
    from tests.node.site.house import STEWARDS

    return write_body(kind, fields, site=BRUNO.did, at=NOW, by=STEWARDS[BRUNO.did], previous=previous)


@asynccontextmanager
async def bruno(path: Path) -> AsyncIterator[Bruno]:
    async with house(path) as there, trio.open_nursery() as nursery:
        index = there.index.site(ANNA.did)
        database = Database.open(path / "state.db")
        try:
            there.entry(ANNA, "key", _node(NODES[ANNA.did]), ANNA)
            assert index.node() == NODES[ANNA.did].did
            made = Bruno(there, path, database, nursery)
            made.publish(TRIAL)
            made.publish(OTHER)
            yield made
            nursery.cancel_scope.cancel()
        finally:
            database.close()


def _node(key: PrivateKey):  # type: ignore[no-untyped-def]
    from catalog.member import Role
    from tests.node.site.house import enrolment

    return enrolment(key, Role.NODE)


def play(path: Path, story: Callable[[Bruno], Awaitable[None]]) -> None:
    async def main() -> None:
        async with bruno(path) as made:
            await story(made)

    trio.run(main)


def test_when_a_project_ends_what_it_left_is_gone_and_what_others_need_stays(tmp_path: Path) -> None:
    """Lost: a permit ends and the hospital goes on holding what was made under it; or other work is destroyed."""

    async def story(site: Bruno) -> None:
        gone = await site.step(TRIAL, LARGE + b"trial", brought=b"a copy of Bruno's")
        both = await site.step(TRIAL, b"the same number")
        assert await site.step(OTHER, b"the same number") == both
        stays = await site.step(OTHER, LARGE + b"other", brought=b"another copy")
        published = await site.blobs.add(b"a block that everybody shares")
        site.holdings.publish(_entry(published))
        await site.projects.settle()
        assert site.certificate() is None
        site.publish(TRIAL, ended=True)
        await site.projects.settle()
        kept = [both, stays, published, Cid.of(b"another copy")]
        assert set(site.files()) == {str(cid) for root in kept for cid in await names(site.blobs, root)}
        with pytest.raises(NotFound):
            site.holdings.for_site(gone, ANNA.did)
        assert site.holdings.for_site(stays, ANNA.did)
        assert site.holdings.for_site(both, ANNA.did)
        certificate = site.certificate()
        assert certificate is not None
        assert (certificate.values, certificate.terms) == (3, project(TRIAL).terms)
        assert certificate.bytes > len(b"trial")
        assert certificate.not_covered
        assert site.certificate(OTHER) is None
        [row] = await site.destroyed()
        assert (row.project, row.values, row.bytes) == (TRIAL, 3, certificate.bytes)
        assert str(DATA) in row.chain
        assert not await site.brought.had_from(BRUNO.did, Cid.of(b"a copy of Bruno's"))
        assert await site.brought.had_from(BRUNO.did, Cid.of(b"another copy"))

    play(tmp_path, story)


def test_with_a_project_goes_the_key_that_sealed_what_it_made(tmp_path: Path) -> None:
    """Lost: a certificate of destruction, and a key by which what is left on the disk can be read."""

    async def story(site: Bruno) -> None:
        made = tmp_path / "made.csv"
        made.write_bytes(LARGE)
        gone, stays = [await site.blobs.hold_path(made, ref) for ref in (TRIAL, OTHER)]
        assert gone == stays
        await site.step(TRIAL, LARGE)
        site.holdings.hold(stays, resident(ANNA.did), [DATA], OTHER)
        keys = tmp_path / "blobs" / "keys"
        before = {path.name: path.read_bytes() for path in keys.iterdir()}
        site.publish(TRIAL, ended=True)
        await site.projects.settle()
        assert site.certificate() is not None
        [left] = keys.iterdir()
        assert left.read_bytes() == before.pop(left.name)
        assert await site.blobs.missing(stays) == []
        [row] = await site.destroyed()
        assert row.bytes > 1 << 18

    play(tmp_path, story)


def test_what_a_memo_names_stays_until_the_project_ends_though_nothing_else_names_it(tmp_path: Path) -> None:
    """Lost: of a table that was written anew before it left, a hospital computes the same again ten minutes later."""

    async def story(site: Bruno) -> None:
        raw, litter = await site.blobs.hold(b"every row", TRIAL), await site.blobs.hold(b"of a failed step", TRIAL)
        made = Made(Cid.of(b"order"), {"table": Product("table.json", raw, 9, Form.FILE)})
        await site.memos.keep(TRIAL, Work(DATA, {}), made)
        site.blobs._fresh._added.clear()
        site.projects.litter()
        await site.projects.settle()
        assert await site.blobs.missing(litter) == [litter]
        assert await site.memos.recall(TRIAL, Work(DATA, {})) == made
        site.publish(TRIAL, ended=True)
        site.blobs._fresh._added.clear()
        await site.projects.settle()
        assert site.certificate() is not None
        assert await site.blobs.missing(raw) == [raw]

    play(tmp_path, story)


@pytest.mark.parametrize("row", ["none", "another", "of another project"])
def test_what_a_backup_brings_back_is_destroyed_again_although_its_certificate_came_back_too(
    tmp_path: Path, row: str
) -> None:
    """Lost: after a restore a value lies there for good that a certificate says was destroyed."""

    async def story(site: Bruno) -> None:
        await site.step(TRIAL, b"held")
        place = site.there.audit.size
        if row == "none":
            place += 5
        elif row == "another":
            place -= 1
        else:

            def account(chain: Chain, _index: int) -> AccountFields:
                return DestroyFields(project=OTHER, values=1, nodes=1, bytes=1, chain=chain)

            await site.book.write([Line("destroy", [], account)])
        site.publish(TRIAL, ended=True)
        lost = CertificateFields(
            project=TRIAL, terms=project(TRIAL).terms, values=1, nodes=1, bytes=4, not_covered=(), audit=place
        )
        await site.write(write_body("certificate", lost, site=ANNA.did, at=NOW, by=NODES[ANNA.did]))
        await site.projects.settle()
        assert site.files() != []  # as far as the catalog says, all is done
        await site.projects._doubt()
        await site.projects.settle()
        assert site.files() == []
        found = site.certificate()
        assert found is not None
        assert found.audit != place
        assert await site.projects._was_destroyed(found)
        assert site.projects.close() == []

    play(tmp_path, story)


def _entry(cid: Cid) -> Entry:
    from tests.node.site.house import STEWARDS

    fields = dataset(cid)
    body = write_body("dataset", fields, site=ANNA.did, at=NOW, by=STEWARDS[ANNA.did])
    return Entry(ANNA.did, 9, body, fields, str(cid))


def test_a_running_step_is_ended_and_asked_for_again_it_is_refused(tmp_path: Path) -> None:
    """Lost: a step that began before the end delivers after it."""

    async def story(site: Bruno) -> None:
        submission: object = structs.replace(_submission(), project=TRIAL)
        other: object = structs.replace(_submission(), project=OTHER)
        failures: list[ComityError] = []

        async def ask(number: int, value: object) -> None:
            order: object = {"number": number}
            message = Place(order=order, submission=value, workflow="", proofs=(), seconds=60)  # type: ignore[arg-type]
            try:
                await site.orders.place(message, f"order {number}")
            except ComityError as error:
                failures.append(error)

        site.nursery.start_soon(ask, 1, submission)
        site.nursery.start_soon(ask, 2, other)
        await trio.testing.wait_all_tasks_blocked()
        site.publish(TRIAL, ended=True)
        await site.projects.counted(BRUNO.did, [site.there.index.site(BRUNO.did).latest("project", "trial")])  # type: ignore[list-item]
        await trio.testing.wait_all_tasks_blocked()
        assert site.automator.ended == ["order 1"]
        assert [reason for _, reason in site.automator.abandoned] == ["the project «trial» has ended"]
        [failure] = failures
        assert isinstance(failure, Denied)
        assert "has ended" in str(failure)

    play(tmp_path, story)


def _submission():  # type: ignore[no-untyped-def]
    from catalog.key import UNSIGNED
    from workflow.submission import Submission

    return Submission(
        consortium=DATA,
        epoch=0,
        person=RESEARCHER.did,
        site=BRUNO.did,
        project=TRIAL,
        workflow=DATA,
        inputs={},
        grants=(),
        destinations=(),
        deadline=0,
        budget=0,
        min_sites=1,
        not_before=0,
        not_after=0,
        buses=(),
        nonce=bytes(16),
        sig=UNSIGNED,
    )


def test_the_end_by_date_needs_nobody(tmp_path: Path) -> None:
    """Lost: a permit that runs out stands until somebody remembers it."""

    async def story(site: Bruno) -> None:
        made = await site.step(TRIAL, LARGE)
        site.there.clock.time = NOW + 1000
        assert 0 < await site.projects.settle() <= 1
        assert site.holdings.for_site(made, ANNA.did)
        site.there.clock.time += 1
        await site.projects.settle()
        assert site.files() == []
        assert site.certificate() is not None
        assert site.certificate(OTHER) is not None  # Anna was asked to take part in it: she says that she has nothing

    play(tmp_path, story)


def test_the_watch_wakes_by_itself_when_the_time_is_over(tmp_path: Path) -> None:
    """Lost: nothing is destroyed before the next entry arrives."""

    async def story(site: Bruno) -> None:
        await site.step(TRIAL, LARGE)
        certified = trio.Event()
        write = site.projects._ending.write

        async def told(body: Body) -> Entry:
            entry = await write(body)
            certified.set()
            return entry

        site.there.clock.time = NOW + 999
        site.projects._ending = _replaced(site.projects._ending, told)
        ask = site.there.clock.now

        def running() -> int:
            now = ask()
            site.there.clock.time += 1  # time passes
            return now

        site.there.clock.now = running  # type: ignore[method-assign]
        site.nursery.start_soon(site.projects.run)
        with trio.fail_after(20):
            await certified.wait()

    play(tmp_path, story)


def _replaced(ending: Ending, write: Callable[[Body], Awaitable[Entry]]) -> Ending:
    from dataclasses import replace

    return replace(ending, write=write)


CRASHES = ["drop", "half of the files", "brought", "destroy", "certificate"]


@pytest.mark.parametrize("where", CRASHES)
def test_cut_off_anywhere_the_next_start_finishes(tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: after a crash data lie on disk that a certificate calls destroyed, or that nobody destroys any more."""

    async def story(site: Bruno) -> None:
        await site.step(TRIAL, LARGE, brought=LARGE[:-1])
        stays = await site.step(OTHER, b"stays")
        site.publish(TRIAL, ended=True)
        site.failing = where
        _cut_off(site, where, monkeypatch)
        with pytest.raises(Crash):
            await site.projects.settle()
        monkeypatch.undo()
        assert site.certificate() is None
        await site.again()
        await site.projects.settle()
        assert site.files() == [str(stays)]
        certificate = site.certificate()
        assert certificate is not None
        assert certificate.values == 2
        rows = await site.destroyed()
        assert rows
        assert all(row.values == 2 for row in rows)
        await site.again()
        await site.projects.settle()
        assert len(await site.destroyed()) == len(rows)

    play(tmp_path, story)


def _cut_off(site: Bruno, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    unlink, count = Path.unlink, []

    def cut(path: Path) -> None:
        count.append(path)
        if len(count) > (0 if where == "drop" else 2):
            raise Crash
        unlink(path)

    async def crash(*_: object) -> None:
        raise Crash

    if where in ("drop", "half of the files"):
        monkeypatch.setattr(Path, "unlink", cut)
    elif where == "brought":
        monkeypatch.setattr(site.brought, "forget", crash)
    elif where == "destroy":
        monkeypatch.setattr(site.book, "write", crash)


def test_a_site_that_had_no_part_in_a_project_certifies_nothing(tmp_path: Path) -> None:
    """Lost: the register is full of certificates that say nothing."""

    async def story(site: Bruno) -> None:
        site.publish(TRIAL, ended=True, members=())
        await site.projects.settle()
        assert site.certificate() is None

    play(tmp_path, story)


def test_what_a_step_left_unnamed_before_the_end_delays_the_certificate(tmp_path: Path) -> None:
    """Lost: the output of a step that failed lies on disk while a certificate says that all is destroyed."""

    async def story(site: Bruno) -> None:
        await site.step(TRIAL, b"held")
        litter = await site.blobs.add(b"an output of a step that then failed")
        site.publish(TRIAL, ended=True)
        await site.projects.settle()
        assert site.files() == [str(litter)]
        assert site.certificate() is None
        assert "no name yet" in site.projects.pending[TRIAL]
        site.blobs.named(litter)
        await site.projects.settle()
        assert site.files() == []
        assert site.certificate() is not None

    play(tmp_path, story)


def test_what_nothing_names_any_more_is_swept_soon_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: bytes of what was withdrawn and erased everywhere lie on this disk for good."""

    async def story(site: Bruno) -> None:
        gone, stays = await site.blobs.add(LARGE), await site.blobs.add(b"stays")
        for cid in (gone, stays):
            site.holdings.publish(_entry(cid))
        for ref in (TRIAL, OTHER):
            site.publish(ref, not_after=NOW * 2)  # no project ends soon
        both = {str(cid) for root in (gone, stays) for cid in await names(site.blobs, root)}
        site.holdings.withdraw(gone)
        await site.projects.settle()
        assert set(site.files()) == both, "nobody has said that there is something to sweep"

        def refuse(_path: Path) -> None:
            raise OSError(30, "Read-only file system")

        site.projects.litter()
        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", refuse)
            assert await site.projects.settle() == AGAIN_SECONDS
        await site.projects.settle()
        assert site.files() == [str(stays)]

        async def again(*_: object) -> None:
            raise Crash

        monkeypatch.setattr(DiskBlobs, "drop", again)
        await site.projects.settle()  # and once is enough

    play(tmp_path, story)


@pytest.mark.parametrize("what", ["withdrawn", "mirrored no more"])
def test_what_gives_room_is_swept_within_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Lost: a full site stays full after its steward withdrew data, or ended a mirror, as the refusal says to do."""

    async def story(site: Bruno) -> None:
        gone = await site.blobs.add(b"gone")
        for ref in (TRIAL, OTHER):
            site.publish(ref, not_after=NOW * 2)  # no project ends soon
        owner = ANNA if what == "withdrawn" else BRUNO
        data = dataset(gone)
        site.there.entry(owner, "dataset", data)
        site.blobs.named(gone)
        index = site.there.index.site(ANNA.did)
        if owner is BRUNO:
            site.there.entry(ANNA, "mirror", MirrorFields(cid=gone, owner=BRUNO.did))
        monkeypatch.setattr("node.site.projects.SWEEP_SECONDS", 0.0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(site.projects.run)
            with trio.fail_after(20):
                while site.projects._due is not None or not site.projects._swept > 0:  # noqa: ASYNC110 - of the start
                    await trio.sleep(0.01)
            assert site.files() == [str(gone)]
            if owner is BRUNO:
                site.there.entry(ANNA, "mirror", MirrorFields(cid=gone, owner=BRUNO.did, withdrawn=True))
            else:
                site.there.entry(ANNA, "dataset", structs.replace(data, withdrawn=True))
            said = index.latest(*(("mirror", mirrored(BRUNO.did, gone)) if owner is BRUNO else ("dataset", str(gone))))
            assert said is not None
            await site.projects.counted(ANNA.did, [said])
            with trio.fail_after(20):
                while site.files():  # noqa: ASYNC110 - what is waited for is on the disk
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()

    play(tmp_path, story)


def test_sweeps_of_what_gives_room_are_a_minute_apart(tmp_path: Path) -> None:
    """Lost: a member that withdraws and publishes all day long keeps this site's disk busy."""

    async def story(site: Bruno) -> None:
        for ref in (TRIAL, OTHER):
            site.publish(ref, not_after=NOW * 2)
        await site.projects._tidy()
        swept = site.projects._swept
        site.there.entry(BRUNO, "dataset", dataset(Cid.of(b"theirs"), withdrawn=True))
        said = site.there.index.site(BRUNO.did).latest("dataset", str(Cid.of(b"theirs")))
        assert said is not None
        await site.projects.counted(BRUNO.did, [said])
        assert site.projects._due == swept + SWEEP_SECONDS
        assert await site.projects.settle() <= SWEEP_SECONDS
        assert site.projects._swept == swept

    play(tmp_path, story)


def test_whoever_withdraws_wakes_what_sweeps(tmp_path: Path) -> None:
    """Lost: the store is swept when the next project ends, which may be never."""

    async def story(site: Bruno) -> None:
        gone = await site.blobs.add(b"gone")
        site.holdings.publish(_entry(gone))
        for ref in (TRIAL, OTHER):
            site.publish(ref, not_after=NOW * 2)  # no project ends soon
        site.nursery.start_soon(site.projects.run)
        await trio.testing.wait_all_tasks_blocked()
        site.holdings.withdraw(gone)
        site.projects.litter()
        with trio.fail_after(20):
            while site.files():  # noqa: ASYNC110 - what is waited for is on the disk
                await trio.sleep(0.01)

    play(tmp_path, story)


def test_a_project_that_goes_on_under_new_terms_is_certified_anew_at_its_next_end(tmp_path: Path) -> None:
    """Lost: an old certificate stands for a project that ran on after it."""

    async def story(site: Bruno) -> None:
        site.there.clock.time = NOW + 1001
        await site.projects.settle()
        first = site.certificate()
        site.publish(TRIAL, not_after=NOW + 5000)
        made = await site.step(TRIAL, b"made later")
        await site.projects.settle()
        assert site.files() == [str(made)]
        site.publish(TRIAL, not_after=NOW + 5000, ended=True)
        await site.projects.settle()
        second = site.certificate()
        assert site.files() == []
        assert first is not None
        assert second is not None
        assert (second.values, second.terms != first.terms) == (1, True)

    play(tmp_path, story)


def test_a_disk_that_refuses_leaves_no_certificate_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: a certificate for what could not be removed."""

    async def story(site: Bruno) -> None:
        await site.step(TRIAL, LARGE)
        site.publish(TRIAL, ended=True)

        def refuse(_path: Path) -> None:
            raise OSError(30, "Read-only file system")

        monkeypatch.setattr(Path, "unlink", refuse)
        assert await site.projects.settle() < 60
        assert "Read-only" in site.projects.pending[TRIAL]
        assert site.certificate() is None
        monkeypatch.undo()
        await site.projects.settle()
        assert site.files() == []
        assert site.certificate() is not None

    play(tmp_path, story)
