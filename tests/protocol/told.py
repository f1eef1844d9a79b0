"""What the file of vectors says, as the tests look at it."""

import json

from tests.protocol.make_vectors import FILE

TOLD = json.loads(FILE.read_text())
VALUES = (
    TOLD["values"]
    | {f"message {name}": each for name, each in TOLD["messages"].items()}
    | {f"answer about {name}": each for name, each in TOLD["bodies"].items()}
    | {f"head of {name}, {at}": e for name, m in TOLD["head_maps"].items() for at, e in enumerate(m["proofs"])}
)
SIGNED = {name: each for name, each in VALUES.items() if "signed_by" in each}
BY_BYTES = {each["bytes"]: each for each in TOLD["values"].values()}


def seed(name: str) -> bytes:
    """The secret of a key."""
    return bytes.fromhex(TOLD["keys"][name]["seed"])


def leaves_of(log: dict) -> list[dict]:
    """The leaves of a log as it stood at its size: some logs are there twice, as they first were and as they grew."""
    return [TOLD["leaves"][f"{log['leaves']}-{index}"] for index in range(log["size"])]


def hashes_of(log: str) -> list[bytes]:
    """The leaf hashes of a log in the file."""
    return [bytes.fromhex(leaf["hash"]) for leaf in leaves_of(TOLD["logs"][log])]
