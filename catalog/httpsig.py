"""Signed HTTP requests: one fixed profile of HTTP Message Signatures (RFC 9421) with Ed25519.

A request covers these components, in this order, and nothing else::

    "@method" "@path" "@query" "range" "content-digest" "comity-peer"

``range`` is covered when the request has one, ``content-digest`` (RFC 9530, SHA-256) when it has a body.
``Comity-Peer`` names the key of the server that the request is for, so it is worthless at any other. The
parameters are ``created`` (Unix seconds), ``nonce`` (16 bytes, base64url), ``keyid`` (did:key) and
``tag="comity"``, in this order, under the label ``comity``. A verifier accepts this form byte for byte and no
other: what a lenient parser could read in two ways is refused here. Every message about a refusal is for this
side's log; the asker is told nothing.
"""

from __future__ import annotations

import base64
import hashlib
import re
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from catalog.dagcbor import Value
from catalog.error import BadInput, VerificationFailed
from catalog.key import Did, Signature, Signer, public_bytes, short, verify

SKEW_SECONDS: Final = 60
"""How far ``created`` may lie from the verifier's clock, either way (PROTOCOL.md, Bytes)."""

NONCE_BYTES: Final = 16
"""Bytes in a nonce."""

_TARGET_LENGTH: Final = 4096
_INPUT_LENGTH: Final = 512
# RFC 3986, pchar; what a percent-encoding may stand for is checked apart.
_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)+/?|/")
_QUERY: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/?-]+")
_ENCODED: Final = re.compile(r"%([0-9A-F]{2})")
_UNRESERVED: Final = frozenset((string.ascii_letters + string.digits + "-._~").encode())
_METHOD: Final = re.compile(r"[A-Z]{1,16}")
_RANGE: Final = re.compile(r"bytes=(0|[1-9][0-9]{0,15})-(0|[1-9][0-9]{0,15})")
_PARAMETERS: Final = re.compile(
    r"comity=(\([a-z@\" -]{1,128}\);created=(0|[1-9][0-9]{0,11});nonce=\"([A-Za-z0-9_-]{22})\""
    r";keyid=\"(did:key:z6Mk[1-9A-HJ-NP-Za-km-z]{44})\";tag=\"comity\")"
)
_SIGNATURE: Final = re.compile(r"comity=:([A-Za-z0-9+/]{86}==):")
_LINE: Final = re.compile(r'^"([@a-z-]+)": (.*)$', re.MULTILINE)
_NAME: Final = re.compile(r'"([@a-z-]+)"')
_OURS: Final = frozenset({"signature-input", "signature", "comity-peer", "content-digest", "range"})


class SignedBy(Value, frozen=True, kw_only=True):
    """Who signed a request: ``created`` in Unix seconds, ``nonce`` of 16 bytes."""

    did: Did
    created: int
    nonce: bytes


class SignedRequest(Value, frozen=True, kw_only=True):
    """What is kept of a request to show later that it was made: the bytes that were signed, and their signature."""

    base: Annotated[bytes, msgspec.Meta(max_length=8 << 10)]
    sig: Signature


@dataclass(frozen=True, slots=True)
class Asked:
    """What a kept request asked: who (``did``) asked whom (``peer``), when (``created``, Unix seconds), its nonce.

    ``digest`` is the ``Content-Digest`` of its body as text, empty if it had none.
    """

    did: str
    method: str
    path: str
    query: str
    peer: str
    created: int
    nonce: bytes
    digest: str = ""


def signature_base(components: Sequence[tuple[str, str]], parameters: str) -> bytes:
    """The bytes that a signature covers (RFC 9421, 2.5).

    ``components`` are (name, value) in order; ``parameters`` is the text of ``@signature-params``, which lists the
    same names in the same order.
    """
    lines = [f'"{name}": {value}' for name, value in components]
    return "\n".join([*lines, f'"@signature-params": {parameters}']).encode("ascii")


def digest_of(body: bytes) -> bytes | None:
    """SHA-256 of ``body`` as :func:`verify_request` wants it; none for no body."""
    return hashlib.sha256(body).digest() if body else None


def digest_text(digest: bytes) -> str:
    """A SHA-256 as ``Content-Digest`` has it."""
    return f"sha-256=:{base64.b64encode(digest).decode()}:"


