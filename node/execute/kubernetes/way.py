"""How a step's inputs get into its pod and its outputs out: through a volume that this machine shares, or beside it.

All that is done here to files is done in threads.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

import trio

from catalog.error import BadInput, Denied, Unreachable
from node.execute.container import Gate, is_stopped
from node.execute.discard import discard
from node.execute.inside.parcel import Bounds, MoreError, ParcelError, Reader, receive, send
from node.execute.kubernetes.api import Api
from node.execute.kubernetes.exec import Exec
from node.execute.kubernetes.manifest import SIDE, STEP, Image, Part
from node.execute.kubernetes.pod import Pod
from node.execute.kubernetes.thread import in_thread
from node.step import Job, Mount

log = logging.getLogger("comity.kubernetes")

_GATE: Final = "/gate"
_WORK: Final = "/work"
_LOOK_SECONDS: Final = 0.02
_STOP_SECONDS: Final = 10.0
_GATE_BYTES: Final = 128 << 20
_OF_THE_GATE: Final = 128


class Way(Protocol):
    """The way in and out of one step's pod."""

    def commands(self, image: Image) -> dict[str, tuple[str, ...]]:
        """The commands of the containers that it takes, by their names; all of them must run before it is filled."""

    def prepare(self) -> Sequence[Part]:
        """Lay ready what the step is shown. Blocking.

        Raises:
            BadInput: the job cannot be run as it is written. OSError: the disk refuses.
        """

    async def fill(self, pod: Pod) -> None:
        """Give it all that it needs before its command starts.

        Raises:
            Unreachable: that broke off; nothing has run.
        """

    async def open(self, pod: Pod) -> None:
        """Let the command start.

        Raises:
            Unreachable: that broke off.
        """

    async def reported(self) -> None:
        """Come back once the supervisor has reported, if that is seen from here; else never."""

    async def fetch(self, pod: Pod) -> None:
        """Have here what the step left and its supervisor said.

        Raises:
            Unreachable: that broke off.
        """

    async def leave(self, pod: Pod) -> None:
        """Let what stands by for the step end: nothing more is fetched."""

    async def stop(self) -> None:
        """Have the command ended, if that can be said from here."""

    async def stopped(self) -> None:
        """Wait a while for that: what was said goes with the folders of the step."""

    def close(self) -> None:
        """Leave nothing open."""


class Volume:
    """A volume whose root lies at ``root`` here, and below it all that a step reads and writes."""

    def __init__(self, job: Job, gate: Gate, root: Path) -> None:
        self._job = job
        self._gate = gate
        self._root = root

    def commands(self, image: Image) -> dict[str, tuple[str, ...]]:
        """The supervisor's."""
        return {STEP: image.calls("supervise")}

    def prepare(self) -> Sequence[Part]:
        """Copy into the volume what lies elsewhere on this machine; where each part lies there. Blocking.

        Raises:
            BadInput: the steps of this site are not staged in the volume. OSError: the disk refuses.
        """
        parts = [Part(_WORK, self._below(self._job.work), True), Part(_GATE, self._below(self._gate.folder), True)]
        for number, mount in enumerate(self._job.mounts):
            parts.append(self._part(number, mount))
        return parts

    async def fill(self, pod: Pod) -> None:
        """All of it is there."""

    async def open(self, pod: Pod) -> None:  # noqa: ARG002 - it shares the folder
        """Let the command start."""
        await trio.to_thread.run_sync(self._gate.open)

    async def reported(self) -> None:
        """Look for the report, which the supervisor writes last."""
        while not await trio.to_thread.run_sync(self._gate.is_reported):  # noqa: ASYNC110 - another machine writes
            await trio.sleep(_LOOK_SECONDS)

    async def fetch(self, pod: Pod) -> None:
        """All of it is here."""

    async def leave(self, pod: Pod) -> None:
        """Nothing stands by."""

    async def stop(self) -> None:
        """Tell the supervisor, who needs no API server to hear it."""
        await trio.to_thread.run_sync(self._gate.stop)

    async def stopped(self) -> None:
        """Wait a while until the supervisor has heard it: a volume may show what is new a little later."""
        with trio.move_on_after(_STOP_SECONDS):
            while not await trio.to_thread.run_sync(is_stopped, self._gate.folder):  # noqa: ASYNC110 - as above
                await trio.sleep(_LOOK_SECONDS)

    def close(self) -> None:
        """Remove what was copied into the volume."""
        copies = self._gate.folder.with_name("mounts")
        if copies.exists():
            discard(copies)

    def _part(self, number: int, mount: Mount) -> Part:
        # The API takes no mount at a path with a colon: there the folder around it is mounted.
        within = ":" in mount.target
        if not within and mount.source.is_relative_to(self._root):
            return Part(mount.target, self._below(mount.source), False)
        top = self._gate.folder.with_name("mounts") / str(number)
        top.mkdir(parents=True)
        copy = top / Path(mount.target).name
        if mount.source.is_dir():
            shutil.copytree(mount.source, copy, symlinks=True)
        else:
            shutil.copy(mount.source, copy)
        copy.chmod(0o755 if copy.is_dir() else 0o644)
        top.parent.chmod(0o755)
        top.chmod(0o755)
        if not within:
            return Part(mount.target, self._below(copy), False)
        around = str(Path(mount.target).parent)
        if ":" in around:
            raise BadInput(f"«{mount.target}» cannot be shown in a cluster: a folder in its path has a colon")
        return Part(around, self._below(top), False)

    def _below(self, path: Path) -> str:
        try:
            return str(path.relative_to(self._root))
        except ValueError:
            raise BadInput(
                f"{path} is not in the cluster's volume: [steps] staging must be where the volume of"
                f" [kubernetes] claim lies here, and is {self._root}"
            ) from None


