"""What the bulk server hands out, and to whom: forbidden and unknown alike, and no byte before it is written down."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from msgspec import structs

from catalog.body import fields_of
from catalog.cid import RAW, Cid
from catalog.dagcbor import encode
from catalog.dataset import DatasetFields
from catalog.error import BadInput, ComityError, NotFound
from catalog.mirror import MirrorFields
from catalog.origin import LogName
from catalog.policy import PolicyFields
from catalog.project import ProjectRef
from node.automator.book import Line
from node.automator.decide import Judge, Recency
from node.network.blob import Blob, BulkRequest
from node.site.gateway import Wanted
from node.site.locating import Mirrors
from node.site.replicas import Replicas
from node.site.shelf import GOES_ON_SECONDS, Shelf
from node.site.withholding import Withholding
from node.storage.car import read_header, read_nodes
from node.storage.disk import DiskBlobs
from privacy.decision import Action
from privacy.label import OPEN, shared
from privacy.purpose import HMB
from privacy.starters import HOSPITAL
from tests.node.site.house import ANNA, BRUNO, CLARA, NODES, STRANGER, House, Recent, dataset, play, write_all
from workflow.account import Chain, FetchFields, HaltFields, WithheldFields


def shelf(house: House, recency: Recency | None = None, withholding: Withholding | None = None) -> Shelf:
    """Anna's shelf, under the policy for hospitals unless she has another."""
    members: object = house.members
    none = Replicas(Path("nowhere"), lambda _site: [])
    if house.index.site(ANNA.did).latest("policy", "") is None:
        house.entry(ANNA, "policy", PolicyFields(text=HOSPITAL))
    judge = Judge(house.index.site(ANNA.did), house.index, "St. Anna", "", recency or Recent())
    withholding = withholding or Withholding(house.book, house.clock.now)
    given = house.catalog, none, house.blobs, house.holdings, house.book, judge, withholding
    return Shelf(ANNA.did, members, members, *given)  # type: ignore[arg-type]


class Old:
    """Nobody was heard for too long."""

    def refusal(self, action: Action, sites: Iterable[str]) -> str:
        return f"{action} needs newer word of {sorted(sites)}"

    def now(self) -> int:
        return 0


async def ask(shelf: Shelf, asker: str, path: str, **changes: object) -> bytes:
    path, _, query = path.partition("?")
    fields: dict[str, object] = {"method": "GET", "query": query, "range": None, "body": b""}
    answer: Blob = await shelf.answer(BulkRequest(asker=asker, path=path, **(fields | changes)))  # type: ignore[arg-type]
    return b"".join(answer.read(0, None))


def raw(root: Cid) -> str:
    """Where the node ``root`` itself is got."""
    return f"/ipfs/{root}?format=raw"


def listed(*cids: Cid) -> dict[str, object]:
    """What makes a request one for these nodes."""
    return {"method": "QUERY", "body": encode(Wanted(cids=cids))}


async def nodes(shelf: Shelf, asker: str, root: Cid, *cids: Cid) -> list[Cid]:
    """Those that come of the nodes that are asked for below ``root``, verified."""
    car = io.BytesIO(await ask(shelf, asker, f"/ipfs/{root}", **listed(*cids)))
    assert read_header(car) == (root,)
    return [cid for cid, _ in read_nodes(car)]


async def refusal(shelf: Shelf, asker: str, path: str, **changes: object) -> ComityError:
    with pytest.raises(ComityError) as refused:
        await ask(shelf, asker, path, **changes)
    return refused.value


def hold(house: House, cid: Cid, *readers: str, withdrawn: bool = False) -> None:
    fields = dataset(cid, *readers, withdrawn=withdrawn)
    house.entry(ANNA, "dataset", fields) if not withdrawn else None
    entry = house.index.by_subject("dataset", str(cid))
    assert entry is not None
    if withdrawn:
        entry = type(entry)(entry.site, entry.index, entry.body, fields, entry.subject)
    house.holdings.publish(entry)


BRUNO_NODE, CLARA_NODE = NODES[BRUNO.did].did, NODES[CLARA.did].did


