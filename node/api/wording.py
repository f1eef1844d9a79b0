"""What an audit row says, in words: whether it was allowed and by which rules, or what happened."""

from __future__ import annotations

from collections.abc import Callable

from catalog.cid import Cid
from catalog.dagcbor import decode
from catalog.plural import counted
from node.message import Who
from workflow.account import (
    MAX_REQUEST,
    AccessFields,
    AccountFields,
    ApprovalFields,
    DestroyFields,
    EntryFields,
    EraseFields,
    FetchFields,
    HaltFields,
    HeadsFields,
    InquiryFields,
    KeyReleaseFields,
    ReadFields,
    RefusalFields,
    ReleaseFields,
    ResultFields,
    Side,
    UnwrittenFields,
    WithheldFields,
    halted,
)
from workflow.inquiry import Answer

Name = Callable[[str], str]
"""A site's or a person's name by its key."""

Verdict = tuple[bool | None, tuple[str, ...], str]
"""Whether it was allowed (``None`` where nothing was decided), the rules that decided, and the row in words."""


def verdict(kind: str, fields: AccountFields, name: Name) -> Verdict:
    """What a row of this kind decided or says."""
    if isinstance(fields, (InquiryFields, ApprovalFields)):
        return _of_asking(fields, name)
    decision = fields.decision if isinstance(fields, (AccessFields, ReleaseFields)) else None
    if decision is not None:
        return decision.allowed, decision.rules, decision.reason
    if isinstance(fields, KeyReleaseFields):
        return _of_key(fields, name)
    if isinstance(fields, WithheldFields):
        return False, (), f"{'the key' if fields.key else 'bytes'} asked for and not given: {fields.reason}"
    if isinstance(fields, (RefusalFields, UnwrittenFields)):
        return _of_refusal(fields, name)
    if isinstance(fields, ReadFields) and fields.reason:
        return False, (), f"{_asked(fields, name)}; {fields.reason}"
    return None, (), _said(kind, fields, name)


def _said(kind: str, fields: AccountFields, name: Name) -> str:
    match fields:
        case ReleaseFields(site=other, output=output):
            return f"«{output}» came from {name(other)}"
        case ResultFields(status=status, kept=kept, memo=memo, errors=errors):
            held = dict.fromkeys(each.output.reason for each in kept.values() if each.output.reason)
            # Whoever has the body may read what the receipt did not say.
            reason = fields.detail or fields.reason or "; ".join(held)
            before = f"; nothing ran, for it was made before, for the order {memo}" if memo is not None else ""
            said = f"; what it wrote to standard error is held as {errors.cid}" if errors is not None else ""
            return f"{status}: {reason}{before}{said}" if reason else f"{status}{before}{said}"
        case FetchFields(side=side, site=other):
            return f"bytes came from {name(other)}" if side is Side.RECIPIENT else "bytes were given"
        case ReadFields(rows=rows):
            return f"{_asked(fields, name)}: {counted(rows, 'row')}"
        case HeadsFields(count=count):
            return f"the ends of all chains ({count})"
        case EntryFields():
            return f"{_of_entry(kind, fields)}, entry {fields.entry} of the catalog"
        case DestroyFields(values=values, nodes=nodes, bytes=size):
            return f"destroyed: {counted(values, 'value')}, {counted(nodes, 'node')}, {counted(size, 'byte')} on disk"
        case EraseFields(places=places, withdraw=withdraw, site=site):
            return f"erased: {counted(places, 'body')} that entry {withdraw} of the catalog of {name(site)} took back"
        case HaltFields():
            return _of_halt(kind, fields, name)
        case _:
            return kind


def _of_asking(fields: InquiryFields | ApprovalFields, name: Name) -> Verdict:
    if isinstance(fields, InquiryFields):
        about = "may leave" if fields.inquiry.value is not None else "may run"
        return None, fields.decision.rules, f"{counted(fields.stewards, 'steward')} asked whether it {about}"
    reason = decode(Answer, fields.statement, MAX_REQUEST).reason
    said = f"{name(fields.person)} said {'yes' if fields.granted else 'no'}"
    return fields.granted, (), f"{said}: {reason}" if reason else said


def _of_key(fields: KeyReleaseFields, name: Name) -> Verdict:
    person, _, site = fields.reader.rpartition("@")
    reader = f"{name(person)} at {name(site)}" if person else f"the node of {name(site)}"
    if fields.side is Side.RECIPIENT:
        return None, (), f"the key came from {name(fields.site)}, sealed for {reader}"
    if fields.decision is None:
        return None, (), f"the key was given into keeping, sealed for {reader}"
    return True, fields.decision.rules, f"the key was given, sealed for {reader}; {fields.decision.reason}"


def _asked(fields: ReadFields, name: Name) -> str:
    who = decode(Who, fields.question, MAX_REQUEST)
    if who.dataset is not None:
        return "asked who accessed the data"
    return "asked for the whole log" if who.about is None else f"asked what {name(who.about)} did"


def _of_refusal(fields: RefusalFields | UnwrittenFields, name: Name) -> Verdict:
    if isinstance(fields, UnwrittenFields):
        return None, (), f"more that {name(fields.site)} asked for was refused from here on than is written down"
    brought = f" (brought by {name(fields.site)})" if fields.site != fields.home else ""
    return False, (), fields.reason + brought


def _of_entry(kind: str, fields: EntryFields) -> str:
    project = f"the project «{fields.project.name}»" if fields.project is not None else "a project"
    match kind:
        case "grant":
            return f"{grant_text(fields.grant)} given"
        case "revoke":
            return f"{grant_text(fields.grant)} revoked"
        case "approve":
            return f"approval of {project} withdrawn" if fields.withdrawn else f"{project} approved"
        case _:
            return f"a new {kind}"


def _of_halt(kind: str, fields: HaltFields, name: Name) -> str:
    about = halted(fields.project, fields.member, name)
    done = "halted" if kind == "halt" else "resumed"
    lost = len(fields.delivered)
    told = f"; {counted(lost, 'result')} that only others have receipts of" if lost else ""
    return f"{done}: {about}; {fields.reason}{told}"


def grant_text(grant: Cid | None) -> str:
    """A grant by the end of its CID."""
    return "a grant" if grant is None else f"grant …{str(grant)[-8:]}"
