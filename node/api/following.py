"""Submissions as the person who made them follows them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from catalog.cid import Cid
from catalog.error import BadInput, NotFound, VerificationFailed
from node.api import operation
from node.api.logs import LogView
from node.api.operation import MAX_WAIT
from node.api.publish import Publisher, now
from node.api.short import is_named
from node.api.view import Run
from node.api.watched import EventsPage, EventView, GraphView


class Follower(Publisher):
    """Looks at submissions and what becomes of them."""

    def runs(self) -> tuple[Run, ...]:
        """This person's submissions, newest first."""
        return tuple(Run(view) for view in self._connection.ask(operation.SUBMISSIONS))

    def run(self, submission: Cid | str, seconds: float = 0) -> Run:
        """A submission, by its CID or its end, as it stands: after at most ``seconds``, or once something changes.

        Raises:
            NotFound: this person made no such submission. BadInput: several end so.
        """
        told, cid = f"{min(seconds, MAX_WAIT):.3f}", self._submission(submission)
        return Run(self._connection.ask(operation.SUBMISSION, submission=str(cid), seconds=told))

    def _submission(self, named: Cid | str) -> Cid:
        """The CID of the submission of that name."""
        if isinstance(named, Cid):
            return named
        with suppress(BadInput):
            return Cid.parse(named)
        found = [each.submission for each in self.runs() if is_named(named, each.submission)]
        if len(found) > 1:
            raise BadInput(f"{len(found)} submissions end in «{named}»; give more of it")
        if not found:
            raise NotFound(f"you made no submission «{named}»; see «comity submission list»")
        return found[0]

    def watch(self, submission: Cid | str) -> Iterator[Run]:
        """A submission each time that something about it changes, until it has ended."""
        run = self.run(submission)
        yield run
        while not run.done:
            later = self.run(run.submission, 20)
            if later != run:
                run = later
                yield run

    def events(self, submission: Cid | str, after: int = 0) -> Iterator[EventView]:
        """What happened to a submission behind event number ``after``, and then what happens, until it has ended.

        Raises:
            NotFound: this person made no such submission. BadInput: several end so.
        """
        for page in self.event_pages(submission, after):
            yield from page.events

    def event_pages(self, submission: Cid | str, after: int = 0, seconds: float = 20) -> Iterator[EventsPage]:
        """As :meth:`events`, page by page; an empty one at least every ``seconds``, and the last one has ``ended``."""
        cid, told = str(self._submission(submission)), f"{min(seconds, MAX_WAIT):.3f}"
        while True:
            page = self._connection.ask(operation.EVENTS, submission=cid, after=str(after), seconds=told)
            if page.after < after or (page.events and page.after == after):
                raise VerificationFailed("the node's events do not go on; ask its operator for its log")
            yield page
            after = page.after
            if page.ended:
                return

    def graph(self, submission: Cid | str) -> GraphView:
        """The steps of a submission's workflow and what feeds them.

        Raises:
            NotFound: this person made no such submission. BadInput: several end so.
        """
        return self._connection.ask(operation.GRAPH, submission=str(self._submission(submission)))

    def logs(self, submission: Cid | str, step: str = "") -> tuple[LogView, ...]:
        """What the commands of steps that failed wrote last, or why it is not told; of one ``step``, or ``step[0]``.

        A steward may ask for another site's submission, by its whole CID, of what its steps wrote at this site. Who
        reads it is written down.

        Raises:
            NotFound: no such submission, or no such step of it failed. BadInput: several submissions end so.
        """
        return self._connection.ask(operation.LOGS, submission=str(self._submission(submission)), step=step)

    def wait(self, submission: Cid | str, seconds: float | None = None) -> Run:
        """The submission once it has ended, or as it stands after ``seconds``; ``Run.check`` raises if it failed."""
        until = None if seconds is None else now() + int(seconds * 1000)
        run = self.run(submission)
        while not run.done and (until is None or now() < until):
            left = 20.0 if until is None else max(0.0, (until - now()) / 1000)
            run = self.run(run.submission, min(20.0, left))
        return run
