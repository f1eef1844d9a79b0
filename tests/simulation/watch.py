"""What must hold at every moment of every run, seen from outside: from what is durable, run and sent.

The watch believes nothing that the core says of itself: it reads the bodies that became durable, the bytes that went
over the network and the data that were opened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from catalog.body import fields_of, read_body
from catalog.checkpoint import Checkpoint, add_line, cosigners
from catalog.cid import Cid
from catalog.dagcbor import cid_of, decode
from catalog.error import VerificationFailed
from catalog.index import Index
from catalog.member import KeyFields
from catalog.note import parse_line, parse_note
from catalog.policy import PolicyFields
from catalog.project import ProjectFields
from catalog.reading import Reading, read_leaf
from node.message import MAX_MESSAGE, AddCheckpoint, Added, Reply, read_question
from privacy.decision import Action
from tests.simulation.consortium import CIDS, Consortium, Site, Stance
from tests.simulation.disk import StoredLog
from workflow.account import ACCOUNTS, AccessFields, AccountFields, ApprovalFields, ReleaseFields, ResultFields, Side
from workflow.argument import Data
from workflow.order import Instance
from workflow.receipt import Receipt, Status
from workflow.report import Report

SETTLING_MILLIS = 5_000
"""Within this time what was decided has become durable."""


class Invariant(IntEnum):
    """What is checked."""

    INTENT = 1
    ONCE = 2
    CONVERGES = 3
    WITNESS = 4
    POLICY = 5
    RESULT = 6
    SECRET = 7
    RECEIPT = 8
    COSIGNED = 9
    FRESH = 10
    AUTHORITY = 11
    FORK = 12
    FLOOD = 13


class Violation(AssertionError):
    """An invariant does not hold."""

    def __init__(self, invariant: Invariant, message: str) -> None:
        super().__init__(f"invariant {int(invariant)} ({invariant.name}): {message}")
        self.invariant = invariant


@dataclass(eq=False)
class Account:
    """What one site's audit log says, read by the watch itself."""

    intents: dict[Cid, AccessFields] = field(default_factory=dict)
    denials: set[Cid] = field(default_factory=set)
    results: dict[Cid, ResultFields] = field(default_factory=dict)
    released: set[Cid] = field(default_factory=set)
    consents: set[tuple[Cid, bool]] = field(default_factory=set)
    opened: Counter[tuple[Cid, frozenset[str]]] = field(default_factory=Counter)
    lost: dict[Cid, ResultFields] = field(default_factory=dict)
    """Results that stood in the log until it was brought back from an old copy."""

    def covering(self, block: Cid, datasets: Collection[str]) -> list[Cid]:
        """The orders of the intents that cover ``block`` on ``datasets``."""
        return [order for order, it in self.intents.items() if it.block == block and set(datasets) <= set(it.chain)]


