"""Making shared datasets: encrypted into the store under a key that is kept, and what their entries must say."""

from __future__ import annotations

from pathlib import Path

from catalog.cid import Cid
from catalog.crypt4gh import KEY_BYTES
from catalog.dataset import DatasetFields
from catalog.error import BadInput
from node.site.site import Site


async def import_shared(site: Site, path: Path) -> Cid:
    """Encrypt a file or folder of this machine into the store, under a new key that is kept: its root."""
    key = site.random.token(KEY_BYTES)
    root = await site.shared.add_path(path, key)
    await site.datakeys.keep(root, site.root, key)
    return root


def check_shared(site: Site, dataset: DatasetFields) -> None:
    """Check the entry of a shared dataset, but for its bytes and key.

    Raises:
        BadInput: a label that is not this site's alone, or custodians that cannot be.
    """
    if set(dataset.label.owners) != {site.root}:
        raise BadInput("shared data are this site's; their label names it as the one owner, and the readers")
    others = site.membership.nodes.keys() - {site.root} - site.membership.witnesses
    if dataset.custodians != tuple(sorted(set(dataset.custodians) & others)):
        raise BadInput("a custodian is another member, and none that only witnesses logs; each is named once, in order")
