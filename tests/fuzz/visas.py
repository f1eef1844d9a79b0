"""Visas as a decoder reads them: tokens as they come, and contents of all kinds that a trusted issuer signed."""

from __future__ import annotations

import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from jwt import PyJWS
from jwt.algorithms import ECAlgorithm

from catalog.dagcbor import decode_plain, encode
from catalog.error import BadInput, VerificationFailed
from privacy.visa import read_issuers, read_visa

ISSUER = "https://login.example.org/"
NOW = 1_700_000_000_000

_KEY = ec.derive_private_key(7, ec.SECP256R1())
_PUBLIC = {**ECAlgorithm.to_jwk(_KEY.public_key(), as_dict=True), "kid": "e"}
FILE = json.dumps({"issuers": {ISSUER: {"keys": [_PUBLIC]}}}).encode()
_ISSUERS = read_issuers(FILE)

_VISA = {
    "type": "ResearcherStatus",
    "asserted": NOW // 1000 - 60,
    "value": "https://doi.org/10.1038/s41431-018-0219-y",
    "source": "https://grid.example.org/1",
    "by": "so",
}
_PAYLOAD = {"iss": ISSUER, "sub": "nils", "exp": NOW // 1000 + 60, "iat": 1, "jti": "1", "ga4gh_visa_v1": _VISA}
CONTENTS = (encode(_PAYLOAD), encode({**_PAYLOAD, "nbf": 5, "scope": "openid"}))


def _token(payload: bytes) -> bytes:
    return PyJWS().encode(payload, _KEY, "ES256", headers={"kid": "e"}).encode()


TOKENS = (_token(json.dumps(_PAYLOAD).encode()),)


def read_token(data: bytes) -> Any:
    return read_visa(data, _ISSUERS, NOW)


def read_content(data: bytes) -> Any:
    """A visa whose content is the value that ``data`` encodes, as far as JSON has such a value."""
    try:
        payload = json.dumps(decode_plain(data)).encode()
    except TypeError as error:
        raise VerificationFailed("it has no form in JSON") from error
    return read_visa(_token(payload), _ISSUERS, NOW)


def read_file(data: bytes) -> Any:
    try:
        return read_issuers(data)
    except BadInput as error:
        raise VerificationFailed(str(error)) from error
