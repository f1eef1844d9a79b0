"""The program of etcd, control plane and kubelet, as ``program/`` beside this file says: eight minutes, once."""

from __future__ import annotations

from pathlib import Path

from tests.infra.golang import build, built, go

MODULE = Path(__file__).parent / "program"


def program() -> Path:
    """Where it is, built if it is not in the cache."""
    made_of = [MODULE / name for name in ("go.mod", "go.sum", "main.go")]
    return built("kubernetes", made_of, _make) / "kubernetes"


def _make(out: Path) -> None:
    version = go(MODULE, "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes").strip()
    build(MODULE, out, ["."], f"-X k8s.io/component-base/version.gitVersion={version}")
