"""What an API server's refusals mean to a step: whether to wait, to ask for rights, or to give up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from catalog.error import BadInput, ComityError, Denied, Unreachable
from node.execute.kubernetes.api import Api, connect

WHO = 'jobs.batch is forbidden: User "system:serviceaccount:x:comity-node" cannot create resource "jobs"'
STARTING = f'{WHO}: RBAC: [clusterrole.rbac.authorization.k8s.io "system:basic-user" not found, role.rbac… not found]'


@contextmanager
def answering(folder: Path, status: int, body: bytes) -> Iterator[Api]:
    """A server that answers everything so."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
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
        (403, STARTING, Unreachable, "does not know all roles"),
        (403, "x" * 3000 + STARTING, Unreachable, "does not know all roles"),
        (403, f'{WHO}: RBAC: [role.rbac.authorization.k8s.io "comity-node" not found]', Denied, "comity site deploy"),
        (403, f"{WHO} in «RBAC: not found»", Denied, "comity site deploy"),
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


@pytest.mark.parametrize(
    "body", [b"", b"<html>secret-token</html>", b"[1]", b"null", b'{"message": null}', b"\xff" * 99]
)
def test_what_is_no_answer_of_an_api_server_is_not_shown(tmp_path: Path, body: bytes) -> None:
    with answering(tmp_path, 403, body) as api, pytest.raises(Denied) as raised:
        api.get("/version")
    assert "secret-token" not in str(raised.value)
