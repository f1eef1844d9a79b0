"""Wheels made here, a folder that pip finds them in, and locks of them: no index, and the real pip."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

FROM = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def wheel(
    folder: Path,
    name: str,
    version: str,
    files: Mapping[str, bytes],
    needs: Sequence[str] = (),
    *,
    unrecorded: Mapping[str, bytes] | None = None,
    scripts: Mapping[str, str] | None = None,
) -> Path:
    """A wheel of these files; ``unrecorded`` are in it and not in its RECORD."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    required = "".join(f"Requires-Dist: {each}\n" for each in needs)
    inside = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{required}".encode(),
        f"{info}/WHEEL": FROM.encode(),
    }
    if scripts:
        lines = "".join(f"{script} = {target}\n" for script, target in scripts.items())
        inside[f"{info}/entry_points.txt"] = f"[console_scripts]\n{lines}".encode()
    record = "".join(
        f"{file},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}\n"
        for file, data in inside.items()
    )
    inside[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    with zipfile.ZipFile(path, "w") as archive:
        for file, data in {**inside, **(unrecorded or {})}.items():
            archive.writestr(file, data)
    return path


def lock(*wheels: Path) -> bytes:
    """The lock of these wheels."""
    lines = []
    for each in wheels:
        name, version, *_ = each.name.split("-")
        lines.append(f"{name}=={version} \\\n    --hash=sha256:{hashlib.sha256(each.read_bytes()).hexdigest()}\n")
    return "".join(lines).encode()


def serve(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let pip find what lies in ``folder``, and nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
