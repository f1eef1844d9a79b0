"""Every decoder that reads what a peer sent, with bytes that it takes and, where there is one, the way back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from catalog.body import read_body, write_body
from catalog.checkpoint import (
    Checkpoint,
    add_line,
    cosign,
    cosigners,
    merge_cosignatures,
    open_checkpoint,
    sign_checkpoint,
)
from catalog.cid import Cid
from catalog.crypt4gh import open_segment, public_of, read_header, seal_segment, write_header
from catalog.dagcbor import Value, decode, decode_plain, encode
from catalog.entry import KINDS, read_entry
from catalog.error import BadInput, ComityError, Denied, VerificationFailed
from catalog.fork import Fork, ForkFile, check_file, check_fork
from catalog.headmap import HeadProof, verify_head
from catalog.httpsig import SignedRequest, kept_request, sign_request, split_target, verify_request
from catalog.key import Signed, check, public_bytes
from catalog.leaf import decode_leaf, encode_leaf, opens, seal
from catalog.manifest import Manifest, SharedFile, read_manifest
from catalog.member import Epoch, check_epoch0
from catalog.merkle import Frontier, leaf_hash, prove_inclusion
from catalog.multiproof import prove_many, root_of_many
from catalog.note import parse_line, parse_note
from catalog.origin import LogName
from catalog.proof import Proof, parse_proof, verify_proof, write_proof
from catalog.reading import pack, read_leaf, unpack
from catalog.reopening import Reopenings, check_chain
from catalog.tiles import Tile, decode_bundle, encode_bundle, split_hashes
from node.execute.environment.description import Description, Reference, read, write
from node.execute.environment.lock import read_lock
from node.header import OPEN_PATH, opened_by
from node.message import Refusal, Reply, read_question, read_reply
from node.storage.dagpb import Link, PBNode, decode_node, encode_node
from node.storage.segments import open_segments
from node.storage.unixfs import Data, Kind, decode_data, encode_data, parse_node
from tests.fuzz import visas
from tests.fuzz.corpus import CID, KEY, OTHER, all_types, convertible, plain_of
from workflow.value import read_value, write_value

NOW = 1_700_000_000_000
SEEDS = 3
BOTH = (VerificationFailed, BadInput)


@dataclass(frozen=True)
class Decoder:
    """``read`` takes a peer's bytes and raises one of ``refusals`` or none; ``write`` gives back what was read."""

    name: str
    read: Callable[[bytes], Any]
    seeds: tuple[bytes, ...]
    write: Callable[[Any], bytes] | None = None
    refusals: tuple[type[ComityError], ...] = (VerificationFailed,)

    @property
    def is_alike(self) -> bool:
        """Whether it is one of the many that differ by the type of value alone."""
        rooms = ("catalog.", "node.", "privacy.", "workflow.")
        return self.name.startswith(
            (*rooms, "entry «", "signature of", "reply", "fork", "first epoch", "place in the map")
        )


def _text(read: Callable[[str], Any]) -> Callable[[bytes], Any]:
    """A decoder of text, which comes in a value or a file that has been read as UTF-8 before."""

    def read_bytes(data: bytes) -> Any:
        try:
            return read(data.decode())
        except UnicodeDecodeError as error:
            raise VerificationFailed("it is not UTF-8") from error

    return read_bytes


ORIGIN = f"{KEY.did}/catalog/0"
LEAVES = [encode_leaf(seal(ORIGIN, 1, "dataset", b"body %d" % at, bytes([at]) * 32)) for at in range(7)]
HASHES = [leaf_hash(each) for each in LEAVES]
ROOT = Frontier().extend(HASHES).root
WITNESSES = {OTHER.did: OTHER.did, "witness.example/1": KEY.did}


def _subtree(height: int, index: int) -> bytes:
    return Frontier().extend(HASHES[index << height : (index + 1) << height]).root


NOTE = sign_checkpoint(Checkpoint(ORIGIN, 7, ROOT), KEY)
COSIGNED = add_line(NOTE, cosign(NOTE, OTHER.did, OTHER, 1_700_000_000))
LINE = cosign(NOTE, "witness.example/1", KEY, 5)
PROOF = write_proof(Proof(3, tuple(prove_inclusion(3, 7, _subtree)), COSIGNED, b"extra"))


