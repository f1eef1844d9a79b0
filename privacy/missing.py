"""The facts of a question that are false, in words for people: what a denial names, as far as rules ask for it."""

from __future__ import annotations

from collections.abc import Collection

from privacy.request import ProjectQuestion, Request
from privacy.schema import CedarRequest, plain


def false_facts(question: CedarRequest, request: Request | None = None) -> dict[str, str]:
    """The false facts by their names, each with its words; ``request`` knows more of why than rules can read."""
    context = question.context
    false = {name for name, value in context.items() if value is False}
    words = {
        "granted": (request.ungranted and plain(request.ungranted, 200)) if request is not None else "",
        "purposeMatches": _unfit(question, request) if "purpose" in context else "",
    }
    return {f"context.{name}": words.get(name) or told for name, told in _WORDS.items() if name in false}


_WORDS = {
    "granted": "the request has no grant",
    "purposeMatches": "the data may not be used for the purpose",
    "fresh": "what is known of those who vouch for it is too old",
    "endorsed": "the owner's steward has not endorsed the block for such an output",
    "reader": "the label names no such reader",
}


def _unfit(question: CedarRequest, request: Request | None) -> str:
    mismatch = request.mismatch if isinstance(request, ProjectQuestion) else ""
    why = f": {plain(mismatch, 200)}" if mismatch else ""
    return f"the data may not be used for the purpose «{plain(str(question.context['purpose']), 40)}»{why}"


def asked_for(false: dict[str, str], reads: Collection[str]) -> dict[str, str]:
    """Those of the false facts that rules read."""
    return {name: words for name, words in false.items() if name in reads}
