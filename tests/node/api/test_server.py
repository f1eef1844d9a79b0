"""What the local interface lets nobody do: without the token, by another name, unsigned, twice, or too large."""

from __future__ import annotations

import contextlib
import inspect
import json
import socket
import time

import httpx
import pytest
import trio

from catalog.error import BadInput, ComityError, Conflict, Infeasible
from catalog.httpsig import sign_request
from node.api.operation import MAX_BODY, OPERATIONS
from node.api.server import MOST_CONNECTIONS, serve_api
from node.api.service import Service
from node.config import Address
from node.keyfile import Identity
from tests.node.api.serving import TOKEN, Running

TARGET = "/v1/entries/dataset"


def ask(running: Running, target: str, *, method: str = "GET", **options: object) -> httpx.Response:
    headers = {"Authorization": f"Bearer {TOKEN}"} | dict(options.pop("headers", {}))  # type: ignore[call-overload]
    url = f"http://127.0.0.1:{running.port}{target}"
    with httpx.Client(trust_env=False, timeout=10) as client:
        return client.request(method, url, headers=headers, **options)  # type: ignore[arg-type]


def signature(running: Running, by: Identity, target: str = TARGET, **options: object) -> dict[str, str]:
    settings: dict[str, object] = {
        "peer": running.site.node.did,
        "now": int(time.time() * 1000),
        "nonce": bytes(range(16)),
    }
    return sign_request(by.key, str(options.pop("method", "GET")), target, **(settings | options))  # type: ignore[arg-type]


def error(answer: httpx.Response) -> tuple[int, str]:
    assert "access-control-allow-origin" not in answer.headers
    return answer.status_code, answer.json()["kind"]


@pytest.mark.parametrize("authorization", [None, "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x"])
def test_nobody_is_admitted_without_the_token(running: Running, authorization: str | None) -> None:
    with httpx.Client(trust_env=False) as client:
        headers = {"Authorization": authorization} if authorization else {}
        answer = client.get(f"http://127.0.0.1:{running.port}/v1/status", headers=headers)
    assert error(answer) == (401, "Denied")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil:80", "192.168.0.1", "[::1"])
def test_a_page_that_rebinds_its_name_to_loopback_gets_nothing(running: Running, host: str) -> None:
    assert error(ask(running, "/v1/status", headers={"Host": host})) == (421, "Denied")


@pytest.mark.parametrize("host", ["localhost", "localhost:80", "[::1]", "[::1]:8080", "127.0.0.1"])
def test_loopback_names_are_taken(running: Running, host: str) -> None:
    assert ask(running, "/v1/status", headers={"Host": host}).status_code == 200


def test_the_token_alone_does_not_stand_for_a_person(running: Running) -> None:
    assert error(ask(running, TARGET)) == (401, "Denied")


def test_a_signed_request_is_answered_once(running: Running, researcher: Identity) -> None:
    headers = signature(running, researcher)
    assert ask(running, TARGET, headers=headers).json() == []
    assert error(ask(running, TARGET, headers=headers)) == (401, "Denied")


def test_a_signature_counts_for_one_path_one_node_and_one_minute(running: Running, researcher: Identity) -> None:
    elsewhere = signature(running, researcher, peer=researcher.did)
    old = signature(running, researcher, now=int(time.time() * 1000) - 120_000)
    for headers in (signature(running, researcher, "/v1/entries/block"), elsewhere, old):
        assert error(ask(running, TARGET, headers=headers)) == (401, "Denied")


def test_a_signature_covers_the_body(running: Running, researcher: Identity) -> None:
    body = b'{"path": "/data", "level": "open"}'
    headers = signature(running, researcher, "/v1/datasets", method="POST", body=body)
    other = ask(running, "/v1/datasets", method="POST", headers=headers, content=body.replace(b"open", b"shut"))
    assert error(other) == (401, "Denied")


def test_an_oversized_body_is_refused_before_it_is_kept(running: Running) -> None:
    def chunks() -> object:
        for _ in range(MAX_BODY // 65536 + 2):
            yield b"x" * 65536

    declared = {"Content-Length": str(MAX_BODY + 1)}
    with socket.create_connection(("127.0.0.1", running.port)) as raw:
        raw.sendall(
            f"POST /v1/entries HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
            f"Content-Length: {declared['Content-Length']}\r\n\r\n".encode()
        )
        assert b" 413 " in raw.recv(4096)
    with contextlib.suppress(httpx.WriteError):  # the server may hang up while more is being sent
        assert error(ask(running, "/v1/entries", method="POST", content=chunks())) == (413, "BadInput")
    assert running.site.calls == []


@pytest.mark.parametrize(
    ("method", "target", "body", "expected"),
    [
        ("GET", "/v1/nothing", b"", (404, "NotFound")),
        ("DELETE", "/v1/status", b"", (405, "BadInput")),
        ("GET", "/v1/status?x=1", b"", (400, "BadInput")),
        ("POST", "/v1/entries", b"{", (400, "BadInput")),
        ("POST", "/v1/entries", b'{"body": "", "more": 1}', (400, "BadInput")),
        ("POST", "/v1/entries", b'{"body": ""}', (422, "VerificationFailed")),
        ("POST", "/v1/consortium/invites", b"{}", (400, "BadInput")),
    ],
)
def test_what_is_malformed_is_named_and_nothing_breaks(
    running: Running, method: str, target: str, body: bytes, expected: tuple[int, str]
) -> None:
    assert error(ask(running, target, method=method, content=body)) == expected


@pytest.mark.parametrize("cid", ["x", "bafy", "b" * 90])
def test_a_malformed_cid_is_named(running: Running, researcher: Identity, cid: str) -> None:
    target = f"/v1/blocks/{cid}"
    assert error(ask(running, target, headers=signature(running, researcher, target))) == (400, "BadInput")


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "31", "x"])
def test_nobody_holds_a_request_open_for_longer_than_allowed(
    running: Running, researcher: Identity, seconds: str
) -> None:
    target = f"/v1/submissions/{'bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku'}?seconds={seconds}"
    assert error(ask(running, target, headers=signature(running, researcher, target))) == (400, "BadInput")


