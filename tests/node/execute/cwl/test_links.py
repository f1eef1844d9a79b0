"""Links that a step left lead to what lies in it and in its inputs, and to nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.error import VerificationFailed
from node.execute.cwl.links import MOST_LINKS, followed
from node.execute.cwl.message import Placed, Ready
from node.execute.cwl.places import Places

PARTS = st.sampled_from(["", ".", "..", "a", "b", "work", "inputs", "etc"])
SAID = st.lists(PARTS, max_size=5).map("/".join)


@pytest.mark.parametrize(
    ("links", "found"),
    [
        ({}, "/work/a"),
        ({"/work/a": "there/b"}, "/work/there/b"),
        ({"/work/a": "./there/../b"}, "/work/b"),
        ({"/work/a": "/inputs/0/scan"}, "/inputs/0/scan"),
        ({"/work/a": "b", "/work/b": "/work/c"}, "/work/c"),
        ({"/work/a": "/elsewhere/c", "/elsewhere": "/work"}, "/work/c"),
        ({"/work/a": "../inputs/0/scan"}, "/inputs/0/scan"),
        ({"/work/a": "there/../c", "/work/there": "/work/deep/er"}, "/work/deep/c"),
        ({"/work/a": "/etc/passwd"}, None),
        ({"/work/a": "/proc/self/environ"}, None),
        ({"/work/a": "../etc/passwd"}, None),
        ({"/work/a": "../../../../etc/passwd"}, None),
        ({"/work/a": "/"}, None),
        ({"/work/a": "../workshop/c"}, None),
        ({"/work/a": "a"}, None),
        ({"/work/a": "b", "/work/b": "a"}, None),
        ({"/work/a": "a/a/a/a/a/a/a/a"}, None),
        ({"/work/a": "b\0c"}, None),
        ({"/work/a": "x" * 5_000}, None),
        ({"/work/a": "../" * 1_000 + "work/c"}, "/work/c"),
    ],
)
def test_where_a_link_leads_to(links: dict[str, str], found: str | None) -> None:
    """Lost: a file of the machine is released as the output of a step that linked to it; or the node never ends."""
    assert followed("/work/a", links) == found


def test_a_chain_of_links_is_followed_as_far_as_linux_does() -> None:
    """Lost: links to links hold the node."""
    chain = {f"/work/{number}": f"{number + 1}" for number in range(MOST_LINKS + 1)}
    assert followed("/work/1", chain) == f"/work/{MOST_LINKS + 1}"
    assert followed("/work/0", chain) is None


@given(links=st.dictionaries(SAID.map("/work/{}".format), SAID, max_size=6), name=SAID)
def test_nothing_leads_out_of_the_step(links: dict[str, str], name: str) -> None:
    """Lost: some mixture of links that is thought of by nobody but a stranger."""
    found = followed(f"/work/{name}", links)
    if found is not None:
        assert found.split("/")[1] in ("work", "inputs")
        assert not {".", ".."} & set(found.split("/"))
        assert found not in links
        assert followed(found, links) == found


def test_an_output_is_called_what_its_link_leads_to_and_none_leads_out() -> None:
    """Lost: a value whose bytes nobody has, or those of another file."""
    places = Places({"/inputs/0/scan": "/out/1/scan"})
    file = {"class": "File", "location": "file:///work/a", "basename": "a"}
    links = {"/work/a": "deep/b"}
    assert places.delivered({"o": file}, "/out/2", links)["o"] == file | {"location": "file:///out/2/deep/b"}
    links = {"/work/a": "/inputs/0/scan"}
    assert places.delivered({"o": file}, "/out/2", links)["o"] == file | {"location": "file:///out/1/scan"}
    with pytest.raises(VerificationFailed, match="«/work/a» is a link out of the step"):
        places.delivered({"o": [file]}, "/out/2", {"/work/a": "/etc/passwd"})


def test_only_a_writable_copy_of_an_input_takes_that_ones_place() -> None:
    """Lost: a step changes for others what it was given to read, or was not given at all."""
    places = Places({"/inputs/0/scan": "/out/1/scan", "/inputs/1/key": "/out/1/key"})
    ready = Ready(
        argv=["true"],
        variables={},
        stdin=None,
        stdout=None,
        stderr=None,
        placed=[
            Placed(target="/place/scan", source="/inputs/0/scan", writable=True),
            Placed(target="/place/key", source="/inputs/1/key"),
            Placed(target="/place/other", source="/out/1/other", writable=True),
            Placed(target="/elsewhere/key", source="/inputs/1/key", writable=True),
            Placed(target="/place/new", text="", writable=True),
        ],
        asked={},
        seconds=None,
        network=False,
        codes=([], [], []),
        work="/place",
        inplace=True,
    )
    assert places.updated(ready, "/out/2") == {"/out/1/scan": "/out/2/scan"}
