"""A site's word that it has destroyed what it held for a project that has ended (the register of projects shows it)."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from catalog.body import Index
from catalog.cid import Cid
from catalog.dagcbor import Value
from catalog.project import ProjectRef

NOT_COVERED: Final = (
    "copies that people made of what was released to them",
    "files that were exported or printed",
    "backups of this site's disk, until they are overwritten",
    "what sites hold that have given no certificate",
)
"""What the software cannot destroy, and so no certificate speaks of."""


class CertificateFields(Value, frozen=True, kw_only=True):
    """The fields of a ``certificate`` entry, signed by the site's node.

    ``terms`` are the project's when it ended. ``values`` counts the held outputs and the copies of other sites'
    values, ``nodes`` and ``bytes`` what was removed from disk with them; ``audit`` is the place of the ``destroy``
    leaf in the site's audit log.
    """

    project: ProjectRef
    terms: Cid
    values: Index
    nodes: Index
    bytes: Index
    not_covered: Annotated[tuple[Annotated[str, msgspec.Meta(max_length=200)], ...], msgspec.Meta(max_length=16)]
    audit: Index

    @property
    def subject(self) -> str:
        """The project, as entries name it."""
        return self.project.subject
