"""``docs/protocol/comity.cddl``: the shape and the bounds of every value, in CDDL (RFC 8610), from the product's types.

CDDL counts the bytes of a text where the product counts its characters, so those bounds stand as comments.
"""

import re
from collections.abc import Iterator
from typing import get_args

from msgspec import inspect

from catalog.body import Body
from catalog.dagcbor import Value
from catalog.entry import KINDS
from catalog.fork import ForkFile
from catalog.grant import Grant
from catalog.headmap import HeadProof
from catalog.httpsig import SignedRequest
from catalog.label import Label
from catalog.manifest import Manifest
from catalog.member import Epoch
from catalog.reopening import Reopening
from node.admission import Announcement, Standing
from node.founding import Founding, Invite, Knock
from node.header import HeaderRequest
from node.message import (
    Added,
    Complaints,
    Done,
    Envelope,
    Foreseen,
    Halt,
    HeadsAnswer,
    ProofAnswer,
    Question,
    ReceiptsAnswer,
    Reply,
    Reported,
    SeenAnswer,
    Who,
    WhoAnswer,
)
from node.replicate.catchup import BodiesAnswer
from workflow.account import ACCOUNTS
from workflow.cancellation import Cancellation
from workflow.crate.layout import Shown
from workflow.inquiry import Answer
from workflow.order import Order
from workflow.receipt import Receipt
from workflow.report import Report
from workflow.submission import Submission

CATALOG = {kind: entry.fields for kind, entry in KINDS.items()}
ROOTS: dict[str, tuple[type[Value], ...]] = {
    "Signed by a person, a root or a node": (
        Body, Grant, Invite, Submission, Order, Receipt, Report, Who, Halt, Answer, Cancellation, Reopening, Epoch
    ),
    "The fields of entries of a catalog": tuple(dict.fromkeys(CATALOG.values())),
    "The fields of rows of an audit log": tuple(dict.fromkeys(ACCOUNTS.values())),
    "Questions and answers on a control connection": (
        Envelope, Reply, HeadsAnswer, ProofAnswer, Added, Foreseen, Complaints, Reported, WhoAnswer, HeadProof
    ),
    "Bodies of requests and answers over HTTPS": (
        Knock, Founding, Standing, Announcement, Done, BodiesAnswer, SeenAnswer, ReceiptsAnswer,
        HeaderRequest,
    ),
    "What is kept, and what lies in files": (SignedRequest, Label, ForkFile, Manifest, Shown),
}  # fmt: skip

PRELUDE = r"""
; A link (CID): tag 42 around 00 and the binary CID, which has 36 bytes, or 39 if it is keyed.
cid = #6.42(bstr .size (37..40))
; 63 bits: a place in a log, a size, a number of things, Unix milliseconds.
count = 0..9223372036854775807
; Millionths of the consortium's unit of money.
micros = 0..9007199254740992
hash = bstr .size 32
signature = bstr .size 64
did = tstr .regexp "did:key:z6Mk[1-9A-HJ-NP-Za-km-z]{44}"
reader = tstr .regexp "did:key:z6Mk[1-9A-HJ-NP-Za-km-z]{44}(@did:key:z6Mk[1-9A-HJ-NP-Za-km-z]{44})?"
handle = tstr .regexp "held:did:key:z6Mk[1-9A-HJ-NP-Za-km-z]{44}/[0-9a-f]{32}"
duo-term = tstr .regexp "DUO:[0-9]{7}(/[0-9A-Za-z][0-9A-Za-z:._-]{0,63})?"
output-type = tstr .regexp "[a-z][a-z-]{0,31}"
step-name = tstr .regexp "[A-Za-z0-9_][A-Za-z0-9_./-]*" ; at most 120 characters
address = tstr .regexp "[!-~]+" ; at most 256 characters
address-or-none = tstr .regexp "[!-~]*" ; likewise, empty for a site that only dials out
; 1 to 120 characters, none of them one of those that values.md names.
name = tstr
; 1 to 255 characters without blanks, and none of those that values.md names.
plain = tstr
""".strip()

_NAMED = {
    inspect.NoneType: "null",
    inspect.BoolType: "bool",
    inspect.AnyType: "any",
    inspect.CustomType: "cid",
}


_RANGES = {(0, (1 << 63) - 1): "count", (0, 1 << 53): "micros"}


def rule_name(kind: type) -> str:
    """The rule of a class: ``GrantFields`` is ``grant-fields``; a question has its tag's."""
    if kind in get_args(Question):
        return f"{kind.__struct_config__.tag}-question"
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", kind.__name__).lower()


