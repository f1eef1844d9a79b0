"""What ``comity dataset mirror`` and ``comity block mirror`` have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.output import say, show
from cli.session import Session
from cli.transfer import carrying

if TYPE_CHECKING:
    from catalog.block import BlockFields
    from catalog.dataset import DatasetFields
    from node.api.client import Node
    from node.api.view import Listing


def mirror_published(
    session: Session, node: Node, found: Listing[DatasetFields] | Listing[BlockFields], *, end: bool
) -> None:
    """Hold what another site published here too, or do so no more, and say so."""
    name = found.fields.name
    with carrying(session, f"fetching «{name}» …", found.subject):
        index = node.mirror(found, end=end)
    told = "is held here for others no more" if end else f"of {found.site_name} is held here too"
    show(session, {"cid": found.subject, "index": index}, lambda: say(f"«{name}» {told} (entry {index})."))
