"""Erasure: what a site took back is in no file of any member any more, and every log goes on verifying."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import trio
from msgspec import structs

from catalog import tiles
from catalog.body import Body, fields_of, read_body, write_body
from catalog.cid import Cid
from catalog.dagcbor import Value, cid_of, encode
from catalog.dataset import Level
from catalog.entry import KINDS
from catalog.grant import Action, Grant, GrantFields
from catalog.index import Index, SiteIndex
from catalog.key import UNSIGNED, PrivateKey, signed
from catalog.member import KeyFields, Role
from catalog.origin import LogName, origin_of
from catalog.project import ProjectFields, ProjectRef
from catalog.revoke import RevokeFields, subject_of
from catalog.withdraw import WithdrawFields
from node.automator.book import AuditBook
from node.automator.hold import Holdings
from node.automator.ledger import Ledger
from node.bus.journal import State
from node.replicate.indexing import Feeding, index_anew, index_log
from node.site.erasure import SETTLED_MILLIS, Erasure
from node.site.finding import Finding
from node.storage.database import Database
from node.storage.datakeys import DataKeys
from node.storage.fsck import check_folder
from node.storage.journal import SubmissionJournal
from node.storage.log import DiskLog
from node.storage.replica import ReplicaLog
from node.storage.resident import Residents
from node.storage.search import SearchStore
from node.system import SystemRandom
from tests.node.site.house import ANNA, BRUNO, NODES, NOW, RESEARCHER, STEWARDS, Clock, dataset, enrolment
from workflow.account import EraseFields
from workflow.submission import Submission

STEWARD = STEWARDS[ANNA.did]
NAME = "A dataset of a very particular name"
PERSON = "Dr. Mara Researcher of a rare name"


class Member:
    """A site on disk: its audit log, its state, its search, and one catalog, its own or a replica of Anna's."""

    def __init__(self, root: PrivateKey, folder: Path, catalog: DiskLog | ReplicaLog, audit: DiskLog) -> None:
        self.root, self.folder, self.catalog, self.audit = root, folder, catalog, audit
        self.clock = Clock()
        self.index = Index(NODES)
        self.holdings = Holdings()
        self.database = Database.open(folder / "state.db")
        self.residents = Residents(self.database)
        self.journal = SubmissionJournal(self.database, lambda: None)
        self.book = AuditBook(root.did, NODES[root.did], audit, Ledger(), self.clock)
        store, _ = SearchStore.open(folder / "search.db")
        self.finding = Finding(self.index, store, lambda _: None)
        self.swept = 0
        self.erasure = Erasure(
            root.did,
            self.index,
            lambda: {ANNA.did: self.catalog},
            self.holdings,
            self.residents,
            DataKeys(self.database),
            self.journal,
            self.book,
            self.clock,
            self.litter,
            self.finding.expunge,
        )

    def litter(self) -> None:
        self.swept += 1

    async def follow(self, source: DiskLog) -> None:
        """Bring the replica up to the source, bodies included, and the index up to the log."""
        if isinstance(self.catalog, ReplicaLog):
            new: list[bytes] = []
            for bundle in tiles.bundles(self.catalog.size, source.size):
                path = await source.tile(bundle.path)
                assert path is not None
                new += tiles.decode_bundle(path, bundle.width)[max(self.catalog.size - bundle.start, 0) :]
            await self.catalog.extend(source.note, new)
            bodies = [(index, await source.body(index)) for index in range(source.size)]
            await self.catalog.put_bodies([(index, *stored) for index, stored in bodies if stored is not None])
        await index_log(self.catalog, self.index.site(ANNA.did), Feeding(told=self.finding))

    async def close(self) -> None:
        await self.finding.aclose()
        self.database.close()
        await self.catalog.aclose()
        await self.audit.aclose()

    def files(self) -> Iterator[tuple[Path, bytes]]:
        """Every file but the audit log's, whose rows are kept as long as the law asks."""
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and "audit" not in path.relative_to(self.folder).parts:
                yield path, path.read_bytes()

    def holding(self, text: bytes) -> list[str]:
        return [str(path.relative_to(self.folder)) for path, data in self.files() if text in data]


