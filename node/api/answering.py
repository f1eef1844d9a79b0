"""What stewards are asked, and their answers, which are signed here."""

from __future__ import annotations

from nacl.utils import random

from catalog.cid import Cid
from catalog.dagcbor import encode
from catalog.error import BadInput, NotFound
from catalog.key import UNSIGNED, signed
from node.api import operation
from node.api.disclosed import ExaminationView
from node.api.inquiries import AnswerRequest, InquiryView
from node.api.publish import Publisher, now
from node.api.quantity import Moment, moment
from node.api.short import is_named
from workflow.inquiry import Answer

"""Characters at the end of a CID that name an inquiry as well."""


class Answerer(Publisher):
    """Reads what stewards are asked, and answers as one of them."""

    def inquiries(self) -> tuple[InquiryView, ...]:
        """What stewards of this site are asked and may answer still; for them.

        Raises:
            Denied: this person is no steward here.
        """
        return self._connection.ask(operation.INQUIRIES)

    def examinations(self) -> tuple[ExaminationView, ...]:
        """What left this site about which people, what waited for stewards, and why; the newest thousand, oldest first.

        Raises:
            Denied: not a steward of this site.
        """
        return self._connection.ask(operation.EXAMINATIONS)

    def inquiry(self, name: Cid | str) -> InquiryView:
        """One of them by its CID, or by the end of it.

        Raises:
            NotFound: none of that name is asked. BadInput: several end so.
        """
        text = str(name)
        found = [each for each in self.inquiries() if is_named(text, each.cid)]
        if not found:
            raise NotFound(f"nothing of the name «{text}» is asked, or not any more; see «comity approval list»")
        if len(found) > 1:
            raise BadInput(f"{len(found)} names end in «{text}»; give more of it")
        return found[0]

    def answer(self, inquiry: Cid | str, *, granted: bool, reason: str = "", until: Moment = "7d") -> int:
        """Say yes or no to what is asked; it counts ``until`` then, for the very same question. The audit row's index.

        Raises:
            Denied: no steward, or the one who asks. NotFound: it is not asked any more.
        """
        time = now()
        word = Answer(
            site=self.site,
            person=self.person,
            inquiry=self.inquiry(inquiry).cid,
            granted=granted,
            reason=reason,
            until=moment(until, time),
            at=time,
            nonce=random(16),
            sig=UNSIGNED,
        )
        request = AnswerRequest(statement=encode(signed(word, self._signer())))
        return self._connection.ask(operation.ANSWER, request).index

    def preview(self, inquiry: Cid | str) -> bytes:
        """The first bytes of the value that would leave, as they are; who looks is written down.

        Raises:
            NotFound: nothing has run yet. Denied: not for this person.
        """
        return self._connection.ask(operation.PREVIEW, cid=str(self.inquiry(inquiry).cid))
