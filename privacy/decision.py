"""A decision as it is recorded in audit bodies and receipts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec

from catalog.dagcbor import Value
from privacy.duty import NO_DUTIES, Duties

Action = Literal["see", "fetch", "compute", "release", "report"]
"""What can be asked of a policy."""

ACTIONS: Final[tuple[Action, ...]] = ("see", "fetch", "compute", "release", "report")

Text = Annotated[str, msgspec.Meta(max_length=4096)]


class Decision(Value, frozen=True, kw_only=True):
    """What a policy said of one request, by which rules, on which facts.

    ``rules`` are the ``@id`` of the rules that decided, sorted; those of the consortium's floor stand as
    ``floor/ID``. It is empty when no rule allowed it. ``reason`` is one line for people. ``facts`` are what the rules
    could read, by the names they read them under, as text: it holds keys of persons, so it belongs into a body and
    never into a leaf. ``policy`` is the version of the policy that was asked. ``duties`` are what the rules that
    allowed it ask for beside: it is allowed to whoever fulfils them.
    """

    allowed: bool
    action: Action
    rules: Annotated[tuple[Text, ...], msgspec.Meta(max_length=2048)]
    reason: Text
    facts: Annotated[Mapping[str, Text], msgspec.Meta(max_length=64)]
    policy: Text
    duties: Duties = NO_DUTIES
