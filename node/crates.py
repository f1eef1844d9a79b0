"""Crates of submissions as files: written whole to a new place, and read as what a stranger sent.

A crate is a ZIP archive or a folder. When one is read nothing is unpacked: no name in it becomes a path, every size is
bounded before a byte of it is read, links and other odd files are refused, and no JSON in it is ever parsed, for its
metadata file is held against what the signed files say (:mod:`workflow.crate.check`).
"""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from catalog.block import BlockFields
from catalog.cid import Cid
from catalog.error import BadInput, Damaged, NotFound, VerificationFailed, shown
from node.plainfiles import new_place, place_below, write_new
from node.regular import read_regular
from node.storage.dagpb import decode_node
from node.storage.unixfs import build_file, chunks_of
from workflow.crate.check import Report, check_crate
from workflow.crate.layout import MAX_FILES, MAX_RESULT, METADATA, README, Bundle, read_files
from workflow.crate.logs import chain_of, index_of
from workflow.crate.metadata import Told, derived
from workflow.flow import parse_workflow
from workflow.parse import parse_tool
from workflow.tool import Tool

MAX_BYTES: Final = 1 << 30
"""Bytes of all files of a crate together."""

_RATIO: Final = 200
"""How often an archive may hold its own size: signed values are keys and hashes, which no archiver makes smaller."""

_DEPTH: Final = 4
"""Folders in one another: ``logs/SITE/LOG/NUMBER``."""

_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What of an archive is unpacked no further than one asks for: the others give all that a piece holds at once."""

_END: Final = 22
_LOCATOR: Final = 20
"""Bytes of the record that ends an archive, and of the one before it that only a ZIP64 archive has."""

_ENTRY: Final = 160
"""Bytes of one file in an archive's directory, its name of at most 110 characters with it."""

_TOOL: Final = "tool.cwl"
_ZIP: Final = ".zip"
_WHEN: Final = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Read:
    """A crate's parts, read; ``environments`` are those of the blocks that name one."""

    bundle: Bundle
    told: Told

    @property
    def tools(self) -> Mapping[Cid, Tool]:
        """The tools that it carries, by block."""
        return self.told.tools

    @property
    def environments(self) -> Mapping[Cid, Cid]:
        """By block that names one, its environment."""
        entries = (self.told.index.by_subject("block", str(block)) for block in self.told.tools)
        fields = [entry.fields for entry in entries if entry is not None and isinstance(entry.fields, BlockFields)]
        return {each.cid: each.environment for each in fields if each.environment is not None}


def read_bundle(files: Mapping[str, bytes]) -> Read:
    """Read the parts of a crate that was checked, or that comes from one's own node.

    Raises:
        VerificationFailed: they are not those of a submission; the message names the file. BadInput: its workflow or
            a tool cannot be read.
    """
    wrong: list[str] = []
    bundle = read_files(files, wrong)
    submission = bundle.submission
    if wrong or submission is None or bundle.workflow is None:
        raise VerificationFailed(wrong[0] if wrong else "there is no submission, or no workflow, in the crate")
    chain = chain_of(bundle, submission.consortium)
    tools = {block: parse_tool(text, _TOOL) for block, text in bundle.tools.items()}
    workflow = parse_workflow(bundle.workflow, "workflow")
    return Read(bundle, Told(submission, workflow, tools, bundle, chain, index_of(chain, bundle.shown)))


