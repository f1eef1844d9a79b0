"""GA4GH Passport visas: JSON Web Tokens that say something of an account, read into the claims that we know.

A token is refused unless an issuer that the operator lists signed it with RS256 or ES256 and a key that the operator
put into a file; nothing is ever fetched that a token names. What is in it and not understood is a reason to refuse.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Final

import msgspec

from catalog.claim import Claim, ClaimType, Identity
from catalog.error import BadInput, VerificationFailed

if TYPE_CHECKING:
    from jwt import PyJWK

MAX_TOKEN: Final = 16 << 10
"""Bytes of a visa."""

MAX_ISSUERS: Final = 1 << 20
"""Bytes of a file of issuers."""

SKEW_SECONDS: Final = 60
"""How far an issuer's clock may be ahead of ours."""

LEAST_RSA_BITS: Final = 2048

_ALGORITHMS: Final = {"RSA": "RS256", "EC": "ES256"}
_CLAIMS: Final = frozenset({"iss", "sub", "exp", "iat", "nbf", "jti", "scope", "ga4gh_visa_v1"})
_OBJECT: Final = frozenset({"type", "value", "source", "by", "asserted"})
_PART: Final = re.compile(rb"[A-Za-z0-9_-]+")
_MOST_SECONDS: Final = 1 << 40


@dataclass(frozen=True, slots=True)
class Issuers:
    """The visa issuers that the operator trusts: for each its URL and its public keys by their ``kid``."""

    keys: Mapping[str, Mapping[str, PyJWK]]


@dataclass(frozen=True, slots=True)
class Visa:
    """A verified visa: what it claims, of the account that the claim names, until ``claim.not_after``."""

    claim: Claim
    identity: Identity


def read_issuers(data: bytes) -> Issuers:
    """Read the operator's file: ``{"issuers": {"https://login.example.org/": {"keys": [a JWK, …]}}}``.

    Raises:
        BadInput: malformed, a key of another kind than RSA of 2,048 bits or P-256, a private or shared key, or two
            of one name. The message names the issuer and the key.
    """
    if len(data) > MAX_ISSUERS:
        raise BadInput(f"a file of issuers of {len(data):,} bytes was refused: at most {MAX_ISSUERS:,} are read")
    try:
        whole = _json(data)
    except VerificationFailed as error:
        raise BadInput(f"the file of issuers cannot be read: {error}") from error
    issuers = whole.get("issuers")
    if set(whole) != {"issuers"} or not isinstance(issuers, dict) or not issuers:
        raise BadInput('the file of issuers reads {"issuers": {"https://…": {"keys": […]}}}')
    return Issuers({str(issuer): _keys(str(issuer), entry) for issuer, entry in issuers.items()})


