"""What a grant shows to its person, and until when."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.body import write_body
from catalog.cid import Cid
from catalog.dagcbor import Value, encode
from catalog.grant import Action, Grant, GrantFields
from catalog.index import Index
from catalog.key import UNSIGNED, PrivateKey, signed
from catalog.member import KeyFields, Role
from catalog.project import ProjectFields, ProjectRef
from node.site.sight import sight_of
from node.storage.versionstore import VersionStore
from privacy.disease import standard
from privacy.grant import DAMAGED, Wanted, covering
from privacy.policy import Policy
from privacy.trust import person_at

ROOT, STEWARD, MARA, NILS = (PrivateKey(bytes([number]) * 32) for number in range(1, 5))
CONSORTIUM, DATA, OTHER = Cid.of(b"consortium"), Cid.of(b"data").keyed(bytes(32)), Cid.of(b"other").keyed(bytes(32))
PROJECT = ProjectRef(site=ROOT.did, name="trial")
NOW = 1000


class Recent:
    """Everybody was heard a moment ago."""

    def refusal(self, _action: str, _sites: object) -> str:
        return ""


class Catalog:
    """One member's catalog, whose versions lie on disk; a body whose place is ``broken`` is not what was read."""

    def __init__(self, folder: Path) -> None:
        self.bodies: dict[int, bytes] = {}
        self.broken: set[int] = set()
        self.store, _ = VersionStore.open(folder / "versions.db", lambda _site, place: self._body(place))
        self.index = Index([ROOT.did], self.store.begin)
        self.site = self.index.site(ROOT.did)
        self.put("key", KeyFields(did=STEWARD.did, role=Role.STEWARD, name="Steward", x25519=bytes(32)), ROOT)
        for person in (MARA, NILS):
            self.put("key", KeyFields(did=person.did, role=Role.RESEARCHER, name="Person", x25519=bytes(32)), STEWARD)
        self.project()

    def _body(self, place: int) -> bytes:
        data = self.bodies[place]
        return data[:-1] + b"!" if place in self.broken else data

    def put(self, kind: str, fields: Value, by: PrivateKey) -> int:
        latest = self.site.latest(kind, PROJECT.name) if kind == "project" else None
        body = write_body(kind, fields, site=ROOT.did, at=0, by=by, previous=latest.index if latest else None)
        self.bodies[self.site.size] = encode(body)
        entry = self.site.add(self.site.size, kind, body)
        assert entry is not None, self.site.faults
        return entry.index

    def project(self, **changes: object) -> None:
        given: dict[str, object] = {
            "name": PROJECT.name,
            "people": {MARA.did: bytes(32), NILS.did: bytes(32)},
            "purpose": "DUO:0000042",
            "datasets": (DATA,),
            "not_after": 5000,
        }
        self.put("project", ProjectFields(**(given | changes)), STEWARD)  # type: ignore[arg-type]

    def grant(self, issuer: PrivateKey, subject: PrivateKey, parent: Cid | None = None) -> tuple[GrantFields, int]:
        whole = Grant(
            consortium=CONSORTIUM,
            issuer=issuer.did,
            site=ROOT.did,
            subject=subject.did,
            project=PROJECT,
            claims=(),
            datasets=(DATA,),
            purposes=("DUO:0000042",),
            actions=tuple(Action),
            blocks=(),
            destinations=(),
            not_after=9000,
            parent=parent,
            sig=UNSIGNED,
        )
        fields = GrantFields(grant=signed(whole, issuer))
        return fields, self.put("grant", fields, issuer)

    def shown(self, person: PrivateKey, *grants: GrantFields, now: int = NOW) -> set[str]:
        """The datasets that these grants show to a person."""
        held = {each.cid: each.grant for each in grants}
        policy = Policy.parse("", site="here", version="1")
        sight = sight_of(
            person_at(self.index, person.did, ROOT.did), policy, self.index, Recent(), CONSORTIUM, held, now
        )
        return {dataset for _, dataset in sight.granted}

    def spill(self) -> None:
        """Keep nothing in memory of what was read."""
        self.site.versions.spill()  # type: ignore[attr-defined]
        self.store._recent.clear()


@pytest.fixture
def catalog() -> Iterator[Catalog]:
    with tempfile.TemporaryDirectory() as folder:
        made = Catalog(Path(folder))
        yield made
        made.store.close()


def test_a_grant_shows_the_data_of_its_project_while_that_goes_on(catalog: Catalog) -> None:
    """Lost: «project end» stops access everywhere, but for looking at what there is."""
    granted, _ = catalog.grant(STEWARD, MARA)
    assert catalog.shown(MARA, granted) == {str(DATA)}
    assert catalog.shown(MARA, granted, now=5001) == set()
    catalog.project(people={NILS.did: bytes(32)})
    assert catalog.shown(MARA, granted) == set()
    catalog.project(datasets=(OTHER,))
    assert catalog.shown(MARA, granted) == set()
    catalog.project()
    assert catalog.shown(MARA, granted) == {str(DATA)}
    catalog.project(ended=True)
    assert catalog.shown(MARA, granted) == set()


def test_a_grant_that_is_damaged_here_does_not_count_and_stops_no_other(catalog: Catalog) -> None:
    """Lost: one flipped bit in one grant, and a person finds nothing any more, or nothing of theirs is decided."""
    above, place = catalog.grant(STEWARD, MARA)
    passed, _ = catalog.grant(MARA, NILS, above.cid)
    direct, _ = catalog.grant(STEWARD, NILS)
    wanted = Wanted(
        owner=ROOT.did,
        subject=NILS.did,
        project=PROJECT,
        dataset=DATA,
        purpose="DUO:0000042",
        action=Action.COMPUTE,
        block=None,
        destinations=frozenset(),
    )
    catalog.spill()
    catalog.broken.add(place)

    def covered(*cited: Cid) -> tuple[bool, str]:
        chain, why = covering(
            catalog.index, cited, wanted, consortium=CONSORTIUM, home=ROOT.did, diseases=standard(), now=NOW
        )
        return chain is not None, why

    assert catalog.shown(NILS, passed) == set()
    assert catalog.shown(NILS, passed, direct) == {str(DATA)}
    assert covered(passed.cid, direct.cid) == (True, "")
    assert covered(passed.cid) == (False, DAMAGED)
