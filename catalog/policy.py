"""The policy of a site as it stands in the catalog: Cedar text; ``privacy/policy.py`` gives it meaning."""

from __future__ import annotations

from typing import Annotated

import msgspec

from catalog.dagcbor import Value


class PolicyFields(Value, frozen=True, kw_only=True):
    """The fields of a ``policy`` entry: the Cedar text that this site decides by; empty text permits nothing."""

    text: Annotated[str, msgspec.Meta(max_length=48 << 10)]
