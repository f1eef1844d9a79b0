"""Purposes as terms of the GA4GH Data Use Ontology (DUO), and whether data given for some serve another.

A dataset's terms are permissions, of which one must cover the purpose, and modifiers, which must all hold. What a term
is about comes after a slash: ``DUO:0000007/MONDO:0007254``. Where DUO's definitions and the published matching rules
differ, and for every term that is not known, the answer is no (docs/decisions/0015).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Final

from catalog.error import BadInput, shown
from privacy.disease import Diseases, standard
from privacy.modifier import CC, DAYS, MODIFIERS, PLACES, RS, TYPES, UNDERTAKEN, Use, day_of, is_place, lacking

NRES: Final = "DUO:0000004"
"""No restriction."""

GRU: Final = "DUO:0000042"
"""General research use: health, methods, ancestry, social science."""

HMB: Final = "DUO:0000006"
"""Health, medical or biomedical research; not the study of origins or ancestry."""

DS: Final = "DUO:0000007"
"""Research on one disease, which is named after a slash."""

POA: Final = "DUO:0000011"
"""The study of population origins or ancestry."""

METHODS: Final = "DUO:0000031"
"""Development of methods, algorithms, software."""

GENETIC: Final = "DUO:0000038"
"""Biomedical research on genes and heredity."""

_POPULATION, _AGE, _GENDER, _CONTROL, _DRUGS = "DUO:0000032", "DUO:0000034", "DUO:0000035", "DUO:0000036", "DUO:0000039"

PERMISSIONS: Final[Mapping[str, str]] = {
    NRES: "no restriction",
    GRU: "general research use",
    HMB: "health, medical or biomedical research",
    DS: "disease specific research",
    POA: "population origins or ancestry research",
}
"""What a dataset may permit."""

PURPOSES: Final[Mapping[str, str]] = {
    **{term: words for term, words in PERMISSIONS.items() if term != NRES},
    METHODS: "method development",
    _POPULATION: "population research",
    "DUO:0000033": "ancestry research",
    _AGE: "age category research",
    _GENDER: "gender category research",
    _CONTROL: "research control",
    "DUO:0000037": "biomedical research",
    GENETIC: "genetic research",
    _DRUGS: "drug development research",
    "DUO:0000040": "disease category research",
    CC: "clinical care use",
}
"""What a project may be for: the permissions but «no restriction», DUO's investigations, and clinical care."""

_LIST: Final = "All are listed in docs/protocol/labels-and-grants.md, «Purposes»"
# An investigation that says the same as a permission.
_SAME: Final = {"DUO:0000033": POA, "DUO:0000037": HMB, "DUO:0000040": DS}
# What each covers beside itself. Control, population, age and gender are not under GRU: DUOS decides none of them.
_COVERS: Final[Mapping[str, frozenset[str]]] = {
    NRES: frozenset(PURPOSES),
    GRU: frozenset({HMB, DS, POA, METHODS, GENETIC, _DRUGS}),
    HMB: frozenset({DS, GENETIC, _DRUGS}),
}
_BY_TYPE: Final = frozenset({_POPULATION, _AGE, _GENDER, _CONTROL})


def matches(allowed: Sequence[str], use: Use, diseases: Diseases) -> bool:
    """Whether data that may be used for ``allowed`` serve ``use``."""
    return not mismatch(allowed, use, diseases)


def mismatch(allowed: Sequence[str], use: Use, diseases: Diseases) -> str:
    """Why data that may be used for ``allowed`` do not serve ``use``, in plain words; empty if they do."""
    unknown = next((term for term in allowed if not _is_use(term)), None)
    if unknown is not None:
        return f"one of their terms of use is not known here: {ascii(unknown[:40])[1:-1]}"
    if not _is_purpose(use.purpose, diseases):
        return f"the purpose {ascii(use.purpose[:40])[1:-1]} is not known here"
    if not _permitted(allowed, use.purpose, diseases):
        return f"they may not be used for {_words(use.purpose, diseases)}"
    for term in allowed:
        if term.partition("/")[0] in MODIFIERS:
            lack = lacking(term, use)
            if lack:
                return lack
    return ""


def serves(term: str, purpose: str, diseases: Diseases) -> bool:
    """Whether ``term``, a permission or the purpose of a grant, covers ``purpose``, leaving modifiers aside."""
    if not _is_purpose(purpose, diseases):
        return False
    (given, about), (wanted, disease) = _meant(term), _meant(purpose)
    if given == DS:
        return wanted == DS and bool(about) and bool(disease) and diseases.is_kind_of(disease, about)
    return given == wanted or wanted in _COVERS.get(given, frozenset())


