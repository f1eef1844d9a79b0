"""Duties: what a permit asks for beside its conditions (``@approve``, ``@endorsed``, ``@min_cell``, ``@treat``, …).

A decision carries the strictest union of the duties of all permits that hold, not the most convenient one. ``@expires``
is none: it says until when a permit is one at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Final

import msgspec

from catalog.dagcbor import Value
from catalog.error import BadInput
from privacy.modifier import day_of

APPROVE: Final = "approve"
ENDORSED: Final = "endorsed"
MIN_CELL: Final = "min_cell"
TREAT: Final = "treat"
QUOTA: Final = "quota"
EXPIRES: Final = "expires"

_APPROVALS: Final = re.compile(r"steward|([2-9]) stewards")
_COUNT: Final = re.compile(r"[1-9][0-9]{0,2}")
_CELL: Final = re.compile(r"[1-9][0-9]{0,5}")
_TREAT: Final = re.compile(r"suppress|refuse|round ([1-9][0-9]{0,3})")
_QUOTA: Final = re.compile(r"([1-9][0-9]{0,14}) rows/([1-9][0-9]{0,3})d")

DAY_MILLIS: Final = 86_400_000
LAST_DAY: Final = 1 << 62
"""The day on which every permit with an end is past it: the day of whoever says no day."""


class Quota(Value, frozen=True, kw_only=True, order=True):
    """At most ``rows`` rows in any ``days`` days, whoever asks."""

    days: Annotated[int, msgspec.Meta(ge=1, le=9999)]
    rows: Annotated[int, msgspec.Meta(ge=1, le=10**15)]

    def covers(self, other: Quota) -> bool:
        """Whether whoever keeps this one keeps ``other`` too."""
        return self.rows <= other.rows and self.days >= other.days


class Duties(Value, frozen=True, kw_only=True):
    """What must be done or hold before what was allowed happens; nothing, as it is made without fields.

    ``approvals`` is how many stewards of the deciding site must approve it, ``endorsed`` how many sites' stewards must
    have endorsed the block, ``min_cell`` the least number of persons in a cell that leaves, ``rounded`` what the counts
    that leave are multiples of; 0 for no such duty. Under ``whole`` nothing leaves of what has a cell that discloses.
    ``quotas`` are sorted, and none covers another.
    """

    approvals: Annotated[int, msgspec.Meta(ge=0, le=9)] = 0
    endorsed: Annotated[int, msgspec.Meta(ge=0, le=999)] = 0
    min_cell: Annotated[int, msgspec.Meta(ge=0, le=999_999)] = 0
    rounded: Annotated[int, msgspec.Meta(ge=0, le=9999)] = 0
    whole: bool = False
    quotas: Annotated[tuple[Quota, ...], msgspec.Meta(max_length=2048)] = ()

    def join(self, other: Duties) -> Duties:
        """The least that is at least as strict as both."""
        return Duties(
            approvals=max(self.approvals, other.approvals),
            endorsed=max(self.endorsed, other.endorsed),
            min_cell=max(self.min_cell, other.min_cell),
            rounded=max(self.rounded, other.rounded),
            whole=self.whole or other.whole,
            quotas=_strictest((*self.quotas, *other.quotas)),
        )

    def covers(self, other: Duties) -> bool:
        """Whether whoever does these does ``other`` too."""
        return self.join(other) == self

    @property
    def told(self) -> tuple[str, ...]:
        """Each duty in words that go on after «asks»."""
        words = []
        if self.approvals:
            words.append("that a steward approves it" if self.approvals == 1 else f"{self.approvals} stewards for it")
        if self.endorsed:
            words.append(f"that {self.endorsed} sites endorse the block")
        if self.min_cell:
            words.append(f"that no cell stands for fewer than {self.min_cell:,}")
        if self.whole:
            words.append("that nothing leaves of what has a cell that discloses")
        if self.rounded:
            words.append(f"that counts leave as multiples of {self.rounded:,}")
        words += [f"for at most {each.rows:,} rows in {each.days} days" for each in self.quotas]
        return tuple(words)


NO_DUTIES: Final = Duties()


def strictest(duties: Iterable[Duties]) -> Duties:
    """The union of all; nothing of none."""
    union = NO_DUTIES
    for each in duties:
        union = union.join(each)
    return union


def read_duty(name: str, text: str) -> Duties:
    """The duty that the annotation ``@name("text")`` is.

    Raises:
        BadInput: it is no such duty; the message says how one is written.
    """
    match name:
        case "approve":
            how = _match(
                _APPROVALS, text, '@approve says who must: write @approve("steward") or @approve("2 stewards")'
            )
            return Duties(approvals=int(how[1] or 1))
        case "endorsed":
            wrong = '@endorsed counts sites whose stewards endorsed the block: write @endorsed("2")'
            return Duties(endorsed=int(_match(_COUNT, text, wrong)[0]))
        case "min_cell":
            wrong = '@min_cell is the least number of persons in a cell that leaves: write @min_cell("10")'
            return Duties(min_cell=int(_match(_CELL, text, wrong)[0]))
        case "treat":
            return _treatment(text)
        case "quota":
            wrong = '@quota is a number of rows and of days: write @quota("1000000 rows/30d")'
            found = _match(_QUOTA, text, wrong)
            return Duties(quotas=(Quota(rows=int(found[1]), days=int(found[2])),))
        case _:
            raise BadInput(f"@{name} is no duty")


def _treatment(text: str) -> Duties:
    """What is done about cells that disclose. To suppress them is what is done anyway, so that it asks for nothing."""
    wrong = (
        "@treat says what becomes of a table with cells that disclose:"
        ' write @treat("suppress"), @treat("round 5") or @treat("refuse")'
    )
    base = int(_match(_TREAT, text, wrong)[1] or 0)
    if base == 1:
        raise BadInput('@treat("round 1") rounds nothing: write at least @treat("round 2")')
    return Duties(rounded=base, whole=text == "refuse")


def read_day(text: str) -> int:
    """The last day that ``@expires("text")`` names, in UTC: the number of days since 1970-01-01.

    Raises:
        BadInput: it is none.
    """
    last = day_of(text)
    if last is None:
        raise BadInput('@expires is the last day on which a rule permits, in UTC: write @expires("2027-01-31")')
    return last // DAY_MILLIS


def _match(pattern: re.Pattern[str], text: str, wrong: str) -> re.Match[str]:
    found = pattern.fullmatch(text)
    if found is None:
        raise BadInput(wrong)
    return found


def _strictest(quotas: Iterable[Quota]) -> tuple[Quota, ...]:
    """Those that no other one covers, sorted."""
    kept = set(quotas)
    return tuple(sorted(each for each in kept if not any(other != each and other.covers(each) for other in kept)))
