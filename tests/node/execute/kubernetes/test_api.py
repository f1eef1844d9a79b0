"""What an API server's refusals mean to a step: whether to wait, to ask for rights, or to give up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import kubernetes.client as official  # type: ignore[import-untyped]
import pytest

from catalog.error import BadInput, ComityError, Denied, Unreachable
from node.execute.kubernetes.api import Api, connect

WHO = 'jobs.batch is forbidden: User "system:serviceaccount:x:comity-node" cannot create resource "jobs"'


@contextmanager
def answering(folder: Path, status: int, body: bytes, ready: int = 200) -> Iterator[Api]:
    """A server that answers everything so, and with ``ready`` whether it is that."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(ready if self.path == "/readyz" else status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = Thread(target=server.serve_forever)
    thread.start()
    config = folder / "config"
    cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    user = {"name": "u", "user": {"token": "secret-token"}}
    config.write_text(
        json.dumps({"clusters": [cluster], "contexts": [context], "users": [user], "current-context": "c"})
    )
    try:
        with closing(connect(config)) as api:
            yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("status", "said", "kind", "told"),
    [
        (403, WHO, Denied, "comity site deploy"),
        (403, "pods is forbidden: exceeded quota: comity-steps", Unreachable, "raise the quota"),
        (401, "Unauthorized", Denied, "for a new token"),
        (429, "too many requests", Unreachable, "cannot answer now"),
        (503, "apiserver not ready", Unreachable, "cannot answer now"),
        (422, "spec is immutable", BadInput, "spec is immutable"),
    ],
)
def test_a_refusal_is_told_as_what_it_is(
    tmp_path: Path, status: int, said: str, kind: type[ComityError], told: str
) -> None:
    """Lost: a step that comes while an API server starts fails, and its operator looks for rights that it has."""
    with answering(tmp_path, status, json.dumps({"message": said}).encode()) as api, pytest.raises(kind) as raised:
        api.get("/version")
    assert told in str(raised.value)
    assert len(str(raised.value)) < 600
    assert "\n" not in str(raised.value)
    assert "secret-token" not in str(raised.value)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("ready", [401, 403, 500])
def test_who_is_not_ready_denies_nothing_yet(tmp_path: Path, status: int, ready: int) -> None:
    """Lost: a step that ended while an API server started again: it has read no roles yet, and denies everybody."""
    body = json.dumps({"message": WHO}).encode()
    with answering(tmp_path, status, body, ready) as api:
        for asked in (lambda: api.get("/version"), lambda: api.watch("/api/v1/pods", "1", 1)):
            with pytest.raises(Unreachable, match="as when it has just started"):
                asked()


def test_the_last_denial_before_it_was_ready_is_asked_again(tmp_path: Path) -> None:
    """Lost: a step, by what was denied a moment before it was allowed."""
    with answering(tmp_path, 200, b'{"kind": "Version"}') as api:
        asked = api._request
        denials = [official.ApiException(status=403, reason="Forbidden")]

        def denied_once(*request: Any) -> Any:
            if denials:
                raise denials.pop()
            return asked(*request)

        api._request = denied_once  # type: ignore[method-assign]
        assert api.get("/version") == {"kind": "Version"}


@pytest.mark.parametrize(
    "body", [b"", b"<html>secret-token</html>", b"[1]", b"null", b'{"message": null}', b"\xff" * 99]
)
def test_what_is_no_answer_of_an_api_server_is_not_shown(tmp_path: Path, body: bytes) -> None:
    with answering(tmp_path, 403, body) as api, pytest.raises(Denied) as raised:
        api.get("/version")
    assert "secret-token" not in str(raised.value)
