"""Search through a node: what the asker may not see is neither found nor counted, and what is gone is gone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from catalog.block import BlockFields
from catalog.body import write_body
from catalog.cid import Cid
from catalog.dataset import DatasetFields, Level
from catalog.entry import Entry
from catalog.error import BadInput
from catalog.index import Index, SiteIndex
from catalog.key import PrivateKey
from catalog.member import KeyFields, Role
from catalog.project import ProjectFields
from catalog.withdraw import WithdrawFields
from node.site.facets import SPARSE, Groups, bits_of, numbers_of
from node.site.finding import Finding, Found, Wanted
from node.site.sight import Sight
from node.storage.search import SearchStore
from privacy.label import OPEN, label_of, resident
from privacy.policy import Policy
from privacy.request import PersonAsker

ROOTS = {name: PrivateKey(bytes([number]) * 32) for number, name in enumerate(("anna", "bruno"), 1)}
STEWARDS = {name: PrivateKey(bytes([number]) * 32) for number, name in enumerate(("anna", "bruno"), 11)}
MARA = PrivateKey(bytes([21]) * 32).did
ANNA, BRUNO = ROOTS["anna"].did, ROOTS["bruno"].did
SEE_DATA = '@id("data") permit (principal, action == Action::"see", resource is Dataset);'


class Library:
    """Two members' catalogs, and the search over them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.index = Index([ANNA, BRUNO])
        self.said: list[str] = []
        self.finding = Finding(self.index, SearchStore.open(path)[0], self.said.append)
        for name, steward in STEWARDS.items():
            fields = KeyFields(did=steward.did, role=Role.STEWARD, name="A steward", x25519=bytes(32))
            self.write(self.index.site(ROOTS[name].did), "key", fields, ROOTS[name])

    def write(self, site: SiteIndex, kind: str, fields: object, by: PrivateKey) -> Entry:
        assert isinstance(fields, (KeyFields, DatasetFields, BlockFields, ProjectFields))
        latest = site.latest(
            kind, fields.name if isinstance(fields, ProjectFields) else str(getattr(fields, "cid", ""))
        )
        body = write_body(kind, fields, site=site.root, at=0, by=by, previous=latest.index if latest else None)
        entry = site.add(site.size, kind, body)
        assert entry is not None, site.faults
        return entry

    async def publish(self, name: str, fields: DatasetFields | BlockFields | ProjectFields) -> None:
        """An entry of a member's that counts."""
        site = self.index.site(ROOTS[name].did)
        kind = {DatasetFields: "dataset", BlockFields: "block", ProjectFields: "project"}[type(fields)]
        self.write(site, kind, fields, STEWARDS[name])
        entry = site.latest(kind, fields.name if isinstance(fields, ProjectFields) else str(fields.cid))
        assert entry is not None
        await self.finding.counted(site.root, [entry])

    async def ask(
        self,
        words: str = "",
        policy: str = SEE_DATA,
        role: str = "researcher",
        granted: frozenset[tuple[str, str]] = frozenset(),
        unheard: frozenset[str] = frozenset(),
        limit: int = 20,
        offset: int = 0,
        **chosen: str,
    ) -> Found:
        """What Mara at Anna's finds."""
        asker = PersonAsker(MARA, ANNA, frozenset({role}))
        parsed = Policy.parse(policy, site="Anna", version="1")
        sight = Sight(parsed, ANNA, dict.fromkeys(self.index.sites, asker), granted, unheard)
        wanted = Wanted(words, {facet: (value,) for facet, value in chosen.items()}, offset, limit)
        return await self.finding.search(sight, wanted, 1000)


def dataset(name: str, level: Level = Level.OPEN, about: str = "", **given: object) -> DatasetFields:
    owner = str(given.pop("owner", ANNA))
    values: dict[str, object] = {
        "cid": Cid.of(name.encode()),
        "name": name,
        "level": level,
        "label": OPEN if level is Level.OPEN else resident(owner),
        "purposes": ("DUO:0000006", "DUO:0000019"),
        "description": about,
        "media_type": "text/csv",
        "size": 5_000_000,
    }
    return DatasetFields(**(values | given))  # type: ignore[arg-type]  # a test's fields, checked when they are read


