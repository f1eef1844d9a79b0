"""What disclosure control examined, for this site's stewards: what left about which people, what was held, and why."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from catalog.cid import Cid
from catalog.error import ComityError, Conflict
from catalog.member import Role
from node.api.disclosed import ExaminationView, FoundView
from node.automator.disclosing import declared
from node.automator.examinations import Examination
from node.site.publishing import member_of
from node.site.site import Site
from node.site.titles import block_name, dataset_names, person_name
from privacy.disclosure.population import Populations
from privacy.disclosure.record import Record, read_record
from workflow.account import AccessFields, datasets_of

MOST: Final = 1000
"""Rows at most that are shown, the newest."""


async def examinations(site: Site, did: str) -> tuple[ExaminationView, ...]:
    """The newest thousand outputs that were examined, oldest first.

    Raises:
        Denied: not a steward of this site.
    """
    member_of(site, did, Role.STEWARD)
    populations = Populations.of(declared(site.index.site(site.root)))
    rows = [each for each in site.ledger.examinations.all() if each.fields is not None]
    return tuple([await _view(site, populations, each) for each in rows[-MOST:]])


async def record_of(site: Site, record: Cid) -> Record | None:
    """A record; none if it is lost."""
    try:
        return read_record(await site.records.read(record))
    except ComityError:
        return None


def found_in(record: Record | None) -> tuple[FoundView, ...]:
    """What was found, for a steward."""
    found = record.found if record is not None else ()
    return tuple(FoundView(cell=each.cell, reason=each.reason, words=each.words) for each in found)


async def _view(site: Site, populations: Populations, each: Examination) -> ExaminationView:
    record, fields = await record_of(site, each.record), each.fields
    chain = fields.chain if fields is not None else {}
    datasets = record.datasets if record is not None else tuple(map(str, datasets_of(chain)))
    access = _access(site, each)
    told = record.told if record is not None else None
    output = getattr(fields, "output", "") or getattr(getattr(fields, "inquiry", None), "output", "")
    return ExaminationView(
        index=each.place,
        at=each.at,
        released=each.released,
        lost=record is None,
        population=", ".join(sorted({populations.name(each).partition("/")[2] for each in datasets})),
        datasets=dataset_names(site, [Cid.parse(each) for each in datasets]),
        person_name=person_name(site, access.home, access.person) if access is not None else "",
        home_name=(site.membership.names | {site.root: site.config.name}).get(access.home, "") if access else "",
        project=record.project if record is not None else None,
        block=access.block if access is not None else None,
        block_name=block_name(site, access.block) if access is not None else "",
        output=output,
        by=told.by if told is not None else (),
        where=told.where if told is not None else None,
        people=record.people if record is not None else None,
        withheld=len(told.withheld) if told is not None else 0,
        line=record.line if record is not None else "its record is lost",
        found=found_in(record),
    )


def _access(site: Site, each: Examination) -> AccessFields | None:
    if isinstance(each.fields, AccessFields):
        return each.fields
    with suppress(Conflict):  # its intent was pruned
        attempt = site.ledger.attempt(each.fields.order) if each.fields is not None else None
        return attempt.access if attempt is not None else None
    return None