def test_a_reader_gets_the_bytes_and_anybody_else_cannot_tell_them_from_nothing(tmp_path, monkeypatch):
    """Lost: a site that is not named learns that a dataset exists, or which bytes it has. One path, one error."""

    async def story(house: House) -> None:
        cid = await house.blobs.add(b"births")
        hold(house, cid, BRUNO.did)
        at = shelf(house)
        assert await ask(at, BRUNO_NODE, raw(cid)) == b"births"
        touched: list[str] = []
        for name in ("reachable", "get", "size"):
            monkeypatch.setattr(DiskBlobs, name, lambda *_, name=name: touched.append(name))
        unknown = Cid.of(b"no such thing")
        refused = [await refusal(at, CLARA_NODE, raw(root)) for root in (cid, unknown, unknown.keyed(bytes(32)))]
        assert {(type(each), str(each)) for each in refused} == {(NotFound, str(refused[0]))}
        assert touched == []
        assert len(await house.audited()) == 1

    play(tmp_path, story)


READERS = '@id("a") permit (principal, action == Action::"fetch", resource) when { context.reader };'
NOT_CLARA = READERS + f'@id("b") forbid (principal == Site::"{CLARA.did}", action, resource);'
NO_TABLES = READERS + '@id("b") forbid (principal, action == Action::"fetch", resource is Dataset);'


@pytest.mark.parametrize(
    ("text", "let"),
    [(HOSPITAL, "BC"), (READERS, "BC"), (NOT_CLARA, "B"), (NO_TABLES, ""), ("", "")],
    ids=["starter", "readers", "not Clara", "no tables", "none"],
)
def test_a_reader_whom_policy_does_not_let_fetch_gets_what_nobody_gets(tmp_path: Path, text: str, let: str) -> None:
    """Lost: a steward forbids it, and the bytes go to whom the label names all the same."""

    async def story(house: House) -> None:
        cid = await house.blobs.add(b"births")
        hold(house, cid, BRUNO.did, CLARA.did)
        house.entry(ANNA, "policy", PolicyFields(text=text))
        at, told = shelf(house), set[str]()
        for name, node in (("B", BRUNO_NODE), ("C", CLARA_NODE)):
            if name in let:
                assert await ask(at, node, raw(cid)) == b"births"
            else:
                told.add(str(await refusal(at, node, raw(cid))))
        unknown = Cid.of(b"no such thing")
        if text[-6:] != "forbid":
            assert told <= {str(await refusal(at, BRUNO_NODE, raw(unknown)))}
        assert len(await house.audited()) == len(let)

    play(tmp_path, story)


FOR_TRIAL = '@id("a") permit (principal, action == Action::"fetch", resource) when { context.project == "trial" };'


@pytest.mark.parametrize("order", [("trial", "other"), ("other", "trial")])
def test_what_is_held_for_two_projects_is_given_if_policy_lets_it_for_one(tmp_path: Path, order: Sequence[str]) -> None:
    """Lost: whether an honest reader gets a result hangs on for which of two projects it was first made."""

    async def story(house: House) -> None:
        cid = await house.blobs.add(b"pooled")
        house.entry(ANNA, "policy", PolicyFields(text=FOR_TRIAL))
        for name in order:
            house.holdings.hold(cid, OPEN, [], ProjectRef(site=ANNA.did, name=name))
        assert await ask(shelf(house), BRUNO_NODE, raw(cid)) == b"pooled"
        (fields,) = [fields_of(each, FetchFields) for each in await house.audited()]
        assert fields.project == ProjectRef(site=ANNA.did, name="trial"), "it is given for the project that lets it"
        house.holdings.end(ProjectRef(site=ANNA.did, name="trial"))
        assert isinstance(await refusal(shelf(house), BRUNO_NODE, raw(cid)), NotFound)

    play(tmp_path, story)


class Away:
    """One site was not heard for too long."""

    def __init__(self, site: str) -> None:
        self._site = site

    def refusal(self, action: Action, sites: Iterable[str]) -> str:
        return f"{action} needs newer word of it" if self._site in sites else ""

    def now(self) -> int:
        return 0


