"""What a submission delivered, for the person who submitted it: a file, a folder, or a value with its files."""

from __future__ import annotations

import trio

from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.error import Conflict, Denied, NotFound
from catalog.httpsig import SignedRequest
from node.api.tree import TreePage
from node.automator.book import Line
from node.bus.dispatch import concerned
from node.bus.journal import Record
from node.site import submitting
from node.site.delivered import results_of
from node.site.fetching import parse_bytes
from node.site.publishing import MAX_FILE, check_halted, member_of
from node.site.site import Site
from node.site.trees import page_at
from privacy.trust import project_of
from workflow.account import Chain, FetchFields
from workflow.argument import Data
from workflow.evidence import Evidence
from workflow.order import Order
from workflow.receipt import Receipt


async def result(
    site: Site, did: str, signed: SignedRequest, submission: Cid, name: str, path: str = "", span: str = ""
) -> bytes:
    """A file of a result, for the person who submitted; written down, with the signed request, before it is given.

    ``path`` is where it lies in a result that is a folder, ``span`` which of its bytes are wanted, as FIRST-LAST.

    Raises:
        NotFound: no such submission, output or file. Conflict: it has not ended. BadInput: a folder, no such part, or
            larger than 16 MiB. Denied: its project has ended, or this site is halted.
    """
    part = parse_bytes(span)
    cid = await _brought(site, did, signed, submission, name, goes_on=part is not None)
    if part is None:
        return await site.blobs.read(cid, path, MAX_FILE)
    return await site.blobs.read_part(cid, path, *part)


async def tree(
    site: Site, did: str, signed: SignedRequest, submission: Cid, name: str, path: str, after: str
) -> TreePage:
    """What lies at ``path`` in a result: the page behind ``after``. Written down with the first one, for all of it.

    Raises:
        NotFound, Conflict, Denied: as :func:`result`. BadInput: no path.
    """
    cid = await _brought(site, did, signed, submission, name, goes_on=bool(after))
    site.reading.begins_whole(did, cid)
    return await trio.to_thread.run_sync(page_at, cid, path, after, site.blobs.get)


async def _brought(site: Site, did: str, signed: SignedRequest, submission: Cid, name: str, *, goes_on: bool) -> Cid:
    """Have a result here, and write down that its person is given it, unless this ``goes_on`` with what stands."""
    record = await submitting.find(site, did, submission)
    if not record.state.ended:
        raise Conflict("the submission is still running; see «comity submission watch»")
    workflow = await site.documents.workflow(record.workflow)
    found = {each.name: each for each in results_of(workflow, record)}
    if name not in found:
        raise NotFound(f"the submission has no result «{name}»; it has: {', '.join(found) or 'none'}")
    cid, holder = found[name].cid, found[name].holder
    _check_may(site, did, record, holder)
    if goes_on and site.reading.has_whole(did, cid) and site.reading.goes_on(did, cid):
        site.blobs.touch(cid)
        return cid
    await given(site, did, signed, record, cid, holder, datasets_made_from(site, record, cid, holder))
    return cid


async def given(
    site: Site, did: str, signed: SignedRequest, record: Record, cid: Cid, holder: str, datasets: frozenset[Cid]
) -> None:
    """Have a value of a submission here, made from ``datasets``, and write down that its person gets it.

    Raises:
        NotFound, Unreachable: it is not to be had from its ``holder``. Denied: its project has ended, or the site is
            halted.
    """
    ref = record.submission.project
    site.holdings.account(cid, datasets, ref)
    await site.materials.bring(holder, cid, ref)
    try:
        _check_may(site, did, record, holder)
    except Denied:
        # Its project ended meanwhile, and what came just now came after the copies were destroyed.
        submitting.consorting(site).projects.litter()
        raise

    def account(chain: Chain, _index: int) -> FetchFields:
        return FetchFields(root=cid, site=site.root, person=did, chain=chain, request=signed, project=ref)

    await site.book.write([Line("fetch", site.holdings.accounted(cid), account, (did,))])


def _check_may(site: Site, did: str, record: Record, holder: str) -> None:
    check_halted(site, record.submission.project, concerned(record.submission, holder))
    project_of(site.index, record.submission.project, member_of(site, did), site.clock.now())


def datasets_made_from(site: Site, record: Record, cid: Cid, holder: str) -> frozenset[Cid]:
    """The datasets that an output of a submission was made from, by the receipts that this site has."""
    receipts = {receipt.order: receipt for receipt in record.receipts}
    orders = {cid_of(receipts[name]): order for order in record.orders if (name := cid_of(order)) in receipts}
    proofs: dict[Cid, tuple[Order, Receipt]] = {}

    def take(proof: Cid) -> None:
        order = orders.get(proof)
        if order is not None and proof not in proofs:
            for earlier in order.proofs:
                take(earlier)
            proofs[proof] = order, receipts[cid_of(order)]

    for proof in orders:
        take(proof)
    evidence = Evidence(site.index, record.cid, list(proofs.values()))
    return evidence.datasets(Data(site=holder, cid=cid, name="result"))