def _notes() -> list[Decoder]:
    notes = (NOTE.encode(), COSIGNED.encode(), add_line(COSIGNED, LINE).encode())
    return [
        Decoder("note", _text(parse_note), notes, lambda note: str(note).encode()),
        Decoder("signature line", _text(parse_line), (LINE.encode(),), lambda line: line.line.encode()),
        Decoder("checkpoint", _text(Checkpoint.parse), (Checkpoint(ORIGIN, 7, ROOT).text.encode(),), _checkpoint_text),
        Decoder("signed checkpoint", _text(lambda note: open_checkpoint(note, ORIGIN, KEY.did)), notes),
        Decoder("cosignatures", _text(lambda note: cosigners(note, WITNESSES)), notes),
        Decoder(
            "cosignatures to keep", _text(lambda note: merge_cosignatures(None, note, [KEY.did], WITNESSES)), notes
        ),
        Decoder("line to add", _text(lambda line: add_line(COSIGNED, line)), (LINE.encode(),)),
        Decoder("tlog-proof", _text(parse_proof), (PROOF.encode(),), lambda proof: write_proof(proof).encode()),
        Decoder(
            "tlog-proof of a leaf",
            _text(lambda text: verify_proof(parse_proof(text), LEAVES[3], ORIGIN, KEY.did)),
            (PROOF.encode(),),
        ),
    ]


def _checkpoint_text(checkpoint: Checkpoint) -> bytes:
    return checkpoint.text.encode()


def _tiles() -> list[Decoder]:
    paths = ("tile/0/000", "tile/entries/x001/x234/067.p/255", "tile/2/x001/000.p/1")
    return [
        Decoder(
            "path of a tile",
            _text(Tile.parse),
            tuple(path.encode() for path in paths),
            lambda tile: tile.path.encode(),
            BOTH,
        ),
        Decoder("entry bundle", lambda data: decode_bundle(data, 7), (encode_bundle(LEAVES),), encode_bundle),
        Decoder("hash tile", lambda data: split_hashes(Tile(0, 0, 7), data), (b"".join(HASHES),), b"".join),
        Decoder("leaf", decode_leaf, (LEAVES[0], encode_leaf(seal(ORIGIN, 9, "x-new", b"", b"s" * 32))), encode_leaf),
        Decoder(
            "proof of many leaves",
            lambda data: root_of_many({1: HASHES[1], 4: HASHES[4]}, 7, data),
            (prove_many([1, 4], 7, _subtree),),
        ),
        Decoder("leaf of a bundle with its body", _read_reading, tuple(_readings())),
    ]


def _bodies() -> list[tuple[str, bytes]]:
    """(kind, body) of each kind of entry, signed."""
    found = []
    for name, kind in sorted(KINDS.items()):
        for seed in range(SEEDS):
            fields = convertible(kind.fields, plain_of(kind.fields, seed))
            body = write_body(name, fields, site=KEY.did, at=NOW, by=KEY, audience=(OTHER.did,) if seed else None)
            found.append((name, encode(body)))
    return found


def _readings() -> list[bytes]:
    return [encode_leaf(seal(ORIGIN, 1, kind, body, b"s" * 32)) + body for kind, body in _bodies()]


def _read_reading(data: bytes) -> Any:
    """A leaf and its body as indexing reads them, and as they are read with no short cut: the two must agree."""
    leaf, body = data[:120], data[120:]
    reading = read_leaf(ORIGIN, 0, leaf, body)
    assert reading.entry is None or _is_signed(body), reading
    assert unpack(KEY.did, 0, pack([reading])) == [reading]
    return reading


def _is_signed(data: bytes) -> bool:
    try:
        body = read_body(data)
        check(body, body.actor)
    except VerificationFailed:
        return False
    return True


def _read_entry(name: str) -> Callable[[bytes], Any]:
    return lambda data: read_entry(KEY.did, 0, name, read_body(data))


def _entries() -> list[Decoder]:
    by_kind: dict[str, list[bytes]] = {}
    for kind, body in _bodies():
        by_kind.setdefault(kind, []).append(body)
    return [
        *(Decoder(f"entry «{name}»", _read_entry(name), tuple(bodies)) for name, bodies in by_kind.items()),
        Decoder("body", read_body, tuple(body for _, body in _bodies()[:9]), encode),
        Decoder("body with its salt", _opened, (b"s" * 32 + b"body 0",)),
    ]


def _opened(data: bytes) -> bool:
    return opens(decode_leaf(LEAVES[0]), data[32:], data[:32])