@pytest.mark.parametrize("absent", [CLARA.did, ANNA.did])
def test_only_owners_under_whose_label_bytes_are_given_must_have_been_heard(tmp_path: Path, absent: str) -> None:
    """Lost: a result does not arrive since the owner of something else, whose bytes are the same, is away."""

    async def story(house: House) -> None:
        cid = await house.blobs.add(b"0 rows")
        house.entry(ANNA, "policy", PolicyFields(text=READERS))
        for owner, name in ((CLARA, "other"), (ANNA, "trial")):
            label = shared(owner.did, [BRUNO.did, ANNA.did])
            house.holdings.hold(cid, label, [], ProjectRef(site=ANNA.did, name=name))
        assert await ask(shelf(house, Away(absent)), BRUNO_NODE, raw(cid)) == b"0 rows"
        (fields,) = [fields_of(each, FetchFields) for each in await house.audited()]
        assert fields.project == ProjectRef(site=ANNA.did, name="trial" if absent == CLARA.did else "other")

    play(tmp_path, story)


def test_whoever_was_not_heard_for_too_long_fetches_nothing(tmp_path: Path) -> None:
    """Lost: a member whose key was taken back while this site was cut off goes on fetching."""

    async def story(house: House) -> None:
        cid = await house.blobs.add(b"births")
        hold(house, cid, BRUNO.did)
        assert isinstance(await refusal(shelf(house, Old()), BRUNO_NODE, raw(cid)), NotFound)

    play(tmp_path, story)


@pytest.mark.parametrize(
    "path", ["log/{anna}/catalog/checkpoint", "log/{anna}/catalog/tile/entries/000.p/1", "blob/{c}/{c}", "", "x"]
)
def test_strangers_get_nothing_but_the_door(tmp_path, path):
    """Lost: whoever has a key of their own reads the catalog of hospitals."""

    async def story(house: House) -> None:
        cid = await house.blobs.add(b"open to all members")
        hold(house, cid)
        await house.publish("policy", PolicyFields(text=""))
        at = shelf(house)
        path_ = "/" + path.format(anna=ANNA.did, c=cid)
        error = await refusal(at, STRANGER.did, path_)
        assert (type(error), str(error)) == (NotFound, "not for strangers")
        assert await ask(at, STRANGER.did, "/join", method="POST", body=b"knock") == b"knocked"
        assert house.members.knocks == [(STRANGER.did, b"knock")]
        for other in ("/joins", "/", "/join/", "/log"):
            assert isinstance(await refusal(at, BRUNO_NODE, other, method="POST"), NotFound)

    play(tmp_path, story)


def test_a_blob_is_given_below_a_root_that_names_the_asker_alone(tmp_path):
    """Lost: whoever may read one thing reads everything in the store by its CID."""

    async def story(house: House) -> None:
        folder = tmp_path / "data"
        folder.mkdir()
        (folder / "a.csv").write_bytes(b"a")
        (folder / "b.csv").write_bytes(b"b")
        root, secret = await house.blobs.add_path(folder), await house.blobs.add(b"secret")
        hold(house, root, BRUNO.did)
        hold(house, secret, CLARA.did)
        at = shelf(house)
        a, b = Cid.of(b"a"), Cid.of(b"b")
        assert await nodes(at, BRUNO_NODE, root, a, root, b) == [a, root, b]
        assert await ask(at, BRUNO_NODE, f"/ipfs/{root}/a.csv?format=raw") == b"a"
        for below, *cids in ((root, secret), (root, a, secret), (secret, secret), (a, a), (secret, root)):
            assert isinstance(await refusal(at, BRUNO_NODE, f"/ipfs/{below}", **listed(*cids)), NotFound)
        for path in (raw(secret), raw(a), f"/ipfs/{root}/c.csv?format=raw", f"/ipfs/{root}/a.csv/b?format=raw"):
            assert isinstance(await refusal(at, BRUNO_NODE, path), NotFound)

    play(tmp_path, story)


