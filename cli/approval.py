"""``comity approval``: what this site's stewards are asked before a step runs or an output leaves; their answers."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

import click

from catalog.plural import counted
from cli.output import confirmed, document, pairs, say, show, table
from cli.session import Session, Verbs, pass_session
from cli.value import tell_value

if TYPE_CHECKING:
    from node.api.client import Node
    from node.api.inquiries import InquiryView

FOUND: Final = 20
"""Findings of disclosure control that are shown."""

_ELSEWHERE: Final = "not here: another site made it of several owners' data, and none of them reads the others' part"


@click.group(cls=Verbs)
def group() -> None:
    """What stewards are asked: whether steps may run here, and outputs leave."""


@group.command("list")
@click.option("--all", "every", is_flag=True, help="Those too that are answered, while the answers count.")
@pass_session
def list_(session: Session, every: bool) -> None:
    """List what this site's stewards are asked and something waits for, oldest first; for them."""
    with session.node() as node:
        found = [each for each in node.inquiries() if every or each.waits]

    def tell() -> None:
        from node.api.quantity import clock_text
        from node.api.short import LETTERS

        rows = [
            (
                str(each.cid)[-LETTERS:],
                each.person_name,
                _what(each),
                ", ".join(name or cid for cid, name in each.datasets.items()) or "no data",
                clock_text(each.not_after),
                _state(each),
            )
            for each in found
        ]
        table(("asked", "by", "may", "data", "answer until", "answers"), rows, "nothing is asked")

    show(session, found, tell)


@group.command("show")
@click.argument("inquiry")
@click.option("--value", is_flag=True, help="Show the beginning of what would leave too; that you looked is logged.")
@pass_session
def show_(session: Session, inquiry: str, value: bool) -> None:
    """Show INQUIRY in full: who asks, for what, on which data, with what code, and what would leave to whom."""
    with session.node() as node:
        view = node.inquiry(inquiry)
        code = _code(node, view)
        seen = node.preview(view.cid) if value else None

    def tell() -> None:
        _tell(view)
        for name, text in code.items():
            say("")
            say(name)
            document(text)
        if seen is not None:
            say("")
            tell_value(view.name, seen, more=(view.size or 0) > len(seen))

    answer = {"inquiry": view, "code": code}
    show(session, answer | ({"value": seen} if seen is not None else {}), tell)


@group.command()
@click.argument("inquiry")
@click.option("--reason", default="", help="Why; whoever asks is told.")
@click.option("--until", default="7d", show_default=True, help="How long it counts if the same is asked again.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def give(session: Session, inquiry: str, reason: str, until: str, yes: bool) -> None:
    """Say yes to INQUIRY, signed with your key: the step runs, or the output leaves."""
    _answer(session, inquiry, reason, until, yes, granted=True)


@group.command()
@click.argument("inquiry")
@click.option("--reason", required=True, help="Why; whoever asks is told.")
@click.option("--until", default="7d", show_default=True, help="How long it counts if the same is asked again.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def refuse(session: Session, inquiry: str, reason: str, until: str, yes: bool) -> None:
    """Say no to INQUIRY, signed with your key."""
    _answer(session, inquiry, reason, until, yes, granted=False)


def _answer(session: Session, inquiry: str, reason: str, until: str, yes: bool, *, granted: bool) -> None:
    with session.node() as node:
        view = node.inquiry(inquiry)
        if not session.json:
            _tell(view)
        confirmed(yes, "Say yes to exactly this?" if granted else "Say no to it?")
        index = node.answer(view.cid, granted=granted, reason=reason, until=until)
    said = "yes" if granted else "no"
    more = max(0, view.stewards - len(view.granted) - 1)

    def tell() -> None:
        say(f"You said {said} (audit row {index}).")
        if not view.waits:
            say("Nothing waits for it any more: it counts if the same is asked again, as long as you said.")
        elif granted and more:
            say(f"next: {counted(more, 'more steward')} must say so too")

    show(session, {"inquiry": view.cid, "granted": granted, "index": index}, tell)


def _what(view: InquiryView) -> str:
    leaves = view.inquiry.value is not None
    wanted = ", ".join(sorted({each.type for each in view.inquiry.outputs.values()}))
    return f"let out {wanted} of {view.block_name or 'a block'}" if leaves else f"run {view.block_name or 'a block'}"


def _state(view: InquiryView) -> str:
    if view.refused:
        return "refused"
    return f"{len(view.granted)} of {view.stewards}"


def _tell(view: InquiryView) -> None:
    from node.api.quantity import clock_text

    inquiry = view.inquiry
    wanted = [f"{name} ({each.type})" for name, each in sorted(inquiry.outputs.items())]
    literals = {name: getattr(each, "json", None) for name, each in inquiry.inputs.items()}
    pairs(
        [
            ("question", "may this value leave?" if inquiry.value is not None else "may this step run here?"),
            ("name", str(view.cid)),
            ("person", f"{view.person_name} at {view.home_name}"),
            ("project", f"{inquiry.project.name}, for {inquiry.purpose}"),
            ("step", view.step),
            ("block", f"{view.block_name or '?'} ({inquiry.block})"),
            *(("data", f"{name or '?'} ({cid})") for cid, name in view.datasets.items()),
            *(("given", f"{name} = {text}") for name, text in literals.items() if text is not None),
            *([("around it", inquiry.around)] if inquiry.around is not None else []),
            *(("leaves", each) for each in wanted),
            *([("value", f"{view.name}, {view.size:,} bytes")] if view.size is not None else []),
            *([("value", _ELSEWHERE)] if inquiry.value is not None and view.size is None else []),
            *(("to", name) for name in view.readers.values()),
            ("asked because", view.reason),
            *([("check", view.check)] if view.check else []),
            *(("found", f"{each.words} ({each.reason})") for each in view.found[:FOUND]),
            *([("", f"and {len(view.found) - FOUND:,} more")] if len(view.found) > FOUND else []),
            ("asked", clock_text(view.asked_at)),
            ("answer until", clock_text(view.not_after)),
            ("answers", f"{_state(view)}{': ' + ', '.join(view.granted) if view.granted else ''}"),
            *([("refused", view.refused)] if view.refused else []),
        ]
    )


def _code(node: Node, view: InquiryView) -> dict[str, str]:
    """The block's files, as text; of one that replaces a block endorsed here before, what differs."""
    new = _files(node, str(view.inquiry.block))
    if view.before is None:
        return new
    old = _files(node, str(view.before))
    changed = {}
    for name in sorted({*old, *new}):
        lines = difflib.unified_diff(
            old.get(name, "").splitlines(), new.get(name, "").splitlines(), "endorsed before", "asked now", lineterm=""
        )
        changed[name] = "\n".join(lines) or "as it was endorsed before"
    return changed


def _files(node: Node, block: str) -> dict[str, str]:
    view = node.block(block)
    texts = {"tool.cwl": view.tool}
    for name, size in view.files.items():
        if name != "tool.cwl":
            data = node.fetch(block, name)
            try:
                texts[name] = data.decode()
            except UnicodeDecodeError:
                texts[name] = f"({size:,} bytes that are no text)"
    return texts
