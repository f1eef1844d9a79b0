"""Asking for the header of a shared dataset: whom it shall be sealed for, and what that person signed.

The bytes of a :class:`HeaderRequest` are the body of ``POST /header`` on the bulk server of whoever keeps the key; the
answer is a Crypt4GH header (:mod:`catalog.crypt4gh`), or what everything gets that is unknown or forbidden.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from catalog.cid import Cid
from catalog.dagcbor import Value, decode
from catalog.error import VerificationFailed
from catalog.httpsig import Asked, SignedRequest, read_kept
from catalog.key import Did, check
from catalog.project import ProjectRef
from workflow.account import MAX_REQUEST, Request
from workflow.submission import Submission

HEADER_PATH: Final = "/header"
MAX_ASKED: Final = 48 << 10
"""Bytes of a request for a header: it stands in the audit log."""
OPEN_PATH: Final = "/v1/shared/"
"""What people ask of their own node, followed by the dataset's CID: to open it in the project that the query names."""


class ForPerson(Value, frozen=True, kw_only=True, tag="person"):
    """A person of the asking site opens the dataset; ``request`` is what they signed to their own node."""

    request: SignedRequest


class ForStep(Value, frozen=True, kw_only=True, tag="step"):
    """A step at the asking site runs ``block`` on the dataset, under a person's signed ``submission``."""

    submission: Request
    block: Cid


class ForCustodian(Value, frozen=True, kw_only=True, tag="custodian"):
    """The asking site shall keep the key for the owner, who names it in the dataset's entry."""


class HeaderRequest(Value, frozen=True, kw_only=True):
    """What is asked of the owner, or of a custodian: the header of ``dataset``, which ``owner`` publishes."""

    owner: Did
    dataset: Cid
    asked: ForPerson | ForStep | ForCustodian


def opened_by(request: SignedRequest, dataset: Cid) -> tuple[Asked, ProjectRef]:
    """Who asked to open ``dataset``, and in which project, once their signature is checked.

    Raises:
        VerificationFailed: it is no such request, or is about another dataset.
    """
    asked = read_kept(request)
    try:
        named = dict(parse_qsl(asked.query, strict_parsing=True, max_num_fields=2))
    except ValueError:
        named = {}
    if asked.method != "GET" or asked.path != f"{OPEN_PATH}{dataset}" or named.keys() != {"project", "project_site"}:
        raise VerificationFailed("the person's request is not one to open that dataset in a project")
    return asked, ProjectRef(site=named["project_site"], name=named["project"])


def asked_by(said: HeaderRequest) -> tuple[str | None, ProjectRef | None]:
    """On whose signed word the header is asked for, and in which project; nobody's, where a custodian asks.

    Raises:
        VerificationFailed: they did not sign it, or it is about another dataset.
    """
    match said.asked:
        case ForPerson(request=request):
            asked, project = opened_by(request, said.dataset)
            return asked.did, project
        case ForStep(submission=data):
            submission = decode(Submission, data, MAX_REQUEST)
            check(submission, submission.person)
            return submission.person, submission.project
        case ForCustodian():
            return None, None