def checked(term: str, diseases: Diseases | None = None) -> str:
    """``term`` itself, if a project or a grant may have it as a purpose.

    Without ``diseases`` a disease is not looked up: a client does not know those that a site added.

    Raises:
        BadInput: it is no purpose that is known here; the message names those that are most like it.
    """
    head, _, about = term.partition("/")
    if head in PURPOSES and (not about or (_meant(head)[0] == DS and _is_disease(about, diseases))):
        return term
    if _meant(head)[0] == DS and about:
        raise _unknown_disease(about)
    raise BadInput(
        f"«{shown(term, 40)}» is not a purpose that is known here; most like it are: {_nearest(term, PURPOSES)}; a"
        f" disease after a slash. {_LIST}"
    )


def checked_use(term: str, diseases: Diseases | None = None) -> str:
    """``term`` itself, if a dataset may carry it: a permission, or a condition that something here can fulfil.

    Raises:
        BadInput: it is neither, or what it is about is missing or malformed; the message says which.
    """
    head, _, about = term.partition("/")
    if head == DS:
        if not about:
            raise BadInput(f"{DS} names its disease after a slash, as in {DS}/MONDO:0004992")
        if not _is_disease(about, diseases):
            raise _unknown_disease(about)
        return term
    if not _is_use(term):
        if head in MODIFIERS:
            raise BadInput(f"«{shown(term, 80)}»: {MODIFIERS[head]} {_form_of(head)}")
        known = _nearest(term, {**PERMISSIONS, **MODIFIERS})
        raise BadInput(
            f"«{shown(term, 40)}» is not a term of use that is known here; most like it are: {known}. {_LIST}"
        )
    return term


def checked_undertaking(term: str) -> str:
    """``term`` itself, if a project can undertake it: a condition of use that people fulfil.

    Raises:
        BadInput: it is none; the message lists those that there are.
    """
    head, _, about = term.partition("/")
    right = not about or not _has_form(head) or _is_use(term)
    if head in UNDERTAKEN and right and (about or head not in (RS, *PLACES)):
        return term
    known = _nearest(term, {each: MODIFIERS[each] for each in UNDERTAKEN})
    raise BadInput(f"«{shown(term, 80)}» is nothing that a project can undertake; most like it are: {known}. {_LIST}")


def _nearest(term: str, known: Mapping[str, str]) -> str:
    """The five terms of ``known`` that are most like ``term``, by their identifiers or their words."""
    wanted = term[:80].lower()

    def likeness(each: tuple[str, str]) -> float:
        return max(SequenceMatcher(None, wanted, text.lower()).ratio() for text in each)

    best = sorted(sorted(known.items()), key=likeness, reverse=True)[:5]
    return ", ".join(f"{each} ({words})" for each, words in best)


def _meant(term: str) -> tuple[str, str]:
    head, _, about = term.partition("/")
    return _SAME.get(head, head), about


def _is_purpose(term: str, diseases: Diseases) -> bool:
    head, slash, about = term.partition("/")
    if slash:
        return _SAME.get(head, head) == DS and about in diseases.known
    return head in PURPOSES


def _is_disease(id: str, diseases: Diseases | None) -> bool:
    if diseases is not None:
        return id in diseases.known
    head, _, digits = id.partition(":")
    return head == "MONDO" and len(digits) == 7 and digits.isascii() and digits.isdecimal()


def _is_use(term: str) -> bool:
    """Whether a dataset's term is one that this version reads; which diseases there are is for the match to see."""
    head, slash, about = term.partition("/")
    if head == DS:
        return not slash or _is_disease(about, None)
    if head in PERMISSIONS:
        return not slash
    if head in DAYS:
        return day_of(about) is not None
    if head in PLACES:
        return is_place(about)
    if head == RS:
        return about in TYPES
    return head in MODIFIERS and bool(about) == bool(slash)


def _permitted(allowed: Sequence[str], purpose: str, diseases: Diseases) -> bool:
    heads = {term for term in allowed if "/" not in term}
    if any(serves(term, purpose, diseases) for term in allowed if term.partition("/")[0] in PERMISSIONS):
        return True
    if purpose == CC:
        return CC in heads and bool(heads & {GRU, HMB})
    types = {term.partition("/")[2] for term in allowed if term.partition("/")[0] == RS}
    return GRU in heads and purpose in _BY_TYPE and types == {purpose}


def _words(purpose: str, diseases: Diseases) -> str:
    head, _, about = purpose.partition("/")
    disease = diseases.known.get(about)
    return f"{PURPOSES[head]} ({disease.name if disease else purpose})"


def _unknown_disease(id: str) -> BadInput:
    example = next(iter(standard().known.values()))
    return BadInput(
        f"the disease «{shown(id, 40)}» is not known here; give a MONDO id such as {example.id} ({example.name}), or "
        "have the operator add it to «diseases.toml» in the site's folder"
    )


def _has_form(head: str) -> bool:
    return head in DAYS or head in PLACES or head == RS


def _form_of(head: str) -> str:
    if head in DAYS:
        return f"needs its last day after a slash, as in {head}/2027-01-31"
    if head in PLACES:
        return f"needs a country or region of ISO 3166 after a slash, as in {head}/DE or {head}/DE-BY"
    return f"needs a type of research after a slash, as in {head}/{GENETIC}"
