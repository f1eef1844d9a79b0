"""How images get to the machines of a cluster: into the containerd of one, or into the site's registry.

Blocking: for threads.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import httpx

from catalog.error import BadInput, Unreachable, shown
from node.execute.image import Image, digest_of
from node.keyfile import read_secret

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

    def __init__(self, repository: str, login: Path | None = None) -> None:
        """``repository`` is a host, a port if need be, and a path: «registry.anna.example/comity».

        ``login`` is a file, its owner's alone, whose one line is «user:password». It is read for each image, so that
        another password takes effect at once.
        """
        host, _, path = repository.partition("/")
        if not path:
            raise BadInput(f"[kubernetes] registry «{repository}» lacks a path: write it as «{repository}/comity»")
        self._repository = repository
        self._login = login
        scheme = "http" if host.rpartition(":")[0] in _PLAIN else "https"
        self._base = httpx.URL(f"{scheme}://{host}/v2/{path}/")

    def place(self, image: Image, tag: str) -> str:
        """See to it that ``image`` is there.

        Raises:
            Unreachable: the registry does not answer, or refuses.
            BadInput, NotFound: the file with user and password is none, or others may read it.
        """
        manifest, digest = image.manifest, image.digest
        with httpx.Client(base_url=self._base, auth=self._user(), timeout=_SECONDS) as client:
            if not self._has(client, f"manifests/{digest}"):
                for layer in image.layers:
                    self._upload(client, layer.digest, layer.size, layer.chunks)
                config = image.config
                self._upload(client, digest_of(config), len(config), lambda: iter([config]))
                for name in (digest, tag):
                    headers = {"Content-Type": MANIFEST}
                    self._ask(client, "PUT", f"manifests/{name}", content=manifest, headers=headers)
        return f"{self._repository}@{digest}"

    def _has(self, client: httpx.Client, path: str) -> bool:
        return self._ask(client, "HEAD", path, missing=True, headers={"Accept": MANIFEST}).status_code == 200

    def _upload(self, client: httpx.Client, digest: str, size: int, chunks: Callable[[], Iterator[bytes]]) -> None:
        if self._has(client, f"blobs/{digest}"):
            return
        begun = self._ask(client, "POST", "blobs/uploads/")
        place = self._base.join(begun.headers.get("location", ""))
        if (place.scheme, place.netloc) != (self._base.scheme, self._base.netloc):
            # The password would go there too, and unencrypted where the registry does not know of the TLS before it.
            raise Unreachable(
                f"the registry {self._repository} wants uploads at {shown(f'{place.scheme}://{place.netloc.decode()}')}"
                " and not where it was asked: let it know its own address, as others see it"
            )
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        self._ask(client, "PUT", place.copy_merge_params({"digest": digest}), content=chunks(), headers=headers)

    def _ask(
        self, client: httpx.Client, verb: str, url: str | httpx.URL, *, missing: bool = False, **more: Any
    ) -> httpx.Response:
        try:
            answer = client.request(verb, url, **more)
        except httpx.HTTPError as error:
            raise Unreachable(f"the registry {self._repository} does not answer ({type(error).__name__})") from error
        if answer.is_success or (missing and answer.status_code == 404):
            return answer
        if answer.status_code == 401:
            raise Unreachable(f"the registry {self._repository} {self._stranger(answer)}")
        said = f"{answer.status_code} {_said(answer)}".rstrip()
        raise Unreachable(f"the registry {self._repository} refuses {verb} with {said}")

    def _user(self) -> httpx.BasicAuth | None:
        """Who this node is there.

        Raises:
            BadInput, NotFound: the file that says so is none, or others may read it.
        """
        if self._login is None:
            return None
        user, _, password = read_secret(self._login).rstrip(b"\r\n").partition(b":")
        if not user or not password or b"\n" in password:
            raise BadInput(f"{self._login}, of [kubernetes] registry_login, is not one line with «user:password»")
        return httpx.BasicAuth(user, password)

    def _stranger(self, answer: httpx.Response) -> str:
        """Why it does not take who asks, and what to do."""
        ways = [way.split(" ")[0].lower() for way in answer.headers.get_list("www-authenticate")]
        if "basic" not in ways:
            return f"takes no user and password, but «{shown(' '.join(ways))}», which is not given: let it take those"
        if self._login is None:
            return "wants a user and password: name a file with «user:password» in [kubernetes] registry_login"
        return f"does not take the user and password in {self._login}"


def _said(answer: httpx.Response) -> str:
    """Why a registry refuses, in its own words."""
    try:
        errors = [f"{each['code']} {each['message']}" for each in answer.json()["errors"]]
    except (ValueError, LookupError, TypeError):  # whatever stands before a registry answers as it likes
        return shown(answer.text.strip().partition("\n")[0])
    return shown("; ".join(errors))