def block(name: str, *readers: str) -> BlockFields:
    return BlockFields(
        cid=Cid.of(name.encode()), name=name, label=label_of({BRUNO: readers}), description="", outputs={}
    )


def project(name: str, not_after: int = 5000, ended: bool = False) -> ProjectFields:
    return ProjectFields(
        name=name, people={MARA: bytes(32)}, purpose="DUO:0000042", datasets=(), not_after=not_after, ended=ended
    )


def names(found: Found) -> list[str]:
    return [
        entry.fields.name
        for entry in found.entries
        if isinstance(entry.fields, (DatasetFields, BlockFields, ProjectFields))
    ]


def anywhere(folder: Path, text: bytes) -> bool:
    return any(text in path.read_bytes() for path in folder.iterdir())


def play(path: Path, story: Callable[[Library], Awaitable[None]]) -> None:
    async def main() -> None:
        library = Library(path / "search.db")
        await story(library)
        await library.finding.aclose()

    trio.run(main)


def test_what_may_not_be_seen_is_neither_found_nor_counted(tmp_path: Path) -> None:
    """A count that includes it tells of it."""

    async def story(library: Library) -> None:
        await library.publish("bruno", dataset("births open", owner=BRUNO))
        await library.publish("bruno", dataset("births closed", Level.RESIDENT, owner=BRUNO, purposes=("DUO:0000042",)))
        policy = '@id("x") permit (principal, action == Action::"see", resource is Dataset) when { context.reader };'
        found = await library.ask("births", policy)
        assert (found.total, names(found)) == (1, ["births open"])
        told = {value for values in found.counts.values() for value, _ in values}
        assert not told & {"resident", "DUO:0000042"}
        assert all(count == 1 for values in found.counts.values() for _, count in values)
        assert (await library.ask("births closed", policy)).total == 0
        assert (await library.ask("births", "")).total == 0, "no policy, no permission"

    play(tmp_path, story)


def test_a_rule_about_one_dataset_concerns_that_one_alone(tmp_path: Path) -> None:
    """Things are decided in classes: a rule that names one must not be asked about the others only."""

    async def story(library: Library) -> None:
        for name in ("one", "two", "three"):
            await library.publish("bruno", dataset(name, owner=BRUNO))
        cid = Cid.of(b"two")
        hidden = f'@id("not") forbid (principal, action, resource == Dataset::"{cid}");'
        assert sorted(names(await library.ask("", SEE_DATA + hidden))) == ["one", "three"]
        alone = (
            f'@id("one") permit (principal, action == Action::"see", resource) when {{ resource == Dataset::"{cid}" }};'
        )
        assert names(await library.ask("", alone)) == ["two"]

    play(tmp_path, story)


def test_a_grant_shows_its_dataset_alone(tmp_path: Path) -> None:
    """What is granted to one person for one dataset is not granted for those like it."""

    async def story(library: Library) -> None:
        for name in ("one", "two"):
            await library.publish("bruno", dataset(name, owner=BRUNO))
        policy = '@id("g") permit (principal, action == Action::"see", resource) when { context.granted };'
        granted = frozenset({(BRUNO, str(Cid.of(b"one")))})
        assert names(await library.ask("", policy, granted=granted)) == ["one"]
        assert names(await library.ask("", policy)) == []
        other = frozenset({(ANNA, str(Cid.of(b"one")))})
        assert names(await library.ask("", policy, granted=other)) == [], "another owner's grant"

    play(tmp_path, story)


def test_of_a_site_not_heard_of_nothing_is_found(tmp_path: Path) -> None:
    """What it took back since would still be shown."""

    async def story(library: Library) -> None:
        await library.publish("bruno", dataset("one", owner=BRUNO))
        await library.publish("anna", dataset("two"))
        assert names(await library.ask("", unheard=frozenset({BRUNO}))) == ["two"]

    play(tmp_path, story)