def test_a_fetch_is_written_down_before_its_bytes_leave(tmp_path, monkeypatch):
    """Lost: an access that nobody ever sees."""

    async def story(house: House) -> None:
        folder = tmp_path / "data"
        folder.mkdir()
        (folder / "a.csv").write_bytes(b"a")
        root = await house.blobs.add_path(folder)
        hold(house, root, BRUNO.did, CLARA.did)
        at = shelf(house)
        real, sizes = DiskBlobs.get, []

        def get(self: DiskBlobs, cid: Cid) -> bytes:
            if cid.codec == RAW:
                sizes.append(house.audit.size)
            return real(self, cid)

        monkeypatch.setattr(DiskBlobs, "get", get)
        for asker in (BRUNO_NODE, CLARA_NODE):
            await nodes(at, asker, root, root)
            await nodes(at, asker, root, Cid.of(b"a"))
        await ask(at, BRUNO_NODE, f"/ipfs/{root}/a.csv?format=raw")
        assert sizes == [1, 2, 3]
        bodies = await house.audited()
        fetches = [FetchFields(**(each.fields | {"chain": dict(each.fields["chain"])})) for each in bodies]
        assert [each.site for each in fetches] == [BRUNO.did, CLARA.did, BRUNO.did]
        assert [each.chain[str(root)]["before"] for each in fetches] == [None, 0, 1]
        await nodes(shelf(house), CLARA_NODE, root, Cid.of(b"a"))  # in the middle, by another run of the node
        assert sizes[-1] == 4

        async def full(*_: object) -> int:
            raise ComityError("the disk is full")

        monkeypatch.setattr(type(house.audit), "append", full)
        assert "disk is full" in str(await refusal(at, BRUNO_NODE, raw(root)))
        assert len(sizes) == 4

    play(tmp_path, story)


def test_a_fetch_names_the_project_that_the_bytes_are_held_for(tmp_path):
    """Lost: rows that say which bytes left, and not by which permit. What is published is for no project."""
    trial, other = (ProjectRef(site=CLARA.did, name=name) for name in ("trial", "other"))

    async def story(house: House) -> None:
        held, open_to_all = await house.blobs.add(b"sums"), await house.blobs.add(b"births")
        house.holdings.hold(held, shared(ANNA.did, [CLARA.did]), [open_to_all], other)
        house.holdings.hold(held, shared(ANNA.did, [BRUNO.did]), [open_to_all], trial)
        hold(house, open_to_all)
        at = shelf(house)
        for cid in (held, open_to_all):
            await ask(at, BRUNO_NODE, raw(cid))
        rows = [fields_of(body, FetchFields) for body in await house.audited()]
        assert [(row.root, row.project) for row in rows] == [(held, trial), (open_to_all, None)]

    play(tmp_path, story)


def test_what_was_withdrawn_is_given_no_more(tmp_path):
    async def story(house: House) -> None:
        cid = await house.blobs.add(b"births")
        hold(house, cid, BRUNO.did)
        at = shelf(house)
        assert await ask(at, BRUNO_NODE, raw(cid))
        hold(house, cid, BRUNO.did, withdrawn=True)
        assert isinstance(await refusal(at, BRUNO_NODE, raw(cid)), NotFound)

    play(tmp_path, story)


def test_tiles_of_the_catalog_alone(tmp_path):
    """Lost: the audit log, whose bodies stay at the site, or files beside the log."""

    async def story(house: House) -> None:
        await house.publish("policy", PolicyFields(text="a"))
        at = shelf(house)
        tile = "tile/entries/000.p/1"
        assert await ask(at, BRUNO_NODE, f"/log/{ANNA.did}/catalog/{tile}") == await house.catalog.tile(tile)
        for path in (
            f"/log/{ANNA.did}/{LogName.AUDIT}/{tile}",
            f"/log/{BRUNO.did}/catalog/{tile}",
            f"/log/{ANNA.did}/catalog/tile/entries/001",
            f"/log/{ANNA.did}/catalog/checkpoint/",
            f"/log/{ANNA.did}/audit/checkpoint",
            f"/log/{ANNA.did}/catalog/../audit/{tile}",
            f"/log/{ANNA.did}/catalog//{tile}",
            f"/log/{ANNA.did}/catalog",
            f"/ipfs/{Cid.of(b'x')}",
            f"/ipfs/{Cid.of(b'x')}?format=tar",
            f"/ipfs/{Cid.of(b'x')}?format=raw&dag-scope=all",
            f"/ipfs/{Cid.of(b'x')}?format=car&entity-bytes=9:1",
            f"/ipfs/{Cid.of(b'x')}?format=car&more=1",
            "/ipfs/x?format=raw",
            "/",
            "",
        ):
            assert isinstance(await refusal(at, BRUNO_NODE, path), BadInput | NotFound), path
        assert isinstance(await refusal(at, BRUNO_NODE, f"/log/{ANNA.did}/catalog/{tile}", query="a=b"), NotFound)

    play(tmp_path, story)


