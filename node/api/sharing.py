"""Shared datasets as a person opens them: decrypted here, where the person's key is, and nowhere before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from msgspec import structs
from nacl.public import PrivateKey as EncryptionKey

from catalog.cid import Cid
from catalog.crypt4gh import open_segment, read_header, sealed_size, segments
from catalog.dataset import DatasetFields, Level
from catalog.error import BadInput, Denied, NotFound, VerificationFailed
from catalog.grant import Action
from catalog.manifest import MANIFEST, MAX_MANIFEST, Manifest, SharedFile, read_manifest
from catalog.project import ProjectRef
from node.api import operation
from node.api.publish import Publisher, label_of, now
from node.api.schema import Rekey
from node.api.view import Listing, Published
from node.plainfiles import write_files

Progress = Callable[[int, int], None]
"""Told how many bytes are there, of how many."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A shared dataset that was opened to ``place``: its files and their bytes of plaintext."""

    cid: Cid
    place: str
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """A shared dataset under a new key, and what it replaced."""

    old: Cid
    new: Published


class Sharer(Publisher):
    """Opens shared datasets as one person, and puts those of this site under new keys."""

    encryption: EncryptionKey | None = None
    """The person's X25519 key, which opens headers."""

    def open_dataset(
        self,
        dataset: Cid | str,
        target: str | Path,
        *,
        project: str | None = None,
        crypt4gh: bool = False,
        progress: Progress = lambda _done, _all: None,
    ) -> Opened:
        """Open a shared dataset into ``target``, a new file or folder, for a project whose grant covers «fetch».

        With ``crypt4gh`` each file is written as it is, encrypted, with its header: ``NAME.c4gh`` in a folder, for
        the reference program and the person's key (``comity person export-key``).

        Raises:
            NotFound: no such dataset. Denied: it is not for this person, or not any more. BadInput: not a shared one,
            ``target`` is there, or which project is not clear. Unreachable: «key holder away».
            VerificationFailed: bytes are not what they claim to be; nothing stays at ``target``.
        """
        if self.encryption is None:
            raise BadInput("this needs a person's key; say as whom with --as PERSON, or set COMITY_PERSON")
        found = self.dataset(dataset)
        if found.fields.level is not Level.SHARED:
            raise BadInput(f"«{found.fields.name}» is {found.fields.level}: there is nothing to open in it")
        ref, cid = self._project_for(found, project), found.fields.cid
        view = self._connection.ask(operation.OPEN_SHARED, cid=str(cid), project=ref.name, project_site=ref.site)
        key, length = read_header(view.header, bytes(self.encryption))
        if length != len(view.header):
            raise VerificationFailed("what came as a header has more in it; nothing was written")
        if view.manifest > sealed_size(MAX_MANIFEST):
            raise VerificationFailed("the manifest of the data is larger than one may be; nothing was written")
        sealed = _pieces(lambda start: self._piece(cid, MANIFEST, start), view.manifest)
        manifest = read_manifest(b"".join(open_segment(key, each) for each in segments(sealed)))
        bodies = _Bodies(partial(self._piece, cid), manifest, progress)
        if crypt4gh:
            write_files(Path(target), manifest, lambda file: bodies.with_header(file, view.header), suffix=".c4gh")
        else:
            write_files(Path(target), manifest, lambda file: bodies.plain(file, key))
        return Opened(cid, str(target), len(manifest.files), manifest.size)

    def rekey_dataset(
        self,
        dataset: Cid | str,
        *,
        readers: Sequence[str] | None = None,
        custodians: Sequence[str] | None = None,
    ) -> Rekeyed:
        """Encrypt a shared dataset of this site anew under a new key, publish that, and withdraw the old; for stewards.

        The old key is destroyed. Whoever opened the old version has what it held. Grants and projects name the old
        one; those who shall read on are granted the new one. ``readers`` and ``custodians``, where given, replace
        those that it had.

        Raises:
            NotFound: no such dataset. Denied: it is another site's. BadInput: it is not a shared one.
            Conflict: somebody else does it at this moment, or has; nothing is left of this try.
        """
        found = self.dataset(dataset)
        if found.site != self.site:
            raise Denied(f"the dataset «{found.fields.name}» is {found.site_name}'s, which alone can change its key")
        if found.fields.level is not Level.SHARED:
            raise BadInput(f"«{found.fields.name}» is {found.fields.level}: it has no key to change")
        label = found.fields.label if readers is None else label_of(self.site, map(self.reader, readers))
        keepers = found.fields.custodians if custodians is None else self._keepers(custodians)
        made = self._connection.ask(operation.REKEY, Rekey(cid=found.fields.cid))
        self._show_policy(keepers)
        index = self._write("dataset", structs.replace(found.fields, cid=made.cid, label=label, custodians=keepers))
        self._write("dataset", structs.replace(found.fields, withdrawn=True))
        return Rekeyed(found.fields.cid, Published(made.cid, found.fields.name, index, made.size))

    def _piece(self, cid: Cid, name: str, start: int) -> bytes:
        """Bytes of a shared dataset that was opened, as this node gives them."""
        return self._connection.ask(operation.SHARED_PIECE, cid=str(cid), name=name, start=str(start))

    def _project_for(self, found: Listing[DatasetFields], project: str | None) -> ProjectRef:
        """The project that is named, or the one for which this person holds a grant to fetch the dataset."""
        if project is not None:
            where = self.project(project)
            return ProjectRef(site=where.site, name=where.fields.name)
        held = (each.fields.grant for each in self.grants())
        refs = {
            grant.project
            for grant in held
            if grant.subject == self.person
            and found.fields.cid in grant.datasets
            and Action.FETCH in grant.actions
            and grant.not_after >= now()
        }
        if len(refs) > 1:
            names = ", ".join(sorted(ref.name for ref in refs))
            raise BadInput(f"you hold grants for «{found.fields.name}» in several projects; say --project: {names}")
        if not refs:
            raise NotFound(
                f"you hold no grant to fetch «{found.fields.name}»; ask a steward of {found.site_name} for one"
            )
        return refs.pop()


