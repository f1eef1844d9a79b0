"""Pages: links lead somewhere, tests that are named exist, nothing is left to be written."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
NAMED_TEST = re.compile(r"`(tests/[\w/.-]+?)(?:::(\w+))?`")
NAMED_FILE = re.compile(r"`((?:catalog|privacy|workflow|node|cli|devnet|examples|docs)/[\w/.-]*)`")
UNFINISHED = re.compile(r"\bTODO\b|\bTBD\b|\bFIXME\b|lorem ipsum|@@|/work/|/tmp/|/home/", re.IGNORECASE)
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)

ids = [str(page.relative_to(ROOT)) for page in PAGES]


def text(page: Path) -> str:
    return FENCED.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@cache
def functions(file: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(text(page)):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        assert target.is_relative_to(ROOT), f"{link} leads out of the repository"
        assert not anchor or anchor in anchors(target), f"{link} names no heading"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_tests_and_files_that_a_page_names_exist(page: Path) -> None:
    """Lost: that each defence in the threat model is shown by a test that is there."""
    for path, name in NAMED_TEST.findall(text(page)):
        assert (ROOT / path).exists(), path
        assert not name or name in functions(ROOT / path), f"{path} has no {name}"
    for path in NAMED_FILE.findall(text(page)):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_nothing_is_left_to_be_written_and_no_machine_is_named(page: Path) -> None:
    found = UNFINISHED.search(page.read_text())
    assert found is None, f"«{found[0]}» in {page.name}"


@pytest.mark.parametrize("page", DECISIONS, ids=[page.name for page in DECISIONS])
def test_a_decision_has_its_parts_on_one_page(page: Path) -> None:
    lines = page.read_text().splitlines()
    number = int(page.name[:4])
    assert lines[0].startswith(f"# {number}. ")
    assert len(lines) <= 60
    parts = [line.removeprefix("## ").partition(",")[0] for line in lines if line.startswith("## ")]
    assert parts == ["Context", "Decision", "Evidence", "Consequences"]


def test_decisions_are_numbered_without_gaps_and_listed() -> None:
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))
    listed = (ROOT / "docs" / "decisions" / "README.md").read_text()
    assert all(f"]({page.name})" in listed for page in DECISIONS)


def test_every_page_can_be_reached_from_the_readme() -> None:
    """Lost: pages that nobody finds."""
    seen: set[Path] = set()
    left = [ROOT / "README.md"]
    while left:
        page = left.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        links = (link.partition("#")[0] for link in LINK.findall(text(page)))
        left += [(page.parent / link).resolve() for link in links if link and not link.startswith("https://")]
    assert set(PAGES) <= seen, sorted(str(page.relative_to(ROOT)) for page in set(PAGES) - seen)


def test_the_auditors_guide_has_every_kind_of_row() -> None:
    """Lost: an auditor meets a word in an answer that the page does not explain."""
    section = (ROOT / "docs/protocol/audit.md").read_text().partition("## Kinds")[2].partition("\n### ")[0]
    exact, told = _kinds(section), _kinds((ROOT / "docs/guide/auditor.md").read_text())
    assert len(exact) > 10
    assert exact <= told, exact - told


def _kinds(page: str) -> set[str]:
    """What stands in the first column of a page's tables."""
    first = re.findall(r"^\| ([^|]*) \|", page, re.MULTILINE)
    return {kind for cell in first for kind in re.findall(r"`([\w-]+)`", cell)}
