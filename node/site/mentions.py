"""Where a key or a CID stands in catalogs, body by body: what an erasure has to take back, and what others have to."""

from __future__ import annotations

from catalog.body import read_body
from catalog.entry import read_entry
from catalog.error import BadInput, VerificationFailed
from catalog.leaf import decode_leaf
from catalog.member import Role
from node.api import schema
from node.site.publishing import member_of
from node.site.site import Site
from node.storage.stored import StoredLog

LEAST = 16
"""Bytes of what is looked for: less would be found anywhere."""


async def mentions(site: Site, person: str, request: schema.Mentions) -> tuple[schema.MentionView, ...]:
    """Every body that is here and contains what is looked for; for stewards.

    Raises:
        Denied: not a steward. BadInput: too little to look for.
    """
    member_of(site, person, Role.STEWARD)
    if len(request.needle) < LEAST:
        raise BadInput(f"what is looked for in the catalogs has at least {LEAST} bytes: a whole key or CID")
    logs: dict[str, StoredLog] = {site.root: site.catalog, **site.replicas.known}
    return tuple(
        [
            await _mention(site, root, log, index)
            for root, log in logs.items()
            for index in await log.mentioning(request.needle)
        ]
    )


async def _mention(site: Site, root: str, log: StoredLog, index: int) -> schema.MentionView:
    kind, subject, name, actor = decode_leaf(await log.leaf(index)).kind_name, "", "", ""
    stored = await log.body(index)
    try:
        if stored is not None:
            body = read_body(stored[1])
            actor = body.actor
            entry = read_entry(root, index, kind, body)
            subject, name = entry.subject, str(getattr(entry.fields, "name", ""))
    except VerificationFailed:
        pass  # it never counted, and contains it all the same
    latest = site.index.site(root).latest(kind, subject)
    return schema.MentionView(
        site=root,
        site_name=site.config.name if root == site.root else site.membership.names.get(root, ""),
        index=index,
        kind=kind,
        subject=subject,
        name=name,
        actor=actor,
        counts=latest is not None and latest.index == index,
    )
