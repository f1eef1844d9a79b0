"""What a site attests, put together: others' logs by its cosignatures, its own by theirs, and that it is well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from node.replicate.cosign import Witness
from node.replicate.quorum import Quorum
from node.site.statements import Statements
from node.site.witnessing import Witnessing

if TYPE_CHECKING:
    from node.site.membership import Membership
    from node.site.site import Site


@dataclass(frozen=True, slots=True)
class Attesting:
    """The witness of others' logs, the cosigning of this site's own, and what the node says in the catalog."""

    witness: Witness
    witnessing: Witnessing
    statements: Statements

    async def load(self) -> None:
        """Read what earlier runs left; before anything is decided."""
        await self.witness.load()
        await self.witnessing.load()


def attesting(site: Site, settle: Callable[[], None]) -> Attesting:
    """All of it for ``site``; ``settle`` is called when a quorum has cosigned more of a log."""
    membership = site.membership
    witnessing = Witnessing(
        site.catalog,
        site.audit,
        site.reach,
        lambda: quorum_of(membership, site.root),
        lambda root: membership.names.get(root, root),
        settle,
    )
    site.catalog.appended = site.audit.appended = witnessing.wake
    witness = Witness(
        site.root,
        site.node.key,
        site.witness_memory,
        site.index,
        lambda root: frozenset({membership.nodes[root]}),
        site.clock,
        lambda: statements.wake(),
        site.reopened,
    )

    async def hint() -> None:
        # With its cosignatures: who has the entries has not heard of these.
        beat = site.index.site(site.root).latest("beat", "")
        cosigned = await witnessing.head(beat.index if beat is not None else 0)
        await site.network.hint((*cosigned, site.catalog.note)[0].encode())

    statements = Statements(
        lambda: site.index.site(site.root),
        site.node.key,
        witness,
        site.writer.write,
        site.clock,
        witnessing.published,
        hint,
    )
    return Attesting(witness, witnessing, statements)


def quorum_of(membership: Membership, owner: str) -> Quorum:
    """The witnesses of the logs of ``owner``, and how many are needed, in the epoch that stands."""
    needed = membership.epoch.quorum if membership.epoch is not None else 0
    return Quorum(needed, {root: node for root, node in membership.nodes.items() if root != owner})
