"""Visas: if one of these fails, whoever writes a token says what is so of a person."""

from __future__ import annotations

import builtins
import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from contextlib import suppress
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt import PyJWS
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from catalog.claim import ClaimType, Identity
from catalog.error import BadInput, ComityError, VerificationFailed
from privacy.visa import MAX_ISSUERS, MAX_TOKEN, Issuers, read_issuers, read_visa

ISS, OTHER_ISS = "https://login.example.org/", "https://other.example.org/"
NOW = 1_790_000_000
VISA = {
    "type": "ResearcherStatus",
    "value": "https://doi.org/10.1038/s41431-018-0219-y",
    "source": "https://example.org/",
    "by": "so",
    "asserted": NOW - 1000,
}
PAYLOAD = {
    "iss": ISS,
    "sub": "mara-17",
    "exp": NOW + 3600,
    "iat": NOW,
    "jti": "1",
    "scope": "openid",
    "ga4gh_visa_v1": VISA,
}


@cache
def rsa_key(bits: int = 2048, _other: int = 0) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(curve: str = "secp256r1") -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key({"secp256r1": ec.SECP256R1(), "secp384r1": ec.SECP384R1()}[curve])


def jwk(key: Any, kid: str, **changes: object) -> dict[str, object]:
    algorithm = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey) else ECAlgorithm
    return {**algorithm.to_jwk(key, as_dict=True), "kid": kid, **changes}


def trusted(**keys: list[dict[str, object]]) -> bytes:
    default = {ISS: [jwk(rsa_key().public_key(), "r"), jwk(ec_key().public_key(), "e")]}
    whole: dict[str, list[dict[str, object]]] = {
        **default,
        OTHER_ISS: [jwk(rsa_key(2048, 1).public_key(), "r")],
        **keys,
    }
    return json.dumps({"issuers": {iss: {"keys": each} for iss, each in whole.items()}}).encode()


@cache
def issuers() -> Issuers:
    return read_issuers(trusted())


def token(
    payload: object = PAYLOAD, algorithm: str = "RS256", kid: str | None = "r", key: Any = None, **header: object
) -> bytes:
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    named = {"kid": kid, **header} if kid is not None else header
    return PyJWS().encode(data, key or rsa_key(), algorithm, headers=named).encode()


