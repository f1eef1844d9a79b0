"""What a row made for somebody commits to: the request that this very person, or other site, signed.

So a node cannot invent an access: it has no signature of the person for it. What the row says beside must be what was
asked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Final

from catalog.body import Body
from catalog.cid import DAG_CBOR, Cid
from catalog.dagcbor import decode
from catalog.error import VerificationFailed
from catalog.httpsig import Asked, SignedRequest, read_kept
from catalog.key import check
from node.message import Halt, Who
from workflow.account import (
    MAX_REQUEST,
    AccessFields,
    AccountFields,
    EntryFields,
    FetchFields,
    HaltFields,
    ReadFields,
    RefusalFields,
    ReleaseFields,
    Side,
)
from workflow.argument import pieces_in
from workflow.submission import Submission

Nodes = Callable[[str], Collection[str]]
"""Every node key that a site, named by its root, ever had."""


def check_committed(body: Body, fields: AccountFields, nodes: Nodes) -> None:
    """Check that what a row with these ``fields``, written by the node ``body.actor``, says of others they signed.

    Raises:
        VerificationFailed: they did not, or signed something else.
    """
    match fields:
        case AccessFields():
            _check_access(fields)
        case RefusalFields():
            _check_refusal(fields, nodes)
        case ReadFields():
            _check_read(fields)
        case FetchFields():
            _check_fetch(fields, body.actor, nodes)
        case ReleaseFields(side=Side.RECIPIENT):
            _check_received(fields, nodes)
        case EntryFields(actor=person):
            _check_in_chain(fields, person)
        case HaltFields(statement=bytes() as statement):
            _check_halt(body, fields, statement)
        case _:
            pass


def _check_access(fields: AccessFields) -> None:
    asked, name = _submission(fields.submission)
    said = (fields.person, fields.home, fields.project, fields.instance.submission)
    if (asked.person, asked.site, asked.project, name) != said:
        raise VerificationFailed("the person signed another submission than the row says")
    _check_in_chain(fields, fields.person)


def _check_refusal(fields: RefusalFields, nodes: Nodes) -> None:
    """A refused order is its bus node's, which the person named; of them the row says no more than they signed for."""
    asked, name = _submission(fields.submission)
    if (asked.person, asked.site, asked.project) != (fields.person, fields.home, fields.project):
        raise VerificationFailed("the person signed another submission than the row says")
    if (fields.instance is None) != (fields.block is None):
        raise VerificationFailed("it names a step without its block, or a block without its step")
    if fields.instance is not None and fields.instance.submission != name:
        raise VerificationFailed("the step that it names is of another submission")
    keys = nodes(fields.site)
    if fields.bus not in keys or not set(keys) & set(asked.buses):
        raise VerificationFailed("it says that a node brought the order which the person did not name for it")
    _check_in_chain(fields, fields.person)
    if not set(fields.chain) <= {fields.person, *(str(item.cid) for item in pieces_in(asked.inputs))}:
        raise VerificationFailed("it is accounted to data that the person did not ask for")


@lru_cache(maxsize=1024)
def _submission(data: bytes) -> tuple[Submission, Cid]:
    """A submission whose signature is its person's; the steps of one carry the same."""
    submission = decode(Submission, data, MAX_REQUEST)
    check(submission, submission.person)
    return submission, Cid.of(data, DAG_CBOR)


_ASKING: Final = ("GET", "QUERY")
"""Methods that only ask: nothing else lets bytes go."""


def _check_read(fields: ReadFields) -> None:
    who = decode(Who, fields.question, MAX_REQUEST)
    check(who, who.person)
    if (who.person, who.site) != (fields.person, fields.home):
        raise VerificationFailed("another person signed the question than the row says")
    if fields.reason and fields.rows:
        raise VerificationFailed("it gave rows to a question that it refused")
    _check_in_chain(fields, fields.person)


def _check_fetch(fields: FetchFields, actor: str, nodes: Nodes) -> None:
    if fields.side is Side.RECIPIENT:
        return
    asked = _kept(fields.request, actor)
    if fields.person is not None:
        _check_in_chain(fields, fields.person)
        if asked.did != fields.person:
            raise VerificationFailed("another person signed the request than the row says")
    elif asked.did not in nodes(fields.site):
        raise VerificationFailed("the request was signed by no node of the site that the row names")
    # A result is asked for by its submission and name, everything else by the root's CID.
    result = fields.person is not None and asked.path.startswith("/v1/submissions/")
    if not result and str(fields.root) not in asked.path.split("/"):
        raise VerificationFailed("what was asked for is not what the row says was given")


def _kept(request: SignedRequest | None, actor: str) -> Asked:
    if request is None:
        raise VerificationFailed("it commits to no request of whom it names")
    asked = read_kept(request)
    if asked.peer != actor or asked.method not in _ASKING:
        raise VerificationFailed("the request in it was made to another node")
    return asked


def _check_received(fields: ReleaseFields, nodes: Nodes) -> None:
    told = fields.statement
    if told is None or fields.place is None:
        raise VerificationFailed("it has no statement of the owner who released")
    said = (fields.order, fields.output, fields.handle, fields.value, fields.added, fields.policy, fields.site)
    if (told.order, told.output, told.handle, told.value, told.added, told.policy, told.owner) != said:
        raise VerificationFailed("the owner's statement says something else")
    for node in nodes(fields.site):
        try:
            check(told, node)
        except VerificationFailed:
            continue
        return
    raise VerificationFailed("the statement in it was signed by no node of the owner")


def _check_halt(body: Body, fields: HaltFields, statement: bytes) -> None:
    word = decode(Halt, statement, MAX_REQUEST)
    check(word, word.person)
    said = (body.site, body.kind == "resume", fields.project, fields.member)
    if (word.site, word.resume, word.project, word.member) != said:
        raise VerificationFailed("the word that a steward signed says something else")


def _check_in_chain(fields: AccountFields, person: str) -> None:
    if person not in fields.chain:
        raise VerificationFailed("it stands outside the chain of the person that it names")
