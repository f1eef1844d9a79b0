"""What a site's folder is held against: the roots that its catalog says lie there whole, and the projects by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path

from catalog.block import BlockFields
from catalog.cid import Cid
from catalog.dataset import DatasetFields, Level
from catalog.epoch import charters
from catalog.index import SiteIndex
from catalog.keyring import Charter
from catalog.mirror import MirrorFields
from catalog.project import ProjectFields, ProjectRef
from cli.offline import index_of, replicas_of
from node.config import Folder, read_config
from node.storage.consortium import read_epochs
from node.storage.sealed import folder_name


def roots_of(directory: Path) -> dict[Cid, str]:
    """Each root that is to be whole in a site's folder, with its name; read from the folder alone.

    What a mirrored owner's catalog does not name any more is left out.

    Raises:
        ComityError: the folder cannot be read.
    """
    folder, site, known = _known(directory)
    own, _ = index_of(folder.catalog, site, known.get(site))
    found = _published(own)
    mirrored = defaultdict(set)
    for entry in own.entries("mirror"):
        if isinstance(entry.fields, MirrorFields) and not entry.fields.withdrawn:
            mirrored[entry.fields.owner].add(entry.fields.cid)
    for owner, path in replicas_of(folder.replicas):
        if owner in mirrored:
            found |= _published(index_of(path, owner, known.get(owner))[0], mirrored[owner])
    return found


def projects_of(directory: Path) -> dict[str, str]:
    """The names of all projects in a site's catalog and its replicas, by the folders of what is held for them.

    Raises:
        ComityError: the folder cannot be read.
    """
    folder, site, known = _known(directory)
    logs = {**dict(replicas_of(folder.replicas)), site: folder.catalog}
    return {
        folder_name(ProjectRef(site=owner, name=entry.fields.name)): entry.fields.name
        for owner, path in logs.items()
        for entry in index_of(path, owner, known.get(owner))[0].entries("project")
        if isinstance(entry.fields, ProjectFields)
    }


def _known(directory: Path) -> tuple[Folder, str, Mapping[str, Charter]]:
    """A site's folder, its root key, and the members' charters by theirs."""
    folder = Folder(directory)
    epochs = read_epochs(folder.state)
    return folder, read_config(folder).root, charters(epochs) if epochs else {}


def _published(index: SiteIndex, only: Collection[Cid] | None = None) -> dict[Cid, str]:
    """What a catalog publishes as bytes, of it ``only`` these if they are given; a block with its environment."""
    found: dict[Cid, str] = {}
    for kind in ("dataset", "block"):
        for entry in index.entries(kind):
            match entry.fields:
                case DatasetFields(withdrawn=False, level=Level.OPEN | Level.SHARED, cid=cid, name=name):
                    roots: tuple[Cid, ...] = (cid,)
                case BlockFields(cid=cid, name=name, roots=roots):
                    pass
                case _:
                    continue
            if only is None or cid in only:
                found |= {root: name if root == cid else f"{name} (environment)" for root in roots}
    return found
