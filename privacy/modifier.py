"""DUO's data use modifiers: conditions on data, each fulfilled by what a project undertakes, by a grant, or by time.

What a project undertakes is a promise of its people, which the owners read before they approve the project. A condition
that nothing fulfils denies.
"""

from __future__ import annotations

import re
from calendar import monthrange, timegm
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

RS: Final = "DUO:0000012"
"""Research specific restrictions: only studies of the type after the slash."""

NMDS: Final = "DUO:0000015"
"""No general methods research."""

GSO: Final = "DUO:0000016"
"""Genetic studies only."""

NPUNCU: Final = "DUO:0000018"
"""Not for profit organisations and non-commercial use only: both of the next two."""

NPU: Final = "DUO:0000045"
"""Not for profit organisations only."""

NCU: Final = "DUO:0000046"
"""Non-commercial use only."""

GS: Final = "DUO:0000022"
"""Geographical restriction: only within the country or region after the slash."""

MOR: Final = "DUO:0000024"
"""Publication moratorium: no publication up to and on the day after the slash."""

TS: Final = "DUO:0000025"
"""Time limit on use: up to and on the day after the slash."""

US: Final = "DUO:0000026"
"""User specific restriction: the grant names the person."""

PS: Final = "DUO:0000027"
"""Project specific restriction: the grant names the project."""

IS: Final = "DUO:0000028"
"""Institution specific restriction: the grant names the sites that may gain results, the person's among them."""

CC: Final = "DUO:0000043"
"""Clinical care use: allows it beside research; as a purpose, clinical care."""

NPOA: Final = "DUO:0000044"
"""Population origins or ancestry research prohibited."""

MODIFIERS: Final = {
    RS: "research specific restrictions",
    NMDS: "no general methods research",
    GSO: "genetic studies only",
    NPUNCU: "not for profit, non-commercial use only",
    "DUO:0000019": "publication required",
    "DUO:0000020": "collaboration required",
    "DUO:0000021": "ethics approval required",
    GS: "geographical restriction",
    MOR: "publication moratorium",
    TS: "time limit on use",
    US: "user specific restriction",
    PS: "project specific restriction",
    IS: "institution specific restriction",
    "DUO:0000029": "return to database or resource",
    CC: "clinical care use",
    NPOA: "population origins or ancestry research prohibited",
    NPU: "not for profit organisation use only",
    NCU: "non-commercial use only",
}
"""The conditions that data may carry."""

UNDERTAKEN: Final = frozenset(MODIFIERS) - {TS, US, PS, IS, CC}
"""Those that a project can undertake."""

DAYS: Final = frozenset({MOR, TS})
"""Those with a day after the slash."""

PLACES: Final = frozenset({GS})
"""Those with a country or region after the slash."""

TYPES: Final = frozenset(f"DUO:00000{number}" for number in range(31, 41))
"""DUO's investigations: the types of research that :data:`RS` may name."""

