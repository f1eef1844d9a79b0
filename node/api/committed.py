"""What a row made for somebody commits to: the request that this very person, or other site, signed.

So a node cannot invent an access: it has no signature of the person for it. What the row says beside must be what was
asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Final

from catalog.body import Body
from catalog.cid import DAG_CBOR, Cid
from catalog.dagcbor import decode
from catalog.error import VerificationFailed
from catalog.httpsig import Asked, SignedRequest, digest_text, read_kept
from catalog.key import check
from node.header import HEADER_PATH, MAX_ASKED, ForCustodian, ForPerson, ForStep, HeaderRequest, asked_by, opened_by
from node.message import Halt, Who
from workflow.account import (
    MAX_REQUEST,
    AccessFields,
    AccountFields,
    ApprovalFields,
    EntryFields,
    FetchFields,
    HaltFields,
    KeyReleaseFields,
    ReadFields,
    RefusalFields,
    ReleaseFields,
    Side,
    WithheldFields,
)
from workflow.argument import pieces_in
from workflow.inquiry import Answer
from workflow.report import Report
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
        case KeyReleaseFields():
            _check_key_release(body, fields, nodes)
        case WithheldFields():
            _check_withheld(body, fields, nodes)
        case ReleaseFields():
            _check_release(body.site, fields, nodes)
        case EntryFields(actor=person):
            _check_in_chain(fields, person)
        case HaltFields() | ApprovalFields():
            _check_word(body, fields)
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


_RENAMED: Final = ("/v1/submissions/", "/v1/inquiries/")
"""Under which a person asks for a value without naming it: for their result, or for what stewards are asked about."""

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
    renamed = fields.person is not None and asked.path.startswith(_RENAMED)
    if not renamed and str(fields.root) not in asked.path.split("/"):
        raise VerificationFailed("what was asked for is not what the row says was given")


def _check_key_release(body: Body, fields: KeyReleaseFields, nodes: Nodes) -> None:
    if fields.person is not None:
        _check_in_chain(fields, fields.person)
    if fields.asked is None:
        _check_own_opening(body, fields)
        return
    home = fields.site if fields.side is Side.SOURCE else body.site
    if fields.side is Side.SOURCE:
        said = _header_request(fields.asked, fields.request, body.actor, nodes(home))
    else:
        said = decode(HeaderRequest, fields.asked, MAX_ASKED)
    if said.dataset != fields.root or str(said.dataset) not in fields.chain:
        raise VerificationFailed("the header of other data was asked for than the row says")
    _check_sealed_for(said, fields, home, nodes(home))


def _check_withheld(body: Body, fields: WithheldFields, nodes: Nodes) -> None:
    """Whoever was refused asked: for the key as for one that is given, for the bytes as a node does."""
    if fields.person is not None:
        _check_in_chain(fields, fields.person)
    if not fields.key:
        asked = _kept(fields.request, body.actor)
        if asked.did not in nodes(fields.site) or str(fields.root) not in asked.path.split("/"):
            raise VerificationFailed("no node of the site that the row names signed a request for these data")
        return
    if fields.asked is None:
        if fields.request is None:
            raise VerificationFailed("it commits to no request of whom it names")
        own, project = opened_by(fields.request, fields.root)
        if (own.did, own.peer, project) != (fields.person, body.actor, fields.project):
            raise VerificationFailed("another person signed the request than the row says")
        return
    said = _header_request(fields.asked, fields.request, body.actor, nodes(fields.site))
    if said.dataset != fields.root or str(said.dataset) not in fields.chain:
        raise VerificationFailed("the header of other data was asked for than the row says")
    if asked_by(said) != (fields.person, fields.project):
        raise VerificationFailed("another person signed the request than the row says")


def _header_request(body: bytes, request: SignedRequest | None, actor: str, keys: Collection[str]) -> HeaderRequest:
    """What a node with one of ``keys`` asked the node ``actor``."""
    sent = None if request is None else read_kept(request)
    wanted = ("POST", HEADER_PATH, actor, digest_text(hashlib.sha256(body).digest()))
    if sent is None or (sent.method, sent.path, sent.peer, sent.digest) != wanted or sent.did not in keys:
        raise VerificationFailed("it commits to no request for the header by a node of the site that it names")
    return decode(HeaderRequest, body, MAX_ASKED)


def _check_own_opening(body: Body, fields: KeyReleaseFields) -> None:
    """A person of the owner's own site asked their own node."""
    if fields.request is None:
        raise VerificationFailed("it commits to no request of whom it names")
    asked, project = opened_by(fields.request, fields.root)
    if (asked.did, asked.peer, project) != (fields.person, body.actor, fields.project):
        raise VerificationFailed("another person signed the request than the row says")
    if fields.reader != f"{asked.did}@{body.site}":
        raise VerificationFailed("the header is for another reader than asked for it")