def test_blocks_are_found_where_their_label_says(tmp_path: Path) -> None:
    """A block's name can tell what a site works on."""

    async def story(library: Library) -> None:
        await library.publish("bruno", block("shared count", ANNA))
        await library.publish("bruno", block("secret count"))
        policy = '@id("r") permit (principal, action == Action::"see", resource) when { context.reader };'
        assert names(await library.ask("count", policy)) == ["shared count"]

    play(tmp_path, story)


def test_stewards_find_what_their_own_site_publishes_without_any_policy(tmp_path: Path) -> None:
    """Whoever is to write the first policy must see what it is about; others' things stay hidden."""

    async def story(library: Library) -> None:
        await library.publish("anna", dataset("ours"))
        await library.publish("bruno", dataset("theirs", owner=BRUNO))
        assert names(await library.ask("", "", role="steward")) == ["ours"]
        assert names(await library.ask("", "")) == []

    play(tmp_path, story)


def test_what_is_withdrawn_ended_or_over_is_not_found(tmp_path: Path) -> None:
    """A search that shows what is gone sends people after it."""

    async def story(library: Library) -> None:
        await library.publish("anna", dataset("births"))
        await library.publish("anna", project("trial"))
        await library.publish("anna", project("past", not_after=999))
        found = await library.ask()
        assert sorted(names(found)) == ["births", "trial"]
        assert (found.total, dict(found.counts["kind"])) == (2, {"dataset": 1, "project": 1})
        await library.publish("anna", project("past", not_after=2000))
        assert (await library.ask("past")).total == 1, "its time was made longer"
        await library.publish("anna", project("past", not_after=999))
        await library.publish("anna", dataset("births", withdrawn=True))
        await library.publish("anna", project("trial", ended=True))
        found = await library.ask()
        assert (names(found), found.total) == ([], 0)

    play(tmp_path, story)


def test_what_is_published_and_taken_back_in_one_breath_is_not_found(tmp_path: Path) -> None:
    """Lost: a member that reads a log late finds, counts and keeps what was erased before it came."""

    async def story(library: Library) -> None:
        site = library.index.site(BRUNO)
        made = library.write(site, "dataset", dataset("xylophone", owner=BRUNO), STEWARDS["bruno"])
        body = write_body("withdraw", WithdrawFields(places=(made.index,)), site=BRUNO, at=1, by=STEWARDS["bruno"])
        gone = site.add(site.size, "withdraw", body)
        assert gone is not None, site.faults
        await library.finding.counted(BRUNO, [made, gone])
        found = await library.ask()
        assert (names(found), found.total) == ([], 0)
        await library.finding.expunge(BRUNO)
        assert not await trio.to_thread.run_sync(anywhere, tmp_path, b"xylophone")

    play(tmp_path, story)


def test_what_counts_no_more_vanishes_with_its_words(tmp_path: Path) -> None:
    """An erased entry that can be found by its words is not erased."""

    async def story(library: Library) -> None:
        await library.publish("bruno", dataset("xylophone", owner=BRUNO))
        await library.publish("anna", dataset("zither"))
        library.index.replace(SiteIndex(BRUNO))
        await library.finding.begin(BRUNO)
        assert names(await library.ask()) == ["zither"]
        await library.finding.expunge(BRUNO)
        assert not await trio.to_thread.run_sync(anywhere, tmp_path, b"xylophone")
        assert names(await library.ask("zither")) == ["zither"]

    play(tmp_path, story)