class Beside:
    """A container beside the step, by which its inputs come in and its outputs leave as parcels."""

    def __init__(self, job: Job, gate: Gate, api: Api, namespace: str, image: Image) -> None:
        self._job = job
        self._gate = gate
        self._api = api
        self._namespace = namespace
        self._image = image
        self._seen: Exec | None = None

    def commands(self, image: Image) -> dict[str, tuple[str, ...]]:
        """The supervisor's, and one that does nothing but be there."""
        return {STEP: image.calls("supervise_when_ready"), SIDE: image.calls("stand_by")}

    def prepare(self) -> Sequence[Part]:
        """An empty volume for each folder at the root that something lies in.

        Raises:
            BadInput: a file is to be shown at the root itself.
        """
        for mount in self._job.mounts:
            if mount.target.count("/") == 1 and not mount.source.is_dir():
                raise BadInput(f"«{mount.target}» cannot be shown in a cluster without a volume: it is no folder")
        tops = sorted({f"/{mount.target.split('/')[1]}" for mount in self._job.mounts})
        inputs = [Part(top, f"in-{number}", False) for number, top in enumerate(tops)]
        return [Part(_WORK, "work", True), Part(_GATE, "gate", True), *inputs]

    async def fill(self, pod: Pod) -> None:
        """Send inputs and prepared files, and the order last.

        Raises:
            Unreachable: it broke off.
        """
        await trio.to_thread.run_sync(self._fill, pod)

    async def open(self, pod: Pod) -> None:
        """Open the gate there.

        Raises:
            Unreachable: it broke off.
        """
        self._gate.begins()
        self._seen = await trio.to_thread.run_sync(self._begin, pod)

    async def reported(self) -> None:
        """Wait for what the process that opened the gate says of a report; a step might have written that."""
        if self._seen is not None:
            with suppress(Unreachable):
                await in_thread(self._seen.read)  # left to itself if the cluster says so first
                return
        await trio.sleep_forever()

    async def fetch(self, pod: Pod) -> None:
        """Receive work folder and gate in place of those here.

        Raises:
            Unreachable: it broke off.
        """
        await trio.to_thread.run_sync(self._fetch, pod)

    async def leave(self, pod: Pod) -> None:
        """Let the container beside the step end."""
        with suppress(Unreachable, Denied):  # it ends with its Job, or in its time
            await trio.to_thread.run_sync(self._leave, pod)

    async def stop(self) -> None:
        """That is said by its end alone."""

    async def stopped(self) -> None:
        """There is nothing to wait for."""

    def close(self) -> None:
        """Leave nothing open."""
        if self._seen is not None:
            self._seen.close()

    def _begin(self, pod: Pod) -> Exec:
        there = self._exec(pod, "begin")
        if there.read() != b"open\n":
            there.finish()
        there.wait_long()
        return there

    def _exec(self, pod: Pod, function: str) -> Exec:
        return Exec(self._api, self._namespace, pod.name, SIDE, self._image.calls(function))

    def _fill(self, pod: Pod) -> None:
        inputs = [(mount.target.removeprefix("/"), str(mount.source)) for mount in self._job.mounts]
        folders = sorted({str(above) for name, _ in inputs for above in Path(name).parents if str(above) != "."})
        work = [(f"work/{name}", str(self._job.work / name)) for name in sorted(os.listdir(self._job.work))]
        with self._exec(pod, "take") as there:
            tops = [*inputs, *work, ("gate/order.json", str(self._gate.folder / "order.json"))]
            send(tops, there.write, folders=folders, links=True)
            there.finish()

    def _fetch(self, pod: Pod) -> None:
        limits = self._job.limits
        for place in (self._job.work, self._gate.folder):
            if place.exists():
                discard(place)
            place.mkdir(mode=0o700)
        with self._exec(pod, "give") as there:
            reader = Reader(there.read)
            try:
                receive(reader, str(self._gate.folder), Bounds(_OF_THE_GATE, _GATE_BYTES), modes=False)
                # One more of each shows that there are more, which the supervisor said already.
                bounds = Bounds(limits.output_files + 1, limits.output_bytes + 1)
                receive(reader, str(self._job.work), bounds, modes=False)
            except MoreError:
                log.info("a step left more than it may; the rest is not fetched")
            except ParcelError as error:
                raise Unreachable(f"what the step left does not come whole: {error}") from error

    def _leave(self, pod: Pod) -> None:
        with self._exec(pod, "leave"):
            return  # who ends the container ends this with it
