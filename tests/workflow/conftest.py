"""CWL documents that the tests of this room share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

LOCAL = """\
cwlVersion: v1.2
class: CommandLineTool
$namespaces: {comity: "urn:comity:cwl#"}
id: local_stats
label: Local statistics
baseCommand: [python3]
hints:
  comity:Output: {result: {type: statistics}}
inputs:
  script:
    type: File
    default: {class: File, location: local_stats.py}
    inputBinding: {position: 0}
  data: {type: File, inputBinding: {position: 1}}
outputs:
  result: {type: File, outputBinding: {glob: result.json}}
"""

POOL = """\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: [python3]
inputs:
  script:
    type: File
    default: {class: File, location: pool.py}
    inputBinding: {position: 0}
  parts: {type: "File[]", inputBinding: {position: 1}}
outputs:
  pooled: {type: File, outputBinding: {glob: pooled.json}}
"""

HOSPITALS = """\
cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs:
  data: File[]
steps:
  pool:
    run: pool.cwl
    in: {parts: local/result}
    out: [pooled]
  local:
    run: local.cwl
    scatter: data
    in: {data: data}
    out: [result]
outputs:
  pooled: {type: File, outputSource: pool/pooled}
"""


@pytest.fixture
def local() -> str:
    """The tool that each hospital runs on its own file."""
    return LOCAL


@pytest.fixture
def pool() -> str:
    """The tool that puts the hospitals' results together."""
    return POOL


@pytest.fixture
def hospitals() -> str:
    """The workflow of both, with paths as its author writes them, and its steps in the wrong order."""
    return HOSPITALS


@pytest.fixture(scope="session")
def conformance() -> Path:
    """The folder of the CWL v1.2 conformance suite's documents."""
    root = Path(__file__).resolve().parents[2]
    shared = Path(os.environ.get("COMITY_SHARED", root.parent / "shared"))
    folder = shared / "conformance" / "cwl-v1.2" / "tests"
    if not folder.is_dir():
        pytest.skip("the conformance data is not here: set COMITY_SHARED")
    return folder
