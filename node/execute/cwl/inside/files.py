"""Files as cwltool looks at them, each answered by the node; and where each stands: at the path that it is named by."""

from __future__ import annotations

import fnmatch
import io
import posixpath
from collections.abc import MutableSequence
from typing import IO, Any
from urllib.parse import quote, unquote

from cwl_utils.types import CWLDirectoryType, CWLFileType
from cwltool.pathmapper import MapperEnt, PathMapper
from cwltool.stdfsaccess import StdFsAccess
from schema_salad.fetcher import DefaultFetcher

from node.execute.cwl.inside.channel import Channel
from node.execute.cwl.message import MOST_READ, Look, Read

SCHEME = "file://"


def path_of(name: str) -> str:
    """The path of a location; of a path, itself."""
    return unquote(name.removeprefix(SCHEME)) if name.startswith(SCHEME) else name


def location_of(path: str) -> str:
    """The location of a path."""
    return SCHEME + quote(path, safe="/")


class Files(StdFsAccess):
    """cwltool's view of files (its port ``StdFsAccess``)."""

    def __init__(self, basedir: str, channel: Channel) -> None:
        super().__init__(basedir)
        self._channel = channel

    def glob(self, pattern: str) -> list[str]:
        """The locations of what matches: ``*``, ``?`` and ``[…]`` within each name, as POSIX has it."""
        found = [""]
        for part in self._abs(pattern).strip("/").split("/"):
            found = [f"{place}/{name}" for place in found for name in self._matching(place, part)]
        return [location_of(each) for each in found]

    def open(self, fn: str, mode: str) -> IO[Any]:
        """Its beginning, up to a bound.

        Raises:
            FileNotFoundError: the node has no such file.
        """
        said = self._channel.ask(Read(path=self._abs(fn), most=MOST_READ))
        if said.kind != "file":
            raise FileNotFoundError(fn)
        return io.BytesIO(said.data) if "b" in mode else io.StringIO(said.data.decode())

    def exists(self, fn: str) -> bool:
        """Whether there is anything of that name."""
        return self._kind(fn) != ""

    def size(self, fn: str) -> int:
        """Bytes of a file."""
        return self._channel.ask(Look(path=self._abs(fn))).size

    def isfile(self, fn: str) -> bool:
        """Whether it is a file."""
        return self._kind(fn) == "file"

    def isdir(self, fn: str) -> bool:
        """Whether it is a folder."""
        return self._kind(fn) == "folder"

    def listdir(self, fn: str) -> list[str]:
        """The locations of what lies in a folder."""
        place = self._abs(fn)
        names = self._channel.ask(Look(path=place, inside=True)).names
        return [location_of(posixpath.join(place, name)) for name in sorted(names)]

    def realpath(self, path: str) -> str:
        """The path: there are no links."""
        return path

    def _abs(self, p: str) -> str:
        return posixpath.normpath(posixpath.join(self.basedir or "/", path_of(p)))

    def _kind(self, name: str) -> str:
        return self._channel.ask(Look(path=self._abs(name))).kind

    def _matching(self, place: str, part: str) -> list[str]:
        if not any(sign in part for sign in "*?["):
            return [part] if self.exists(f"{place}/{part}") else []
        names = self._channel.ask(Look(path=place or "/", inside=True)).names
        hidden = part.startswith(".")
        return sorted(n for n in names if fnmatch.fnmatchcase(n, part) and (hidden or not n.startswith(".")))


class Texts(DefaultFetcher):
    """The documents that others name (schema-salad's port ``Fetcher``): what the node has, and no address."""

    channel: Channel

    def __init__(self, cache: Any, session: Any = None) -> None:
        super().__init__(cache, session)

    def fetch_text(self, url: str, content_types: list[str] | None = None) -> str:  # noqa: ARG002
        """A document's text.

        Raises:
            ValidationException: there is none.
        """
        from schema_salad.exceptions import ValidationException

        said = self.channel.ask(Read(path=path_of(url), most=MOST_READ)) if url.startswith(SCHEME) else None
        if said is None or said.kind != "file":
            raise ValidationException(f"{path_of(url)} is not here")
        try:
            return said.data.decode()
        except UnicodeDecodeError as error:
            raise ValidationException(f"{path_of(url)} is no text") from error

    def check_exists(self, url: str) -> bool:
        """Whether the node has it."""
        return url.startswith(SCHEME) and self.channel.ask(Look(path=path_of(url))).kind != ""


class Mapper(PathMapper):
    """Where files stand for the command: at the path by which they are named, or in ``stagedir`` what is made anew."""

    def setup(self, referenced_files: MutableSequence[CWLFileType | CWLDirectoryType], basedir: str) -> None:
        """Take all of them up."""
        for number, each in enumerate(referenced_files):
            folder = self._folder(each, number)
            self.visit(each, folder, basedir, copy=bool(each.get("writable", False)), staged=True)

    def _folder(self, each: CWLFileType | CWLDirectoryType, number: int) -> str:
        if not self.separateDirs:
            return self.stagedir
        location = each["location"]
        if location.startswith(SCHEME):
            place, name = posixpath.split(path_of(location))
            if name == each["basename"]:
                return place
        return posixpath.join(self.stagedir, f"new-{number}")

    def visit(
        self,
        obj: CWLFileType | CWLDirectoryType,
        stagedir: str,
        basedir: str,
        copy: bool = False,
        staged: bool = False,
    ) -> None:
        """Take one up with all that belongs to it."""
        location = obj["location"]
        if location in self._pathmap:
            return
        folder = str(obj.get("dirname") or stagedir)
        target = posixpath.join(folder, obj["basename"])
        resolved = path_of(location)  # without its scheme, by which cwltool knows what it resolved
        if obj["class"] == "Directory":
            self._pathmap[location] = MapperEnt(resolved, target, "WritableDirectory" if copy else "Directory", staged)
            inner = staged and not location.startswith(SCHEME)
            self.visitlisting(obj.get("listing", []), target, basedir, copy=copy, staged=inner)
            return
        if "contents" in obj and location.startswith("_:"):
            self._pathmap[location] = MapperEnt(
                obj["contents"], target, "CreateWritableFile" if copy else "CreateFile", staged
            )
        else:
            self._pathmap[location] = MapperEnt(resolved, target, "WritableFile" if copy else "File", staged)
        self.visitlisting(obj.get("secondaryFiles", []), folder, basedir, copy=copy, staged=staged)