FIT = '@id("a") permit (principal, action == Action::"fetch", resource) when { context.purposeMatches };'


def mirrored(house: House, cid: Cid, fields: DatasetFields) -> Mirrors:
    """Anna mirrors what Bruno publishes."""
    house.entry(BRUNO, "dataset", fields)
    house.entry(ANNA, "mirror", MirrorFields(cid=cid, owner=BRUNO.did))
    house.holdings.mirrored = mirrors = Mirrors(ANNA.did, house.index)
    return mirrors


@pytest.mark.parametrize(
    ("text", "purposes", "let"), [("", (), True), (NO_TABLES, (), False), (FIT, (), True), (FIT, (HMB,), False)]
)
def test_a_mirror_gives_as_the_owner_would_under_the_same_policy(
    tmp_path: Path, text: str, purposes: tuple[str, ...], let: bool
) -> None:
    """Lost: what its owner gives nobody without a purpose is had from whoever mirrors it."""

    async def story(house: House) -> None:
        cid = await house.blobs.add(b"patients")
        if text:
            house.entry(ANNA, "policy", PolicyFields(text=text))
        mirrored(house, cid, structs.replace(dataset(cid), purposes=purposes, label=OPEN))
        if let:
            assert await ask(shelf(house), CLARA_NODE, raw(cid)) == b"patients"
            (row,) = [fields_of(body, FetchFields) for body in await house.audited()]
            assert (row.site, set(row.chain)) == (CLARA.did, {str(cid)})
        else:
            assert isinstance(await refusal(shelf(house), CLARA_NODE, raw(cid)), NotFound)

    play(tmp_path, story)


def test_a_mirror_gives_nothing_that_its_owner_does_not_any_more(tmp_path: Path) -> None:
    """Lost: an owner withdraws or narrows its data, and members hand them out as before."""

    async def story(house: House) -> None:
        cid = await house.blobs.add(b"patients")
        fields = structs.replace(dataset(cid), label=OPEN)
        mirrors = mirrored(house, cid, fields)
        at = shelf(house)
        assert await ask(at, CLARA_NODE, raw(cid)) == b"patients"
        assert cid in set(house.holdings.roots())
        house.entry(BRUNO, "dataset", structs.replace(fields, withdrawn=True))
        assert isinstance(await refusal(at, CLARA_NODE, raw(cid)), NotFound)
        assert cid not in set(house.holdings.roots())
        house.entry(BRUNO, "dataset", fields)
        assert await ask(at, CLARA_NODE, raw(cid)) == b"patients"
        house.entry(ANNA, "mirror", MirrorFields(cid=cid, owner=BRUNO.did, withdrawn=True))
        mirrors.refresh()
        assert isinstance(await refusal(at, CLARA_NODE, raw(cid)), NotFound)

    play(tmp_path, story)


