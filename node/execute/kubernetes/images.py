"""How images get to the machines of a cluster: into the containerd of one, or into the site's registry.

Blocking: for threads.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urljoin

import httpx

from catalog.error import BadInput, Unreachable, shown
from node.execute.image import Image, digest_of

NAME: Final = "comity.local/steps"
MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_KUBERNETES: Final = "k8s.io"
_SECONDS: Final = 60.0
_PLAIN: Final = ("127.0.0.1", "localhost", "[::1]")


class Images(Protocol):
    """Where images are put so that the cluster's machines have them."""

    pulled: bool
    """Whether a machine fetches them when it needs them, or must have them before."""

    def place(self, image: Image, tag: str) -> str:
        """See to it that ``image`` is there under ``tag``; the name by which a pod has it.

        Raises:
            Unreachable: what takes images does not answer, or refuses.
            BadInput: this machine lacks what it takes.
        """


class Containerd:
    """The containerd of a cluster of one machine, this one: images are imported into its Kubernetes' part."""

    pulled = False

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def place(self, image: Image, tag: str) -> str:
        """See to it that ``image`` is there, and no other under its name: the steps' supervisor is in it.

        Raises:
            BadInput: «ctr» is not installed. Unreachable: containerd does not answer, or refuses.
        """
        name = f"{NAME}:{tag}"
        if not self._has(name, image):
            self._import(image, name)
            if not self._has(name, image):
                raise Unreachable(f"the image {name} in the containerd at {self._socket} is not the one that was given")
        return name

    def _has(self, name: str, image: Image) -> bool:
        """Whether what is called so has the manifest of ``image``."""
        listed = self._ctr(["images", "list", f"name=={name}"]).decode("utf-8", "replace")
        rows = [line.split() for line in listed.splitlines()]
        return any(row[:1] == [name] and image.digest in row[1:3] for row in rows)

    def _import(self, image: Image, name: str) -> None:
        command = self._command(["images", "import", "-"])
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as run:
            try:
                if run.stdin is not None:
                    for chunk in image.chunks(name):
                        run.stdin.write(chunk)
                    run.stdin.close()
            except BrokenPipeError:
                pass  # it says why when it ends
            except BaseException:
                run.kill()
                raise
            said = run.stderr.read() if run.stderr is not None else b""
        if run.returncode:
            raise self._refused(said)

    def _ctr(self, words: Sequence[str]) -> bytes:
        done = subprocess.run(self._command(words), capture_output=True, timeout=_SECONDS, check=False)
        if done.returncode:
            raise self._refused(done.stderr)
        return done.stdout

    def _command(self, words: Sequence[str]) -> list[str]:
        program = shutil.which("ctr")
        if program is None:
            raise BadInput("«ctr», which gives images to containerd, is not installed; it comes with containerd")
        return [program, "--address", str(self._socket), "--namespace", _KUBERNETES, *words]

    def _refused(self, said: bytes) -> Unreachable:
        told = shown(said.decode("utf-8", "replace").strip().rpartition("\n")[2])
        return Unreachable(f"the containerd at {self._socket} takes no image: {told or 'it ended without a word'}")


class Registry:
    """The site's registry, by the protocol of OCI's distribution-spec 1.1: layers are sent once, named by digest."""

    pulled = True

    def __init__(self, repository: str, client: httpx.Client | None = None) -> None:
        """``repository`` is a host, a port if need be, and a path: «registry.anna.example/comity»."""
        host, _, path = repository.partition("/")
        if not path:
            raise BadInput(f"[kubernetes] registry «{repository}» lacks a path: write it as «{repository}/comity»")
        self._repository = repository
        scheme = "http" if host.rpartition(":")[0] in _PLAIN else "https"
        self._base = f"{scheme}://{host}/v2/{path}/"
        self._client = client or httpx.Client(timeout=_SECONDS)

    def place(self, image: Image, tag: str) -> str:
        """See to it that ``image`` is there.

        Raises:
            Unreachable: the registry does not answer, or refuses.
        """
        manifest, digest = image.manifest, image.digest
        if not self._has(f"manifests/{digest}"):
            for layer in image.layers:
                self._upload(layer.digest, layer.size, layer.chunks)
            config = image.config
            self._upload(digest_of(config), len(config), lambda: iter([config]))
            for name in (digest, tag):
                self._ask("PUT", f"manifests/{name}", content=manifest, headers={"Content-Type": MANIFEST})
        return f"{self._repository}@{digest}"

    def _has(self, path: str) -> bool:
        return self._ask("HEAD", path, missing=True, headers={"Accept": MANIFEST}).status_code == 200

    def _upload(self, digest: str, size: int, chunks: object) -> None:
        if self._has(f"blobs/{digest}"):
            return
        begun = self._ask("POST", "blobs/uploads/")
        place = httpx.URL(urljoin(self._base, begun.headers.get("location", ""))).copy_merge_params({"digest": digest})
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        self._ask("PUT", str(place), content=chunks() if callable(chunks) else chunks, headers=headers)

    def _ask(self, verb: str, path: str, *, missing: bool = False, **more: object) -> httpx.Response:
        try:
            answer = self._client.request(verb, urljoin(self._base, path), **more)  # type: ignore[arg-type]
        except httpx.HTTPError as error:
            raise Unreachable(f"the registry {self._repository} does not answer ({type(error).__name__})") from error
        if answer.is_success or (missing and answer.status_code == 404):
            return answer
        raise Unreachable(
            f"the registry {self._repository} refuses {verb} with {answer.status_code}: {shown(answer.text)}"
        )