def test_facets_count_what_choosing_another_value_would_give(tmp_path: Path) -> None:
    """Counts after choosing one value that leave out the others lead nowhere."""

    async def story(library: Library) -> None:
        await library.publish("anna", dataset("small", size=10))
        await library.publish("anna", dataset("large", size=10**12, media_type="text/vcf"))
        await library.publish("bruno", dataset("far", Level.RESIDENT, owner=BRUNO, size=10))
        found = await library.ask(size="under 1 MB", site=ANNA)
        assert names(found) == ["small"]
        assert dict(found.counts["size"]) == {"under 1 MB": 1, "over 1 TB": 1}
        assert dict(found.counts["site"]) == {ANNA: 1, BRUNO: 1}
        assert dict(found.counts["level"]) == {"open": 1}
        assert dict(found.counts["duo"]) == {"DUO:0000006": 1, "DUO:0000019": 1}
        assert dict(found.counts["purpose"]) == {"DUO:0000006": 1}

    play(tmp_path, story)


def test_names_weigh_more_than_descriptions_and_pages_hang_together(tmp_path: Path) -> None:
    """The dataset called so comes before those that mention it; no hit is on two pages."""

    async def story(library: Library) -> None:
        for number in range(5):
            await library.publish("anna", dataset(f"other {number}", about="mentions births among many other things"))
        await library.publish("anna", dataset("births"))
        first, second = await library.ask("births", limit=3), await library.ask("births", limit=3, offset=3)
        assert names(first)[0] == "births"
        assert (first.total, len({*names(first), *names(second)})) == (6, 6)

    play(tmp_path, story)


def test_a_search_that_goes_too_far_is_refused(tmp_path: Path) -> None:
    """One request could else hold up everybody's."""

    async def story(library: Library) -> None:
        for wanted in (Wanted("", {"colour": ("red",)}), Wanted("", {}, 0, 201), Wanted("", {}, 9_990, 20)):
            with pytest.raises(BadInput):
                await library.finding.search(
                    Sight(Policy.parse("", site="A", version="1"), ANNA, {}, frozenset(), frozenset()), wanted, 0
                )

    play(tmp_path, story)


def test_a_file_damaged_while_it_runs_is_made_anew_and_said(tmp_path: Path) -> None:
    """The search would fail until somebody deletes a file by hand."""

    async def story(library: Library) -> None:
        await library.publish("anna", dataset("births"))
        library.finding._store._connection.execute("DROP TABLE words")
        assert names(await library.ask("births")) == ["births"]
        assert [("made anew" in line) for line in library.said] == [True]

    play(tmp_path, story)


def test_a_start_takes_over_what_changed_meanwhile(tmp_path: Path) -> None:
    """The file is older than the logs after a crash, and never the truth."""

    async def story(library: Library) -> None:
        await library.publish("anna", dataset("births"))
        await library.publish("anna", dataset("deaths"))
        site = library.index.site(ANNA)
        library.write(site, "dataset", dataset("deaths", withdrawn=True), STEWARDS["anna"])
        library.write(site, "dataset", dataset("moves"), STEWARDS["anna"])
        await library.finding.aclose()
        library.finding = Finding(library.index, SearchStore.open(library.path)[0], library.said.append)
        await library.finding.renew(ANNA)
        assert sorted(names(await library.ask())) == ["births", "moves"]
        assert names(await library.ask("deaths")) == []
        assert library.said == []

    play(tmp_path, story)


def test_sets_of_many_and_of_few_count_alike() -> None:
    """A value changes its form when it becomes common; its counts must not."""
    groups: Groups[str] = Groups()
    odd, some = set(range(1, 4 * SPARSE, 2)), {3, 7, 100_000}
    for number in odd:
        groups.add([number], 1 << number, ["odd"])
    groups.add(some, bits_of(some), ["some"])
    hits = bits_of({3, 4, 5, 9_000, 100_000})
    assert groups.counts(hits) == {"odd": 2, "some": 2}
    assert set(numbers_of(groups.union(lambda _: True))) == odd | some
    assert groups.counts(bits_of(odd)) == {"odd": len(odd), "some": 2}
    groups.remove(odd, bits_of(odd), ["odd"])
    assert groups.counts(hits) == {"some": 2}