def b64(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


def changed(**changes: object) -> bytes:
    return token({name: value for name, value in {**PAYLOAD, **changes}.items() if value is not None})


def visa(**changes: object) -> bytes:
    return changed(ga4gh_visa_v1={name: value for name, value in {**VISA, **changes}.items() if value is not None})


@pytest.mark.parametrize(("algorithm", "kid"), [("RS256", "r"), ("ES256", "e")])
def test_a_visa_of_a_listed_issuer_is_read(algorithm: str, kid: str) -> None:
    key = rsa_key() if kid == "r" else ec_key()
    found = read_visa(token(algorithm=algorithm, kid=kid, key=key) + b"\n", issuers(), NOW * 1000)
    assert found.identity == found.claim.identity == Identity(iss=ISS, sub="mara-17")
    assert (found.claim.type, found.claim.value, found.claim.by) == (ClaimType.RESEARCHER, VISA["value"], "so")
    assert found.claim.not_after == (NOW + 3600) * 1000


def unsigned() -> bytes:
    return b".".join([b64(b'{"alg":"none","kid":"r"}'), b64(json.dumps(PAYLOAD).encode()), b"AA"])


def shared_secret() -> bytes:
    """The public RSA key, taken as the secret of an HMAC: what a reader that believes «alg» falls for."""
    secret = rsa_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    body = b64(b'{"alg":"HS256","kid":"r"}') + b"." + b64(json.dumps(PAYLOAD).encode())
    return body + b"." + b64(hmac.digest(secret, body, hashlib.sha256))


def swapped() -> bytes:
    """The payload of another token under this one's signature."""
    first, second = token().split(b"."), changed(sub="nils-3").split(b".")
    return b".".join([first[0], second[1], first[2]])


def twice() -> bytes:
    return token(json.dumps(PAYLOAD).encode()[:-1] + b', "sub": "nils-3"}')


def deep() -> bytes:
    return token(b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}")


REFUSED = {
    "alg none": (unsigned, "algorithm is «none»"),
    "alg none, no signature": (lambda: unsigned()[:-2], "algorithm is «none»"),
    "HMAC with the public key": (shared_secret, "algorithm is «HS256»"),
    "another algorithm of RSA": (lambda: token(algorithm="PS256"), "not RS256 or ES256"),
    "another algorithm than its key's": (lambda: token(algorithm="ES256", key=ec_key()), "not one for ES256"),
    "no signature": (lambda: token().rpartition(b".")[0] + b".", "not signed by"),
    "a signature of other signs": (lambda: token().rpartition(b".")[0] + b".+/=", "not signed by"),
    "a key that is not the issuer's": (lambda: token(key=rsa_key(2048, 2)), "not signed by its issuer's key"),
    "another issuer's key": (lambda: token(key=rsa_key(2048, 1)), "not signed by its issuer's key"),
    "a payload swapped": (swapped, "not signed by its issuer's key"),
    "an unknown kid": (lambda: token(kid="x"), "has no key «x»"),
    "no kid": (lambda: token(kid=None), "has no key"),
    "a kid that is no text": (lambda: _header('{"alg":"RS256","kid":["r"]}'), "has no key"),
    "a critical header": (lambda: _header('{"alg":"RS256","kid":"r","crit":["x"],"x":1}'), "must be understood"),
    "an issuer that is not listed": (lambda: changed(iss="https://evil.example.org/"), "not in the file of issuers"),
    "an issuer that is no text": (lambda: changed(iss=["a"]), "not in the file of issuers"),
    "no issuer": (lambda: changed(iss=None), "not in the file of issuers"),
    "an unknown type": (lambda: visa(type="Superuser"), "type «Superuser» is not known"),
    "no type": (lambda: visa(type=None), "type «None» is not known"),
    "a type that is no text": (lambda: visa(type=["ResearcherStatus"]), "not known"),
    "an unknown claim in it": (lambda: visa(conditions=[[{"type": "AffiliationAndRole"}]]), "conditions.*may narrow"),
    "an unknown claim beside it": (lambda: changed(aud="https://elsewhere/"), "claim that is not known here, «aud»"),
    "no visa in it": (lambda: changed(ga4gh_visa_v1=None), "no object «ga4gh_visa_v1»"),
    "expired": (lambda: changed(exp=NOW), "expired"),
    "without an end": (lambda: changed(exp=None), "when it expires"),
    "an end that is no number": (lambda: changed(exp="9999999999"), "when it expires"),
    "an end that is true": (lambda: changed(exp=True), "when it expires"),
    "an end beyond all time": (lambda: changed(exp=10**400), "when it expires"),
    "not valid yet": (lambda: changed(nbf=NOW + 120), "not valid yet"),
    "issued in the future": (lambda: changed(iat=NOW + 120), "not valid yet"),
    "a beginning that is no time": (lambda: changed(nbf="soon"), "no time"),
    "no subject": (lambda: changed(sub=None), "subject"),
    "a subject that steers a terminal": (lambda: changed(sub="a\x1b[2J"), "subject"),
    "a value with a blank": (lambda: visa(value="a b"), "refused"),
    "a value that is too long": (lambda: visa(value="x" * 256), "refused"),
    "by nobody": (lambda: visa(by="me"), "refused"),
    "asserted at no time": (lambda: visa(asserted="x"), "refused"),
    "a name twice": (twice, "a name stands in it twice"),
    "a name twice in its header": (lambda: _header('{"alg":"RS256","kid":"x","kid":"r"}'), "twice"),
    "nested without end": (deep, "not JSON|bytes was refused"),
    "a number that is none": (lambda: token(b'{"iss": NaN}'), "not JSON"),
    "a list": (lambda: token(b"[]"), "not a JSON object"),
    "not UTF-8": (lambda: token(b"\xff"), "not JSON"),
    "one megabyte": (lambda: changed(jti="x" * (1 << 20)), "bytes was refused"),
    "one byte too many": (lambda: b"a" * (MAX_TOKEN + 1), "bytes was refused"),
    "nothing": (lambda: b"", "three parts"),
    "two parts": (lambda: b"e30.e30", "three parts"),
    "no base64": (lambda: b"e+/=.e30.e30", "three parts"),
    "base64 cut short": (lambda: b"a.e30.e30", "base64url"),
}  # fmt: skip


def _header(text: str) -> bytes:
    parts = token().split(b".")
    return b".".join([b64(text.encode()), parts[1], parts[2]])


@pytest.mark.parametrize("what", REFUSED)
def test_a_token_that_is_not_what_it_claims_is_refused_and_says_why(what: str) -> None:
    make, why = REFUSED[what]
    with pytest.raises(VerificationFailed, match=why):
        read_visa(make(), issuers(), NOW * 1000)


def test_a_clock_that_is_a_little_ahead_is_no_fault() -> None:
    assert read_visa(changed(iat=NOW + 30, nbf=NOW + 30), issuers(), NOW * 1000)


FILES = {
    "a private key": (lambda: trusted(**{ISS: [jwk(rsa_key(), "r")]}), "private key"),
    "a shared secret": (lambda: trusted(**{ISS: [{"kty": "oct", "k": "AAAA", "kid": "r"}]}), "of the kind «oct»"),
    "a short RSA key": (lambda: trusted(**{ISS: [jwk(rsa_key(1024).public_key(), "r")]}), "1,024 bits"),
    "another curve": (lambda: trusted(**{ISS: [jwk(ec_key("secp384r1").public_key(), "e")]}), "P-384"),
    "a key for encryption": (lambda: trusted(**{ISS: [jwk(rsa_key().public_key(), "r", use="enc")]}), "for signing"),
    "a key of another algorithm": (lambda: trusted(**{ISS: [jwk(rsa_key().public_key(), "r", alg="RS512")]}), "RS512"),
    "two keys of one name": (lambda: trusted(**{ISS: [jwk(rsa_key().public_key(), "r")] * 2}), "of its own"),
    "a key without a name": (lambda: trusted(**{ISS: [jwk(rsa_key().public_key(), "")]}), "of its own"),
    "a damaged key": (lambda: trusted(**{ISS: [{"kty": "RSA", "n": "AA", "e": "!", "kid": "r"}]}), "read|bits"),
    "no keys": (lambda: trusted(**{ISS: []}), "lists no keys"),
    "an issuer twice": (lambda: b'{"issuers": {"a": {"keys": []}, "a": {"keys": []}}}', "twice"),
    "another file": (lambda: b'{"keys": []}', "file of issuers reads"),
    "no JSON": (lambda: b"{", "not JSON"),
    "too large": (lambda: b" " * (MAX_ISSUERS + 1), "was refused"),
}  # fmt: skip


@pytest.mark.parametrize("what", FILES)
def test_a_file_of_issuers_that_is_wrong_is_refused(what: str) -> None:
    """Else a weak or a wrong key signs for everybody."""
    make, why = FILES[what]
    with pytest.raises(BadInput, match=why):
        read_issuers(make())


def test_an_install_without_the_extra_says_which_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "jwt":
            raise ImportError(name)
        return whole(name, *rest, **more)

    data, listed = token(), trusted()
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BadInput, match=r"comity\[visa\]"):
        read_issuers(listed)
    with pytest.raises(BadInput, match=r"comity\[visa\]"):
        read_visa(data, Issuers({ISS: {}}), NOW * 1000)


@given(st.binary(max_size=300), st.binary(max_size=300), st.binary(max_size=100))
@settings(max_examples=300)
def test_whatever_bytes_come_the_error_is_typed(header: bytes, payload: bytes, signature: bytes) -> None:
    for data in (header, b".".join([b64(header), b64(payload), b64(signature)])):
        with pytest.raises(ComityError):
            read_visa(data, issuers(), NOW * 1000)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(PAYLOAD)), st.sampled_from(sorted(VISA)), _JSON)
def test_whatever_an_issuer_signs_is_a_visa_or_a_typed_error(outer: str, inner: str, value: object) -> None:
    """The issuer is trusted for its word, not for its JSON."""
    for data in (token({**PAYLOAD, outer: value}), token({**PAYLOAD, "ga4gh_visa_v1": {**VISA, inner: value}})):
        with suppress(ComityError):
            assert read_visa(data, issuers(), NOW * 1000).identity.iss == ISS
