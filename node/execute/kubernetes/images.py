"""How images get to the machines of a cluster: into the containerd of one, or into the site's registry.

Blocking: for threads.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

import httpx
import msgspec
import trio

from catalog.error import BadInput, Unreachable, shown
from node.execute.image import Image, digest_of
from node.keyfile import read_secret

NAME: Final = "comity.local/steps"
MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_KUBERNETES: Final = "k8s.io"
_SECONDS: Final = 60.0
_MOST_ANSWER: Final = 64 << 10
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


class _Error(msgspec.Struct, frozen=True):
    code: str
    message: str = ""


class _Errors(msgspec.Struct, frozen=True):
    """Why a registry refuses, as the specification has it."""

    errors: list[_Error]


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
        # A registry that answers a byte at a time keeps to the time of each read: trio's hold for all of an answer.
        return trio.run(self._place, image, tag)

    async def _place(self, image: Image, tag: str) -> str:
        manifest, digest = image.manifest, image.digest
        async with httpx.AsyncClient(
            base_url=self._base,
            auth=self._user(),
            timeout=_SECONDS,
            headers={"Accept-Encoding": "identity"},
            trust_env=self._base.scheme == "https",  # a proxy would read the password of one that is asked plainly
        ) as client:
            if not await self._has(client, f"manifests/{digest}"):
                for layer in image.layers:
                    await self._upload(client, layer.digest, layer.size, layer.chunks)
                config = image.config
                await self._upload(client, digest_of(config), len(config), lambda: iter([config]))
                for name in (digest, tag):
                    headers = {"Content-Type": MANIFEST, "Content-Length": str(len(manifest))}
                    await self._ask(client, "PUT", f"manifests/{name}", headers, iter([manifest]))
        return f"{self._repository}@{digest}"

    async def _has(self, client: httpx.AsyncClient, path: str) -> bool:
        return (await self._ask(client, "HEAD", path, {"Accept": MANIFEST}, missing=True)).status_code == 200

    async def _upload(
        self, client: httpx.AsyncClient, digest: str, size: int, chunks: Callable[[], Iterator[bytes]]
    ) -> None:
        if await self._has(client, f"blobs/{digest}"):
            return
        begun = await self._ask(client, "POST", "blobs/uploads/", {"Content-Length": "0"})
        place = self._place_of(begun, digest)
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        await self._ask(client, "PUT", place, headers, chunks())

    def _place_of(self, begun: httpx.Response, digest: str) -> httpx.URL:
        """Where an upload goes that has ``begun``.

        Raises:
            Unreachable: elsewhere, or nowhere.
        """
        named = begun.headers.get("location", "")
        try:
            place = self._base.join(named)
            upload = place.copy_merge_params({"digest": digest})
        except httpx.InvalidURL as error:
            told = f"the registry {self._repository} wants uploads at {shown(named)}, which is no address"
            raise Unreachable(told) from error
        if (place.scheme, place.netloc) != (self._base.scheme, self._base.netloc):
            # The password would go there too, and unencrypted where the registry does not know of the TLS before it.
            raise Unreachable(
                f"the registry {self._repository} wants uploads at {shown(f'{place.scheme}://{place.netloc.decode()}')}"
                " and not where it was asked: let it know its own address, as others see it"
            )
        return upload

    async def _ask(
        self,
        client: httpx.AsyncClient,
        verb: str,
        url: str | httpx.URL,
        headers: dict[str, str],
        content: Iterator[bytes] | None = None,
        *,
        missing: bool = False,
    ) -> httpx.Response:
        try:
            with trio.fail_after(_SECONDS) as scope:
                body = None if content is None else _Body(content, scope)
                async with client.stream(verb, url, content=body, headers=headers) as answer:
                    said = await _beginning(answer)
        except (httpx.HTTPError, httpx.InvalidURL, trio.TooSlowError) as error:
            raise Unreachable(f"the registry {self._repository} does not answer ({type(error).__name__})") from error
        if answer.is_success or (missing and answer.status_code == 404):
            return answer
        if answer.status_code == 401:
            raise Unreachable(f"the registry {self._repository} {self._stranger(answer)}")
        told = f"{answer.status_code} {_reason(said)}".rstrip()
        raise Unreachable(f"the registry {self._repository} refuses {verb} with {told}")

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


class _Body(AsyncIterator[bytes]):
    """What is sent; each part that was taken gives the next its time, and the last the answer."""

    def __init__(self, chunks: Iterator[bytes], scope: trio.CancelScope) -> None:
        self._chunks = chunks
        self._scope = scope

    async def __anext__(self) -> bytes:
        self._scope.deadline = trio.current_time() + _SECONDS
        try:
            return next(self._chunks)
        except StopIteration:
            raise StopAsyncIteration from None


async def _beginning(answer: httpx.Response) -> bytes:
    """What an answer says, of which no more is read than a reason takes."""
    begun = b""
    with trio.CancelScope() as enough:  # httpx leaves its generators open where one just goes
        async for part in answer.aiter_raw():
            begun += part
            if len(begun) > _MOST_ANSWER:
                enough.cancel()
    return begun[:_MOST_ANSWER]


def _reason(said: bytes) -> str:
    """Why a registry refuses, in its own words."""
    try:
        errors = msgspec.json.decode(said, type=_Errors).errors
    except (ValueError, RecursionError):  # whatever stands before a registry answers as it likes
        return shown(said.decode("utf-8", "replace").strip().partition("\n")[0])
    return shown("; ".join(f"{each.code} {each.message}".rstrip() for each in errors))
