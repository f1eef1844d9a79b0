"""What is halted at this site: a projection of its audit log, so that it holds over every restart.

Halted, orders are refused, running steps are ended, and nothing is released or handed out; audit reads, revocations
and replication go on. The rows stand in a chain of their own, whose subject is the site.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from catalog.body import Body, fields_of
from catalog.cid import Cid
from catalog.key import short
from catalog.project import ProjectRef
from workflow.account import HaltFields, halted
from workflow.order import Instance


@dataclass(frozen=True, slots=True)
class Scope:
    """What a halt is about: one project, one member, what concerns either, or with neither all."""

    project: ProjectRef | None
    member: str | None

    def words(self, name: Callable[[str], str]) -> str:
        """It, for people, who know members by what ``name`` gives for a root key."""
        return halted(self.project, self.member, name)


class Halts:
    """What stands halted. Fed with the audit log's bodies of the kinds ``halt`` and ``resume``, in order."""

    def __init__(self) -> None:
        self.name: Callable[[str], str] = short
        """What a member is called, by its root key."""
        self._standing: dict[Scope, str] = {}
        self._statements: set[Cid] = set()
        self.delivered: set[Instance] = set()
        """Instances that were delivered and whose rows a restored log has lost: they are never delivered again."""
        self.reopenings: set[bytes] = set()
        """The new epochs of this site's logs that are accounted for."""

    def take(self, _index: int, body: Body) -> None:
        """Take a body; others than those of halts are passed over.

        Raises:
            VerificationFailed: it is not of its kind's shape.
        """
        if body.kind not in ("halt", "resume"):
            return
        fields = fields_of(body, HaltFields)
        scope = Scope(fields.project, fields.member)
        if fields.statement is not None:
            self._statements.add(Cid.of(fields.statement))
        self.delivered.update(fields.delivered)
        if fields.reopening is not None:
            self.reopenings.add(fields.reopening)
        if body.kind == "halt":
            self._standing[scope] = fields.reason
        else:
            self._standing.pop(scope, None)

    @property
    def standing(self) -> dict[Scope, str]:
        """What is halted, and why."""
        return dict(self._standing)

    def used(self, statement: bytes) -> bool:
        """Whether a steward's signed word was written down here before: it counts once."""
        return Cid.of(statement) in self._statements

    @property
    def told(self) -> tuple[str, ...]:
        """What is halted, and why, a line each for people."""
        return tuple(f"{scope.words(self.name)}: {reason}" for scope, reason in self._standing.items())

    def refusal(self, project: ProjectRef | None, members: Iterable[str]) -> str:
        """Why nothing may be done for ``project`` and ``members``; empty if it may."""
        about = set(members)
        for scope, reason in self._standing.items():
            everything = scope.project is None and scope.member is None
            if everything or (scope.project is not None and scope.project == project) or scope.member in about:
                return f"this site is halted for {scope.words(self.name)}: {reason}"
        return ""

    def closed_to(self, member: str) -> bool:
        """Whether no bytes are handed out to ``member``."""
        return bool(self.refusal(None, [member]))

    def projects(self) -> frozenset[ProjectRef]:
        """The projects that are halted by themselves."""
        return frozenset(scope.project for scope in self._standing if scope.project is not None)