class Readings:
    """The port :class:`node.replication.Reads`: what a leaf and a body say is worked out once for all who read them."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int, bytes, bytes | None], Reading] = {}

    async def __call__(self, origin: str, start: int, rows: Sequence[tuple[bytes, bytes | None]]) -> list[Reading]:
        return [self.read(origin, index, leaf, body) for index, (leaf, body) in enumerate(rows, start)]

    def read(self, origin: str, index: int, leaf: bytes, body: bytes | None) -> Reading:
        key = (origin, index, leaf, body)
        if key not in self._known:
            self._known[key] = read_leaf(origin, index, leaf, body)
        return self._known[key]


class Watch:
    """Sees everything and raises :class:`Violation`."""

    def __init__(self, consortium: Consortium, bounds: Mapping[Action, int], now: Callable[[], int]) -> None:
        """``bounds`` of what is relied on, and the true time, both in milliseconds."""
        self._consortium = consortium
        self._bounds = bounds
        self.now = now
        self.readings = Readings()
        self._closed: dict[tuple[str, Cid], int] = {}
        self._left: dict[tuple[str, Cid], int] = {}
        self.accounts = {site.did: Account() for site in consortium.sites}
        self.histories: dict[str, list[StoredLog]] = {}
        """For each origin of the liar, and those that were closed, the logs that may be meant."""
        self.cosigned: dict[tuple[str, str], dict[int, bytes]] = {}
        self.seen: Counter[str] = Counter()
        """How often what was checked at all came about: a run in which nothing happens shows nothing."""
        self.places: dict[tuple[str, str, Cid], bytes] = {}
        """Every order that was sent: (from, to, name) → message."""
        self.rounds: dict[tuple[str, str], int] = {}
        """When each site last followed each other one, by the true time."""
        self._asked: dict[tuple[str, str], dict[str, None]] = {}
        self._times: dict[tuple[str, str, int], bytes] = {}
        self._secrets: dict[Cid, tuple[bytes, bytes, str]] = {}
        """Outputs that nobody may name: in bytes, in text, and whose they are."""

        self._shown: set[Cid] = set()
        self._delivered: Counter[Instance] = Counter()
        self._releases: Counter[tuple[Instance, str]] = Counter()
        self._vouched: Counter[tuple[str, Instance, str]] = Counter()
        self._permits: dict[tuple[str, int], bool] = {}
        self._arrived: dict[tuple[str, Cid], int] = {}
        self._lapsed: dict[tuple[str, Cid], str] = {}
        self._made: dict[tuple[str, Cid], list[str]] = {}
        self._let: Counter[tuple[str, Cid]] = Counter()
        self._undecided: dict[str, set[Cid]] = {site.did: set() for site in consortium.sites}
        self._effect: dict[tuple[str, Cid], str] = {}
        self._taken_over: dict[str, list[tuple[str, int]]] = {}
        self._final: dict[Cid, Status] = {}
        self._set: dict[str, int] = {}
        for site in consortium.sites:
            if ("policy", "") in site.subjects:
                self.governs(site, site.subjects["policy", ""], site.policy)

    # --- what becomes durable ----------------------------------------------------------------------------------------

    def published(self, site: Site, index: int, kind: str, body: bytes) -> None:
        """A catalog entry became durable."""
        self.seen[f"catalog {kind}"] += 1
        if kind == "policy":
            self.governs(site, index, fields_of(read_body(body), PolicyFields).text)

    def governs(self, site: Site, index: int, text: str) -> None:
        """The policy of a site at a place in its catalog."""
        self._permits[site.did, index] = text != ""

    def accounted(self, site: Site, index: int, kind: str, data: bytes) -> None:
        """An audit entry became durable."""
        self.seen[kind] += 1
        body = read_body(data)
        fields = fields_of(body, ACCOUNTS[kind])
        account = self.accounts[site.did]
        if isinstance(fields, AccessFields) and kind == "intent":
            self._check_permitted(site, fields)
            self._check_lapsed(site, fields)
            self._check_heard(site, fields, "compute")
            self._check_consent(site, account, fields.consent)
            if fields.order in account.intents:
                raise Violation(Invariant.ONCE, f"{site.name} begins the same order for {fields.instance} again")
            account.intents[fields.order] = fields
        elif isinstance(fields, ApprovalFields):
            account.consents.add((fields.inquiry, fields.granted))
        elif isinstance(fields, AccessFields) and kind == "decision":
            account.denials.add(fields.order)
        elif isinstance(fields, ReleaseFields):
            self._check_consent(site, account, fields.consent)
            self._check_release(site, account, fields)
        elif isinstance(fields, ResultFields):
            if fields.order in account.results:
                self._check_taken_back(site, account, fields)
                if all(kept.output.release is None for kept in fields.kept.values()):
                    return
            else:
                self._check_result(site, account, fields)
            self._closed[site.did, fields.order] = index
            for kept in fields.kept.values():
                # The same bytes may have left under an earlier release, or never have needed one.
                least = index if kept.output.release else -1
                self._left[site.did, kept.cid] = min(least, self._left.get((site.did, kept.cid), least))

    def _check_permitted(self, site: Site, intent: AccessFields) -> None:
        version = int(intent.decision.policy)
        arrived = self._arrived.get((site.did, intent.order), -1)
        if version < arrived or not self._permits[site.did, version]:
            raise Violation(Invariant.POLICY, f"{site.name} runs {intent.instance} under a policy that permits nothing")
        if site.stance is Stance.UNGRANTED and intent.block == CIDS["count"]:
            raise Violation(Invariant.POLICY, f"{site.name} runs {intent.instance} without a grant")

    def _check_consent(self, site: Site, account: Account, inquiry: Cid | None) -> None:
        """What says that stewards agreed stands behind a yes, and no no."""
        if inquiry is not None and ((inquiry, True) not in account.consents or (inquiry, False) in account.consents):
            raise Violation(Invariant.POLICY, f"{site.name} goes on without its stewards")

    def _check_lapsed(self, site: Site, intent: AccessFields) -> None:
        """What was over when the order came does not let it run; a clock that was set back may undo an expiry."""
        lapsed = self._lapsed.get((site.did, intent.order), "")
        if lapsed and not self._undone(site, lapsed):
            self.seen[f"relied on {lapsed}"] += 1
            raise Violation(Invariant.AUTHORITY, f"{site.name} runs {intent.instance} by {lapsed}")

    def _undone(self, site: Site, lapsed: str) -> bool:
        """Whether what had expired by a site's clock has not by the time that this was set back to."""
        return "expired" in lapsed and site.grant is not None and self._clock(site) <= site.grant.not_after

    def _clock(self, site: Site) -> int:
        """The time by a site's own clock."""
        return self.now() + site.skew

    def _check_heard(self, site: Site, intent: AccessFields, action: Action) -> None:
        """The sites that speak for person, project and data were heard within the bound, by the site's own clock.

        When that is set back, what it said before in the site's newest beat holds.
        """
        if self.now() < self._set.get(site.did, 0) + SETTLING_MILLIS:
            return  # it was decided before
        own = [read_body(body) for _, body in site.disk.catalog.bodies.values() if b"dbeat" in body]
        now = max([self._clock(site), *[beat.at for beat in own if beat.kind == "beat"][-1:]])
        owners = {each.did for each in self._consortium.hospitals for cid in each.datasets if str(cid) in intent.chain}
        for issuer in sorted({intent.home, intent.project.site, *owners} - {site.did}):
            log = site.disk.replicas[issuer]
            beats = [(at, read_body(body)) for at, (_, body) in log.bodies.items() if b"dbeat" in body]
            times = [beat.at for at, beat in beats if beat.kind == "beat" and self._cosigned(log.origin, at)]
            if now - max(times, default=0) > self._bounds[action]:
                raise Violation(Invariant.FRESH, f"{site.name} relies on what it has not heard of for too long")

    def _cosigned(self, origin: str, index: int) -> bool:
        """Whether a quorum of witnesses has durably cosigned the leaf; a liar says so of any."""
        owner = origin.partition("/")[0]
        witnesses = [site for site in self._consortium.sites if site.did != owner]
        signed = [site.disk.memory.kept.get(origin) for site in witnesses if site is not self._consortium.liar]
        liars = len(witnesses) - len(signed)
        return liars + sum(seen is not None and seen.size > index for seen in signed) >= self._consortium.quorum

    def _check_release(self, site: Site, account: Account, release: ReleaseFields) -> None:
        if release.reported is not None:
            self._check_reported(site, release)
            return
        if site.stance is Stance.UNENDORSED:
            raise Violation(Invariant.POLICY, f"{site.name} releases what its steward never endorsed")
        if release.order not in account.intents:
            raise Violation(Invariant.INTENT, f"{site.name} releases without an intent")
        instance = account.intents[release.order].instance
        self._releases[instance, release.output] += 1
        if self._releases[instance, release.output] > 1:
            raise Violation(Invariant.ONCE, f"{site.name} releases {instance} «{release.output}» again")
        self._show(release.value)
        account.released.add(release.value)
        self._undecided[site.did].add(release.order)
        # The same bytes may come of several steps: as many of them as ended in time may be released.
        self._let[site.did, release.value] += 1
        made = self._made[site.did, release.value]
        over = [lapsed for lapsed in made if lapsed and not self._undone(site, lapsed)]
        if self._let[site.did, release.value] > len(made) - len(over):
            raise Violation(Invariant.AUTHORITY, f"{site.name} releases {instance} by {over[-1]}")
        self._check_heard(site, account.intents[release.order], "release")

    def _check_reported(self, site: Site, release: ReleaseFields) -> None:
        """Of one output an owner releases its part once, on whatever reports; the holder writes down what it got."""
        if release.side is Side.SOURCE:
            report = decode(Report, release.reported or b"")
            self.seen["release on a report"] += 1
            self._vouched[site.did, report.instance, release.output] += 1
            if self._vouched[site.did, report.instance, release.output] > 1:
                raise Violation(Invariant.ONCE, f"{site.name} releases its part of {report.instance} again")

    def _check_result(self, site: Site, account: Account, result: ResultFields) -> None:
        if result.order not in account.intents:
            raise Violation(Invariant.INTENT, f"{site.name} has a result without an intent")
        account.results[result.order] = result
        self.seen[f"result {result.status}"] += 1
        if result.status in (Status.DONE, Status.HELD) or result.cost:
            self._delivered[result.instance] += 1
            if self._delivered[result.instance] > 1:
                raise Violation(Invariant.ONCE, f"{site.name} delivers and charges {result.instance} again")
        for kept in result.kept.values():
            if kept.output.cid is not None:
                self._show(kept.cid)

    def _check_taken_back(self, site: Site, account: Account, result: ResultFields) -> None:
        """A release may be taken back before anybody is told of it, and nothing else be ended twice."""
        self.seen["taken back"] += 1
        before, account.results[result.order] = account.results[result.order], result
        if before.waits and result.order not in self._final:
            if any(kept.output.cid is not None and name not in before.waits for name, kept in result.kept.items()):
                raise Violation(Invariant.ONCE, f"{site.name} lets out of {result.instance} what nobody asked")
            for kept in result.kept.values():
                if kept.output.cid is not None:
                    self._show(kept.cid)
            return
        released = any(kept.output.release for kept in before.kept.values())
        lets_out = any(kept.output.cid is not None for kept in result.kept.values())
        if not released or lets_out or result.status is not Status.HELD or result.order in self._final:
            raise Violation(Invariant.ONCE, f"{site.name} ends {result.instance} twice")

    def _show(self, cid: Cid) -> None:
        self._shown.add(cid)
        self._secrets.pop(cid, None)

    def clock_set(self, site: Site) -> None:
        """A site's clock shows another time from now on."""
        self.seen["clock set"] += 1
        self._set[site.did] = self.now()

    def restored(
        self, site: Site, old: StoredLog, size: int, held: Collection[Instance], told: Collection[Instance]
    ) -> None:
        """A site's audit log goes on from the first ``size`` leaves of ``old``.

        What the institute ``held`` receipts of counts as delivered and released for ever. ``told`` is what the site has
        written down of that.
        """
        self.seen["restored"] += 1
        self.seen["told of lost deliveries"] += len(told)
        if not set(told) <= set(held):
            raise Violation(Invariant.ONCE, f"{site.name} takes for delivered what nobody holds a receipt of")
        if site.disk.audit.origin != old.origin:  # else nobody had seen of it what is lost
            self.histories[old.origin] = [old]
            self._taken_over.setdefault(site.did, []).append((old.origin, size))
        before, after = self.accounts[site.did], Account()
        after.released, after.lost = before.released, before.lost
        for index, (_, data) in sorted(old.bodies.items()):
            body = read_body(data)
            fields = fields_of(body, ACCOUNTS[body.kind])
            if index < size:
                _keep(after, body.kind, fields)
            else:
                self._lose(site, before, body.kind, fields, held)
        for block, datasets in before.opened:
            after.opened[block, datasets] = len(after.covering(block, datasets))
        self.accounts[site.did] = after
        self._left = {key: at for key, at in self._left.items() if key[0] != site.did or at < size}

    def _lose(self, site: Site, account: Account, kind: str, fields: AccountFields, held: Collection[Instance]) -> None:
        """A row of an audit log is lost: what nobody holds a receipt of may be done anew, and what failed as well."""
        if isinstance(fields, AccessFields) and kind == "decision":
            self._final.pop(fields.order, None)
        elif isinstance(fields, ResultFields):
            account.lost[fields.order] = fields
            self._closed.pop((site.did, fields.order), None)
            self._undecided[site.did].discard(fields.order)
            self.seen["lost results"] += 1
            if fields.instance not in held:
                self._delivered[fields.instance] = 0
            if fields.instance not in held or fields.status is Status.FAILED:
                self._final.pop(fields.order, None)
        elif isinstance(fields, ReleaseFields):
            instance = account.intents[fields.order].instance
            if instance not in held:
                self._releases[instance, fields.output] = 0

    def followed(self, site: Site, other: str) -> None:
        """A round of ``site`` with ``other`` came to its end."""
        self.rounds[site.did, other] = self.now()

    # --- what is run -------------------------------------------------------------------------------------------------

    def placed(self, site: Site, order: Cid, index: Index, now: int) -> None:
        """An order came; the policy that the site has now, or a later one, must decide it.

        Nor may it be allowed by what the site knows, at its time ``now``, to be over.
        """
        policy = index.site(site.did).latest("policy", "")
        if policy is not None:
            self._arrived.setdefault((site.did, order), policy.index)
        self._lapsed.setdefault((site.did, order), self._over(site, index, now))

    def _over(self, site: Site, index: Index, now: int) -> str:
        """What the site knows to be over at its time ``now``, of what would let the researcher compute there."""
        consortium, grant = self._consortium, site.grant
        home = index.site(consortium.institute.did)
        project = home.latest("project", consortium.project.name)
        key = home.latest("key", consortium.researcher.did)
        if project is not None and isinstance(project.fields, ProjectFields) and project.fields.ended:
            return "the project, which has ended"
        if key is not None and isinstance(key.fields, KeyFields) and key.fields.removed:
            return "the researcher's key, which was removed"
        if grant is not None and index.site(site.did).latest("revoke", str(cid_of(grant))) is not None:
            return "a grant that it revoked"
        return "a grant that has expired" if grant is not None and now > grant.not_after else ""

    def opens(self, site: Site, block: Cid, data: Sequence[Data]) -> None:
        """A step is about to open data: there must be a durable intent for it, and each covers one run."""
        account = self.accounts[site.did]
        datasets = frozenset(str(item.cid) for item in data if item.cid in site.datasets)
        fits = account.covering(block, datasets)
        account.opened[block, datasets] += 1
        self.seen["opened"] += 1
        if account.opened[block, datasets] <= len(fits) and not set(fits) <= set(account.results):
            return
        raise Violation(Invariant.INTENT, f"{site.name} opens data and no durable intent covers it")

    def made(self, site: Site, cid: Cid, index: Index) -> None:
        """A step stored an output; its name is a secret until it is released.

        What the site knows by now to be over lets it out no more.
        """
        if cid not in self._shown:
            self._secrets[cid] = (cid.digest, str(cid).encode(), site.name)
        self._made.setdefault((site.did, cid), []).append(self._over(site, index, self._clock(site)))

    def looking(self, site: Site, index: Index, now: int) -> None:
        """A site is about to ask what of its releases takes effect: by what it knows then, those are decided.

        A quorum has cosigned those at the latest when the site knows that it has.
        """
        origin, undecided = site.disk.audit.origin, self._undecided[site.did]
        for order in [order for order in undecided if self._cosigned(origin, self._closed[site.did, order])]:
            undecided.discard(order)
            self._effect[site.did, order] = self._over(site, index, now)

    # --- what is sent ------------------------------------------------------------------------------------------------

    def sniff(self, channel: str, source: str, target: str, data: bytes) -> None:
        """A message leaves ``source``."""
        for digest, text, owner in self._secrets.values():
            if digest in data or text in data:
                raise Violation(Invariant.SECRET, f"an output that {owner} has not released is named in a message")
        if channel != "control":
            self._check_left(source, data)
            return
        if b"eorder" in data and b"hworkflow" in data:
            self.places[source, target, Cid.of(data)] = data
        if b"add-checkpoint" in data:
            self._checkpoint_asked(source, target, data)
        elif b"dline" in data:
            self._check_cosignature(source, target, data)
        elif b"previous" in data:
            self._check_receipt(source, data)

    def _check_left(self, source: str, data: bytes) -> None:
        """Bytes leave a site: if they were released, a quorum has cosigned that before."""
        index = self._left.get((source, Cid.of(data[1:])), -1)
        if index >= 0 and not self._accounted(source, index):
            raise Violation(Invariant.COSIGNED, "released bytes left before a quorum had cosigned their intent")

    def _accounted(self, did: str, index: int) -> bool:
        """Whether a quorum has cosigned a leaf of a site's audit log; that of an epoch before, if that had it."""
        audit = next(site.disk.audit.origin for site in self._consortium.sites if site.did == did)
        before = [origin for origin, size in self._taken_over.get(did, ()) if index < size]
        return any(self._cosigned(origin, index) for origin in (audit, *before))

    def _checkpoint_asked(self, source: str, target: str, data: bytes) -> None:
        question = read_question(data)
        if isinstance(question, AddCheckpoint):
            self._asked.setdefault((source, target), {})[question.note] = None

    def _check_cosignature(self, source: str, target: str, data: bytes) -> None:
        try:
            line = decode(Added, decode(Reply, data, MAX_MESSAGE).answer or b"", MAX_MESSAGE).line
        except VerificationFailed:
            return
        witness = next(site for site in self._consortium.sites if site.did == source)
        if line is None or witness is self._consortium.liar:
            return
        note = next(note for note in reversed(self._asked[target, source]) if _signs(note, line, witness))
        new, at = Checkpoint.parse(parse_note(note).text), parse_line(line).signature[:8]
        if self._times.setdefault((source, new.origin, new.size), at) != at:
            raise Violation(Invariant.FRESH, f"{witness.name} cosigned the same size again at another time")
        kept = witness.disk.memory.kept.get(new.origin)
        if kept is None or kept.size < new.size or (kept.size == new.size and kept.root != new.root):
            raise Violation(Invariant.WITNESS, f"{witness.name} cosigned what it does not remember durably")
        given = self.cosigned.setdefault((source, new.origin), {})
        if given.setdefault(new.size, new.root) != new.root:
            raise Violation(Invariant.WITNESS, f"{witness.name} cosigned two roots of size {new.size}")
        if not any(_holds(history, given) for history in self._histories(new.origin)):
            raise Violation(Invariant.WITNESS, f"{witness.name} cosigned a log that does not extend what it cosigned")
        self.seen["cosigned"] += 1

    def _histories(self, origin: str) -> list[StoredLog]:
        if origin in self.histories:
            return self.histories[origin]
        logs = [log for site in self._consortium.sites for log in (site.disk.catalog, site.disk.audit)]
        return [log for log in logs if log.origin == origin]

    def _check_receipt(self, source: str, data: bytes) -> None:
        """A receipt says only what the audit log of its site says durably."""
        try:
            reply = decode(Reply, data, MAX_MESSAGE)
            receipt = decode(Receipt, reply.answer or b"", MAX_MESSAGE)
        except VerificationFailed:
            return
        account = self.accounts[source]
        known = account.denials if receipt.status is Status.DENIED else set(account.intents)
        result = account.results.get(receipt.order)
        ended = receipt.final and receipt.status is not Status.DENIED
        if receipt.order not in known or (ended and (result is None or result.status is not receipt.status)):
            raise Violation(Invariant.RECEIPT, f"a receipt «{receipt.status}» left before it was durable")
        if receipt.final and self._final.setdefault(receipt.order, receipt.status) is not receipt.status:
            raise Violation(Invariant.ONCE, f"an order has two final receipts, the second one «{receipt.status}»")
        released = any(output.release for output in receipt.outputs.values())
        if released and not self._accounted(source, self._closed[source, receipt.order]):
            raise Violation(Invariant.COSIGNED, "a release was told before a quorum had cosigned it")
        site = next(each for each in self._consortium.sites if each.did == source)
        lapsed = self._effect.get((source, receipt.order), "") if released else ""
        if lapsed and not self._undone(site, lapsed):
            raise Violation(Invariant.AUTHORITY, f"{site.name} let a release take effect by {lapsed}")
        self.seen[f"receipt {receipt.status}"] += 1


def _keep(account: Account, kind: str, fields: AccountFields) -> None:
    if isinstance(fields, AccessFields) and kind == "intent":
        account.intents[fields.order] = fields
    elif isinstance(fields, AccessFields):
        account.denials.add(fields.order)
    elif isinstance(fields, ResultFields):
        account.results[fields.order] = fields


def _signs(note: str, line: str, witness: Site) -> bool:
    try:
        return bool(cosigners(add_line(note, line), {witness.did: witness.node.did}))
    except VerificationFailed:
        return False


def _holds(history: StoredLog, given: dict[int, bytes]) -> bool:
    return all(size <= len(history.leaves) and history.root_at(size) == root for size, root in given.items())