def range_header(first: int, last: int) -> str:
    """The ``Range`` of the bytes ``first`` to ``last``, both included."""
    return f"bytes={first}-{last}"


def parse_range(text: str) -> tuple[int, int]:
    """First and last byte, both included, of a single ``Range``.

    Raises:
        BadInput: it has any other form than ``bytes=first-last``.
    """
    found = _RANGE.fullmatch(text)
    if found is None or int(found[1]) > int(found[2]):
        raise BadInput("a range is «bytes=first-last» with first ≤ last, and one alone")
    return int(found[1]), int(found[2])


def split_target(target: str) -> tuple[str, str]:
    """Path and query (without ``?``, empty for none) of an origin-form request target.

    The path must be in the normal form of RFC 3986, for then what is signed, what is sent and what a handler sees
    are one text: no empty or dot segment, percent-encodings in capitals and only where they are needed.

    Raises:
        BadInput: it is not in that form, or longer than 4,096 characters.
    """
    path, mark, query = target.partition("?")
    encoded = [int(digits, 16) for digits in _ENCODED.findall(target)]
    well_formed = (
        len(target) <= _TARGET_LENGTH
        and _PATH.fullmatch(path) is not None
        and (_QUERY.fullmatch(query) is not None if mark else True)
        and target.count("%") == len(encoded)
        and _UNRESERVED.isdisjoint(encoded)
        and not {".", ".."} & set(path.split("/"))
    )
    if not well_formed:
        raise BadInput("a request's path and query must be in their normal form, of at most 4,096 characters")
    return path, query