class Consortium:
    """Anna's site, and Bruno's with its replica of hers."""

    def __init__(self, anna: Member, bruno: Member) -> None:
        self.anna, self.bruno = anna, bruno

    @property
    def log(self) -> DiskLog:
        assert isinstance(self.anna.catalog, DiskLog)
        return self.anna.catalog

    async def write(self, kind: str, fields: Value, by: PrivateKey = STEWARD) -> int:
        """An entry of Anna's, which both sites have."""
        index = self.anna.index.site(ANNA.did)
        latest = index.latest(kind, KINDS[kind].subject(fields))
        body = write_body(
            kind, fields, site=ANNA.did, at=NOW, by=by, previous=latest.index if latest is not None else None
        )
        place = await self.log.append([(kind, encode(body))])
        for member in (self.anna, self.bruno):
            await member.follow(self.log)
        return place

    async def settle(self) -> None:
        for member in (self.anna, self.bruno):
            await member.erasure.settle()

    def check(self, erased: int) -> None:
        """Both folders verify, without the ``erased`` bodies."""
        for member in (self.anna, self.bruno):
            key = NODES[ANNA.did].did
            report = check_folder(member.catalog.folder, member.catalog.origin, key)
            assert (report.faults, report.erased, report.leaves) == ((), erased, self.log.size)


async def _member(root: PrivateKey, folder: Path) -> Member:
    audit = await DiskLog.create(
        folder / "audit", origin_of(root.did, LogName.AUDIT), 0, NODES[root.did], SystemRandom()
    )
    origin = origin_of(ANNA.did, LogName.CATALOG)
    catalog: DiskLog | ReplicaLog
    if root is ANNA:
        catalog = await DiskLog.create(folder / "catalog", origin, 0, NODES[ANNA.did], SystemRandom())
    else:
        catalog = await ReplicaLog.open(folder / "replicas" / "anna", origin, NODES[ANNA.did].did)
    return Member(root, folder, catalog, audit)


def play(path: Path, story: Callable[[Consortium], Awaitable[None]]) -> None:
    async def main() -> None:
        made = Consortium(await _member(ANNA, path / "anna"), await _member(BRUNO, path / "bruno"))
        try:
            await made.write("key", enrolment(NODES[ANNA.did], Role.NODE), ANNA)
            await made.write("key", enrolment(STEWARD, Role.STEWARD), ANNA)
            await story(made)
        finally:
            await made.anna.close()
            await made.bruno.close()

    trio.run(main)


def researcher() -> KeyFields:
    return structs.replace(enrolment(RESEARCHER, Role.RESEARCHER), name=PERSON)


def submission() -> Submission:
    return signed(
        Submission(
            consortium=Cid.of(b""),
            epoch=0,
            person=RESEARCHER.did,
            site=ANNA.did,
            project=_ref(),
            workflow=Cid.of(b""),
            inputs={},
            grants=(),
            destinations=(ANNA.did,),
            deadline=0,
            budget=0,
            min_sites=1,
            not_before=0,
            not_after=0,
            buses=(NODES[ANNA.did].did,),
            nonce=bytes(16),
            sig=UNSIGNED,
        ),
        RESEARCHER,
    )


def _ref() -> ProjectRef:
    return ProjectRef(site=ANNA.did, name="trial")


def passed_on(issuer: PrivateKey, subject: PrivateKey) -> Grant:
    grant = Grant(
        consortium=Cid.of(b""),
        issuer=issuer.did,
        site=BRUNO.did,
        subject=subject.did,
        project=_ref(),
        claims=(),
        datasets=(Cid.of(b"data"),),
        purposes=("DUO:0000006",),
        actions=(Action.COMPUTE,),
        blocks=(),
        destinations=(),
        not_after=NOW,
        parent=Cid.of(b"Bruno's own"),
        sig=UNSIGNED,
    )
    return signed(grant, issuer)


def test_after_a_researcher_is_erased_the_key_is_in_no_file_of_any_member(tmp_path: Path) -> None:
    """Lost: a person who asks to be forgotten stands in every member's files for good."""

    async def story(there: Consortium) -> None:
        key = RESEARCHER.did.encode()
        first = await there.write("key", researcher())
        old = ProjectFields(
            name="trial",
            people={RESEARCHER.did: bytes(32), STEWARD.did: bytes(32)},
            purpose="DUO:0000006",
            datasets=(),
            not_after=NOW,
        )
        project = await there.write("project", old)
        await there.write("project", structs.replace(old, people={STEWARD.did: bytes(32)}))
        journal = there.anna.journal
        cid = cid_of(submission())
        await journal.begin(submission(), "a workflow", NOW)
        await journal.end(cid, State.DONE, "", NOW - SETTLED_MILLIS - 1)
        assert all(len(each.holding(key)) > 0 for each in (there.anna, there.bruno))
        assert await there.log.mentioning(key) == [first, project]
        await there.write("withdraw", WithdrawFields(places=(first, project)))
        await there.settle()
        for member in (there.anna, there.bruno):
            for text in (key, PERSON.encode()):
                assert member.holding(text) == []
            assert member.index.site(ANNA.did).key(RESEARCHER.did) is None
        assert await journal.records() == []
        assert all(member.swept for member in (there.anna, there.bruno))
        there.check(2)
        assert (await there.bruno.catalog.read(first, first + 1))[0][1] is None
        anew = SiteIndex(ANNA.did)
        await index_log(there.bruno.catalog, anew)
        old_index = there.anna.index.site(ANNA.did)
        assert [each.index for each in anew.entries("project")] == [each.index for each in old_index.entries("project")]

    play(tmp_path, story)