_GRU, _POA, _HMB, _METHODS, _GENETIC = "DUO:0000042", "DUO:0000011", "DUO:0000006", "DUO:0000031", "DUO:0000038"
_ANCESTRY, _BIOMEDICAL, _DISEASE, _DRUGS = "DUO:0000033", "DUO:0000037", "DUO:0000040", "DUO:0000039"
_POPULATION = "DUO:0000032"
# What each purpose is a kind of, in DUO's investigations.
_TYPE_OF: Final = {
    _POA: {_ANCESTRY},
    _HMB: {_BIOMEDICAL},
    "DUO:0000007": {_DISEASE, _BIOMEDICAL},
    _GENETIC: {_GENETIC, _BIOMEDICAL},
    _DRUGS: {_DRUGS, _BIOMEDICAL},
    _DISEASE: {_DISEASE, _BIOMEDICAL},
}
_DAY: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})", re.ASCII)
_PLACE: Final = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What data shall be used for: a project's purpose and what it undertakes, at ``now`` (Unix milliseconds).

    ``named`` are those of :data:`US`, :data:`PS` and :data:`IS` that a grant of the data's owner makes hold.
    """

    purpose: str
    undertakings: tuple[str, ...] = ()
    named: frozenset[str] = frozenset()
    now: int = 0


Rule = Callable[[str, Use], bool]
"""Whether a condition holds: what it is about, and the use."""


def lacking(term: str, use: Use) -> str:
    """Why the condition ``term`` does not hold for ``use``, in plain words; empty if it does."""
    head, _, about = term.partition("/")
    if _holds(head, about, use):
        return ""
    words = f"{MODIFIERS[head]} ({term})"
    if head in (US, PS, IS):
        return f"their condition «{words}» holds under a grant that names the {_NAMED[head]}"
    if head == TS:
        return f"their time limit ({about}) is over"
    return f"the project does not undertake their condition «{words}»"


def day_of(text: str) -> int | None:
    """The last millisecond of a day written ``2027-01-31`` (UTC, Unix milliseconds); ``None`` if it is no day."""
    match = _DAY.fullmatch(text)
    if match is None:
        return None
    year, month, day = (int(part) for part in match.groups())
    if not 1970 <= year <= 9998 or not 1 <= month <= 12 or not 1 <= day <= monthrange(year, month)[1]:
        return None
    return (timegm((year, month, day, 0, 0, 0)) + 86_400) * 1000 - 1


def is_place(text: str) -> bool:
    """Whether ``text`` has the form of a country of ISO 3166-1 (``DE``) or a region of 3166-2 (``DE-BY``)."""
    return _PLACE.fullmatch(text) is not None


_NAMED: Final = {US: "person", PS: "project", IS: "sites that may gain results, the person's own among them"}


def _holds(head: str, about: str, use: Use) -> bool:
    rule = _RULES.get(head)
    return rule(about, use) if rule is not None else _undertaken(head, about, use)


def _always(about: str, _use: Use) -> bool:
    return not about


def _by_grant(term: str) -> Rule:
    return lambda about, use: not about and term in use.named


def _in_time(about: str, use: Use) -> bool:
    last = day_of(about)
    return last is not None and use.now <= last


def _unpublished(about: str, use: Use) -> bool:
    last = day_of(about)
    return last is not None and (use.now > last or _waits(last, use))


def _of_type(about: str, use: Use) -> bool:
    purpose = _head(use)
    return about in _TYPE_OF.get(purpose, {purpose}) or _undertaken(RS, about, use)


def _genetic(about: str, use: Use) -> bool:
    return (not about and _head(use) == _GENETIC) or _undertaken(GSO, about, use)


def _not(term: str, is_it: frozenset[str], may_be: frozenset[str]) -> Rule:
    """Research of a kind is prohibited: no purpose that is it, and one that may be it has to say that it is not."""

    def holds(about: str, use: Use) -> bool:
        if _head(use) in is_it:
            return False
        return _undertaken(term, about, use) or (not about and _head(use) not in may_be)

    return holds


def _either_way(term: str) -> Rule:
    return lambda about, use: _undertaken(term, about, use) or (not about and NPUNCU in use.undertakings)


def _both(about: str, use: Use) -> bool:
    return _undertaken(NPUNCU, about, use) or (not about and {NPU, NCU} <= set(use.undertakings))


def _head(use: Use) -> str:
    return use.purpose.partition("/")[0]


def _undertaken(head: str, about: str, use: Use) -> bool:
    """A condition that says no more is fulfilled by any undertaking of it; one with a value by that value alone."""
    return any(
        given == head and (not about or value == about)
        for given, _, value in (term.partition("/") for term in use.undertakings)
    )


def _waits(last: int, use: Use) -> bool:
    """Whether the project keeps the moratorium: each owner's, where it says no day, or one that ends no earlier."""
    for head, _, value in (term.partition("/") for term in use.undertakings):
        if head == MOR and (not value or ((end := day_of(value)) is not None and end >= last)):
            return True
    return False


def _stays(about: str, use: Use) -> bool:
    """Whether every place in which the project works lies in ``about``; it must name one."""
    places = [value for head, _, value in (term.partition("/") for term in use.undertakings) if head == GS]
    return bool(places) and all(each == about or each.startswith(f"{about}-") for each in places)


# What holds otherwise than by an undertaking alone.
_RULES: Final[dict[str, Rule]] = {
    CC: _always,  # it allows clinical care and forbids nothing
    US: _by_grant(US),
    PS: _by_grant(PS),
    IS: _by_grant(IS),
    TS: _in_time,
    MOR: _unpublished,
    GS: _stays,
    RS: _of_type,
    GSO: _genetic,
    NMDS: _not(NMDS, frozenset({_METHODS}), frozenset({_GRU})),
    NPOA: _not(NPOA, frozenset({_POA, _ANCESTRY}), frozenset({_GRU, _POPULATION})),
    NPUNCU: _both,
    NPU: _either_way(NPU),
    NCU: _either_way(NCU),
}
