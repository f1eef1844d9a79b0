"""The errors of Comity: a small hierarchy, each one line for the user that says what to do next."""

from __future__ import annotations


def shown(text: str, most: int = 160) -> str:
    """What somebody else wrote, as it may stand in a message or a log of events: one line of at most ``most``
    characters, where nothing steers a terminal, turns the direction of writing or hides.
    """
    line = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text[: most + 1])
    return line if len(line) <= most else line[: most - 1] + "…"


class ComityError(Exception):
    """Something failed, and the message says what, to what, and what to do.

    ``exit_code`` is what the terminal ends with (design section 11).
    """

    exit_code = 1


class BadInput(ComityError):
    """What the caller gave cannot be used as it is; nothing was changed."""

    exit_code = 2


class Denied(ComityError):
    """A policy, a label or a missing signature forbids it."""

    exit_code = 3


class Unreachable(ComityError):
    """A site, or this site's own node, does not answer."""

    exit_code = 4


class VerificationFailed(ComityError):
    """Bytes, a signature, a proof or a log is not what it claims to be."""

    exit_code = 5


class Damaged(ComityError):
    """A file of this site is not what was written to it; the message names the file.

    It is no :class:`VerificationFailed`, so that nothing that takes a peer for a liar takes it for one.
    """

    exit_code = 5


class Full(ComityError):
    """There is no room for it in what the operator allows; what was there stays whole."""


class Infeasible(ComityError):
    """No plan keeps every constraint; the message names the one that binds."""

    exit_code = 6


class NotFound(ComityError):
    """Nothing of that name here, or nothing that the asker may see: the two are never told apart."""


class Conflict(ComityError):
    """It is held, taken or done already; the message says by whom."""
