"""Bytes of a peer that are nearly right, shown to every decoder: each takes them or refuses them, in its own words.

``COMITY_FUZZ=1000000`` shows that many inputs instead of a few thousand.
"""

from __future__ import annotations

import os
import signal
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.changes import Change, apply, changes
from tests.fuzz.decoders import DECODERS, Decoder

INPUTS = int(os.environ.get("COMITY_FUZZ", "6000"))
HANG_SECONDS = 30
MOST_MESSAGE = 1200


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda decoder: decoder.name)
def test_what_it_was_made_for_is_read(decoder: Decoder) -> None:
    """Lost: the fuzzing, which would show the decoder nothing that comes further than its first check."""
    for seed in decoder.seeds:
        try:
            value = decoder.read(seed)
        except decoder.refusals as error:
            # Values made from types alone are of their shape; whether they are signed, say, is another question.
            assert decoder.write is None, error  # noqa: PT017
        else:
            assert decoder.write is None or decoder.write(value) == seed


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda decoder: decoder.name)
def test_anything_else_is_read_as_one_value_or_refused(decoder: Decoder, record_property: Any) -> None:
    """Lost: a node that a peer's bytes take down, or that reads two spellings as one value."""
    shown = 0

    @settings(
        # Rounded up: less than was asked for is never shown.
        max_examples=max(3, -(-INPUTS // (len(DECODERS) * len(decoder.seeds)))),
        suppress_health_check=list(HealthCheck),
    )
    @given(changes)
    def show(drawn: list[Change]) -> None:
        nonlocal shown
        for seed in decoder.seeds:
            shown += 1
            data = apply(seed, drawn)
            with ended_within(HANG_SECONDS):
                judge(decoder, data)

    show()
    record_property("fuzzed", shown)


def judge(decoder: Decoder, data: bytes) -> None:
    try:
        value = decoder.read(data)
    except decoder.refusals as error:
        check_message(str(error))
    else:
        if decoder.write is not None:
            assert decoder.write(value) == data, f"{data.hex()} was read as {value!r}, which is written otherwise"


def check_message(message: str) -> None:
    """A refusal is one line for a person's terminal, whatever the peer put into what was refused."""
    assert 0 < len(message) <= MOST_MESSAGE
    hidden = [letter for letter in message if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    assert not hidden, f"a refusal carries {hidden!r} to the terminal: {message!r}"


@contextmanager
def ended_within(seconds: int) -> Iterator[None]:
    """Raise where a decoder hangs, so that the input is shown."""

    def hang(_signal: int, _frame: FrameType | None) -> None:
        raise AssertionError("a decoder does not come to an end")

    before = signal.signal(signal.SIGALRM, hang)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
