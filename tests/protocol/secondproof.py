"""The second implementation's checks of what is proven: notes, forks, one proof of many leaves, heads, epochs, chains.

Like ``second.py`` it is written from the pages alone and shares no code with the product.
"""

import base64
import hashlib
import re
from collections.abc import Iterable
from typing import Any

from tests.protocol import second

Plain = dict[str, Any]
"""A value in DAG-JSON."""


def raw(told: Plain) -> bytes:
    """The bytes in a DAG-JSON ``{"/": {"bytes": …}}``."""
    text = told["/"]["bytes"]
    return base64.b64decode(text + "=" * (-len(text) % 4))


def node(left: bytes, right: bytes) -> bytes:
    """RFC 9162, 2.1.1."""
    return hashlib.sha256(b"\1" + left + right).digest()


def half(count: int) -> int:
    """The largest power of two smaller than ``count``."""
    split = 1
    while split * 2 < count:
        split *= 2
    return split


def opened(note: str, *dids: str) -> tuple[str, int, bytes]:
    """logs.md: origin, size and root of a checkpoint that each of ``dids`` signed."""
    text, _, lines = note.partition("\n\n")
    origin, size, root = text.split("\n")
    for did in dids:
        key_id = hashlib.sha256(origin.encode() + b"\n\x01" + second.public(did)).digest()[:4]
        mine = [base64.b64decode(line.split(" ")[2]) for line in lines.splitlines() if line.startswith(f"— {origin} ")]
        (signature,) = [data[4:] for data in mine if data[:4] == key_id]
        assert second.verifies(did, f"{text}\n".encode(), signature)
    return origin, int(size), base64.b64decode(root)


def ends(old: int, new: int, path: list[bytes]) -> tuple[bytes, bytes]:
    """logs.md: the roots at ``old`` and at ``new`` to which a full path leads; all of the path is used."""
    left = list(path)

    def walk(first: int, count: int) -> tuple[bytes, bytes]:
        if first == count:
            (only,) = left
            return only, only
        step, split = left.pop(), half(count)
        if first <= split:
            before, after = walk(first, split)
            return before, node(after, step)
        before, after = walk(first - split, count - split)
        return node(step, before), node(step, after)

    return walk(old, new)


def full_path(old: int, hashes: list[bytes]) -> list[bytes]:
    """logs.md: the consistency proof, and in front the root at ``old`` where that is a power of two."""
    alone = bin(old).count("1") == 1
    return [*([second.root(hashes[:old])] if alone else []), *second.subproof(old, hashes)]


def forked(fork: Plain, did: str) -> bool:
    """logs.md: whether the two notes prove that one key signed two histories."""
    (origin, size, root), (other, later, end) = (opened(fork[name], did) for name in ("first", "second"))
    assert origin == other
    path = fork["consistency"]
    if size == later:
        return path is None and root != end
    before, after = ends(size, later, [raw(step) for step in path])
    return after == end and before != root


def travelling(index: int, path: list[bytes], note: str) -> str:
    """C2SP tlog-proof: a leaf's index, its audit path, and the checkpoint that it leads to."""
    lines = ["c2sp.org/tlog-proof@v1", f"index {index}", *(base64.b64encode(step).decode() for step in path)]
    return "\n".join(lines) + "\n\n" + note


def given(indexes: Iterable[int], hashes: list[bytes]) -> bytes:
    """audit.md: the one proof of the leaves at ``indexes``."""
    shown = set(indexes)

    def walk(start: int, stop: int) -> bytes:
        if not shown & set(range(start, stop)):
            return second.root(hashes[start:stop])
        if stop - start == 1:
            return b""
        middle = start + half(stop - start)
        return walk(start, middle) + walk(middle, stop)

    return walk(0, len(hashes))


def rebuilt(leaves: dict[int, bytes], size: int, proof: bytes) -> bytes:
    """audit.md: the root to which leaves and their one proof lead; all of the proof is used."""
    steps = [proof[at : at + 32] for at in range(0, len(proof), 32)]

    def walk(start: int, stop: int) -> bytes:
        if not leaves.keys() & set(range(start, stop)):
            return steps.pop(0)
        if stop - start == 1:
            return leaves[start]
        middle = start + half(stop - start)
        left = walk(start, middle)
        return node(left, walk(middle, stop))

    root = walk(0, size)
    assert not steps
    return root