class _Bodies:
    """The bodies of one dataset as they come, piece by piece; they are taken in the order of the manifest."""

    def __init__(self, piece: Callable[[str, int], bytes], manifest: Manifest, progress: Progress) -> None:
        self._piece, self._progress = piece, progress
        self._names = {file.path: str(number) for number, file in enumerate(manifest.files)}
        self._all = sum(sealed_size(file.size) for file in manifest.files)
        self._done = 0
        self._ahead = memoryview(b"")  # what came of the next bodies with one

    def plain(self, file: SharedFile, key: bytes) -> Iterator[bytes]:
        """The plaintext of a file, every segment verified."""
        return (open_segment(key, each) for each in segments(self._sealed(file)))

    def with_header(self, file: SharedFile, header: bytes) -> Iterator[bytes]:
        """A file in Crypt4GH: header, then body."""
        yield header
        yield from self._sealed(file)

    def _sealed(self, file: SharedFile) -> Iterator[bytes]:
        size = sealed_size(file.size)
        for data in _pieces(lambda start: self._next(self._names[file.path], start, size - start), size):
            self._done += len(data)
            self._progress(self._done, self._all)
            yield data

    def _next(self, name: str, start: int, most: int) -> bytes:
        if not self._ahead:
            self._ahead = memoryview(self._piece(name, start))
        data, self._ahead = bytes(self._ahead[:most]), self._ahead[most:]
        return data


def _pieces(piece: Callable[[int], bytes], size: int) -> Iterator[bytes]:
    """The ``size`` bytes that ``piece`` gives from a place on."""
    start = 0
    while start < size:
        data = piece(start)
        start += len(data)
        if not data or start > size:
            raise VerificationFailed("a file of the data has another size than was told; nothing was written")
        yield data
