"""The decisions in a site's audit log, from its node or its folder, and the policy that they are held against."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from catalog.body import Body, fields_of, read_body
from catalog.cid import Cid
from catalog.error import Denied, NotFound, Unreachable
from catalog.plural import counted
from cli.output import warn
from privacy.decision import Decision
from privacy.difference import Recorded
from privacy.policy import Policy
from workflow.account import ACCOUNTS, AccessFields, AccountFields, KeyReleaseFields, ReleaseFields

if TYPE_CHECKING:
    from node.api.client import Node


def decided(node: Node, since: str | None = None) -> Iterator[Recorded]:
    """The decisions in the audit log of ``node``'s own site, verified, oldest first.

    Raises:
        Denied: this person may not read it. Unreachable: it broke off.
    """
    from node.api.view import Absent, Blanks

    for told, account in node.audit_export(since=since):
        if isinstance(told, Absent):
            raise (Denied if told.denied else Unreachable)(f"{told.site_name}: {told.reason}")
        if isinstance(told, Blanks):
            warn(f"{counted(told.count, 'row')} of the audit log erased or not for you, and not looked at")
        if account is not None:
            yield from _recorded(account.index, account.body, account.fields)


def decided_in(directory: Path, since: str | None = None) -> Iterator[Recorded]:
    """The decisions in the audit log of a site's folder, or of a copy, without a node; ``audit verify`` checks it.

    Raises:
        NotFound: it is no site's folder. BadInput: ``since`` is no time.
    """
    from cli.offline import rows_in
    from node.api.quantity import past
    from node.config import Folder

    folder = Folder(directory)
    if not folder.audit.is_dir():
        raise NotFound(f"there is no log in {folder.audit}; give the folder of a site, or a copy of one")
    first = 0 if since is None else past(since, time.time_ns() // 1_000_000)
    for at, _, data in rows_in(folder.audit):
        body = read_body(data) if data is not None else None
        if body is not None and body.at >= first and body.kind in ACCOUNTS:
            yield from _recorded(at, body, fields_of(body, ACCOUNTS[body.kind]))


def floor_of(node: Node) -> str:
    """The floor of the consortium that ``node``'s site is in; empty in none."""
    try:
        return node.epochs().epoch.floor
    except NotFound:
        return ""


def floor_in(directory: Path) -> str:
    """The floor of the consortium that the site of a folder is in; empty in none."""
    from node.config import Folder
    from node.storage.consortium import read_epochs

    epochs = read_epochs(Folder(directory).state)
    return epochs[-1].floor if epochs else ""


def policy_of(node: Node, name: str) -> Policy:
    """The policy that is in force at ``node``'s site, called ``name``, under its consortium's floor."""
    from catalog.policy import PolicyFields

    own = next((each for each in node.listed("policy", PolicyFields) if each.site == node.site), None)
    text, version = (own.fields.text, str(own.index)) if own is not None else ("", "none")
    return Policy.parse(text, site=name, version=version, floor=floor_of(node))


def found_in(recorded: Iterator[Recorded], named: str) -> list[Recorded]:
    """The decisions of an order or of a submission (its CID, or the end of it), or at a leaf (its number).

    Raises:
        NotFound: there is none.
    """
    number = int(named) if named.isdecimal() else None
    every = list(recorded)
    orders = {each.order for each in every if _is_called(each, named)}
    found = [each for each in every if each.place == number or (each.order and each.order in orders)]
    if not found:
        raise NotFound(
            f"no decision about «{named}» is in the audit log here; give the CID of an order or a submission, or the "
            "number of a leaf"
        )
    return found


def _is_called(recorded: Recorded, named: str) -> bool:
    from node.api.short import is_named

    return is_named(named, recorded.order) or is_named(named, recorded.submission)


def _recorded(place: int, body: Body, fields: AccountFields) -> Iterator[Recorded]:
    decision: Decision | None = None
    order: Cid | None = None
    submission = ""
    match fields:
        case AccessFields() | ReleaseFields():
            decision, order = fields.decision, fields.order
            submission = str(fields.instance.submission) if isinstance(fields, AccessFields) else ""
        case KeyReleaseFields():
            decision = fields.decision
    if decision is not None:
        yield Recorded(place, body.at, decision, str(order) if order is not None else "", submission)