def _check_sealed_for(said: HeaderRequest, fields: KeyReleaseFields, home: str, keys: Collection[str]) -> None:
    match said.asked:
        case ForPerson(request=request):
            asked, project = opened_by(request, said.dataset)
            if (asked.did, project) != (fields.person, fields.project) or asked.peer not in keys:
                raise VerificationFailed("another person signed the request than the row says")
            reader = f"{asked.did}@{home}"
        case ForStep(submission=data):
            submission, _ = _submission(data)
            if (submission.person, submission.project) != (fields.person, fields.project):
                raise VerificationFailed("the person signed another submission than the row says")
            if said.dataset not in {item.cid for item in pieces_in(submission.inputs)}:
                raise VerificationFailed("the submission in it is not about these data")
            reader = home
        case ForCustodian():
            if fields.person is not None:
                raise VerificationFailed("a custodian got the key, and the row names a person")
            reader = home
    if fields.reader != reader:
        raise VerificationFailed("the header is for another reader than asked for it")


def _kept(request: SignedRequest | None, actor: str) -> Asked:
    if request is None:
        raise VerificationFailed("it commits to no request of whom it names")
    asked = read_kept(request)
    if asked.peer != actor or asked.method not in _ASKING:
        raise VerificationFailed("the request in it was made to another node")
    return asked


def _check_release(site: str, fields: ReleaseFields, nodes: Nodes) -> None:
    """What another site released, it signed; and what was released on a report, that was reported."""
    if fields.side is Side.RECIPIENT:
        _check_stated(fields.site, fields, nodes)
    if fields.reported is None:
        return
    if fields.side is Side.SOURCE:
        _check_stated(site, fields, nodes)
    told = decode(Report, fields.reported, MAX_REQUEST)
    holder = site if fields.side is Side.RECIPIENT else fields.site
    said = (fields.order, fields.output, fields.handle, fields.value, holder)
    if (told.order, told.output, told.handle, told.value, told.site) != said:
        raise VerificationFailed("the report in it is of something else")
    if told.node not in nodes(holder):
        raise VerificationFailed("the report in it was signed by no node of the site that it names")
    check(told, told.node)


def _check_stated(owner: str, fields: ReleaseFields, nodes: Nodes) -> None:
    told = fields.statement
    if told is None or (fields.place is None) is (fields.reported is None):
        raise VerificationFailed("it has no statement of the owner who released")
    said = (fields.order, fields.output, fields.handle, fields.value, fields.added, fields.policy, owner)
    if (told.order, told.output, told.handle, told.value, told.added, told.policy, told.owner) != said:
        raise VerificationFailed("the owner's statement says something else")
    for node in nodes(owner):
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


def _check_word(body: Body, fields: HaltFields | ApprovalFields) -> None:
    """A steward signed it, but for the halt of a site that was restored."""
    if isinstance(fields, HaltFields):
        if fields.statement is not None:
            _check_halt(body, fields, fields.statement)
        return
    word = decode(Answer, fields.statement, MAX_REQUEST)
    check(word, word.person)
    said = (fields.inquiry, fields.granted, fields.until, fields.person, body.site)
    if (word.inquiry, word.granted, word.until, word.person, word.site) != said:
        raise VerificationFailed("the steward in it signed another answer")
    _check_in_chain(fields, fields.person)