def sign_request(
    signer: Signer,
    method: str,
    target: str,
    *,
    peer: str,
    now: int,
    nonce: bytes,
    range: tuple[int, int] | None = None,
    body: bytes = b"",
) -> dict[str, str]:
    """The headers that make a request a signed one, ``Range`` and ``Content-Digest`` among them.

    Args:
        signer: who asks.
        method: in capitals.
        target: path and query, in normal form.
        peer: did:key of the server.
        now: Unix milliseconds.
        nonce: 16 random bytes, never used before.
        range: first and last byte wanted, both included.
        body: what will be sent; empty for no body.

    Raises:
        BadInput: the method, the target, the range, the peer or the nonce has not the profile's form.
    """
    if len(nonce) != NONCE_BYTES:
        raise BadInput(f"a signed request needs a nonce of {NONCE_BYTES} bytes")
    public_bytes(peer)
    range_text = None if range is None else range_header(*range)
    components = _components(method, target, range_text, digest_of(body), peer)
    text = _parameters(components, now // 1000, nonce, signer.did)
    signature = signer.sign(signature_base(components, text))
    headers = {name.title(): value for name, value in components if not name.startswith("@")}
    return headers | {
        "Signature-Input": f"comity={text}",
        "Signature": f"comity=:{base64.b64encode(signature).decode()}:",
    }


def verify_request(
    method: str,
    target: str,
    headers: Iterable[tuple[str, str]],
    *,
    body_digest: bytes | None,
    peer: str,
    now: int,
) -> SignedBy:
    """Check a request against the profile, and say who signed it; its nonce is for the caller to take, once.

    Args:
        method: as received.
        target: as received, path and query.
        headers: (name, value) as received, in any order and case; the profile's own must stand once each.
        body_digest: SHA-256 of the body as received, none if there was no body (:func:`digest_of`).
        peer: did:key of this server.
        now: Unix milliseconds.

    Raises:
        VerificationFailed: unsigned, malformed, altered, for another server, or ``created`` more than 60 s away.
    """
    found = _single(headers)
    parsed = _PARAMETERS.fullmatch(found.get("signature-input", "")[:_INPUT_LENGTH])
    signature = _SIGNATURE.fullmatch(found.get("signature", ""))
    if parsed is None or signature is None:
        raise VerificationFailed("a request is not signed in this profile")
    nonce = base64.urlsafe_b64decode(parsed[3] + "==")
    signature_bytes = base64.b64decode(signature[1])
    if parsed[3] != _nonce_text(nonce) or signature[1] != base64.b64encode(signature_bytes).decode():
        raise VerificationFailed("a request's nonce or signature is not in its one base64 form")
    signed_by = SignedBy(did=parsed[4], created=int(parsed[2]), nonce=nonce)
    name = short(signed_by.did)
    try:
        components = _components(method, target, found.get("range"), body_digest, peer)
    except BadInput as error:
        raise VerificationFailed(f"a request by {name} is malformed: {error}") from error
    # The whole header is made anew from what this side saw; only equality counts, so order, spacing, further or
    # missing components and parameters are all refused by the one comparison.
    if parsed[1] != _parameters(components, signed_by.created, nonce, signed_by.did):
        raise VerificationFailed(f"a request by {name} does not cover what it must")
    for header, value in components:
        if not header.startswith("@") and found.get(header) != value:
            raise VerificationFailed(f"a request by {name} has another «{header}» than it should")
    if "content-digest" in found and body_digest is None:
        raise VerificationFailed(f"a request by {name} has a digest and no body")
    if abs(now // 1000 - signed_by.created) > SKEW_SECONDS:
        raise VerificationFailed(f"a request by {name} was made more than {SKEW_SECONDS} s away from now")
    verify(signed_by.did, signature_base(components, parsed[1]), signature_bytes)
    return signed_by


def kept_request(
    method: str, target: str, headers: Iterable[tuple[str, str]], *, body_digest: bytes | None, peer: str
) -> SignedRequest:
    """What to keep of a request that :func:`verify_request` accepted with the same arguments.

    Raises:
        VerificationFailed: it is none that it would accept.
    """
    found = _single(headers)
    parsed = _PARAMETERS.fullmatch(found.get("signature-input", "")[:_INPUT_LENGTH])
    signature = _SIGNATURE.fullmatch(found.get("signature", ""))
    if parsed is None or signature is None:
        raise VerificationFailed("a request is not signed in this profile")
    components = _components(method, target, found.get("range"), body_digest, peer)
    return SignedRequest(base=signature_base(components, parsed[1]), sig=base64.b64decode(signature[1]))


def read_kept(request: SignedRequest) -> Asked:
    """What a kept request asked, once the signature by the key that it names is checked.

    Raises:
        VerificationFailed: it is not by that key, or not in this profile.
    """
    lines = dict(_LINE.findall(request.base.decode("latin-1")))
    parsed = _PARAMETERS.fullmatch("comity=" + lines.get("@signature-params", ""))
    needed = ("@method", "@path", "@query", "comity-peer")
    if parsed is None or any(name not in lines for name in needed):
        raise VerificationFailed("a kept request is not in the profile of signed requests")
    components = [(name, lines[name]) for name in _NAME.findall(parsed[1].partition(")")[0]) if name in lines]
    if signature_base(components, parsed[1]) != request.base:
        raise VerificationFailed("a kept request is not in its one form")
    verify(parsed[4], request.base, request.sig)
    nonce = base64.urlsafe_b64decode(parsed[3] + "==")
    query = lines["@query"].removeprefix("?")
    return Asked(
        parsed[4],
        lines["@method"],
        lines["@path"],
        query,
        lines["comity-peer"],
        int(parsed[2]),
        nonce,
        lines.get("content-digest", "") if '"content-digest"' in parsed[1] else "",
    )


def _components(
    method: str, target: str, range_text: str | None, body_digest: bytes | None, peer: str
) -> list[tuple[str, str]]:
    path, query = split_target(target)
    if _METHOD.fullmatch(method) is None:
        raise BadInput("a request's method is written in capitals")
    components = [("@method", method), ("@path", path), ("@query", f"?{query}")]
    if range_text is not None:
        parse_range(range_text)
        components.append(("range", range_text))
    if body_digest is not None:
        components.append(("content-digest", digest_text(body_digest)))
    components.append(("comity-peer", peer))
    return components


def _parameters(components: Sequence[tuple[str, str]], created: int, nonce: bytes, did: str) -> str:
    names = " ".join(f'"{name}"' for name, _ in components)
    return f'({names});created={created};nonce="{_nonce_text(nonce)}";keyid="{did}";tag="comity"'


def _nonce_text(nonce: bytes) -> str:
    return base64.urlsafe_b64encode(nonce).rstrip(b"=").decode()


def _single(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in headers:
        lower = name.lower()
        if lower in _OURS:
            if lower in found:
                raise VerificationFailed(f"a request has «{lower}» twice")
            found[lower] = value
    return found