def only_signed(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of a crate without those that follow from the others."""
    return {path: data for path, data in files.items() if path not in (METADATA, README)}


def with_metadata(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of a crate with those that follow from them: its metadata file and a text for people.

    Raises:
        VerificationFailed, BadInput: as :func:`read_bundle`.
    """
    sizes = {path: len(data) for path, data in files.items()}
    return {**files, **derived(read_bundle(files).told, sizes)}


def check(files: Mapping[str, bytes]) -> Report:
    """Check a crate, offline (:func:`workflow.crate.check.check_crate`)."""
    return check_crate(files, _tool_link, file_cid)


def file_cid(data: bytes) -> Cid:
    """The CID of a file with these bytes, as a node's store names it."""
    return build_file(chunks_of(data), lambda _cid, _data: None).cid


def _tool_link(root: bytes) -> Cid | None:
    """The CID of ``tool.cwl`` by the node of a block's folder; None if a large folder's node does not say."""
    return next((link.cid for link in decode_node(root).links if link.name == _TOOL), None)


# --- writing ---------------------------------------------------------------------------------------------------------


def write_crate(files: Mapping[str, bytes], target: Path) -> None:
    """Write a crate to ``target``, a new ``….zip`` or a new folder; the same files give the same archive. Blocks.

    Raises:
        BadInput: ``target`` is there, or has no folder to be in. ComityError: the disk refuses.
    """
    with new_place(target) as aside:
        if target.suffix == _ZIP:
            with zipfile.ZipFile(aside, "x", zipfile.ZIP_DEFLATED) as archive:
                for path in sorted(files):
                    about = zipfile.ZipInfo(path, _WHEN)
                    about.compress_type, about.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                    archive.writestr(about, files[path])
        else:
            for path in sorted(files):
                place = place_below(aside, path)
                place.parent.mkdir(parents=True, exist_ok=True)
                write_new(place, iter((files[path],)))


# --- reading ---------------------------------------------------------------------------------------------------------


def read_crate(source: Path) -> dict[str, bytes]:
    """The files of a crate by path, of an archive or a folder that anybody may have made. Blocks.

    Raises:
        NotFound: nothing is there. BadInput: it cannot be read.
        VerificationFailed: it is no crate: too large, too many files, a link, a name that leads elsewhere.
    """
    try:
        mode = source.lstat().st_mode
        if stat.S_ISDIR(mode):
            return _read_folder(source)
        if not stat.S_ISREG(mode):
            raise VerificationFailed(f"{source} is a link, or neither a file nor a folder; name the crate itself")
        return _read_archive(source)
    except FileNotFoundError as error:
        raise NotFound(f"there is no crate at {source}; check the path") from error
    except Damaged as error:
        raise VerificationFailed(str(error)) from error
    except OSError as error:
        raise BadInput(f"the crate {source} cannot be read: {error.strerror or error}") from error


def _read_folder(source: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    left = MAX_BYTES
    for folder, folders, names in os.walk(source, onerror=_refuse):
        if len(Path(folder).relative_to(source).parts) > _DEPTH:
            raise VerificationFailed(f"{folder} lies deeper than any folder of a crate")
        for name in (*folders, *names):
            _refuse_odd(Path(folder, name))
        for name in names:
            path = Path(folder, name)
            _check_count(len(files))
            data = read_regular(path, min(left, _most(name)))
            files[path.relative_to(source).as_posix()] = data
            left -= len(data)
    return files


def _refuse(error: OSError) -> None:
    raise error


def _refuse_odd(path: Path) -> None:
    mode = path.lstat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise VerificationFailed(f"{path} is a link or no regular file; a crate has none")


def _read_archive(source: Path) -> dict[str, bytes]:
    try:
        with source.open("rb") as stream:
            size = _check_end(stream)
            with zipfile.ZipFile(stream) as archive:
                return _read_entries(archive, size)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        raise VerificationFailed(f"{source} is no archive that can be read: {error}") from error


def _check_end(stream: BinaryIO) -> int:
    """The size of an archive whose directory is no longer than a crate's may be: all of it is read at once.

    That is told by the record at the end, here the last bytes, and without the ZIP64 record that would say otherwise.
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - _LOCATOR - _END))
    tail = stream.read()
    end, locator = tail[-_END:], tail[:-_END]
    if not end.startswith(b"PK\x05\x06") or not end.endswith(b"\0\0") or locator.startswith(b"PK\x06\x07"):
        raise zipfile.BadZipFile("it does not end as a ZIP archive without a comment and without ZIP64 does")
    if int.from_bytes(end[12:16], "little") > MAX_FILES * _ENTRY:
        raise VerificationFailed(f"it has more than {MAX_FILES:,} files, which no crate has")
    return size


def _read_entries(archive: zipfile.ZipFile, size: int) -> dict[str, bytes]:
    entries = [each for each in archive.infolist() if not each.is_dir()]
    _check_archive(entries, size)
    return {each.filename: _read_entry(archive, each) for each in entries}


def _check_archive(entries: list[zipfile.ZipInfo], size: int) -> None:
    """By the archive's directory alone: nothing of it is read before."""
    _check_count(len(entries) - 1)
    names = [each.filename for each in entries]
    if len(set(names)) != len(names):
        raise VerificationFailed("a name stands twice in the archive")
    for each in entries:
        kind = each.external_attr >> 16 & 0o170000
        if each.filename.startswith("/") or "\\" in each.filename or ".." in each.filename.split("/"):
            raise VerificationFailed(f"the archive has a file «{shown(each.filename)}», whose name leads elsewhere")
        if kind not in (0, stat.S_IFREG):
            raise VerificationFailed(f"«{shown(each.filename)}» in the archive is a link or no regular file")
        if each.flag_bits & 1:
            raise VerificationFailed(f"«{shown(each.filename)}» in the archive is encrypted")
        if each.compress_type not in _METHODS:
            raise VerificationFailed(f"«{shown(each.filename)}» in the archive is packed otherwise than by deflate")
    whole = sum(each.file_size for each in entries)
    if whole > min(MAX_BYTES, _RATIO * size) or any(each.file_size > _most(each.filename) for each in entries):
        raise VerificationFailed(f"the archive of {size:,} bytes would become {whole:,}: more than a crate may have")


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """The bytes of a file, of which the directory said the size: what is longer was made to fill memory."""
    with archive.open(entry) as stream:
        data = stream.read(entry.file_size + 1)
    if len(data) != entry.file_size:
        raise VerificationFailed(f"«{shown(entry.filename)}» is not as long as the archive says")
    return data


def _most(name: str) -> int:
    """Bytes of one file. The metadata file names all others."""
    return MAX_BYTES // 4 if name == METADATA else MAX_RESULT


def _check_count(before: int) -> None:
    if before >= MAX_FILES:
        raise VerificationFailed(f"it has more than {MAX_FILES:,} files, which no crate has")
