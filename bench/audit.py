"""``audit who`` over a log of a million leaves: the first row, and ten thousand rows proven, beside their bound.

Most leaves of the log are about other data; the rows that are asked for lie spread among them. Every part runs that
runs between two nodes but the wire: the desk answers page after page, and the reader verifies as the terminal does.
The bound is what no reader can leave out: one leaf hash, one commitment and the signatures of each row, in one thread.
"""

from __future__ import annotations

import hashlib
import hmac
import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio
from nacl.signing import VerifyKey
from nacl.utils import random

from bench.figure import Figure, Floor, Report, Series
from catalog.body import Body, read_body, write_body
from catalog.cid import Cid
from catalog.dagcbor import cid_of, decode, encode
from catalog.error import VerificationFailed
from catalog.headmap import subject_hash
from catalog.index import Index
from catalog.key import UNSIGNED, PrivateKey, message_of, public_bytes, signed
from catalog.member import KeyFields, Role
from catalog.origin import LogName, origin_of
from catalog.project import ProjectRef
from node.api.audit import MAX_ANSWER, Member, Reading
from node.automator.book import AuditBook
from node.automator.decide import Judge
from node.message import Rows, Who, WhoAnswer
from node.site.auditdesk import AuditDesk
from node.storage.ledger import DiskLedger, connect
from node.storage.log import DiskLog
from node.system import SystemClock, SystemRandom
from privacy.decision import Action, Decision
from workflow.account import AccessFields, FetchFields, Link, ResultFields
from workflow.argument import Data
from workflow.order import Instance
from workflow.receipt import Status
from workflow.submission import Submission

LEAVES: Final = 1_000_000
ROWS: Final = 10_000
BATCH: Final = 5_000
OTHERS: Final = 1_000
FACTS: Final = {"principal": "did:key:z6Mk", "granted": "true", "purposeMatches": "true", "fresh": "true"}


@dataclass(frozen=True, slots=True)
class _Recent:
    """Nothing in this measurement is stale."""

    def refusal(self, _action: Action, _sites: object) -> str:
        return ""

    def now(self) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class _Site:
    root: PrivateKey
    node: PrivateKey
    steward: PrivateKey
    asker: PrivateKey
    data: Cid


def measure(leaves: int = LEAVES, rows: int = ROWS) -> Report:
    """Make the log, ask, and measure."""
    with tempfile.TemporaryDirectory(prefix="comity-bench-") as folder:
        return trio.run(_measure, Path(folder), leaves, rows)


async def _measure(folder: Path, leaves: int, rows: int) -> Report:
    keys = [PrivateKey(random(32)) for _ in range(4)]
    site = _Site(keys[0], keys[1], keys[2], keys[3], Cid.of(b"data"))
    origin = origin_of(site.root.did, LogName.AUDIT)
    async with await DiskLog.create(folder / "audit", origin, 0, site.node, SystemRandom()) as log:
        places = await _fill(site, log, leaves, rows)
        await _project(site, log, folder / "ledger.db", places)
        began = time.perf_counter()
        ledger = await DiskLedger.open(folder / "ledger.db", log)
        opened = time.perf_counter() - began
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        clock = _Watch()
        answers = await _ask(site, log, ledger, clock)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        ledger.close()
    if clock.seen != places:
        raise VerificationFailed("the answer has other rows than were written")
    bound = _bound(answers)
    return Report(
        (
            Figure(
                f"audit who: first row of {leaves:,} leaves",
                Series.of_seconds("first", [clock.first]),
                Series.of_seconds("one row's bound", [bound / rows]),
                Floor(200),
            ),
            Figure(
                f"audit who: {rows:,} rows proven",
                Series.of_seconds("all", [clock.answering + clock.reading]),
                Series.of_seconds("hashing and signatures", [bound]),
                Floor(5000),
            ),
            Figure(
                "  of that, the reader",
                Series.of_seconds("reading", [clock.reading]),
                Series.of_seconds("hashing and signatures", [bound]),
            ),
        ),
        (
            f"the site answers in {clock.answering:.2f} s, {len(answers)} pages of"
            f" {sum(map(len, answers)) / len(answers) / 1024:.0f} KiB; both in one thread, one after the other",
            f"the ledger opens in {opened * 1000:.0f} ms; the answer made the process {grown / 1024:.0f} MiB larger",
        ),
    )


@dataclass(slots=True)
class _Watch:
    """When the first row was proven, how long the site and the reader took, and the rows that came, in seconds."""

    first: float = 0.0
    answering: float = 0.0
    reading: float = 0.0
    seen: list[int] = field(default_factory=list)


