"""Attacks on what others have submitted: ending it without its person's word on it.

St. Anna's stewards are asked about the order, so that it waits; a cancel that counts ends it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import pytest
from msgspec import structs

from catalog.dagcbor import cid_of, encode
from catalog.error import ComityError, Denied, NotFound, VerificationFailed
from catalog.key import UNSIGNED, PrivateKey, signed
from node.api.steering import CancelRequest
from node.automator import verify
from node.automator.verify import Verifier
from node.bus.journal import State
from node.message import Cancel, Place, question_bytes, read_reply
from node.site import steering
from tests.adversary.hospital import NOW, Hospital, at_a_hospital
from tests.adversary.stage import TEXT, Stage
from tests.adversary.test_asking import ASK_TO_RUN, asked, asks, begin, told
from tests.simulation.consortium import Site
from workflow.cancellation import Cancellation
from workflow.receipt import Receipt, Status
from workflow.submission import Submission

COLLEAGUE: Final = PrivateKey(b"another person of the institute!")
Sent = tuple[Cancel, Site]


def _nothing(*_: object) -> None:
    """A defence that is gone."""


@dataclass(frozen=True)
class Case:
    """One attack: what is shown to St. Anna and by whom, how it is refused, and the defence that does it."""

    attack: Callable[[Stage, Place], Sent]
    refused: type[ComityError]
    without: tuple[object, str]


def _word(submission: Submission, by: PrivateKey, **changes: object) -> Cancellation:
    said = Cancellation(person=submission.person, submission=cid_of(submission), at=1, sig=UNSIGNED)
    return signed(structs.replace(said, **changes), by)


def _by_another_member(stage: Stage, message: Place) -> Sent:
    """Mallory has come by the person's word, and shows it while the institute's bus has not."""
    return Cancel(order=cid_of(message.order), word=_word(message.submission, stage.researcher)), stage.mallory


def _by_a_colleague(stage: Stage, message: Place) -> Sent:
    """Somebody of the same institute, in their own name."""
    return Cancel(
        order=cid_of(message.order), word=_word(message.submission, COLLEAGUE, person=COLLEAGUE.did)
    ), stage.institute


def _in_the_persons_name(stage: Stage, message: Place) -> Sent:
    """The institute's node makes a word up."""
    return Cancel(order=cid_of(message.order), word=_word(message.submission, stage.institute.node)), stage.institute


def _replayed_on_another(stage: Stage, message: Place) -> Sent:
    """The word by which the same person ended another submission."""
    other = stage.submission(nonce=b"1" * 16)
    return Cancel(order=cid_of(message.order), word=_word(other, stage.researcher)), stage.institute


CASES: Final = {
    "cancel_by_another_member": Case(_by_another_member, NotFound, (Verifier, "check_bus")),
    "cancel_by_a_colleague": Case(_by_a_colleague, VerificationFailed, (verify, "check_word")),
    "cancel_in_the_persons_name": Case(_in_the_persons_name, VerificationFailed, (verify, "check")),
    "cancel_replayed_on_another_order": Case(_replayed_on_another, VerificationFailed, (verify, "check_word")),
}


def _tried(case: Case) -> tuple[Stage, Place, Receipt | ComityError]:
    stage = Stage(asks(ASK_TO_RUN, endorsed=True))
    message = stage.honest()
    begin(stage, message)
    question, asker = case.attack(stage, message)
    try:
        return stage, message, read_reply(Receipt, stage.ask(asker, stage.anna, question_bytes(question)))
    except ComityError as error:
        return stage, message, error


@pytest.mark.parametrize("name", CASES)
def test_refused(name: str) -> None:
    stage, message, answer = _tried(CASES[name])
    assert isinstance(answer, CASES[name].refused)
    assert told(stage, message).status is Status.ACCEPTED, "it waits on"
    assert len(asked(stage)) == 1


@pytest.mark.parametrize("name", CASES)
def test_and_without_the_defence_it_succeeds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*CASES[name].without, _nothing)
    if CASES[name].without == (verify, "check_word"):
        monkeypatch.setattr(verify, "check", _nothing)  # the signature is another's, as the word says
    _, _, answer = _tried(CASES[name])
    assert isinstance(answer, Receipt)
    assert answer.reason == "its person cancelled it"


class _Bus:
    """A bus that writes down what it is told to end."""

    def __init__(self, there: Hospital) -> None:
        self._there = there

    async def cancel(self, word: Cancellation) -> None:
        await self._there.site.journal.cancel(word)

    async def end(self, *_: object) -> None:
        """Nobody is to be told."""


@pytest.mark.parametrize("defended", [True, False])
def test_a_colleague_at_the_same_node(defended: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else colleagues end one another's work; or one may, with a word that was given long ago, or by another."""
    stage = Stage()

    async def test(there: Hospital) -> None:
        await there.enrol(there.mara)
        await there.enrol(there.paul)
        site = there.site
        monkeypatch.setattr(site, "consorting", SimpleNamespace(bus=_Bus(there)))
        monkeypatch.setattr(site, "start", lambda *_: None)
        submission = stage.submission(there.mara, person=there.mara.did, site=site.root)
        await site.journal.begin(submission, TEXT, NOW)
        said = Cancellation(person=there.paul.did, submission=cid_of(submission), at=site.clock.now(), sig=UNSIGNED)
        his = signed(said, there.paul)
        if not defended:

            async def any_submission(*_: object) -> object:
                return await site.journal.record(cid_of(submission))

            monkeypatch.setattr(steering, "find", any_submission)
            await steering.cancel(site, there.paul.did, CancelRequest(statement=encode(his)))
            assert (await site.journal.record(cid_of(submission))).state is State.CANCELLING
            return
        hers = structs.replace(said, person=there.mara.did)
        forged, stale = signed(hers, there.paul), signed(structs.replace(hers, at=NOW - 3_600_000), there.mara)
        for person, word in (
            (there.paul, his), (there.paul, forged), (there.mara, forged), (there.mara, his), (there.mara, stale),
        ):  # fmt: skip
            with pytest.raises((Denied, NotFound, VerificationFailed)):
                await steering.cancel(site, person.did, CancelRequest(statement=encode(word)))
        assert (await site.journal.record(cid_of(submission))).state is State.RUNNING
        await steering.cancel(site, there.mara.did, CancelRequest(statement=encode(signed(hers, there.mara))))
        assert (await site.journal.record(cid_of(submission))).state is State.CANCELLING

    at_a_hospital(tmp_path, test)
