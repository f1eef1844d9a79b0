from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.error import BadInput, VerificationFailed
from catalog.httpsig import (
    SignedBy,
    digest_of,
    parse_range,
    sign_request,
    signature_base,
    split_target,
    verify_request,
)
from catalog.key import PrivateKey, did_of, verify

VECTORS = json.loads((Path(__file__).parent / "vectors" / "httpsig.json").read_text())
ME = PrivateKey(bytes(range(32)))
SERVER = PrivateKey(bytes(32)).did
OTHER_SERVER = PrivateKey(bytes([1] * 32)).did
NOW = 1_700_000_000_000
NONCE = bytes(range(16))


def check(
    headers: Mapping[str, str] | list[tuple[str, str]],
    *,
    method: str = "POST",
    target: str = "/a?b=c",
    body: bytes = b"body",
    peer: str = SERVER,
    now: int = NOW,
) -> SignedBy:
    pairs = headers if isinstance(headers, list) else list(headers.items())
    return verify_request(method, target, pairs, body_digest=digest_of(body), peer=peer, now=now)


def signed(**changes: object) -> dict[str, str]:
    arguments = {"method": "POST", "target": "/a?b=c", "range": (0, 9), "body": b"body"} | changes
    return sign_request(ME, peer=SERVER, now=NOW, nonce=NONCE, **arguments)  # type: ignore[arg-type]


def test_rfc_9421_appendix_b_2_6() -> None:
    """Lost if it failed: any other implementation of RFC 9421 would disagree on what is signed."""
    components = [
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("@method", "POST"),
        ("@path", "/foo"),
        ("@authority", "example.com"),
        ("content-type", "application/json"),
        ("content-length", "18"),
    ]
    parameters = (
        '("date" "@method" "@path" "@authority" "content-type" "content-length")'
        ';created=1618884473;keyid="test-key-ed25519"'
    )
    public = base64.urlsafe_b64decode("JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs=")
    signature = base64.b64decode(
        "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="
    )
    verify(did_of(public), signature_base(components, parameters), signature)


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_the_published_vectors_hold(case: dict[str, object]) -> None:
    """Lost if it failed: sites of two versions could not fetch from each other."""
    key = PrivateKey(bytes.fromhex(VECTORS["seed"]))
    body = bytes.fromhex(str(case["body"]))
    wanted = case["range"]
    headers = sign_request(
        key,
        str(case["method"]),
        str(case["target"]),
        peer=str(case["peer"]),
        now=int(str(case["now"])),
        nonce=bytes.fromhex(str(case["nonce"])),
        range=(wanted[0], wanted[1]) if isinstance(wanted, list) else None,
        body=body,
    )
    assert headers == case["headers"]
    base = "\n".join(case["signature_base"]).encode()  # type: ignore[arg-type]
    verify(key.did, base, base64.b64decode(headers["Signature"].removeprefix("comity=:").removesuffix(":")))


def test_a_signed_request_says_who_signed_it() -> None:
    assert check(signed()) == SignedBy(did=ME.did, created=NOW // 1000, nonce=NONCE)


@given(
    path=st.lists(st.text("azAZ09-._~%20é", min_size=1), min_size=1),
    body=st.binary(max_size=9),
    wanted=st.none() | st.tuples(st.integers(0, 9), st.integers(9, 10**15)),
)
def test_whatever_can_be_signed_verifies(path: list[str], body: bytes, wanted: tuple[int, int] | None) -> None:
    target = "/" + "/".join(path)
    try:
        headers = signed(target=target, body=body, range=wanted)
    except BadInput:
        with pytest.raises(BadInput):
            split_target(target)
    else:
        assert check(headers, target=target, body=body).did == ME.did


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "GET"},
        {"target": "/b?b=c"},
        {"target": "/a?b=d"},
        {"target": "/a"},
        {"target": "/a?b=c&d"},
        {"target": "/a?b=c?"},
        {"body": b"other"},
        {"body": b""},
        {"peer": OTHER_SERVER},
    ],
    ids=str,
)
def test_an_altered_request_is_refused(changes: dict[str, str]) -> None:
    """Lost if it failed: a relay could turn one asker's request into another."""
    with pytest.raises(VerificationFailed):
        check(signed(), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["Range", "Content-Digest", "Comity-Peer", "Signature-Input", "Signature"])
