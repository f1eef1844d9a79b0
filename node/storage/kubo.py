"""A Kubo over its RPC (docs.ipfs.tech/reference/kubo/rpc), by ipfshttpclient: the few calls that a site makes.

Every call blocks: it is made in a thread. Nothing that a daemon answers is believed beyond its shape: what comes as
the bytes of a CID is hashed by whoever asked.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import IO, Any, Final, TypeVar

import trio

from catalog.cid import Cid
from catalog.error import BadInput, ComityError, NotFound, Unreachable, VerificationFailed, shown
from node.storage.dagpb import MAX_NODE

T = TypeVar("T")

LEAST: Final = (0, 39)
"""The oldest Kubo that is used: before it settings that close a daemon have other names, and are passed over."""
_PATIENCE: Final = (30.0, 120.0)
"""Seconds to connect or to send a piece, and from one piece of an answer to the next."""
_PIECE: Final = 1 << 20
"""Bytes that are sent at once: the client would send 8 KiB each."""
_COLLECTING: Final = 3600.0
"""Seconds until a collection says something: it first marks all that is pinned."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """What a Kubo says of itself. ``repo`` is its peer id, which goes with its repository; ``config`` its settings."""

    version: str
    repo: str
    config: Mapping[str, Any]


class Kubo:
    """The Kubo whose RPC is at ``api``, a multiaddr of this machine: loopback TCP, or a Unix socket.

    Every method raises ``Unreachable`` where it does not answer, and ``ComityError`` where it refuses or fails.
    """

    def __init__(self, api: str) -> None:
        self.api = api

    def look(self) -> Daemon:
        """What it is.

        Raises:
            BadInput: it is older than :data:`LEAST`.
        """
        with self._client() as client:
            version = str(client.version()["Version"])
            check_version(version)
            repo, config = str(client.id()["ID"]), client.config.get().as_json()
        return Daemon(version, repo, config)

    def pinned(self, name: str) -> frozenset[Cid]:
        """The roots that are pinned under ``name``, with all below them."""
        with self._client() as client:
            keys = client.pin.ls(type="recursive", opts={"names": True})["Keys"]
        return frozenset(Cid.parse(cid) for cid, pin in keys.items() if pin.get("Name") == name)

    def take(self, car: IO[bytes]) -> int:
        """Store the nodes of a CAR, pinning nothing; how many there were."""
        with self._client() as client:
            options = {"pin-roots": False, "stats": True}
            with client.dag.imprt(_Nameless(car), opts=options, stream=True) as items:
                stats = [item["Stats"] for item in items if "Stats" in item]
        if len(stats) != 1:
            # An error that comes after the first byte stands in a trailer, which the client does not read.
            raise ComityError(f"the Kubo at {self.api} did not store what it was given; see its log, and its disk")
        return int(stats[0]["BlockCount"])

    def pin(self, root: Cid, name: str) -> None:
        """Pin ``root`` with all below it, which is there, under ``name``."""
        with self._client() as client:
            options = {"name": name, "progress": True}
            with client.pin.add(str(root), opts=options, offline=True, stream=True) as items:
                pinned = [pin for item in items for pin in item.get("Pins") or ()]
        if pinned != [str(root)]:
            raise ComityError(f"the Kubo at {self.api} did not pin «{root}»; see its log")

    def unpin(self, roots: Iterable[Cid]) -> None:
        """Let go of ``roots``; what is pinned under no other name goes with the next collection."""
        with self._client() as client:
            for root in roots:
                client.pin.rm(str(root))

    def collect(self) -> int:
        """Remove every node that no pin reaches; how many there were."""
        with self._client() as client:
            items = client.repo.gc(opts={"stream-errors": True}, timeout=(_PATIENCE[0], _COLLECTING))
        if failed := [str(item["Error"]) for item in items if item.get("Error")]:
            raise ComityError(f"the Kubo at {self.api} could not remove everything: {shown(failed[0])}; see its disk")
        return len(items)

    def length(self, cid: Cid) -> int | None:
        """Bytes of the node ``cid``, as the daemon says; none if it is not there."""
        try:
            with self._client() as client:
                return int(client.block.stat(str(cid), offline=True)["Size"])
        except NotFound:
            return None

    def node(self, cid: Cid) -> bytes:
        """The bytes of ``cid``, hashed.

        Raises:
            NotFound: not there. VerificationFailed: the daemon gave other bytes, or too many.
        """
        data = bytearray()
        with self._client() as client, client.block.get(str(cid), offline=True, stream=True) as pieces:
            for piece in pieces:
                data += piece
                if len(data) > MAX_NODE:
                    break
        if len(data) > MAX_NODE or not cid.matches(bytes(data)):
            raise VerificationFailed(
                f"the Kubo at {self.api} gives other bytes for «{cid}»: remove them (ipfs block rm {cid}), then fetch"
                " or add it again"
            )
        return bytes(data)

    def nodes(self) -> Iterator[Cid]:
        """Every node that is there and that Comity can name. Kubo knows them by their digests: all are called raw."""
        with self._client() as client, client.unstable.refs.local(stream=True) as items:
            for item in items:
                with suppress(BadInput):
                    yield Cid.parse(item["Ref"])

    def remove(self, cids: Sequence[Cid]) -> tuple[int, int]:
        """Remove nodes that no pin reaches, and leave the others; how many went, and their bytes."""
        with self._client() as client:
            sizes = {str(cid): int(client.block.stat(str(cid), offline=True)["Size"]) for cid in cids}
            names = tuple(sizes)
            answers = client._client.request("/block/rm", names, opts={"force": True}, decoder="json") if names else ()
        gone = [sizes[answer["Hash"]] for answer in answers if not answer.get("Error")]
        return len(gone), sum(gone)

    def size(self) -> int:
        """Bytes of its repository on disk."""
        with self._client() as client:
            return int(client.repo.stat()["RepoSize"])

    def peers(self) -> int:
        """How many peers it is connected to."""
        with self._client() as client:
            return len(client.swarm.peers().as_json().get("Peers") or ())

    def befriend(self, peer: str) -> None:
        """Have it keep a connection to ``peer``, a multiaddr that ends with a peer id, until it is ended."""
        with self._client() as client:
            # swarm.connect of the client takes an address apart into letters, and for peering it has no method.
            client._client.request("/swarm/peering/add", (peer,), decoder="json")

    def stop(self) -> None:
        """End the daemon."""
        with self._client() as client:
            client.stop()

    @contextmanager
    def _client(self) -> Iterator[Any]:
        """The client with connections of its own for one call, whose errors are ours."""
        library, requests = _library()
        errors = library.exceptions
        try:
            client = library.Client(self.api, timeout=_PATIENCE, chunk_size=_PIECE)
            # What is for this machine must pass no proxy that the environment names: the client has no word for it.
            client._client._session_props["trust_env"] = False
            with client:
                yield client
        except errors.AddressError as error:
            raise BadInput(f"{self.api} is no address of a Kubo; see the settings of the site") from error
        except errors.ErrorResponse as error:
            raise _refusal(self.api, str(error)) from error
        except (errors.CommunicationError, requests.RequestException, OSError) as error:
            raise Unreachable(f"the Kubo at {self.api} does not answer; see that it runs") from error
        except (errors.DecodingError, KeyError, ValueError) as error:
            raise Unreachable(f"what answers at {self.api} is no Kubo that Comity knows") from error


class _Nameless:
    """A file without the name that the client would make a header of, which that of a pipe cannot be."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        return self._file.read(size)


