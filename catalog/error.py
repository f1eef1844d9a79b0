"""The errors of Comity: a small hierarchy, each one line for the user that says what to do next."""

from __future__ import annotations


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


class Infeasible(ComityError):
    """No plan keeps every constraint; the message names the one that binds."""

    exit_code = 6


class NotFound(ComityError):
    """Nothing of that name here, or nothing that the asker may see: the two are never told apart."""


class Conflict(ComityError):
    """It is held, taken or done already; the message says by whom."""