def _seeds(kind: type[Value]) -> tuple[bytes, ...]:
    return tuple(dict.fromkeys(encode(convertible(kind, plain_of(kind, seed))) for seed in range(SEEDS)))


def _read_value(kind: type[Value]) -> Callable[[bytes], Any]:
    return lambda data: decode(kind, data)


def _values() -> list[Decoder]:
    """Every type of value, by its own name: what it refuses, and that what it takes has one encoding."""
    return [
        Decoder(f"{kind.__module__}.{kind.__name__}", _read_value(kind), _seeds(kind), encode) for kind in all_types()
    ]


def _signed(kind: type[Signed]) -> Callable[[bytes], Any]:
    return lambda data: check(decode(kind, data), KEY.did)


def _checked() -> list[Decoder]:
    """What is done with a value before its sender is trusted in anything."""
    seeds = {kind: _seeds(kind) for kind in all_types()}
    larger = sign_checkpoint(Checkpoint(ORIGIN, 8, ROOT), KEY)
    forks = (
        Fork(first=NOTE, second=sign_checkpoint(Checkpoint(ORIGIN, 7, HASHES[0]), KEY)),
        Fork(first=NOTE, second=larger, consistency=tuple(HASHES[:4])),
    )
    return [
        Decoder("question", read_question, _questions(seeds)),
        Decoder("fork", lambda data: check_fork(decode(Fork, data), [OTHER.did, KEY.did]), tuple(map(encode, forks))),
        Decoder("fork in a file", lambda data: check_file(decode(ForkFile, data)), seeds[ForkFile]),
        Decoder("new epochs of a log", _read_chain, seeds[Reopenings]),
        Decoder("place in the map of heads", _read_head, seeds[HeadProof]),
        Decoder(
            "first epoch",
            lambda data: check_epoch0(decode(Epoch, data)),
            seeds[Epoch],
            refusals=BOTH,
        ),
        *(
            Decoder(f"signature of a {kind.__name__}", _signed(kind), seeds[kind])
            for kind in seeds
            if issubclass(kind, Signed)
        ),
        *(
            Decoder(
                f"reply with a {kind.__name__}",
                _reply(kind),
                (REFUSED, *map(_replied, seeds[kind])),
                None,
                (ComityError,),
            )
            for kind in seeds
            if kind.__module__ == "node.message" and kind.__name__.endswith(("Answer", "Added", "Done"))
        ),
    ]


def _questions(seeds: dict[type[Value], tuple[bytes, ...]]) -> tuple[bytes, ...]:
    tagged = [each for kind, each in seeds.items() if kind.__struct_config__.tag is not None]
    return tuple(encode({"question": decode_plain(data)}) for group in tagged for data in group)


def _replied(data: bytes) -> bytes:
    return encode(Reply(answer=data, refusal=None))


REFUSED = encode(Reply(answer=None, refusal=Refusal(kind="Denied", message="the policy of St. Anna forbids it")))


def _reply(kind: type[Value]) -> Callable[[bytes], Any]:
    return lambda data: read_reply(kind, data)


def _read_chain(data: bytes) -> Any:
    return check_chain(KEY.did, LogName.CATALOG, decode(Reopenings, data).chain, [OTHER.did, KEY.did])


def _read_head(data: bytes) -> Any:
    return verify_head("subject", ROOT, 7, decode(HeadProof, data))


def _ipld() -> list[Decoder]:
    """What is fetched by CID: its bytes are what was asked for, and a peer wrote them all the same."""
    file = encode_data(Data(Kind.FILE, size=9, blocks=(4, 5)))
    node = encode_node(PBNode((Link("", CID, 4), Link("", CID, 5)), file))
    return [
        Decoder(
            "CID",
            Cid.from_bytes,
            (
                bytes(CID),
                bytes(Cid.of(b"")),
            ),
            bytes,
            (BadInput,),
        ),
        Decoder("CID as text", _text(Cid.parse), (str(CID).encode(),), lambda cid: str(cid).encode(), BOTH),
        Decoder("did:key", _text(public_bytes), (KEY.did.encode(),), None, BOTH),
        Decoder("any value", decode_plain, (encode({"a": [1, b"", CID, None, True, "é"]}),), encode),
        Decoder("dag-pb node", decode_node, (node,), encode_node),
        Decoder("UnixFS message", decode_data, (file,), encode_data),
        Decoder("UnixFS node", _read_node, (node,)),
    ]


def _read_node(data: bytes) -> Any:
    return parse_node(Cid.of(data, 0x70), data)