async def in_thread(work: Callable[[], T]) -> T:
    """Make a call in a thread; who is cancelled does not wait for the answer."""
    # trio-typing's stubs are older than this parameter.
    return await trio.to_thread.run_sync(work, abandon_on_cancel=True)  # type: ignore[call-arg]


@cache
def _library() -> tuple[Any, Any]:
    """Ipfshttpclient and requests, imported when they are needed: it takes half a second, and few sites have a Kubo.

    Raises:
        BadInput: they are not installed.
    """
    try:
        import ipfshttpclient  # type: ignore[import-untyped]
        import requests
    except ModuleNotFoundError as error:
        raise BadInput(f"a Kubo needs the package «{error.name}»; run: pip install 'comity[node,kubo]'") from error
    # It hands a parameter on that urllib3 2 passes over; that is told to nobody who could do anything about it.
    warnings.filterwarnings("ignore", message="The 'strict' parameter", category=FutureWarning)
    return ipfshttpclient, requests


def check_version(version: str) -> None:
    """Check that a Kubo of this version is used, as ``0.39.0`` or ``0.40.0-rc1``.

    Raises:
        BadInput: it is too old, or no version.
    """
    least = ".".join(map(str, LEAST))
    try:
        major, minor = (int(part) for part in version.split(".")[:2])
    except ValueError as error:
        raise BadInput(f"«{shown(version, 40)}» is no version of Kubo; install Kubo {least} or newer") from error
    if (major, minor) < LEAST:
        raise BadInput(
            f"Kubo {shown(version, 40)} is too old; install Kubo {least} or newer: https://dist.ipfs.tech/kubo"
        )


def _refusal(api: str, message: str) -> ComityError:
    if "not found" in message:
        return NotFound(f"the Kubo at {api} does not have it: {shown(message)}")
    if "no space left on device" in message:
        return ComityError(f"the disk of the Kubo at {api} is full: make room there")
    return ComityError(f"the Kubo at {api} refused: {shown(message)}")
