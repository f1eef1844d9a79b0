"""Images given to a cluster's containerd."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from catalog.error import Unreachable
from node.execute.image import File, Image, Layer
from node.execute.kubernetes.images import NAME, Containerd
from node.execute.machine import architecture
from node.execute.stepimage import tag_of

_CTR = """#!{python}
# What «ctr» says of images, of which it keeps name and digest.
import io, json, pathlib, sys, tarfile
names = pathlib.Path(__file__).with_name("names")
kept = json.loads(names.read_text())
if "import" in sys.argv:
    archive = tarfile.open(fileobj=io.BytesIO(sys.stdin.buffer.read()))
    there = json.load(archive.extractfile("index.json"))["manifests"][0]
    kept |= {{there["annotations"]["io.containerd.image.name"]: there["digest"]}} if {takes} else {{}}
    names.write_text(json.dumps(kept))
else:
    print("REF TYPE DIGEST SIZE PLATFORMS LABELS")
    wanted = sys.argv[-1].removeprefix("name==")
    if wanted in kept:
        print(wanted, "application/vnd.oci.image.manifest.v1+json", kept[wanted], "2.6 KiB linux/amd64 -")
"""


@pytest.mark.parametrize("takes", [True, False])
def test_another_image_under_the_name_is_replaced_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, takes: bool
) -> None:
    """Lost: steps, and the data that they read, to a supervisor of whoever had their image pulled there first."""
    ours, others = (Image((Layer({"a": File(each)}),), architecture()) for each in (b"ours", b"others"))
    name = f"{NAME}:{tag_of(ours)}"
    program = tmp_path / "ctr"
    program.write_text(_CTR.format(python=sys.executable, takes=takes))
    program.chmod(0o755)
    (tmp_path / "names").write_text(json.dumps({name: others.digest}))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    containerd = Containerd(tmp_path / "socket")
    if not takes:
        with pytest.raises(Unreachable, match="not the one that was given"):
            containerd.place(ours, tag_of(ours))
        return
    assert containerd.place(ours, tag_of(ours)) == name
    assert json.loads((tmp_path / "names").read_text()) == {name: ours.digest}
