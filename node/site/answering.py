"""The stewards' queue: what they are asked, a look at what would leave, and their signed answers.

An answer counts once it stands in the audit log, where whoever waits for it finds it after every restart.
"""

from __future__ import annotations

from typing import Final

from catalog.cid import Cid
from catalog.dagcbor import cid_of, decode
from catalog.error import BadInput, Conflict, Denied, NotFound, VerificationFailed
from catalog.httpsig import SignedRequest
from catalog.key import check
from catalog.member import Role
from catalog.plural import counted
from node.api import schema
from node.api.inquiries import AnswerRequest, InquiryView
from node.automator.book import Line
from node.automator.inquiries import Inquired, consent
from node.automator.release import may_look
from node.site.disclosures import found_in, record_of
from node.site.freshness import is_fresh
from node.site.looking import shown
from node.site.publishing import check_halted, member_of
from node.site.site import Site
from node.site.titles import block_name, dataset_names, person_name
from workflow.account import MAX_REQUEST, ApprovalFields, Chain, InquiryFields, Kept, datasets_of
from workflow.inquiry import Answer

LONGEST_MILLIS: Final = 365 * 86_400_000
"""For how long an answer may count."""


async def inquiries(site: Site, did: str) -> tuple[InquiryView, ...]:
    """What stewards of this site are asked and may answer still, oldest first; each once, however often it is asked.

    Raises:
        Denied: not a steward of this site.
    """
    member_of(site, did, Role.STEWARD)
    return tuple([await _view(site, cid, each) for cid, each in _open(site).items()])


async def answer(site: Site, did: str, request: AnswerRequest) -> schema.Written:
    """Take the answer of the steward ``did``; the audit row's index.

    Raises:
        Denied: not a steward of this site, who asks for themselves, or an answer that is old or was given before.
        NotFound: nothing of that CID is asked, or not any more. VerificationFailed: another signed it.
        BadInput: it would count for longer than a year, or not at all.
    """
    person = member_of(site, did, Role.STEWARD)
    word = decode(Answer, request.statement, MAX_REQUEST)
    check(word, did)
    if (word.person, word.site) != (did, site.root):
        raise VerificationFailed("the answer is another person's, or for another site")
    now = site.clock.now()
    if not is_fresh(word.at, now):
        raise Denied("this answer was signed more than ten minutes ago; give it anew")
    if not now < word.until <= now + LONGEST_MILLIS:
        raise BadInput("an answer counts until a time to come, within a year; say another one with --until")
    asked = _find(site, word.inquiry).fields
    if asked.inquiry.person == did:
        raise Denied(f"{person.name} asks this themselves; another steward must answer")
    if any(each.statement == request.statement for each in site.ledger.inquiries.answers(word.inquiry)):
        raise Conflict("this very answer stands already")

    def fields(chain: Chain, _index: int) -> ApprovalFields:
        return ApprovalFields(
            inquiry=word.inquiry,
            granted=word.granted,
            until=word.until,
            person=did,
            statement=request.statement,
            chain=chain,
        )

    people = tuple(dict.fromkeys((asked.person, did)))
    index = await site.book.write([Line("approval", datasets_of(asked.chain), fields, people)])
    site.notify()
    if site.consorting is not None:
        site.consorting.orders.answered()
    return schema.Written(index=index)


async def preview(site: Site, did: str, signed: SignedRequest, cid: Cid) -> bytes:
    """The first bytes of the value that would leave, for a steward; written down before they are given.

    Raises:
        Denied: not a steward of this site, this site is halted, or the value is not for it to read.
        NotFound: nothing of that CID is asked about a value. BadInput: the value is a folder.
    """
    person = member_of(site, did, Role.STEWARD)
    asked = _find(site, cid).fields
    value, inquiry = asked.inquiry.value, asked.inquiry
    if value is None:
        raise NotFound("that is asked before anything has run: there is no value yet")
    check_halted(site, inquiry.project, (site.root, inquiry.home, inquiry.project.site))
    kept = _kept(site, asked)
    if kept is None:
        raise Denied(
            "the value lies where it was made, and has other owners too, who have not let this site's people read it;"
            " «comity approval show» says what the check there found"
        )
    if not may_look(site.root, did, kept.label):
        raise Denied("the value has other owners too, who have not let this site's people read it")
    return await shown(site, person, signed, value, datasets_of(asked.chain), inquiry.project)