def test_after_an_erasure_what_a_person_revoked_before_is_still_revoked_and_no_fault(tmp_path: Path) -> None:
    """Lost: one erased person makes every member's check of the log fail, and a start counts it otherwise."""

    async def story(there: Consortium) -> None:
        mara, nils = PrivateKey(b"\x21" * 32), RESEARCHER
        await there.write("key", enrolment(mara, Role.RESEARCHER))
        place = await there.write("key", enrolment(nils, Role.RESEARCHER))
        grant = passed_on(mara, nils)
        given = await there.write("grant", GrantFields(grant=grant), mara)
        await there.write("revoke", RevokeFields(grant=cid_of(grant), reason="", issuer=mara.did), mara)
        await there.write("withdraw", WithdrawFields(places=(place, given)))
        await there.settle()
        there.check(2)
        for member in (there.anna, there.bruno):
            assert member.holding(nils.did.encode()) == []
            before, after = member.index.site(ANNA.did), SiteIndex(ANNA.did)
            await index_log(member.catalog, after)
            assert not before.faults
            assert not after.faults
            for kind in ("key", "grant", "revoke", "withdraw"):
                assert list(after.entries(kind)) == list(before.entries(kind))
            assert after.typed(RevokeFields, "revoke", subject_of(cid_of(grant), mara.did))
        # Who revoked may be erased later: nothing is left for the revocation to end.
        await there.write("withdraw", WithdrawFields(places=tuple(await there.log.mentioning(mara.did.encode()))))
        await there.settle()
        there.check(4)
        assert there.anna.holding(mara.did.encode()) == []

    play(tmp_path, story)


def test_a_dataset_that_is_erased_is_found_by_no_name_and_its_key_and_path_are_gone(tmp_path: Path) -> None:
    """Lost: a withdrawn dataset is still named at the members, and a guess at its bytes can still be confirmed."""

    async def story(there: Consortium) -> None:
        path = tmp_path / "the place of a particular table"
        resident = await there.anna.residents.add(Cid.of(b"patients"), bytes(range(32)), path)
        fields = structs.replace(dataset(resident.cid, ANNA.did, name=NAME), level=Level.RESIDENT)
        first = await there.write("dataset", fields)
        second = await there.write("dataset", structs.replace(fields, description="better described"))
        for text in (NAME.encode(), str(path).encode(), bytes(range(32))):
            assert there.anna.holding(text)
        assert there.bruno.holding(NAME.encode())
        await there.write("withdraw", WithdrawFields(places=(first, second)))
        await there.settle()
        for member in (there.anna, there.bruno):
            for text in (NAME.encode(), str(path).encode(), bytes(range(32))):
                assert member.holding(text) == []
            assert member.index.site(ANNA.did).latest("dataset", str(resident.cid)) is None
            assert member.swept
        assert await there.anna.residents.find(resident.cid) is None
        there.check(2)

    play(tmp_path, story)


def test_what_was_erased_is_written_down_first_and_once(tmp_path: Path) -> None:
    """Lost: nobody can say that, and when, bodies were erased here."""

    async def story(there: Consortium) -> None:
        place = await there.write("key", researcher())
        withdraw = await there.write("withdraw", WithdrawFields(places=(place,)))
        for _ in range(3):
            await there.settle()
        for member in (there.anna, there.bruno):
            stored = [await member.audit.body(index) for index in range(member.audit.size)]
            rows = [fields_of(read_body(each[1]), EraseFields) for each in stored if each is not None]
            assert [(row.site, row.withdraw, row.places) for row in rows] == [(ANNA.did, withdraw, 1)]

    play(tmp_path, story)


@pytest.mark.parametrize("where", ["search", "log"])
def test_cut_off_in_the_middle_it_is_done_at_the_next_start(tmp_path: Path, where: str) -> None:
    """Lost: a crash leaves a body that everybody else has erased."""

    class Crash(BaseException):
        pass

    async def story(there: Consortium) -> None:
        place = await there.write("key", researcher())
        await there.write("withdraw", WithdrawFields(places=(place,)))
        member = there.bruno

        async def crash(*_: object) -> None:
            raise Crash

        erase = member.catalog.erase
        if where == "log":
            member.catalog.erase = crash  # type: ignore[method-assign]
        else:
            member.erasure._expunge = crash
        with pytest.raises(Crash):
            await member.erasure.settle()
        member.catalog.erase = erase  # type: ignore[method-assign]
        member.erasure._expunge = member.finding.expunge
        assert member.holding(PERSON.encode())
        await member.erasure.settle()
        assert member.holding(PERSON.encode()) == []

    play(tmp_path, story)


