"""An API server that answers what none does ends neither the node's loop nor its start."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, cast

import kubernetes.client as official  # type: ignore[import-untyped]
import pytest
import trio

from catalog.error import Unreachable, VerificationFailed
from node.clustersettings import ClusterSettings
from node.execute.argo.runner import Argo
from node.execute.kubernetes.api import Api
from node.execute.kubernetes.jobs import Jobs
from node.execute.kubernetes.pods import Pods
from node.execute.kubernetes.runner import Kubernetes
from node.execute.step import StepExecutor
from node.step import Limits
from tests.node.execute.cwl.evaluating import EVALUATOR

VERSION = {"resourceVersion": "1"}
EMPTY = json.dumps({"items": [], "metadata": VERSION}).encode()
DEEP = b'{"a":' + b"[" * 100_000
LISTS = [
    b"",
    b"{}",
    b"[]",
    b"\xff{",
    DEEP,
    b'{"a":' + b"9" * 5000 + b"}",
    json.dumps({"items": None, "metadata": VERSION}).encode(),
    json.dumps({"items": [None], "metadata": VERSION}).encode(),
    json.dumps({"items": [{"metadata": {"name": "a"}, "status": None}], "metadata": VERSION}).encode(),
    b'{"items":[],"metadata":{"resourceVersion":"\\ud800"}}',
]
EVENTS = [
    b'{"type":"ADDED","object":{}}',
    b'{"type":"ADDED","object":[]}',
    b'{"type":"ADDED","object":null}',
    b'{"type":"ERROR","object":{"code":"x"}}',
    b'{"type":"ERROR","object":null}',
    b"[" * 100_000,
]


@contextmanager
def answering(listed: bytes, watched: bytes = b"", status: int = 200) -> Iterator[str]:
    """A server that answers lists and watches so; its address."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = watched if "watch=true" in self.path else listed
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def api_at(address: str) -> Api:
    settings = official.Configuration()
    settings.host = address
    return Api(settings)


async def fault_of(pods: Pods) -> str:
    """Why they are not seen, once that was tried."""
    pods.follow()
    with trio.fail_after(10):
        while pods.fault in ("", "it was not asked yet"):  # noqa: ASYNC110 - a thread asks
            await trio.sleep(0.01)
    return pods.fault


@pytest.mark.parametrize("listed", LISTS)
def test_a_list_that_is_none_is_told_and_the_loop_goes_on(listed: bytes) -> None:
    """Lost: the node, to one answer of whatever stands where its API server did."""
    with answering(listed) as address:
        fault = trio.run(fault_of, Pods(api_at(address), "/api/v1/namespaces/steps/pods", "a=b"))
    assert "API server" in fault
    assert fault.isprintable()


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_that_is_none_is_told_and_the_loop_goes_on(event: bytes) -> None:
    with answering(EMPTY, event + b"\n") as address:
        fault = trio.run(fault_of, Pods(api_at(address), "/api/v1/namespaces/steps/pods", "a=b"))
    assert "API server" in fault
    assert fault.isprintable()


@pytest.mark.parametrize("listed", [b"{}", b'{"items":[null]}', b'{"items":{}}', DEEP])
def test_jobs_that_are_none_are_told(listed: bytes) -> None:
    """Lost: an answer that says nothing is taken for a cluster where nothing runs."""
    with answering(listed) as address:
        jobs = Jobs(api_at(address), "steps", "node")
        for asked in (jobs.all, jobs.there, partial(jobs.refusal, "step-1")):
            with pytest.raises(VerificationFailed, match="API server"):
                asked()


@pytest.mark.parametrize("runner", [Kubernetes, Argo])
@pytest.mark.parametrize(("listed", "status"), [*((each, 200) for each in LISTS), (b"{}", 410), (DEEP, 403)])
def test_the_node_starts_and_says_why_no_step_runs(
    tmp_path: Path, runner: type[Kubernetes], listed: bytes, status: int
) -> None:
    """Lost: a node that does not start, and serves nothing of its catalog, for its cluster's sake."""
    with answering(listed, status=status) as address:
        cluster: dict[str, Any] = {"name": "c", "cluster": {"server": address}}
        context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
        user = {"name": "u", "user": {"token": "secret-token"}}
        config = {"clusters": [cluster], "contexts": [context], "users": [user], "current-context": "c"}
        (tmp_path / "config").write_text(json.dumps(config))
        settings = ClusterSettings(namespace="steps", config=tmp_path / "config", registry="127.0.0.1:1/steps")
        steps = StepExecutor(
            runner(settings, tmp_path, "node"),
            EVALUATOR,
            cast("Any", None),
            cast("Any", None),
            tmp_path / "work",
            Limits(),
        )
        trio.run(steps.start)
    assert steps.fault
    assert steps.fault.isprintable()
    assert "secret-token" not in steps.fault


def test_what_was_forgotten_is_an_error_as_others() -> None:
    """Lost: the node's start, to a «410 Gone» where nothing was watched."""
    with answering(b"{}", status=410) as address, pytest.raises(Unreachable):
        api_at(address).get("/version")


@pytest.mark.parametrize("metadata", [{}, {"name": ""}, {"name": None}])
def test_what_has_no_name_is_not_ended_by_it(metadata: dict[str, Any]) -> None:
    """Lost: all Jobs of the namespace, for whoever deletes what has no name deletes all that lies beside it."""
    listed = json.dumps({"items": [{"metadata": metadata}]}).encode()
    with answering(listed) as address, pytest.raises(VerificationFailed, match="API server"):
        Jobs(api_at(address), "steps", "node").all()
