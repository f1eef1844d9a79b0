"""What an operator asks of the consortium's epochs and of this site's own keys, and what its root key may write."""

from __future__ import annotations

import os
from functools import partial

import trio

from catalog.body import Body
from catalog.entry import read_entry
from catalog.epoch import EpochSignatureFields, check_next, needed, signers
from catalog.error import BadInput, Conflict, NotFound, VerificationFailed
from catalog.member import Epoch, KeyFields, Role, content_cid
from node.api import schema
from node.api.epochs import CandidateView, EpochsView, PendingView
from node.founding import node_of
from node.rotation import is_ready
from node.site.site import Site
from privacy.policy import Policy

MOST_TWICE = 16
"""Signatures of an epoch that a member gave beside its first one: so many are shown of each."""


def epochs(site: Site) -> EpochsView:
    """The epoch of now, what may follow it, who waits to be admitted.

    Raises:
        NotFound: this site is in no consortium yet.
    """
    membership = site.membership
    epoch, consortium = membership.epoch, membership.consortium
    if epoch is None or consortium is None:
        raise NotFound("this site is in no consortium yet; see: comity consortium show")
    signed = membership.signed(epoch)
    documents = {content_cid(each.document): each.document for each in signed.values()}
    candidates = sorted(membership.candidates.values(), key=lambda each: each.member.site)
    return EpochsView(
        epoch=epoch,
        consortium=consortium,
        pending=tuple(_pending(site, epoch, document, signed) for document in documents.values()),
        candidates=tuple(CandidateView(member=each.member, node=node_of(each)) for each in candidates),
        twice=_twice(site, epoch),
        sizes={member.root: site.index.site(member.root).size for member in epoch.members},
    )


def _pending(site: Site, now: Epoch, document: Epoch, signed: dict[str, EpochSignatureFields]) -> PendingView:
    same = {root: each.signature for root, each in signed.items() if each.document == document}
    found = signers(now, document, same)
    try:
        check_next(now, document)
        fault = ""
    except VerificationFailed as error:
        fault = str(error)
    names = {member.root: member.site for member in now.members}
    return PendingView(
        document=document,
        signed=tuple(sorted(names[root] for root in found)),
        needed=needed(now),
        mine=site.root in found,
        fault=fault,
    )


def _twice(site: Site, epoch: Epoch) -> dict[str, tuple[str, ...]]:
    found = {
        member.site: tuple(f"entry {at}: {told}" for at, told in index.versions.blamed(MOST_TWICE, "epoch-signature"))
        for member in epoch.members
        for index in (site.index.site(member.root),)
    }
    return {name: told for name, told in found.items() if told}


def keys(site: Site) -> schema.KeysView:
    """This site's keys, the removed ones too."""
    own = site.index.site(site.root)
    found = [
        schema.KeyView(index=entry.index, fields=entry.fields)
        for entry in own.entries("key")
        if isinstance(entry.fields, KeyFields)
    ]
    return schema.KeysView(
        root=site.root,
        acting=own.keys.acting,
        node=site.node.did,
        keys=tuple(found),
        catalog=site.catalog.size,
        audit=site.audit.size,
        epoch=site.catalog.epoch,
    )


def restart(site: Site) -> schema.Restarting:
    """End this run of the node; its process begins another, which carries out what lies ready.

    Raises:
        Conflict: nothing lies ready.
    """
    if not is_ready(site.folder):
        raise Conflict("nothing lies ready that a new start would carry out")
    site.leaving.set()
    return schema.Restarting(pid=os.getpid())


async def check_root_entry(site: Site, body: Body) -> None:
    """Check what only the consortium or a change of this node's key may bring: nothing is written that breaks either.

    Raises:
        VerificationFailed: a document that may not follow the epoch of now.
        BadInput: its floor is no policy. Conflict: the node's own key, which a rotation changes.
    """
    fields = read_entry(site.root, site.catalog.size, body.kind, body).fields
    if isinstance(fields, KeyFields) and fields.role is Role.NODE:
        raise Conflict("a node's key is changed with «comity site rotate», which gives the node its new key too")
    if isinstance(fields, EpochSignatureFields):
        epoch = site.membership.epoch
        if epoch is None:
            raise NotFound("this site is in no consortium yet, so it signs no epoch that follows")
        check_next(epoch, fields.document)
        await trio.to_thread.run_sync(partial(check_floor, fields.document.floor))


def check_floor(text: str) -> None:
    """Check that a floor is Cedar text that this node can read; it forbids and never permits.

    Raises:
        BadInput: it is not; the message says where.
    """
    Policy.parse("", site="the consortium", version="new", floor=text)
    if len(text.encode()) > 16 << 10:
        raise BadInput("a floor is at most 16 KiB")
