"""Who takes part: hospitals with data, one institute with a researcher, one that only witnesses, and their names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from catalog.error import BadInput
from node.config import Folder
from node.keyfile import slug

CONSORTIUM: Final = "Breast imaging consortium"
RESEARCHER: Final = "mara"
PROJECT: Final = "breast-imaging"
"""The project that every hospital supports: general research, DUO:0000042."""

ANCESTRY: Final = "ancestry"
"""A project whose purpose, DUO:0000011, a hospital's own rule refuses, although its steward granted access."""

_HOSPITALS: Final = (
    ("st-anna", "St. Anna Hospital", "0.20"),
    ("nordstad", "Nordstad Clinic", "0.25"),
    ("holm", "Holm University Hospital", "0.30"),
    ("lindau", "Lindau Hospital", "0.20"),
    ("mereside", "Mereside Clinic", "0.25"),
    ("westerhof", "Westerhof Hospital", "0.30"),
    ("eichen", "Eichen Clinic", "0.20"),
    ("salthaven", "Salthaven Hospital", "0.25"),
)
LEAST: Final = 2
MOST: Final = 16

WITNESSED: Final = 4
"""From so many sites on a devnet has a member beside them that only witnesses logs."""


@dataclass(frozen=True, slots=True)
class Institution:
    """A site before it is made: ``handle`` names it on a command line, ``price`` is what one step costs there.

    One that is neither a hospital nor the institute is a witness: it cosigns logs and publishes nothing.
    """

    handle: str
    name: str
    price: str
    hospital: bool
    witness: bool = False

    @property
    def steward(self) -> str:
        """The name of its steward's key."""
        return f"{self.handle}-steward"

    @property
    def dataset(self) -> str:
        """The name of its dataset."""
        return f"{self.handle}-tumours"


@dataclass(frozen=True, slots=True)
class Topology:
    """Every institution: the hospitals, the institute, and at last the witness, if there is one."""

    sites: tuple[Institution, ...]

    @property
    def hospitals(self) -> tuple[Institution, ...]:
        """Those with patients' data."""
        return tuple(each for each in self.sites if each.hospital)

    @property
    def institute(self) -> Institution:
        """Where the researcher is at home."""
        return next(each for each in self.sites if not each.hospital and not each.witness)

    @property
    def publishers(self) -> tuple[Institution, ...]:
        """Those with something to publish: all but the witness."""
        return tuple(each for each in self.sites if not each.witness)


@dataclass(frozen=True, slots=True)
class Places:
    """Where things lie below the folder of a devnet."""

    path: Path

    @property
    def state(self) -> Path:
        """What runs."""
        return self.path / "devnet.json"

    @property
    def home(self) -> Path:
        """The configuration folder of the people, ``COMITY_HOME``."""
        return self.path / "people"

    def site(self, institution: Institution) -> Folder:
        """A site's folder."""
        return Folder(self.path / "sites" / institution.handle)

    @property
    def passphrase(self) -> Path:
        """The file with the passphrase of all root keys: made for this devnet, and gone with it."""
        return self.path / "root.passphrase"

    @property
    def logs(self) -> Path:
        """What the nodes print."""
        return self.path / "logs"

    def log(self, institution: Institution) -> Path:
        """What a node prints."""
        return self.logs / f"{institution.handle}.log"

    def table(self, institution: Institution) -> Path:
        """A hospital's table of patients."""
        return self.path / "data" / institution.handle / "tumours.csv"


def topology(sites: int) -> Topology:
    """``sites - 1`` hospitals and the institute, and from four of them on a witness besides.

    Raises:
        BadInput: too few or too many.
    """
    if not LEAST <= sites <= MOST:
        raise BadInput(f"a devnet has {LEAST} to {MOST} sites, the institute among them; {sites} were asked for")
    more = ((f"hospital-{number}", f"Hospital {number}", "0.25") for number in range(len(_HOSPITALS) + 1, MOST))
    chosen = (*_HOSPITALS, *more)[: sites - 1]
    hospitals = (Institution(handle, name, price, True) for handle, name, price in chosen)
    institute = Institution("institute", "Institute for Data Medicine", "0.05", False)
    witness = Institution("data-trust", "Data Trust", "0", False, witness=True)
    return Topology((*hospitals, institute, *((witness,) if sites >= WITNESSED else ())))


def named(known: Topology, name: str) -> Institution:
    """The institution of that handle or name.

    Raises:
        BadInput: there is none; the message names those that there are.
    """
    for each in known.sites:
        if name in (each.handle, each.name) or slug(name) == each.handle:
            return each
    raise BadInput(f"no site «{name}» is in this devnet; there are: {', '.join(each.handle for each in known.sites)}")
