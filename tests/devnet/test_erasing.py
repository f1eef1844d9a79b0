"""A person is erased while others work: real nodes, real folders; nothing that stands is disturbed."""

from __future__ import annotations

import shutil
from pathlib import Path

from catalog.cid import Cid
from devnet.patience import eventually
from devnet.publication import approve
from devnet.topology import RESEARCHER, Institution
from node.api.client import Node
from node.api.person import Persons, card_of
from node.keyfile import Identity
from privacy.purpose import GRU
from tests.devnet.consortium import SECONDS, Consortium

NILS = "nils"
PAIR = "a-pair"
UNTIL = "2999-01-01"


def enrol_another(consortium: Consortium) -> Identity:
    """A second researcher of the institute, in a project with the first that a hospital approved."""
    nils = Identity.new(NILS)
    Persons(consortium.places.home).add(nils)
    small = consortium.small
    with consortium.steward(consortium.known.institute) as steward:
        card = card_of(nils)
        steward.enrol(card.name, card.did, card.x25519)
        steward.new_project(PAIR, [RESEARCHER, NILS], GRU, [small.dataset], until=UNTIL)
    with consortium.steward(small) as hospital:
        approve(hospital, PAIR)
        eventually(lambda: hospital.grant(RESEARCHER, PAIR, [small.dataset], until="1d"), "the people at the hospital")
    return nils


def granted(mara: Node) -> Cid:
    """The hospital's grant, once it has come to the institute."""

    def own() -> Cid | None:
        return next((each.cid for each in mara.standings() if each.grant.project.name == PAIR), None)

    return eventually(own, "the hospital's grant at the institute")


def count(mara: Node, consortium: Consortium) -> None:
    """A submission of mara's in the project, which must end well."""
    tables = [mara.dataset(consortium.small.dataset)]
    plan = mara.plan(consortium.workflow, {"tables": tables}, project=PAIR, deadline="10m", budget="5")
    mara.wait(mara.submit(plan), SECONDS).check()


def mentions_of(consortium: Consortium, institution: Institution, key: str) -> int:
    """How many bodies at a site have a person's key."""
    with consortium.steward(institution) as steward:
        found = steward.mentions(key)
        return len(found.places) + len(found.elsewhere)


def test_who_is_erased_stops_nobody_and_makes_no_log_fail(consortium: Consortium, tmp_path: Path) -> None:
    """Lost: one person who asks to be forgotten stops a project for all, or every member's logs count as forged."""
    nils = enrol_another(consortium)
    with consortium.researcher() as mara:
        grant = granted(mara)
        count(mara, consortium)
        mara.revoke(mara.attenuate(grant, NILS).cid)
        steward = consortium.known.institute.steward
        institute = consortium.places.site(consortium.known.institute).path
        done = consortium.command(
            "--site", str(institute), "--as", steward, "person", "remove", nils.did, "--erase", "--yes"
        )
        assert done.returncode == 0, done.stdout + done.stderr
        for each in consortium.known.publishers:
            eventually(lambda each=each: mentions_of(consortium, each, nils.did) == 0 or None, f"it at {each.name}")  # type: ignore[misc]
        count(mara, consortium)
    for each in consortium.known.sites:
        copy = tmp_path / each.handle

        def verified(each: Institution = each, copy: Path = copy) -> bool | None:
            shutil.rmtree(copy, ignore_errors=True)
            ignored = shutil.ignore_patterns("keys", "*.token", "*.sock", "work")
            shutil.copytree(consortium.places.site(each).path, copy, ignore=ignored)
            found = consortium.command("audit", "verify", str(copy))
            assert "may not sign" not in found.stdout + found.stderr
            return found.stdout.endswith("no fault\n") or None  # a copy of what is being written may be torn

        eventually(verified, f"the logs at {each.name}")
