"""A chain of four grants verified anew, with the purpose matched, beside the four signatures that it cannot do without.

The owner grants, three people pass it on, and the last cites it: what a node does for an input of an order whose
grants it has not seen before. Nothing is remembered between two runs but the text of a CID. The logs are indexed
before; each grant is looked up in them, its signature checked, held against the one that it hangs on, looked for among
revocations; then the grant's purposes and the dataset's DUO terms (a disease, and five conditions) are matched with
the project's. Promised within 0.6 ms.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

from nacl.signing import VerifyKey

from bench.figure import Figure, Floor, Report, Series
from catalog.body import write_body
from catalog.cid import Cid
from catalog.dagcbor import Value, cid_of
from catalog.error import ComityError
from catalog.grant import Action, Grant, GrantFields
from catalog.index import Index
from catalog.key import UNSIGNED, PrivateKey, message_of, public_bytes, signed
from catalog.member import KeyFields, Role
from catalog.project import ProjectRef
from privacy.disease import standard
from privacy.grant import Chain, Wanted, check_signature, covering, named_by
from privacy.modifier import Use
from privacy.purpose import mismatch

RUNS: Final = 300
WARM_UP: Final = 20
DATASETS: Final = 8
"""Names in each set of each grant."""

PURPOSE: Final = "DUO:0000007/MONDO:0004989"
TERMS: Final = (
    "DUO:0000007/MONDO:0004992",
    "DUO:0000026",
    "DUO:0000021",
    "DUO:0000019",
    "DUO:0000022/DE",
    "DUO:0000025/2999-12-31",
)
UNDERTAKEN: Final = ("DUO:0000021/2026-114", "DUO:0000019", "DUO:0000022/DE-BY")
NOW: Final = 1_790_000_000_000
LATER: Final = NOW + 86_400_000

OWNER, OWNERS_STEWARD, HOME, HOMES_STEWARD, *PEOPLE = (PrivateKey(bytes([number]) * 32) for number in range(1, 9))
CONSORTIUM: Final = Cid.of(b"consortium")
DATA: Final = tuple(sorted(Cid.of(f"data {number}".encode()) for number in range(DATASETS)))
PROJECT: Final = ProjectRef(site=HOME.did, name="bench")


def measure() -> Report:
    """Measure the chain and its parts, each in turn with four bare signatures."""
    index, cited, grants = logs()
    bare = [(VerifyKey(public_bytes(each.issuer)), message_of(each), each.sig) for each in grants]

    def signatures() -> None:
        for key, message, signature in bare:
            key.verify(message, signature)

    def whole() -> None:
        check_signature.cache_clear()
        chain = covering_chain(index, cited)
        lacks = mismatch(TERMS, _use(chain), standard())
        if lacks:
            raise ComityError(lacks)

    chain = covering_chain(index, cited)
    parts: tuple[tuple[str, Callable[[], object]], ...] = (
        ("of it, the four signed messages written again", lambda: [message_of(each) for each in grants]),
        ("of it, the DUO match", lambda: mismatch(TERMS, _use(chain), standard())),
    )
    figures = [_figure("a chain of 4 grants with its DUO match", whole, signatures, Floor(0.6))]
    figures += [_figure(what, work, signatures) for what, work in parts]
    return Report(tuple(figures), (f"each grant names {DATASETS} datasets; {len(TERMS)} DUO terms on the dataset",))


def _figure(what: str, ours: Callable[[], object], bound: Callable[[], object], floor: Floor | None = None) -> Figure:
    spent: tuple[list[float], list[float]] = [], []
    for run in range(WARM_UP + RUNS):
        for seconds, work in zip(spent, (ours, bound), strict=True):
            began = time.perf_counter()
            work()
            if run >= WARM_UP:
                seconds.append(time.perf_counter() - began)
    bare = Series.of_seconds("4 Ed25519 verifications", spent[1])
    return Figure(what, Series.of_seconds(what, spent[0]), bare, floor)


def covering_chain(index: Index, cited: Cid, subject: str = PEOPLE[-1].did) -> Chain:
    """The chain up to the grant of ``subject``, verified.

    Raises:
        ComityError: it does not hold.
    """
    wanted = Wanted(
        owner=OWNER.did,
        subject=subject,
        project=PROJECT,
        dataset=DATA[-1],
        purpose=PURPOSE,
        action=Action.COMPUTE,
        block=None,
        destinations=frozenset({HOME.did}),
    )
    chain, reason = covering(index, [cited], wanted, consortium=CONSORTIUM, home=HOME.did, diseases=standard(), now=NOW)
    if chain is None:
        raise ComityError(f"the chain does not hold: {reason}")
    return chain


def _use(chain: Chain) -> Use:
    return Use(purpose=PURPOSE, undertakings=UNDERTAKEN, named=named_by(chain.grant, HOME.did), now=NOW)


def logs(people: Sequence[PrivateKey] = PEOPLE) -> tuple[Index, Cid, list[Grant]]:
    """Two members' logs with a chain of as many grants as ``people``, the CID of its last link, and all of them."""
    index = Index([OWNER.did, HOME.did])

    def add(site: PrivateKey, kind: str, fields: Value, by: PrivateKey) -> None:
        log = index.site(site.did)
        if log.add(log.size, kind, write_body(kind, fields, site=site.did, at=NOW, by=by)) is None:
            raise ComityError(f"a «{kind}» entry of the benchmark does not count: {log.faults}")

    def enrol(site: PrivateKey, key: PrivateKey, role: Role, by: PrivateKey) -> None:
        add(site, "key", KeyFields(did=key.did, role=role, name="Somebody", x25519=bytes(32)), by)

    for site, steward in ((OWNER, OWNERS_STEWARD), (HOME, HOMES_STEWARD)):
        enrol(site, steward, Role.STEWARD, site)
    for person in people:
        enrol(HOME, person, Role.RESEARCHER, HOMES_STEWARD)
    grants: list[Grant] = []
    for issuer, subject in pairwise((OWNERS_STEWARD, *people)):
        grant = signed(_grant(issuer, subject, cid_of(grants[-1]) if grants else None), issuer)
        add(HOME if grants else OWNER, "grant", GrantFields(grant=grant), issuer)
        grants.append(grant)
    return index, cid_of(grants[-1]), grants


def _grant(issuer: PrivateKey, subject: PrivateKey, parent: Cid | None) -> Grant:
    return Grant(
        consortium=CONSORTIUM,
        issuer=issuer.did,
        site=OWNER.did,
        subject=subject.did,
        project=PROJECT,
        claims=(),
        datasets=DATA,
        purposes=("DUO:0000006",),
        actions=(Action.SEE, Action.COMPUTE, Action.RELEASE),
        blocks=(),
        destinations=(HOME.did,),
        not_after=LATER,
        parent=parent,
        sig=UNSIGNED,
    )
