"""Every CID below a root, found by reading each node: slow and plain."""

from catalog.cid import Cid
from catalog.error import NotFound
from node.storage.disk import DiskBlobs
from node.storage.nodes import links_of


async def names(store: DiskBlobs, root: Cid) -> frozenset[Cid]:
    found, stack = set[Cid](), [root]
    while stack:
        cid = stack.pop()
        try:
            data = await store.node(cid)
        except NotFound:
            continue
        found.add(cid)
        stack.extend(each for each in links_of(cid, data) if each not in found and not each.is_keyed)
    return frozenset(found)