def head_leaf(subject: bytes, index: int, count: int) -> bytes:
    """audit.md: the hash of a leaf of the map of heads."""
    return second.leaf_hash(subject + index.to_bytes(8, "big") + count.to_bytes(8, "big"))


def climbed(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """RFC 9162, 2.1.3: the root to which an audit path leads."""
    if size == 1:
        assert not path
        return leaf
    split = half(size)
    if index < split:
        return node(climbed(leaf, index, split, path[:-1]), path[-1])
    return node(path[-1], climbed(leaf, index - split, size - split, path[:-1]))


def head(subject: str, count: int, root: bytes, proof: Plain) -> tuple[int, int] | None:
    """audit.md: index and number of the subject's last row, or none if the proof shows that it has no row."""
    key = hashlib.sha256(subject.encode()).digest()
    places: dict[int, bytes] = {}
    for placed in proof["heads"]:
        told, place, path = placed["head"], placed["place"], [raw(step) for step in placed["path"]]
        leaf = head_leaf(raw(told["subject"]), told["index"], told["count"])
        assert climbed(leaf, place, count, path) == root
        if raw(told["subject"]) == key:
            return told["index"], told["count"]
        places[place] = raw(told["subject"])
    before = max((place for place, each in places.items() if each < key), default=-1)
    after = min((place for place, each in places.items() if each > key), default=count)
    assert after == before + 1
    return None


def walked(subject: str, rows: list[tuple[int, Plain | None]]) -> tuple[int, int] | None:
    """audit.md: the last row of a chain and its number, if none is left out; a blank counts by its place alone."""
    last, number = None, 0
    for index, body in rows:
        link = body["fields"]["chain"][subject] if body is not None else {"before": last, "count": number + 1}
        if link != {"before": last, "count": number + 1}:
            return None
        last, number = index, number + 1
    return (last, number) if last is not None else None


def content(document: Plain) -> str:
    """membership.md: the content CID of an epoch document."""
    return second.cid(second.cbor(document | {"signatures": {}}), "dag-cbor")


def follows(now: Plain, document: Plain) -> bool:
    """membership.md: whether an epoch document follows another, signed by more than half of its members."""
    message = second.message("epoch", document, without="signatures")
    signatures, members = document["signatures"], now["members"]
    acting = {member["root"]: member["acting"] or member["root"] for member in members}
    roots = [member["root"] for member in document["members"]]
    gone = (set(now["left"]) | set(acting)) - set(roots)
    return (
        document["consortium"] == now["consortium"]
        and document["number"] == now["number"] + 1
        and document["previous"] == {"/": content(now)}
        and roots == sorted(set(roots))
        and set(document["left"]) == gone
        and all(second.verifies(acting[root], message, raw(each)) for root, each in signatures.items())
        and 2 * len(signatures) > len(members)
    )


def attenuates(child: Plain, parent: Plain, parent_cid: str) -> bool:
    """labels-and-grants.md: whether a grant hangs on another and permits no more."""

    def within(name: str) -> bool:
        less, more = ([second.cbor(each) for each in grant[name]] for grant in (child, parent))
        return set(less) <= set(more)

    def narrowed(name: str) -> bool:
        return not parent[name] or (bool(child[name]) and within(name))

    def same(name: str) -> bool:
        return child[name] == parent[name]

    return (
        child["parent"] == {"/": parent_cid}
        and child["issuer"] == parent["subject"]
        and all(map(same, ("site", "project", "consortium")))
        and all(map(within, ("datasets", "purposes", "actions", "claims")))
        and all(map(narrowed, ("blocks", "destinations")))
        and child["not_after"] <= parent["not_after"]
    )


def kept(request: Plain) -> tuple[str, str, str]:
    """transport.md: who signed a request that was kept, for which server, and its path."""
    base = raw(request["base"])
    text = base.decode("ascii")
    (key,) = re.findall(r';keyid="(did:key:[^"]+)"', text)
    assert second.verifies(key, base, raw(request["sig"]))
    (peer,) = re.findall(r'^"comity-peer": (.*)$', text, re.MULTILINE)
    (path,) = re.findall(r'^"@path": (.*)$', text, re.MULTILINE)
    return key, peer, path