def _open(site: Site) -> dict[Cid, Inquired]:
    """What may be answered still, the latest row of each."""
    found = [each for each in site.ledger.inquiries.open(site.clock.now()) if _stands(site, each.fields)]
    return {cid_of(each.fields.inquiry): each for each in found}


def _stands(site: Site, asked: InquiryFields) -> bool:
    """Whether an order waits for the answer, or stewards gave one, which they may change for the next order."""
    return bool(site.ledger.inquiries.answers(cid_of(asked.inquiry))) or _waits(site, asked)


def _waits(site: Site, asked: InquiryFields) -> bool:
    attempt = site.ledger.attempt(asked.order)
    return attempt is not None and attempt.waits_for_stewards


def _find(site: Site, cid: Cid) -> Inquired:
    found = _open(site).get(cid)
    if found is None:
        raise NotFound(f"nothing of the name «{cid}» is asked, or it is too late to answer; see «comity approval list»")
    return found


def _kept(site: Site, asked: InquiryFields) -> Kept | None:
    """The value that would leave, as it is held here."""
    attempt = site.ledger.attempt(asked.order)
    if attempt is None or attempt.result is None or asked.inquiry.output is None:
        return None
    return attempt.result.kept[asked.inquiry.output]


async def _view(site: Site, cid: Cid, each: Inquired) -> InquiryView:
    asked, inquiry = each.fields, each.fields.inquiry
    stands = consent(site.ledger.inquiries, cid, site.judge.is_steward, inquiry.person, site.clock.now())
    kept = _kept(site, asked)
    record = await record_of(site, asked.examined) if asked.examined is not None else None
    names = site.membership.names | {site.root: site.config.name}
    readers = sorted({reader for wanted in inquiry.outputs.values() for reader in wanted.readers})
    return InquiryView(
        cid=cid,
        inquiry=inquiry,
        person_name=person_name(site, inquiry.home, inquiry.person),
        home_name=names.get(inquiry.home, inquiry.home),
        block_name=block_name(site, inquiry.block),
        step=str(asked.instance),
        datasets=dataset_names(site, datasets_of(asked.chain)),
        readers={reader: _reader(site, names, reader) for reader in readers},
        reason=_why(asked),
        asked_at=each.at,
        not_after=asked.not_after,
        stewards=asked.stewards,
        granted=tuple(sorted(person_name(site, site.root, did) for did in stands.granted)),
        refused=stands.refusal,
        waits=_waits(site, asked),
        name=kept.name if kept else "",
        size=kept.size if kept else None,
        before=_before(site, inquiry.block),
        check=record.line if record is not None else "",
        found=found_in(record),
    )


def _why(asked: InquiryFields) -> str:
    """What policy said, and that it leaves it to people, if it is a rule that does."""
    wanted = asked.decision.duties.approvals
    return asked.decision.reason + (f"; it asks for the word of {counted(wanted, 'steward')}" if wanted else "")


def _before(site: Site, block: Cid) -> Cid | None:
    """The version of a block's name that a steward here endorsed before, if it is another than ``block``."""
    name = block_name(site, block)
    endorsed = [entry.subject for entry in site.index.site(site.root).entries("endorse")]
    versions = [Cid.parse(each) for each in endorsed if each != str(block)]
    return next((each for each in reversed(versions) if name and block_name(site, each) == name), None)


def _reader(site: Site, names: dict[str, str], reader: str) -> str:
    person, _, home = reader.rpartition("@")
    where = names.get(home, home)
    return f"{person_name(site, home, person)} at {where}" if person else where
