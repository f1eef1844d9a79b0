"""What a site says of a person: claims shaped as visa objects of GA4GH Passport v1.

Who may say what is the table of ``privacy/claim.py``; here is how it is written.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import msgspec

from catalog.body import Index, Millis
from catalog.dagcbor import Value
from catalog.key import Did

_UNSEEN = r"\x00-\x20\x7f-\xa0\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff"
Plain = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=rf"^[^{_UNSEEN}]+\Z")]
"""1 to 255 characters without blanks, and none that steers a terminal or hides: URLs and identifiers."""


class ClaimType(StrEnum):
    """The standard visa types of GA4GH Passport v1; others are not read."""

    AFFILIATION = "AffiliationAndRole"
    TERMS = "AcceptedTermsAndPolicies"
    RESEARCHER = "ResearcherStatus"
    ACCESS = "ControlledAccessGrants"
    IDENTITIES = "LinkedIdentities"


class Identity(Value, frozen=True, kw_only=True):
    """An account at an identity provider: the issuer's URL and the subject there, as in a JSON Web Token."""

    iss: Plain
    sub: Plain


class Claim(Value, frozen=True, kw_only=True):
    """One claim about a person, until ``not_after`` (Unix milliseconds).

    ``type``, ``value``, ``source``, ``by`` and ``asserted`` (Unix seconds) are those of a GA4GH visa. ``identity`` is
    the account that a visa was issued to: such a claim counts only while the person's home site says, by a claim of
    the type ``LinkedIdentities`` with that identity, that the account is the person's. It is ``None`` where a steward
    says so without a visa.
    """

    type: ClaimType
    value: Plain
    source: Plain
    by: Literal["so", "dac", "self", "system", "peer"] | None
    asserted: Index
    identity: Identity | None
    not_after: Millis


class ClaimFields(Value, frozen=True, kw_only=True):
    """The fields of a ``claim`` entry: all that the site says of ``person`` now; a later entry replaces it whole."""

    person: Did
    claims: Annotated[tuple[Claim, ...], msgspec.Meta(max_length=64)]