def _requests() -> list[Decoder]:
    body = b"asked"
    seeds = []
    for target, asked in (("/ipfs/abc?x=1", b""), ("/join", body)):
        headers = sign_request(KEY, "GET", target, peer=OTHER.did, now=NOW, nonce=b"n" * 16, body=asked)
        lines = [f"GET {target}", *(f"{name}: {value}" for name, value in headers.items())]
        seeds.append("\n".join(lines).encode())
    target = Decoder("target of a request", _text(split_target), (b"/a/b%20c?d=e",), None, BOTH)
    return [Decoder("signed request", _read_request, tuple(seeds)), target]


def _read_request(data: bytes) -> Any:
    first, *lines = data.decode("latin-1").split("\n")
    method, _, target = first.partition(" ")
    headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
    digest = hashlib.sha256(b"asked").digest() if target == "/join" else None
    return verify_request(method, target, headers, body_digest=digest, peer=OTHER.did, now=NOW)


def _shared() -> list[Decoder]:
    """What opens shared data, and what an owner wrote into them."""
    secret, data_key = b"r" * 32, b"d" * 32
    header = write_header(data_key, public_of(secret), lambda count: b"x" * count)
    files = tuple(SharedFile(path=path, size=5, media_type="text/csv", body=CID) for path in ("a/b.csv", "c"))
    manifests = (encode(Manifest(folder=True, files=files)), encode(Manifest(folder=False, files=files[1:])))
    segment = seal_segment(data_key, b"rows", b"n" * 12)
    target = f"{OPEN_PATH}{CID}?project=trial&project_site={OTHER.did}"
    headers = sign_request(KEY, "GET", target, peer=OTHER.did, now=NOW, nonce=b"n" * 16)
    kept = kept_request("GET", target, headers.items(), body_digest=None, peer=OTHER.did)
    return [
        Decoder(
            "Crypt4GH header", lambda data: read_header(data, secret), (header,), None, (VerificationFailed, Denied)
        ),
        Decoder("Crypt4GH segment", lambda data: open_segment(data_key, data), (segment,)),
        Decoder("Crypt4GH segments", lambda data: open_segments(data_key, data), (segment,)),
        Decoder("manifest of shared data", read_manifest, manifests, encode),
        Decoder("request to open data", lambda data: opened_by(decode(SignedRequest, data), CID), (encode(kept),)),
    ]


def _visas() -> list[Decoder]:
    return [
        Decoder("visa", visas.read_token, visas.TOKENS),
        Decoder("content of a visa", visas.read_content, visas.CONTENTS),
        Decoder("issuers of visas", visas.read_file, (visas.FILE,)),
    ]


def _environments() -> list[Decoder]:
    digest = f"sha256:{'0' * 64}"
    described = Description(
        platform="linux/amd64", variables={"PATH": "/bin"}, links={"bin": "usr/bin", "etc/x": "../y"}, image=digest
    )
    named = Reference(environment=str(CID), platform="linux/amd64", bytes=1, lock=digest, packages={"numpy": "2.1.0"})
    line = f"numpy[x]==2.1.0 ; python_version > '3' \\\n    --hash={digest}\n".encode()
    return [
        Decoder("description of an environment", lambda data: read(Description, data), (write(described),)),
        Decoder("reference to an environment", lambda data: read(Reference, data), (write(named),)),
        Decoder("lock", lambda data: read_lock(data, "lock"), (line,), None, (BadInput,)),
    ]


def _read_stored(data: bytes) -> Any:
    """A stored value; what was read is written in one way, however it came."""
    value = read_value(data)
    written = write_value(value)
    assert write_value(read_value(written)) == written
    return value


def _stored() -> list[Decoder]:
    file = {"class": "File", "location": "files/0/a", "secondaryFiles": [{"class": "File", "location": "files/0/b"}]}
    values: tuple[object, ...] = (
        None,
        [1, -0.5, 1e300, "é", True],
        {"a": file, "b": {"class": "File", "contents": ""}},
    )
    seeds = tuple(write_value(each) for each in values)
    return [Decoder("stored value", _read_stored, seeds, None, (BadInput,))]


DECODERS: tuple[Decoder, ...] = (
    *_stored(),
    *_environments(),
    *_notes(),
    *_tiles(),
    *_entries(),
    *_values(),
    *_checked(),
    *_ipld(),
    *_requests(),
    *_shared(),
    *_visas(),
)