def test_each_header_is_needed_once_and_unaltered(name: str) -> None:
    """Lost if it failed: what one parser reads and another does not would slip through."""
    headers = signed()
    without = [(key, value) for key, value in headers.items() if key != name]
    altered = headers | {name: headers[name][:-2] + ("0" if headers[name][-2] != "0" else "1") + headers[name][-1]}
    with pytest.raises(VerificationFailed):
        check(without)
    with pytest.raises(VerificationFailed):
        check(altered)
    with pytest.raises(VerificationFailed):
        check([*headers.items(), (name.lower(), headers[name])])


def test_a_range_or_a_digest_that_is_not_covered_is_refused() -> None:
    """Lost if it failed: somebody between could add a range to a signed request."""
    with pytest.raises(VerificationFailed):
        check(signed(range=None) | {"Range": "bytes=0-9"})
    with pytest.raises(VerificationFailed):
        check(signed(body=b"") | {"Content-Digest": signed()["Content-Digest"]}, body=b"")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('tag="comity"', 'tag="comitz"'),
        (';tag="comity"', ""),
        (";created", "; created"),
        ("comity=(", "sig1=("),
        ('"@method" "@path"', '"@path" "@method"'),
        ('"@query" ', ""),
        ('"comity-peer")', '"comity-peer" "host")'),
        ("created=1", "created=01"),
        (';tag="comity"', ';alg="ed25519";tag="comity"'),
        (';tag="comity"', ';tag="comity", b=()'),
        ("ODw", "ODx"),
    ],
)
def test_any_other_form_of_the_parameters_is_refused(old: str, new: str) -> None:
    """Lost if it failed: two verifiers could read one signature in two ways."""
    headers = signed()
    assert old in headers["Signature-Input"]
    with pytest.raises(VerificationFailed):
        check(headers | {"Signature-Input": headers["Signature-Input"].replace(old, new)})


def test_another_form_of_the_same_signature_is_refused() -> None:
    headers = signed()
    text = headers["Signature"]
    spare = base64.b64encode(base64.b64decode(text[8:-1])).decode()
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    changed = spare[:-3] + last[last.index(spare[-3]) + 1] + "=="
    assert base64.b64decode(changed) == base64.b64decode(spare)
    with pytest.raises(VerificationFailed):
        check(headers | {"Signature": f"comity=:{changed}:"})


def test_a_request_is_good_for_a_minute_either_way() -> None:
    headers = signed()
    check(headers, now=NOW + 60_999)
    check(headers, now=NOW - 60_000)
    for late in (NOW + 61_000, NOW - 60_001):
        with pytest.raises(VerificationFailed):
            check(headers, now=late)


@pytest.mark.parametrize("target", ["/", "/a", "/a/", "/a-b._~/c?d=e/f?g", "/%20%2F", "/a:@!$&'()*+,;="])
def test_targets_in_normal_form(target: str) -> None:
    split_target(target)


@pytest.mark.parametrize(
    "target",
    ["", "a", "*", "//a", "/a//b", "/./a", "/a/..", "/a?", "/a#b", "/a b", "/%2e", "/%41", "/%2f", "/%", "/a%2",
     "/é", "/a\n", "http://h/a", "/" + "a" * 4096],
)  # fmt: skip
def test_targets_in_any_other_form_are_refused(target: str) -> None:
    """Lost if it failed: what is signed and what a handler looks up could be two things."""
    with pytest.raises(BadInput):
        split_target(target)
    with pytest.raises(BadInput):
        signed(target=target)


@pytest.mark.parametrize("text", ["bytes=5-4", "bytes=-5", "bytes=5-", "bytes=0-1,3-4", "bytes=01-2", "items=0-1", ""])
def test_ranges_in_any_other_form_are_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse_range(text)
    with pytest.raises(VerificationFailed):
        check(signed() | {"Range": text})


@pytest.mark.parametrize("changes", [{"method": "get"}, {"method": "A\nB"}, {"range": (2, 1)}, {"range": (-1, 1)}])
def test_what_is_not_in_the_profile_cannot_be_signed(changes: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        signed(**changes)
    with pytest.raises(BadInput):
        sign_request(ME, "GET", "/", peer="a\nb", now=NOW, nonce=NONCE)
    with pytest.raises(BadInput):
        sign_request(ME, "GET", "/", peer=SERVER, now=NOW, nonce=NONCE[1:])
