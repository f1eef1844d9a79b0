"""The commands in the guides do what the guides say."""

import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from catalog.key import PrivateKey
from node.config import Address, Config, Folder, read_config, site_toml
from tests.docs.console import Example, Shell, examples, missing

DOCS = Path(__file__).parents[2] / "docs"
PORT = re.compile(r"(?<=-port )4[12]0[1-3]\b")


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell in an empty folder, with a ``comity`` of this checkout and nobody's keys."""
    binary = tmp_path / ".bin"
    binary.mkdir()
    (binary / "comity").write_text(f'#!/bin/sh\nexec {sys.executable} -m cli.main "$@"\n')
    (binary / "comity").chmod(0o755)
    environment = {
        "PATH": f"{binary}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "PYTHONPATH": str(DOCS.parent),
        "COMITY_HOME": str(tmp_path / ".people"),
        "COMITY_DEVNET": str(tmp_path / ".devnet"),
        "COLUMNS": "200",
        "LANG": "C.UTF-8",
    }
    shell = Shell(tmp_path, environment)
    try:
        yield shell
    finally:
        shell.close()
        if (tmp_path / ".devnet" / "devnet.json").exists():
            shell.run(Example("comity devnet down"))


def page(name: str) -> str:
    return (DOCS / "guide" / f"{name}.md").read_text()


def with_free_ports(text: str) -> str:
    """The page with ports of its own for this run: the published ones may be taken."""
    wanted = sorted(set(PORT.findall(text)))
    with ExitStack() as held:
        free = []
        for _ in wanted:
            listener = held.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            free.append(str(listener.getsockname()[1]))
    given = dict(zip(wanted, free, strict=True))
    return PORT.sub(lambda match: given[match[0]], text)


def test_the_operators_guide(shell: Shell) -> None:
    """Lost: an operator who follows the page has two running nodes and a consortium."""
    for example in examples(with_free_ports(page("operator"))):
        shell.run(example)


def test_the_guides_of_steward_researcher_and_auditor_in_their_order(shell: Shell) -> None:
    """Lost: a newcomer who types what the pages show sees what the pages show."""
    for name in ("README", "steward", "researcher", "auditor"):
        for example in examples(page(name)):
            shell.run(example)


def test_an_example_that_is_wrong_would_be_seen() -> None:
    found = examples("```console\n$ echo one\n> two\none\n…\nfour …\n```\n")
    assert [(each.command, each.shown) for each in found] == [("echo one\ntwo", ["one", "…", "four …"])]
    assert missing(["a …", "…", "d"], "a b\nc\nd\n") is None
    assert missing(["a …", "e"], "a b\nc\nd\n") == "e"
    assert missing(["d", "a …"], "a b\nc\nd\n") == "a …"


def test_the_settings_of_the_operators_guide_fit_into_a_sites_file(tmp_path: Path) -> None:
    """Lost: who adds a block of the guide to ``site.toml``, which has that section already, and no node starts."""
    here = Address("127.0.0.1", 4103)
    file, folder = site_toml(Config("St. Anna", PrivateKey(bytes(32)).did, here, here, here)), Folder(tmp_path)
    blocks = re.findall(r"([^\n]+)\n\n```toml\n(.+?)```", page("operator"), re.DOTALL)
    added = [text for before, text in blocks if "change its lines" not in before and text.startswith("[")]
    assert {text.splitlines()[0] for text in added} == {"[docker]", "[kubernetes]", "[kubo]"}
    for text in added:
        folder.config.write_text(file + text.replace("12D3KooW…", "12D3KooW" + "a" * 44))
        read_config(folder)
