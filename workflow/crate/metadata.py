"""``ro-crate-metadata.json`` of a submission: RO-Crate 1.1 and the Workflow Run RO-Crate profiles 0.5.

The main entity is the workflow's text, its steps are HowToSteps that name blocks. Each order is a CreateAction, each
instance a ControlAction over its attempts, and the bus's work the OrganizeAction over these. Approvals of the project
and releases are AssessActions, as the Five Safes RO-Crate profile has them. Data are named by CID and site; their
bytes are elsewhere. Everything follows from signed files of the crate: no clock and no name of anybody's choosing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from workflow.crate.entities import Entities, Ref, Told, ref
from workflow.crate.layout import METADATA, README, RESULTS, SUBMISSION, WORKFLOW
from workflow.crate.parties import add_parties, assessments
from workflow.crate.runs import Runs
from workflow.crate.steps import Steps
from workflow.crate.when import iso

__all__ = ["Told", "metadata"]

CRATE: Final = "https://w3id.org/ro/crate/1.1"
WORKFLOW_CRATE: Final = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
RUN_PROFILES: Final = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
}
CONTEXT: Final = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]

_CBOR: Final = "application/vnd.ipld.dag-cbor"
_FORMATS: Final = {
    ".cbor": _CBOR,
    ".dag-pb": "application/vnd.ipld.dag-pb",
    ".cwl": "application/cwl+yaml",
    ".md": "text/markdown",
}
_FOLDERS: Final = {
    "orders/": "An order: one step instance for one site, signed by a bus of the submission",
    "receipts/": "A receipt: a site's signed answer to an order",
    "epochs/": "An epoch of the consortium: its members and their root keys, signed by them",
    "logs/": "A leaf of a site's log with its body and its proof under a cosigned checkpoint",
    "blocks/": "A part of a block",
    RESULTS: "A released result",
}
_SINGLE: Final = {
    SUBMISSION: "The submission, signed by its person",
    WORKFLOW: "The workflow, as it was signed for",
    README: "What this is, for people",
}


def derived(told: Told, sizes: Mapping[str, int]) -> dict[str, bytes]:
    """The files of a crate that follow from its others (path → bytes): the metadata, and a text for people."""
    text = _readme(told)
    return {README: text, METADATA: metadata(told, {**sizes, README: len(text)})}


def _readme(told: Told) -> bytes:
    asked, results = told.submission, sorted({str(each.cid) for _, each in told.outputs() if each.cid is not None})
    lines = [
        f"# Submission {told.cid}",
        "",
        f"A Workflow Run RO-Crate of a submission in the project «{asked.project.name}» of"
        f" {told.name(asked.project.site)}, in the consortium",
        f"«{told.chain[0].consortium}» ({asked.consortium}).",
        "It holds what was signed: the submission, the orders that its bus sent, the receipts that sites answered,",
        "and the entries of their logs that these rest on. Data are named by CID and stay where they are.",
        "",
        "Check it, offline: `comity submission verify CRATE`. Run it again: `comity submission rerun CRATE`.",
        "",
        *(["Outputs that were released:", "", *(f"* `{each}`" for each in results), ""] if results else []),
    ]
    return "\n".join(lines).encode()


def metadata(told: Told, sizes: Mapping[str, int]) -> bytes:
    """The metadata file for a crate of these files (path → bytes); the same parts give the same bytes."""
    entities = Entities()
    runs = Runs(told, entities, Steps(told, entities))
    runs.add()
    add_parties(told, entities)
    mentions = [*runs.mentions, *assessments(told, entities)]
    _add_profiles(entities)
    files = _add_files(entities, sizes, told)
    _add_root(told, entities, files, mentions)
    document = {"@context": CONTEXT, "@graph": entities.graph()}
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True).encode() + b"\n"


def _add_profiles(entities: Entities) -> None:
    for profile, name in RUN_PROFILES.items():
        entities.add(profile, "CreativeWork", name=name, version="0.5")
    entities.add(WORKFLOW_CRATE, "CreativeWork", name="Workflow RO-Crate", version="1.0")


def _add_files(entities: Entities, sizes: Mapping[str, int], told: Told) -> list[Ref]:
    names = {f"{RESULTS}{output.cid}": output.name for _, output in told.outputs()}
    paths = sorted(path for path in sizes if path != METADATA)
    for path in paths:
        suffix = path[path.rfind(".") :] if "." in path else ""
        described = next((text for folder, text in _FOLDERS.items() if path.startswith(folder)), "")
        entities.add(
            path,
            "File",
            name=names.get(path) or path,
            description=described or _SINGLE.get(path, ""),
            about=ref("./") if path == README else None,
            contentSize=str(sizes[path]),
            encodingFormat=_FORMATS.get(suffix, "application/octet-stream"),
        )
    return [ref(path) for path in paths]


def _add_root(told: Told, entities: Entities, files: list[Ref], mentions: list[Ref]) -> None:
    asked = told.submission
    label = told.workflow.label or "workflow"
    entities.add(METADATA, "CreativeWork", about=ref("./"), conformsTo=[ref(CRATE), ref(WORKFLOW_CRATE)])
    root: dict[str, Any] = {
        "name": f"{label}: submission {told.cid} in the project «{asked.project.name}»",
        "description": (
            f"What became of the submission {told.cid}, with the signed orders, receipts, releases and proofs that"
            " show it. Data are named by CID and stay where they are. «comity submission verify» checks it offline."
        ),
        "datePublished": iso(told.ended),
        "license": ref("#terms"),
        "identifier": str(told.cid),
        "conformsTo": [ref(each) for each in (*RUN_PROFILES, WORKFLOW_CRATE)],
        "mainEntity": ref(WORKFLOW),
        "hasPart": [*files, *(ref(each) for each in sorted(set(entities.elsewhere)))],
        "mentions": mentions,
        "author": ref(asked.person),
        "publisher": ref(asked.site),
        "sourceOrganization": ref("#project"),
    }
    entities.add("./", "Dataset", **root)