def test_a_withdrawal_that_does_not_count_erases_nothing(tmp_path: Path) -> None:
    """Lost: whoever can get a line into a log erases what a steward wrote there."""

    async def story(there: Consortium) -> None:
        place = await there.write("key", researcher())
        later = there.log.size + 3
        for fields, by in (
            (WithdrawFields(places=(place,)), RESEARCHER),
            (WithdrawFields(places=(place,)), NODES[ANNA.did]),
            (WithdrawFields(places=(place, later)), STEWARD),
            (WithdrawFields(places=(0,)), STEWARD),
        ):
            await there.write("withdraw", fields, by)
        bruno = write_body("withdraw", WithdrawFields(places=(place,)), site=BRUNO.did, at=NOW, by=STEWARD)
        await there.log.append([("withdraw", encode(bruno))])
        for member in (there.anna, there.bruno):
            await member.follow(there.log)
        await there.settle()
        for member in (there.anna, there.bruno):
            assert member.holding(PERSON.encode())
            assert member.index.site(ANNA.did).key(RESEARCHER.did) is not None
            assert await member.catalog.body(place) is not None

    play(tmp_path, story)


def test_submissions_of_a_person_who_is_still_enrolled_or_still_running_stay(tmp_path: Path) -> None:
    """Lost: a researcher's own work vanishes, or a running submission loses the ground under it."""

    async def story(there: Consortium) -> None:
        place = await there.write("key", researcher())
        journal, cid = there.anna.journal, cid_of(submission())
        await journal.begin(submission(), "a workflow", NOW)
        await journal.end(cid, State.DONE, "", 1)
        assert await there.anna.erasure.settle() == 0
        assert len(await journal.records()) == 1
        await journal.end(cid, State.RUNNING, "", 0)
        await there.write("withdraw", WithdrawFields(places=(place,)))
        assert await there.anna.erasure.settle() == 1
        assert len(await journal.records()) == 1
        await journal.end(cid, State.DENIED, "", there.anna.clock.time)
        there.anna.clock.time += SETTLED_MILLIS + 1
        swept = there.anna.swept
        assert await there.anna.erasure.settle() == 0
        assert await journal.records() == []
        assert there.anna.swept == swept + 1, "what was released in it is held for nobody any more"

    play(tmp_path, story)


def test_an_erasure_waits_while_a_body_that_all_may_see_is_held_back(tmp_path: Path) -> None:
    """Lost: an owner brings a removed key back at late members: it holds the enrolment back until they erased that."""

    async def story(there: Consortium) -> None:
        old, new = researcher(), structs.replace(researcher(), removed=True)
        first = await there.log.append([("key", encode(_body(old, None)))])
        second = await there.log.append([("key", encode(_body(new, first)))])
        fields = WithdrawFields(places=(second,))
        await there.log.append(
            [("withdraw", encode(write_body("withdraw", fields, site=ANNA.did, at=NOW, by=STEWARD)))]
        )
        await there.anna.follow(there.log)
        assert there.anna.index.site(ANNA.did).key(RESEARCHER.did) is None
        replica, index = there.bruno.catalog, there.bruno.index
        assert isinstance(replica, ReplicaLog)
        leaves = [leaf for leaf, _ in await there.log.read(replica.size, there.log.size)]
        await replica.extend(there.log.note, leaves)
        shown = {place: await there.log.body(place) for place in range(there.log.size)}
        await replica.put_bodies([(place, *each) for place, each in shown.items() if each and place != first])
        await index_log(replica, index.site(ANNA.did))
        assert len(list(index.site(ANNA.did).entries("withdraw"))) == 1, "by what is here it counts"
        await there.bruno.erasure.settle()
        assert await replica.body(second) is not None
        late = shown[first]
        assert late is not None
        await replica.put_bodies([(first, *late)])
        await index_anew(replica, index, ANNA.did)
        await there.bruno.erasure.settle()
        assert index.site(ANNA.did).key(RESEARCHER.did) is None
        assert await replica.body(second) is not None
        assert index.site(ANNA.did).faults == there.anna.index.site(ANNA.did).faults

    play(tmp_path, story)


def _body(fields: KeyFields, previous: int | None) -> Body:
    return write_body("key", fields, site=ANNA.did, at=NOW, by=STEWARD, previous=previous)
