"""What the local interface says of the founding of a consortium, and of coming into one."""

from __future__ import annotations

from catalog.cid import Cid
from catalog.dagcbor import Value
from catalog.member import Epoch


class NewConsortium(Value, frozen=True, kw_only=True):
    """Begins the founding of a consortium of ``founders`` sites."""

    name: str
    founders: int


class InviteView(Value, frozen=True, kw_only=True):
    """An invitation for one site, to be written to a file of mode 0600 and handed over out of band."""

    invite: bytes
    not_after: int


class Join(Value, frozen=True, kw_only=True):
    """An invitation that this site takes up, as a full member or as one that only witnesses logs."""

    invite: bytes
    witness_only: bool = False


class FoundingView(Value, frozen=True, kw_only=True):
    """How far a founding is: who has joined and who has signed.

    ``to_sign`` is the message that this site's root key signs, once every founder is there; ``epoch`` the whole
    document for the signer to read.
    """

    name: str
    expected: int
    joined: tuple[str, ...]
    signed: tuple[str, ...]
    to_sign: bytes | None
    epoch: Epoch | None
    consortium: Cid | None


class SignEpoch(Value, frozen=True, kw_only=True):
    """The root key's signature of the founding document."""

    signature: bytes
