"""Run beside Comity, in an environment of its own (``crate.txt``): what rocrate-validator finds in a crate, as JSON.

``python crate.py CRATE CACHE OUT`` writes a list of {profile, severity, check, message}. Nothing is fetched: the
contexts that a crate names are put into the validator's cache first, that of RO-Crate from the package ``rocrate``,
which ships it, and that of the run profiles as the terms of theirs that Comity writes.
"""

from __future__ import annotations

import json
import sys
from importlib.resources import files
from io import BytesIO
from pathlib import Path

from requests import PreparedRequest, Response
from requests_cache import CachedSession
from rocrate_validator import services
from rocrate_validator.models import Severity
from urllib3 import HTTPResponse

PROFILES = (
    "ro-crate-1.1",
    "workflow-ro-crate-1.0",
    "process-run-crate-0.5",
    "workflow-run-crate-0.5",
    "provenance-run-crate-0.5",
)
RUN = "https://w3id.org/ro/terms/workflow-run"
TERMS = ("ParameterConnection", "connection", "sourceParameter", "targetParameter", "resourceUsage")


def main() -> None:
    """See the module."""
    crate, cache, out = sys.argv[1:]
    session = CachedSession(cache_name=cache)
    put(
        session, "https://w3id.org/ro/crate/1.1/context", files("rocrate").joinpath("data/ro-crate.jsonld").read_bytes()
    )
    put(session, f"{RUN}/context", json.dumps({"@context": {term: f"{RUN}#{term}" for term in TERMS}}).encode())
    found = []
    for profile in PROFILES:
        settings = {
            "rocrate_uri": crate,
            "profile_identifier": profile,
            "requirement_severity": Severity.RECOMMENDED,
            "offline": True,
            "cache_path": cache,
        }
        found += [
            {
                "profile": profile,
                "severity": issue.severity.name,
                "check": issue.check.identifier,
                "message": issue.message,
            }
            for issue in services.validate(settings).get_issues()
        ]
    Path(out).write_text(json.dumps(found))


def put(session: CachedSession, url: str, text: bytes) -> None:
    """Put a document into the cache, as if it had been fetched."""
    asked, told = PreparedRequest(), Response()
    asked.prepare(method="GET", url=url)
    told.status_code, told.url, told.request = 200, url, asked
    told.headers["Content-Type"] = "application/ld+json"
    told._content = text
    told.raw = HTTPResponse(BytesIO(text), status=200, headers=dict(told.headers), preload_content=False)
    session.cache.save_response(told, session.cache.create_key(asked))


if __name__ == "__main__":
    main()