def cddl() -> str:
    """The whole file."""
    done: set[type] = set()
    parts = ["; Comity's protocol, version 1: every value as it is encoded (CDDL, RFC 8610).", PRELUDE]
    for title, roots in ROOTS.items():
        rules = [rule for root in roots for rule in _rules(root, done)]
        parts.append("\n\n".join([f"; --- {title} ---", *rules]))
    for title, kinds in (("catalog", CATALOG), ("audit", ACCOUNTS)):
        lines = [f"; {kind}: {rule_name(fields)}" for kind, fields in kinds.items()]
        parts.append("\n".join([f"; The fields of a body in the {title} log, by its kind:", *lines]))
    return "\n\n".join(parts) + "\n"


def _rules(kind: type, done: set[type]) -> Iterator[str]:
    """The rule of a struct, and of those in it, before that."""
    if kind in done:
        return
    done.add(kind)
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    for field in info.fields:
        for inner in _structs(field.type):
            yield from _rules(inner, done)
    lines = [f'  "{info.tag_field}": "{info.tag}",'] if info.tag else []
    lines += [_line(field.encode_name, field.type) for field in info.fields]
    yield "\n".join([f"{rule_name(kind)} = {{", *lines, "}"]) if lines else f"{rule_name(kind)} = {{}}"


def _line(name: str, kind: inspect.Type) -> str:
    text, remark = _written(kind)
    return f'  "{name}": {text},' + (f" ; {remark}" if remark else "")


def _structs(kind: inspect.Type) -> Iterator[type]:
    match kind:
        case inspect.StructType():
            yield kind.cls
        case inspect.UnionType():
            for each in kind.types:
                yield from _structs(each)
        case inspect.CollectionType():
            yield from _structs(kind.item_type)
        case inspect.DictType():
            yield from _structs(kind.value_type)
        case _:
            pass


def _written(kind: inspect.Type) -> tuple[str, str]:
    """A type in CDDL, and what it cannot say, in words."""
    match kind:
        case inspect.StrType():
            return _text(kind)
        case inspect.UnionType():
            texts = [_written(each) for each in kind.types]
            return " / ".join(text for text, _ in texts), next((remark for _, remark in texts if remark), "")
        case inspect.VarTupleType() | inspect.ListType():
            text, remark = _written(kind.item_type)
            return f"[{_times(kind.min_length, kind.max_length)}{_grouped(text)}]", remark and f"each {remark}"
        case inspect.TupleType():
            return "[" + ", ".join(_written(each)[0] for each in kind.item_types) + "]", ""
        case inspect.DictType():
            key, of_key = _written(kind.key_type)
            value, of_value = _written(kind.value_type)
            entry = f"{{{_times(kind.min_length, kind.max_length)}{key} => {value}}}"
            return entry, " ".join(filter(None, (of_key and f"keys of {of_key}", of_value and f"values of {of_value}")))
    return _atom(kind), ""


def _atom(kind: inspect.Type) -> str:
    match kind:
        case inspect.StructType():
            return rule_name(kind.cls)
        case inspect.LiteralType():
            return " / ".join(f'"{value}"' for value in kind.values)
        case inspect.EnumType():
            return " / ".join(f'"{each.value}"' for each in kind.cls)
        case inspect.IntType():
            return _integer(kind)
        case inspect.BytesType():
            return _bytes(kind)
    return _NAMED[type(kind)]


def _grouped(text: str) -> str:
    return f"({text})" if " / " in text else text


def _times(least: int | None, most: int | None) -> str:
    return f"{least or 0}*{most} " if most is not None else ("+ " if least else "* ")


def _integer(kind: inspect.IntType) -> str:
    least, most = kind.ge, kind.le if kind.le is not None else (kind.lt - 1 if kind.lt is not None else None)
    if least is None and most is None:
        return "int"
    return _RANGES.get((least, most), f"{least}..{most}")


def _bytes(kind: inspect.BytesType) -> str:
    least, most = kind.min_length or 0, kind.max_length
    if most is None:
        return "bstr"
    if least == most:
        return {32: "hash", 64: "signature"}.get(most, f"bstr .size {most}")
    return f"bstr .size ({least}..{most})"


def _text(kind: inspect.StrType) -> tuple[str, str]:
    pattern = (kind.pattern or "").removeprefix("^").removesuffix(r"\Z")
    named = re.search(rf'^([a-z-]+) = tstr \.regexp "{re.escape(pattern)}"', PRELUDE, re.MULTILINE) if pattern else None
    if named is not None:
        return named[1], ""
    if r"\x00" in pattern:
        return ("name" if kind.max_length == 120 else "plain"), ""
    if pattern:
        return f'tstr .regexp "{pattern}"', ""
    if kind.max_length is None:
        return "tstr", ""
    span = f"{kind.min_length} to" if kind.min_length else "at most"
    return "tstr", f"{span} {kind.max_length} characters"