def read_visa(token: bytes, issuers: Issuers, now: int) -> Visa:
    """Verify one visa at ``now`` (Unix milliseconds).

    Raises:
        VerificationFailed: too large, malformed, of another algorithm, issuer or key, wrongly signed, expired or not
            yet valid, or saying anything that is not understood; the message names which.
    """
    if len(token) > MAX_TOKEN:
        raise VerificationFailed(f"a visa of {len(token):,} bytes was refused: at most {MAX_TOKEN:,} are read")
    parts = token.strip().split(b".")
    if len(parts) != 3 or not all(_PART.fullmatch(part) for part in parts[:2]):
        raise VerificationFailed("a visa was refused: it is not three parts of base64url with dots between")
    header, payload = _json(_decoded(parts[0])), _json(_decoded(parts[1]))
    issuer = payload.get("iss")
    keys = issuers.keys.get(issuer) if isinstance(issuer, str) else None
    if keys is None:
        raise VerificationFailed(f"a visa was refused: its issuer {_shown(issuer)} is not in the file of issuers")
    _check_signature(b".".join(parts), header, keys)
    unknown = sorted(set(payload) - _CLAIMS)
    if unknown:
        raise VerificationFailed(f"a visa was refused: it has a claim that is not known here, {_shown(unknown[0])}")
    expires = _check_times(payload, now // 1000)
    try:
        identity = msgspec.convert({"iss": issuer, "sub": payload.get("sub")}, Identity)
    except msgspec.ValidationError as error:
        raise VerificationFailed(f"a visa was refused: its subject is no plain text ({error})") from error
    return Visa(_claim(payload.get("ga4gh_visa_v1"), identity, expires * 1000), identity)


def _check_signature(token: bytes, header: Mapping[str, object], keys: Mapping[str, PyJWK]) -> None:
    jwt = _library()
    algorithm, kid = header.get("alg"), header.get("kid")
    if algorithm not in _ALGORITHMS.values():
        raise VerificationFailed(f"a visa was refused: its algorithm is {_shown(algorithm)}, not RS256 or ES256")
    if "crit" in header:
        raise VerificationFailed("a visa was refused: its header has extensions that must be understood, and are not")
    key = keys.get(kid) if isinstance(kid, str) else None
    if key is None:
        raise VerificationFailed(f"a visa was refused: its issuer has no key {_shown(kid)} in the file of issuers")
    # The algorithm is the key's: a token that names another would have a public key taken for a shared secret.
    if algorithm != key.algorithm_name:
        raise VerificationFailed(f"a visa was refused: its key {_shown(kid)} is not one for {algorithm}")
    try:
        jwt.PyJWS().decode(token, key=key.key, algorithms=[key.algorithm_name])
    except jwt.PyJWTError as error:
        raise VerificationFailed(f"a visa was refused: it is not signed by its issuer's key {_shown(kid)}") from error


def _check_times(payload: Mapping[str, object], now: int) -> int:
    """When it expires, in Unix seconds."""
    expires = payload.get("exp")
    if type(expires) is not int or not 0 < expires < _MOST_SECONDS:
        raise VerificationFailed("a visa was refused: it does not say when it expires")
    if now >= expires:
        raise VerificationFailed("the visa has expired; ask its issuer for a new one")
    for name in ("nbf", "iat"):
        begins = payload.get(name, 0)
        if type(begins) is not int or not 0 <= begins < _MOST_SECONDS:
            raise VerificationFailed(f"a visa was refused: its «{name}» is no time")
        if begins > now + SKEW_SECONDS:
            raise VerificationFailed("the visa is not valid yet; compare this machine's clock")
    return expires


def _claim(visa: object, identity: Identity, not_after: int) -> Claim:
    if not isinstance(visa, dict):
        raise VerificationFailed("a visa was refused: it has no object «ga4gh_visa_v1»")
    unknown = sorted(set(visa) - _OBJECT)
    if unknown:
        raise VerificationFailed(
            f"a visa was refused: its «{_shown(unknown[0])}» is not understood here and may narrow what it says"
        )
    if visa.get("type") not in list(ClaimType):
        raise VerificationFailed(f"a visa was refused: its type {_shown(visa.get('type'))} is not known here")
    whole = {"by": None, **visa, "not_after": not_after, "identity": None}
    try:
        claim = msgspec.convert(whole, Claim)
    except msgspec.ValidationError as error:
        raise VerificationFailed(f"a visa was refused: {error}") from error
    return msgspec.structs.replace(claim, identity=identity)


def _keys(issuer: str, entry: object) -> dict[str, PyJWK]:
    jwks = entry.get("keys") if isinstance(entry, dict) else None
    if not isinstance(jwks, list) or not jwks:
        raise BadInput(f"the file of issuers lists no keys for {_shown(issuer)}")
    keys: dict[str, PyJWK] = {}
    for jwk in jwks:
        kid = jwk.get("kid") if isinstance(jwk, dict) else None
        if not isinstance(kid, str) or not kid or kid in keys:
            raise BadInput(f"each key of {_shown(issuer)} needs a «kid» of its own, and {_shown(kid)} is none")
        keys[kid] = _key(f"the key {_shown(kid)} of {_shown(issuer)}", jwk)
    return keys


def _key(what: str, jwk: Mapping[str, object]) -> PyJWK:
    jwt = _library()
    algorithm = _ALGORITHMS.get(str(jwk.get("kty")))
    if algorithm is None:
        raise BadInput(f"{what} is of the kind {_shown(jwk.get('kty'))}; only RSA and P-256 keys are taken")
    if "d" in jwk:
        raise BadInput(f"{what} is a private key, which belongs to its issuer alone; give the public one")
    if jwk.get("alg", algorithm) != algorithm or jwk.get("use", "sig") != "sig":
        raise BadInput(f"{what} is for {_shown(jwk.get('alg', jwk.get('use')))}; it must be for signing by {algorithm}")
    if algorithm == "ES256" and jwk.get("crv") != "P-256":
        raise BadInput(f"{what} is on the curve {_shown(jwk.get('crv'))}; it must be on P-256")
    try:
        key: PyJWK = jwt.PyJWK(dict(jwk), algorithm)
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise BadInput(f"{what} cannot be read: {error}") from error
    bits = getattr(key.key, "key_size", 0)
    if algorithm == "RS256" and bits < LEAST_RSA_BITS:
        raise BadInput(f"{what} has {bits:,} bits; at least {LEAST_RSA_BITS:,} are needed")
    return key


def _decoded(part: bytes) -> bytes:
    try:
        return urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    except (Base64Error, ValueError) as error:
        raise VerificationFailed("a visa was refused: a part of it is not base64url") from error


def _json(data: bytes) -> dict[str, object]:
    """A JSON object in which no name stands twice, so that nobody reads it otherwise than we do."""
    try:
        value = json.loads(data.decode(), object_pairs_hook=_once, parse_constant=_no_number)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise VerificationFailed(f"a visa was refused: a part of it is not JSON ({str(error)[:80]})") from error
    if not isinstance(value, dict):
        raise VerificationFailed("a visa was refused: a part of it is not a JSON object")
    return value


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands in it twice")
    return found


def _no_number(text: str) -> object:
    raise ValueError(f"{text} is no number")


def _shown(value: object) -> str:
    return f"«{ascii(str(value)[:60])[1:-1]}»"


def _library() -> ModuleType:
    """PyJWT, which a base install need not have."""
    try:
        import jwt
    except ImportError as error:
        raise BadInput("visas cannot be read by this install; add the extra: pip install 'comity[visa]'") from error
    return jwt
