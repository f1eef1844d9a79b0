"""What every container of a step has beside its environment."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

from node.execute.tools import FOLDER, supervisor_command, tools_layer


def test_its_linker_reads_nothing_of_an_image(tmp_path: Path) -> None:
    """Lost: an image with a file in /etc has its library run in what watches its steps."""
    files = tools_layer().files
    linkers = [file.source for name, file in files.items() if Path(name).name.startswith("ld-linux")]
    assert [b"/etc/ld.so.preload" in each for each in linkers if isinstance(each, bytes)] == [False]
    assert "--inhibit-cache" in supervisor_command()


def test_all_of_it_lies_in_its_own_folder_and_starts_alone(tmp_path: Path) -> None:
    """Lost: a container that finds the supervisor's modules on the machine of its tests, and nowhere else."""
    assert {name.split("/")[0] for name in tools_layer().files} == {FOLDER}
    (tmp_path / "layer").write_bytes(b"".join(tools_layer().chunks()))
    with tarfile.open(tmp_path / "layer") as archive:
        archive.extractall(tmp_path, filter="tar")
    linker, *options = supervisor_command()
    command = [f"{tmp_path}{linker}", *(each.replace(f"/{FOLDER}", f"{tmp_path}/{FOLDER}") for each in options)]
    done = subprocess.run(command, env={}, capture_output=True, text=True)
    assert done.stderr == "this ends every process that it can: it runs as the first process of a container alone\n"
