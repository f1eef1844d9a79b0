"""Argo's controller and executor, and its manifests, as ``go.mod`` and ``go.sum`` here say: six minutes, once."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from ruamel.yaml import YAML

from tests.infra import image
from tests.infra.golang import build, built, go
from tests.infra.image import Start, Tree

HERE = Path(__file__).parent
MODULE = "github.com/argoproj/argo-workflows/v4"
PROGRAMS = ("workflow-controller", "argoexec")
IMAGE = "infra.local/argoexec:4"
USER = 8737
# What its own installation for a cluster applies.
MANIFESTS = ("manifests/base/crds/minimal", "manifests/cluster-install-no-crds/workflow-controller-rbac")


def parts() -> Path:
    """A folder with the controller, the executor's image and ``manifests.json``; made if it is not in the cache."""
    made_of = [HERE / "go.mod", HERE / "go.sum", Path(__file__), Path(image.__file__)]
    return built("argo", made_of, _make)


def _make(out: Path) -> None:
    with tempfile.TemporaryDirectory(dir=out.parent) as aside:
        source = Path(aside)
        for name in ("go.mod", "go.sum"):
            shutil.copy(HERE / name, source)
        _build(source, out)
        _write_manifests(source, out / "manifests.json")
    executor = out / "argoexec"
    (out / "argoexec.tar").write_bytes(_image(executor.read_bytes()))
    executor.unlink()


def _build(source: Path, out: Path) -> None:
    """Build from a copy of what is needed, since the module lacks a file.

    Upstream it is a link to the one of Darwin, and archives of modules leave links out.
    """
    go(source, "mod", "vendor")
    signals = source / "vendor" / MODULE / "workflow" / "executor" / "osspecific"
    shutil.copy(signals / "signal_darwin.go", signals / "signal_linux.go")
    version = go(source, "list", "-m", "-f", "{{.Version}}", MODULE).strip()
    packages = [f"{MODULE}/cmd/{name}" for name in PROGRAMS]
    build(source, out, packages, f"-X {MODULE}.version={version}", mode="vendor")


def _write_manifests(source: Path, out: Path) -> None:
    """As JSON, which is read in a hundredth of the time."""
    module = Path(go(source, "list", "-m", "-f", "{{.Dir}}", MODULE).strip())
    values = []
    for folder in MANIFESTS:
        for path in sorted((module / folder).glob("*.yaml")):
            if path.name != "kustomization.yaml":
                values += list(YAML(typ="safe").load_all(path))
    out.write_text(json.dumps([value for value in values if value]))


def _image(executor: bytes) -> bytes:
    tree = Tree()
    tree.folder("tmp", 0o1777)
    tree.file("etc/passwd", f"argo:x:{USER}:{USER}::/:/sbin/nologin\n".encode())
    tree.file("bin/argoexec", executor, 0o755)
    return image.archive(IMAGE, tree, Start(entrypoint=("/bin/argoexec",), user=str(USER)))