def test_errors_travel_as_what_they_are(running: Running, researcher: Identity) -> None:
    running.site.fault = Infeasible("the budget does not cover the plan")
    answer = ask(running, TARGET, headers=signature(running, researcher))
    assert error(answer) == (422, "Infeasible")
    assert answer.json()["message"] == "the budget does not cover the plan"


def test_a_surprise_is_logged_and_tells_the_asker_nothing(
    running: Running, researcher: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    running.site.fault = RuntimeError("a secret of the inside")
    answer = ask(running, TARGET, headers=signature(running, researcher))
    assert error(answer) == (500, "ComityError")
    assert "secret" not in answer.text
    assert "a secret of the inside" in caplog.text
    assert TOKEN not in caplog.text
    running.site.fault = None
    assert ask(running, "/v1/status").status_code == 200


def test_the_document_names_every_operation_and_needs_no_token(running: Running) -> None:
    with httpx.Client(trust_env=False) as client:
        document = client.get(f"http://127.0.0.1:{running.port}/openapi.json").json()
    names = {each["operationId"] for path in document["paths"].values() for each in path.values()}
    assert names == {each.name for each in OPERATIONS}
    assert document["openapi"].startswith("3.1")
    assert all(each["summary"] for path in document["paths"].values() for each in path.values())
    references = set(_references(document))
    assert references <= {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert "#/components/schemas/StatusView" in references


def _references(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [each for inner in value.values() for each in _references(inner)]
    if isinstance(value, list):
        return [each for inner in value for each in _references(inner)]
    return []


def test_the_table_says_what_the_service_takes() -> None:
    """The endpoint calls the service by the table: a name or a parameter that differs would fail at run time alone."""
    methods = {name for name, _ in inspect.getmembers(Service, inspect.isfunction) if not name.startswith("_")}
    assert methods == {each.name for each in OPERATIONS}
    for each in OPERATIONS:
        taken = list(inspect.signature(getattr(Service, each.name)).parameters)[1:]
        asker = (["person"] if each.person else []) + (["signed"] if each.keeps else [])
        given = [parameter.name for parameter in each.parameters]
        assert taken == asker + given + (["request"] if each.request else [])


def test_a_client_that_stops_reading_does_not_hold_the_node(running: Running, researcher: Identity) -> None:
    """hypercorn shields what it sends from cancellation; without care, Ctrl-C would wait for this client for ever."""
    running.site.results["table"] = bytes(64 << 20)
    cid = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
    target = f"/v1/submissions/{cid}/results/table"
    told = signature(running, researcher, target) | {"Host": "localhost", "Authorization": f"Bearer {TOKEN}"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    with socket.create_connection(("127.0.0.1", running.port)) as raw:
        raw.sendall(f"GET {target} HTTP/1.1\r\n{lines}\r\n".encode())
        assert b" 200 " in raw.recv(64)
        running.stop()


def test_connections_that_their_clients_closed_take_no_room(running: Running) -> None:
    """Else a script of some sixty commands is refused until a minute has passed."""
    for _ in range(2 * MOST_CONNECTIONS):
        assert ask(running, "/v1/status").status_code == 200


def test_a_port_in_use_is_named(running: Running) -> None:
    async def again() -> None:
        await serve_api(running.site, Address("127.0.0.1", running.port), TOKEN, running.site.node.did)

    with pytest.raises(Conflict, match=str(running.port)):
        trio.run(again)


def test_the_interface_stays_on_this_machine(running: Running) -> None:
    async def outside() -> None:
        await serve_api(running.site, Address("0.0.0.0", 0), TOKEN, running.site.node.did)

    with pytest.raises(BadInput, match="loopback"):
        trio.run(outside)


def test_json_is_what_comes_back(running: Running) -> None:
    answer = ask(running, "/v1/status")
    assert json.loads(answer.content)["name"] == "St. Anna"
    assert "server" not in answer.headers
    assert issubclass(ComityError, Exception)
