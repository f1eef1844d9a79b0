"""What an environment says of itself: ``environment.json`` beside its files, and the reference to it in a block.

An environment is a folder under one CID that holds ``environment.json`` and ``root``: plain files and folders, every
file executable, none with an owner, a time or a set-user-id bit. Its links are not in the folder: they stand in
``environment.json``, so that nothing on a host can be led through one.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeVar

import msgspec

from catalog.cid import Cid
from catalog.error import BadInput, VerificationFailed, shown
from node.execute.machine import platform_here

FILE: Final = "environment.json"
"""Its name in an environment, and that of the reference in a block's folder."""
ROOT: Final = "root"
"""The folder of an environment whose content a step finds at its own root."""
MOST_BYTES: Final = 16 << 20
"""Of either file."""
MOST_LINKS: Final = 200_000
MOST_DEPTH: Final = 64
"""Names in the path of a link."""
MOST_PACKAGES: Final = 2_000


Digest = Annotated[str, msgspec.Meta(pattern=r"^sha256:[0-9a-f]{64}\Z")]
Platform = Annotated[str, msgspec.Meta(pattern=r"^linux/[a-z0-9_]{1,16}\Z")]
Variable = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}\Z")]
Setting = Annotated[str, msgspec.Meta(max_length=32_768, pattern=r"^[^\x00]*\Z")]
Path = Annotated[str, msgspec.Meta(min_length=1, max_length=4_095)]
Target = Annotated[str, msgspec.Meta(min_length=1, max_length=4_095, pattern=r"^[^\x00]+\Z")]
PackageName = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=r"^[a-z0-9][a-z0-9._-]*\Z")]
PackageVersion = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[!-~]+\Z")]
Packages = Annotated[dict[PackageName, PackageVersion], msgspec.Meta(max_length=MOST_PACKAGES)]

J = TypeVar("J", bound=msgspec.Struct)


class Description(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``environment.json`` of an environment for ``platform``.

    ``links`` are by their path below the root, each with what stands in it; ``variables`` what its programs expect.
    It was made of the lock file, or of the image, that has the SHA-256 digest ``lock`` or ``image``.
    """

    platform: Platform
    variables: Annotated[dict[Variable, Setting], msgspec.Meta(max_length=1_024)]
    links: Annotated[dict[Path, Target], msgspec.Meta(max_length=MOST_LINKS)]
    lock: Digest | None = None
    image: Digest | None = None

    def __post_init__(self) -> None:
        """Raises ValueError, which msgspec tells as one of its own, for what no environment says."""
        if (self.lock is None) is (self.image is None):
            raise ValueError("an environment is made of one lock, or of one image")
        for path in self.links:
            _check_path(path, self.links)


class Reference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``environment.json`` of a block whose tool asks for an environment: which one, and what it is.

    The block's CID covers it. ``packages`` are what the lock named, ``bytes`` the size of all its files together.
    """

    environment: str
    platform: Platform
    bytes: Annotated[int, msgspec.Meta(ge=0, le=1 << 50)]
    lock: Digest | None = None
    image: Digest | None = None
    packages: Packages = msgspec.field(default_factory=dict)

    @property
    def cid(self) -> Cid:
        """The environment's CID.

        Raises:
            BadInput: it is none.
        """
        return Cid.parse(self.environment)


def write(value: Description | Reference) -> bytes:
    """The one JSON text of ``value``: the same value is the same bytes, so it has the same CID.

    Raises:
        BadInput: nobody would read it.
    """
    data = msgspec.json.format(msgspec.json.encode(value, order="deterministic"), indent=1) + b"\n"
    try:
        read(type(value), data)
    except VerificationFailed as error:
        raise BadInput(str(error)) from error
    return data


def read(kind: type[J], data: bytes) -> J:
    """Read a :class:`Description` or a :class:`Reference`.

    Raises:
        VerificationFailed: it is too large, malformed, or says what no environment says.
    """
    if len(data) > MOST_BYTES:
        raise VerificationFailed(f"«{FILE}» of an environment was refused: more than {MOST_BYTES:,} bytes")
    try:
        return msgspec.json.decode(data, type=kind, strict=True)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise VerificationFailed(f"«{FILE}» of an environment was refused: {shown(str(error))}") from error


def check_platform(platform: str) -> None:
    """Check that an environment for ``platform`` runs here.

    Raises:
        BadInput: it does not; the message names both.
    """
    if platform != platform_here():
        raise BadInput(
            f"the environment is made for {platform}, and this site runs {platform_here()}: "
            "let a site of that kind run the block, or have its author make one for this kind"
        )


def _check_path(path: str, links: dict[str, str]) -> None:
    parts = path.split("/")
    if len(parts) > MOST_DEPTH:  # each of them is looked at in all its beginnings
        raise ValueError(f"the link «{shown(path, 80)}» lies in more than {MOST_DEPTH - 1} folders")
    for part in parts:
        if part in ("", ".", "..") or "\0" in part or (len(part) > 63 and len(part.encode(errors="replace")) > 255):
            raise ValueError(f"«{shown(path, 80)}» is no path of a link")
    end = path.find("/")
    while end >= 0:
        if path[:end] in links:
            raise ValueError(f"the link «{shown(path, 80)}» would lie in another link")
        end = path.find("/", end + 1)