def test_a_fetch_that_goes_on_for_days_is_written_down_by_the_hour(tmp_path: Path) -> None:
    """Lost: after one row everything below a root is had again and again, for as long as the node runs."""

    async def story(house: House) -> None:
        folder = tmp_path / "data"
        folder.mkdir()
        (folder / "a.csv").write_bytes(b"a")
        root = await house.blobs.add_path(folder)
        hold(house, root, BRUNO.did)
        at = shelf(house)
        for _ in range(3):
            await nodes(at, BRUNO_NODE, root, Cid.of(b"a"))
        assert len(await house.audited()) == 1
        ((key, since),) = at._recorded.items()
        at._recorded[key] = since - GOES_ON_SECONDS
        await nodes(at, BRUNO_NODE, root, Cid.of(b"a"))
        assert len(await house.audited()) == 2

    play(tmp_path, story)


def test_bytes_that_were_not_given_stand_in_the_log_and_what_is_not_here_does_not(tmp_path: Path) -> None:
    """Lost: a member tries all day what it may not have, and the steward's log is empty."""

    async def story(house: House) -> None:
        cid = await house.blobs.add(b"births")
        hold(house, cid, BRUNO.did)
        house.entry(ANNA, "policy", PolicyFields(text=NO_TABLES))
        withholding = Withholding(house.book, house.clock.now)
        at = shelf(house, withholding=withholding)
        for _ in range(2):
            await refusal(at, CLARA_NODE, raw(cid))
            await refusal(at, BRUNO_NODE, raw(cid))
            await refusal(at, CLARA_NODE, raw(Cid.of(b"no such thing")))
        assert await house.audited() == [], "it is written after the answer"
        await write_all(withholding)
        rows = [fields_of(body, WithheldFields) for body in await house.audited()]
        assert [(row.root, row.site, row.key, str(cid) in row.chain) for row in rows] == [
            (cid, CLARA.did, False, True),
            (cid, BRUNO.did, False, True),
        ]
        assert rows[0].reason == "its label names nobody there"
        assert "«b»" in rows[1].reason

    play(tmp_path, story)


@pytest.mark.parametrize("change", ["halted", "halted for him", "withdrawn", "forbidden", "removed", "ended"])
def test_what_is_being_sent_ends_with_what_lets_it_go(tmp_path: Path, change: str) -> None:
    """Lost: whoever reads slowly goes on for days after a steward halted the site, or took it back from them."""

    async def story(house: House) -> None:
        cid = await house.blobs.add(b"births")
        project = ProjectRef(site=CLARA.did, name="trial")
        if change == "ended":
            house.holdings.hold(cid, shared(ANNA.did, [BRUNO.did]), [], project)
        else:
            hold(house, cid, BRUNO.did)
        at = shelf(house)
        request = BulkRequest(BRUNO_NODE, "GET", f"/ipfs/{cid}", "format=raw", None, b"")
        answer = await at.answer(request)
        assert answer.stands()
        match change:
            case "halted" | "halted for him":
                await halt(house, BRUNO.did if change == "halted for him" else None)
            case "withdrawn":
                hold(house, cid, BRUNO.did, withdrawn=True)
            case "forbidden":
                house.entry(ANNA, "policy", PolicyFields(text=""))
            case "removed":
                del house.members.nodes[BRUNO.did]
                assert not answer.stands()
                return
            case "ended":
                house.holdings.end(project)
        assert not answer.stands()

    play(tmp_path, story)


async def halt(house: House, member: str | None = None) -> None:
    """A row that halts Anna's site."""

    def fields(chain: Chain, _index: int) -> HaltFields:
        return HaltFields(project=None, member=member, reason="an incident", statement=None, chain=chain)

    await house.book.write([Line("halt", (), fields, (ANNA.did,))])


def test_a_halt_while_a_root_is_looked_through_stops_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: bytes leave after the halt stands in the log, and the row that says so comes behind it."""

    async def story(house: House) -> None:
        cid = await house.blobs.add(b"births")
        hold(house, cid, BRUNO.did)
        at, reachable = shelf(house), house.blobs.reachable

        async def meanwhile(root: Cid) -> object:
            await halt(house)
            return await reachable(root)

        monkeypatch.setattr(house.blobs, "reachable", meanwhile)
        assert isinstance(await refusal(at, BRUNO_NODE, f"/ipfs/{cid}", **listed(cid)), NotFound)
        assert [body.kind for body in await house.audited()] == ["halt"]

    play(tmp_path, story)