async def _fill(site: _Site, log: DiskLog, leaves: int, rows: int) -> list[int]:
    """Append the log: pairs of intent and result about the data, spread among accesses to others."""
    places = sorted({number * leaves // rows for number in range(rows)})
    wanted = dict(zip(places, _bodies(site, places), strict=True))
    filler = [_filler(site, number) for number in range(OTHERS)]
    for start in range(0, leaves, BATCH):
        stop = min(start + BATCH, leaves)
        await log.append([wanted.get(at) or filler[at % OTHERS] for at in range(start, stop)])
    return places


def _filler(site: _Site, number: int) -> tuple[str, bytes]:
    fields = FetchFields(root=Cid.of(b"other %d" % number), site=site.root.did, person=None, chain={})
    return "fetch", encode(write_body("fetch", fields, site=site.root.did, at=1, by=site.node, audience=()))


def _bodies(site: _Site, places: Sequence[int]) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    before: int | None = None
    submission = _submission(site, 0)
    for number, at in enumerate(places):
        chain = {subject: Link(before=before, count=number + 1) for subject in (str(site.data), site.asker.did)}
        kind, fields = ("intent", _intent(submission, chain)) if number % 2 == 0 else ("result", _result(before, chain))
        found.append((kind, encode(write_body(kind, fields, site=site.root.did, at=2, by=site.node, audience=()))))
        before = at
        if number % 2:
            submission = _submission(site, number)
    return found


def _submission(site: _Site, number: int) -> Submission:
    whole = Submission(
        consortium=Cid.of(b"consortium"),
        epoch=0,
        person=site.asker.did,
        site=site.root.did,
        project=ProjectRef(site=site.root.did, name="bench"),
        workflow=Cid.of(b"workflow"),
        inputs={"table": Data(site=site.root.did, cid=site.data, name="table.csv")},
        grants=(Cid.of(b"grant"),),
        destinations=(site.root.did,),
        deadline=1,
        budget=1,
        min_sites=1,
        not_before=0,
        not_after=1,
        buses=(site.node.did,),
        nonce=number.to_bytes(16, "big"),
        sig=UNSIGNED,
    )
    return signed(whole, site.asker)


def _intent(submission: Submission, chain: dict[str, Link]) -> AccessFields:
    decision = Decision(allowed=True, action="compute", rules=("r",), reason="allowed", facts=FACTS, policy="1")
    return AccessFields(
        order=cid_of(submission),
        instance=Instance(submission=cid_of(submission), step="count", shard=0),
        attempt=1,
        person=submission.person,
        home=submission.site,
        project=submission.project,
        purpose="DUO:0000006",
        block=Cid.of(b"block"),
        decision=decision,
        shown=decision,
        max_cost=1,
        submission=encode(submission),
        chain=chain,
    )


def _result(intent: int | None, chain: dict[str, Link]) -> ResultFields:
    return ResultFields(
        order=Cid.of(b"order"),
        instance=Instance(submission=Cid.of(b"order"), step="count", shard=0),
        intent=intent or 0,
        status=Status.DONE,
        kept={},
        spent=None,
        cost=1,
        reason="",
        detail="",
        chain=chain,
    )


async def _project(site: _Site, log: DiskLog, path: Path, places: Sequence[int]) -> None:
    """What feeding the log to the ledger leaves there of its chains; the feed itself is not what is measured."""
    ledger = DiskLedger(path, log, connect(path))
    asked = [subject_hash(subject) for subject in (str(site.data), site.asker.did)]
    others = [subject_hash(f"other {number}") for number in range(OTHERS)]
    taken = set(places)
    rows = [(others[at % OTHERS], at, 1) for at in range(log.size) if at not in taken]
    rows += [(subject, at, 2) for subject in asked for at in places]
    ledger.adopt(rows, log.size, await log.body(log.size - 1))
    ledger.close()


async def _ask(site: _Site, log: DiskLog, ledger: DiskLedger, watch: _Watch) -> list[bytes]:
    index = Index([site.root.did])
    own = index.site(site.root.did)
    for number, (key, role) in enumerate(((site.node, Role.NODE), (site.steward, Role.STEWARD))):
        fields = KeyFields(did=key.did, role=role, name="somebody", x25519=bytes(32))
        own.add(number, "key", write_body("key", fields, site=site.root.did, at=1, by=site.root))
    clock = SystemClock()
    judge = Judge(own, index, "bench", "", _Recent())
    book = AuditBook(site.root.did, site.node, log, ledger, clock)
    desk = AuditDesk(site.root.did, site.node.did, index, judge, log, book, clock)
    who = Who(
        person=site.steward.did, site=site.root.did, dataset=site.data, at=clock.now(), nonce=random(16), sig=UNSIGNED
    )
    who = signed(who, site.steward)
    reading = Reading(who, site.root.did, {site.root.did: Member(site.node.did, (site.node.did,))})
    pages: list[bytes] = []
    after: int | None = None
    began = time.perf_counter()
    while not reading.done:
        asked = time.perf_counter()
        answer = await desk.answer(Rows(who=who, after=after), site.root.did)
        pages.append(encode(answer))
        answered = time.perf_counter()
        for row in reading.take(pages[-1]):
            watch.first = watch.first or time.perf_counter() - began
            watch.seen.append(row.index)
        watch.answering += answered - asked
        watch.reading += time.perf_counter() - answered
        after = answer.rows[-1].index
    return pages


def _bound(pages: Sequence[bytes]) -> float:
    """What no reader can leave out, in seconds: a leaf hash, a commitment, each row's signature and each person's."""
    work = []
    for page in pages:
        for row in decode(WhoAnswer, page, MAX_ANSWER).rows:
            if row.body is not None and row.salt is not None:
                body = read_body(row.body)
                work.append((row.leaf, row.salt, row.body, [_signature(body)]))
                if body.kind == "intent":
                    work[-1][3].append(_signature(decode(Submission, body.fields["submission"])))
    began = time.perf_counter()
    for leaf, salt, data, signatures in work:
        hashlib.sha256(leaf).digest()
        hmac.digest(salt, data, "sha256")
        for key, message, signature in signatures:
            key.verify(message, signature)
    return time.perf_counter() - began


def _signature(value: Body | Submission) -> tuple[VerifyKey, bytes, bytes]:
    did = value.actor if isinstance(value, Body) else value.person
    return VerifyKey(public_bytes(did)), message_of(value), value.sig
