"""What a crate of a submission is made of: signed values in canonical bytes, each in a file that its content names.

No file says what another does not prove: the metadata file is a function of these
(:func:`workflow.crate.metadata.metadata`), so whoever has them writes it again and compares.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Annotated, Final

import msgspec

from catalog.body import Index
from catalog.cid import DAG_PB, Cid
from catalog.dagcbor import Value, cid_of, decode, encode
from catalog.error import ComityError, VerificationFailed, shown
from catalog.leaf import LEAF_BYTES, Hash
from catalog.member import Epoch
from catalog.origin import log_of, number_of, site_of
from catalog.proof import MAX_PROOF
from workflow.order import Order
from workflow.receipt import Receipt
from workflow.submission import Submission

METADATA: Final = "ro-crate-metadata.json"
README: Final = "README.md"
SUBMISSION: Final = "submission.cbor"
WORKFLOW: Final = "workflow.cwl"
RESULTS: Final = "results/"

MAX_VALUE: Final = 1 << 20
"""Bytes of a file with a signed value, or of a workflow's or a tool's text."""

MAX_RESULT: Final = 16 << 20
"""Bytes of a result in a crate: as much as a node hands out at once."""

MAX_FILES: Final = 65_535
"""Files of a crate: as many as a ZIP archive has without ZIP64."""

_DID: Final = "did:key:"


class Shown(Value, frozen=True, kw_only=True):
    """A leaf of the log ``log`` (its origin) with what it commits to, and the proof that it stands there.

    ``proof`` is a C2SP tlog-proof, the cosigned checkpoint in it.
    """

    log: Annotated[str, msgspec.Meta(max_length=200)]
    index: Index
    leaf: Annotated[bytes, msgspec.Meta(min_length=LEAF_BYTES, max_length=LEAF_BYTES)]
    salt: Hash
    body: Annotated[bytes, msgspec.Meta(max_length=64 << 10)]
    proof: Annotated[str, msgspec.Meta(max_length=MAX_PROOF)]

    @property
    def path(self) -> str:
        """Where it lies in a crate."""
        name = log_of(self.log, site_of(self.log))
        return f"logs/{site_of(self.log).removeprefix(_DID)}/{name}/{number_of(self.log)}/{self.index}.cbor"


@dataclass(slots=True)
class Bundle:
    """The parts of a crate.

    ``finals`` has the first of the receipts for each order; ``roots`` and ``tools`` are, for each block, the dag-pb
    node that its CID names and the text of its ``tool.cwl``; ``results`` bytes by CID. What lacks is None or not there.
    """

    submission: Submission | None = None
    workflow: str | None = None
    epochs: dict[int, Epoch] = field(default_factory=dict)
    orders: dict[Cid, Order] = field(default_factory=dict)
    receipts: dict[Cid, Receipt] = field(default_factory=dict)
    finals: dict[Cid, Receipt] = field(default_factory=dict)
    shown: list[Shown] = field(default_factory=list)
    roots: dict[Cid, bytes] = field(default_factory=dict)
    tools: dict[Cid, bytes] = field(default_factory=dict)
    results: dict[Cid, bytes] = field(default_factory=dict)

    def receipt_of(self, order: Cid) -> Receipt | None:
        """The final receipt for an order, if there is one."""
        return self.finals.get(order)

    def in_order(self) -> list[tuple[Cid, Order]]:
        """The orders by step, shard and attempt."""
        return sorted(
            self.orders.items(), key=lambda each: (each[1].step, each[1].shard, each[1].attempt, str(each[0]))
        )


def proofs_of(bundle: Bundle) -> list[tuple[Order, Receipt]]:
    """The receipts that name a released output, each after those that its order names as proofs."""
    named = {
        cid: (order, receipt)
        for cid, receipt in bundle.receipts.items()
        if (order := bundle.orders.get(receipt.order)) is not None
        and any(each.cid for each in receipt.outputs.values())
    }
    # A receipt names its order, which names the receipts before it, by their hashes: there is no circle in that.
    before = {cid: [each for each in order.proofs if each in named] for cid, (order, _) in named.items()}
    return [named[cid] for cid in TopologicalSorter(before).static_order()]


Signed = Submission | Order | Receipt | Epoch | Shown
"""What has a file of its own, in its canonical bytes."""


def path_of(value: Signed) -> str:
    """Where a signed value lies in a crate."""
    match value:
        case Submission():
            return SUBMISSION
        case Order():
            return f"orders/{cid_of(value)}.cbor"
        case Receipt():
            return f"receipts/{cid_of(value)}.cbor"
        case Epoch():
            return f"epochs/{value.number}.cbor"
        case Shown():
            return value.path


def root_path(block: Cid) -> str:
    """Where the dag-pb node of a block's folder lies."""
    return f"blocks/{block}/root.dag-pb"


