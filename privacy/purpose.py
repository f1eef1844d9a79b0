"""Purposes as terms of the GA4GH Data Use Ontology (DUO), and whether data given for some serve another.

A term is written ``DUO:0000042``; disease-specific research names its disease after a slash, as in
``DUO:0000007/MONDO:0007254``. What is unknown, and every modifier that is not enforced yet, never matches.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from catalog.error import BadInput

GRU: Final = "DUO:0000042"
"""General research use: health, methods, ancestry, social science."""

HMB: Final = "DUO:0000006"
"""Health, medical or biomedical research; not the study of origins or ancestry."""

DS: Final = "DUO:0000007"
"""Research on one disease, which is named after a slash."""

POA: Final = "DUO:0000011"
"""The study of population origins or ancestry."""

UNSUPPORTED: Final = {
    "DUO:0000004": "no restriction",
    "DUO:0000012": "research specific restrictions",
    "DUO:0000015": "no general methods research",
    "DUO:0000016": "genetic studies only",
    "DUO:0000018": "not for profit, non-commercial use only",
    "DUO:0000019": "publication required",
    "DUO:0000020": "collaboration required",
    "DUO:0000021": "ethics approval required",
    "DUO:0000022": "geographical restriction",
    "DUO:0000024": "publication moratorium",
    "DUO:0000025": "time limit on use",
    "DUO:0000026": "user specific restriction",
    "DUO:0000027": "project specific restriction",
    "DUO:0000028": "institution specific restriction",
    "DUO:0000029": "return to database or resource",
    "DUO:0000031": "method development",
    "DUO:0000043": "clinical care use",
    "DUO:0000044": "population origins or ancestry research prohibited",
    "DUO:0000045": "not for profit organisation use only",
    "DUO:0000046": "non-commercial use only",
}
"""Terms that are recognised, and deny, because nothing here enforces what they ask for."""

# What data given for a term serve beside that term itself.
_COVERS: Final = {GRU: frozenset({HMB, DS, POA}), HMB: frozenset({DS}), DS: frozenset[str](), POA: frozenset[str]()}
_TERM: Final = re.compile(r"(DUO:[0-9]{7})(/MONDO:[0-9]{7})?")


def matches(allowed: Sequence[str], purpose: str) -> bool:
    """Whether data that may be used for ``allowed`` serve ``purpose``.

    One of the allowed terms must cover the purpose: GRU covers HMB, DS and POA; HMB covers DS; a disease covers
    itself alone, and unnamed it covers nothing. A term in ``allowed`` that is not supported denies everything,
    since it may be a condition on all the others.
    """
    if not _supported(purpose) or not all(_supported(term) for term in allowed):
        return False
    return any(_covers(term, purpose) for term in allowed)


def checked(term: str) -> str:
    """``term`` itself, if it is one that can match.

    Raises:
        BadInput: it is no DUO term, or one that is not supported; the message lists those that are.
    """
    if _supported(term):
        return term
    usable = f"use {GRU} (general), {HMB} (health), {DS}/MONDO:NNNNNNN (one disease) or {POA} (ancestry)"
    if term in UNSUPPORTED:
        raise BadInput(
            f"the purpose «{term}» ({UNSUPPORTED[term]}) is not supported and would deny everything; {usable}"
        )
    raise BadInput(f"«{term[:32]!a}» is not a purpose that is known here; {usable}")


def _supported(term: str) -> bool:
    match = _TERM.fullmatch(term)
    return match is not None and match[1] in _COVERS and (match[2] is None or match[1] == DS)


def _covers(term: str, purpose: str) -> bool:
    if term == purpose:
        return term != DS
    return purpose.partition("/")[0] in _COVERS.get(term, frozenset())