def tool_path(block: Cid) -> str:
    """Where the text of a block's tool lies."""
    return f"blocks/{block}/tool.cwl"


def result_path(cid: Cid) -> str:
    """Where the bytes of a result lie."""
    return f"{RESULTS}{cid}"


def files_of(values: Iterable[Signed]) -> dict[str, bytes]:
    """The files of signed values."""
    return {path_of(each): encode(each) for each in values}


def read_files(files: Mapping[str, bytes], wrong: list[str]) -> Bundle:
    """The parts of a crate from its files; nothing of them is verified but that each is what its name says.

    What is not goes to ``wrong``, a line for each.
    """
    bundle = Bundle()
    for path, data in sorted(files.items()):
        if path not in (METADATA, README):
            try:
                _read(bundle, path, data)
            except (ComityError, UnicodeDecodeError) as error:
                wrong.append(f"{shown(path)}: {error}")
    return bundle


def _read(bundle: Bundle, path: str, data: bytes) -> None:
    for pattern, read in _PARTS:
        if (found := pattern.fullmatch(path)) is not None:
            if len(data) > (MAX_RESULT if path.startswith(RESULTS) else MAX_VALUE):
                raise VerificationFailed(f"it has {len(data):,} bytes, more than such a file may have")
            read(bundle, found, data)
            return
    raise VerificationFailed("no crate of this version has such a file")


def _submission(bundle: Bundle, _found: re.Match[str], data: bytes) -> None:
    bundle.submission = decode(Submission, data)


def _workflow(bundle: Bundle, _found: re.Match[str], data: bytes) -> None:
    bundle.workflow = data.decode()


def _epoch(bundle: Bundle, found: re.Match[str], data: bytes) -> None:
    value = decode(Epoch, data)
    _check_named(value.number == int(found[1]))
    bundle.epochs[value.number] = value


def _order(bundle: Bundle, found: re.Match[str], data: bytes) -> None:
    value, cid = decode(Order, data), Cid.parse(found[1])
    _check_named(cid == cid_of(value))
    bundle.orders[cid] = value


def _receipt(bundle: Bundle, found: re.Match[str], data: bytes) -> None:
    value, cid = decode(Receipt, data), Cid.parse(found[1])
    _check_named(cid == cid_of(value))
    bundle.receipts[cid] = value
    bundle.finals.setdefault(value.order, value)


def _shown(bundle: Bundle, found: re.Match[str], data: bytes) -> None:
    value = decode(Shown, data)
    _check_named(log_of(value.log, site_of(value.log)) is not None and value.path == found[0])
    bundle.shown.append(value)


def _root(bundle: Bundle, found: re.Match[str], data: bytes) -> None:
    cid = Cid.parse(found[1])
    _check_named(cid == Cid.of(data, DAG_PB))
    bundle.roots[cid] = data


def _tool(bundle: Bundle, found: re.Match[str], data: bytes) -> None:
    bundle.tools[Cid.parse(found[1])] = data


def _result(bundle: Bundle, found: re.Match[str], data: bytes) -> None:
    bundle.results[Cid.parse(found[1])] = data


def _check_named(right: bool) -> None:
    if not right:
        raise VerificationFailed("it is not what its name says")


_CID: Final = r"(b[a-z2-7]{10,95})"
_PARTS: Final[tuple[tuple[re.Pattern[str], Callable[[Bundle, re.Match[str], bytes], None]], ...]] = tuple(
    (re.compile(pattern, re.ASCII), read)
    for pattern, read in (
        (r"submission\.cbor", _submission),
        (r"workflow\.cwl", _workflow),
        (r"epochs/(0|[1-9][0-9]{0,9})\.cbor", _epoch),
        (rf"orders/{_CID}\.cbor", _order),
        (rf"receipts/{_CID}\.cbor", _receipt),
        (r"logs/z6Mk[1-9A-HJ-NP-Za-km-z]{44}/(?:catalog|audit)/[0-9]{1,6}/[0-9]{1,19}\.cbor", _shown),
        (rf"blocks/{_CID}/root\.dag-pb", _root),
        (rf"blocks/{_CID}/tool\.cwl", _tool),
        (rf"results/{_CID}", _result),
    )
)
