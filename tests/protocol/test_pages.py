"""The pages quote the vectors as they are, and speak of no key and no value that is not among them."""

import re

import pytest

from tests.protocol.make_vectors import DOCS, FILE, MARK, TYPES, page_with, quote, vectors, written
from tests.protocol.schema import cddl
from tests.protocol.told import TOLD

PAGES = sorted(DOCS.glob("*.md"))


def test_the_file_is_what_the_generator_makes():
    """Lost: vectors that say what this version does. Make them anew: python -m tests.protocol.make_vectors."""
    assert FILE.read_text() == written(vectors())


def test_the_types_are_those_of_the_product():
    """Lost: shapes and bounds by which others can write what is read here. Made anew in the same way."""
    assert TYPES.read_text() == cddl()


def test_every_rule_of_the_types_is_there_once():
    text = re.sub(r'".*?"|;.*', "", TYPES.read_text())
    rules = re.findall(r"^([a-z0-9-]+) = ", text, re.MULTILINE)
    assert len(rules) == len(set(rules))
    used = set(re.findall(r"(?<!\.)\b[a-z][a-z0-9-]*", text))
    assert used - {"tstr", "bstr", "bool", "null", "any", "int"} == set(rules)


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_a_page_quotes_the_vectors_as_they_are(page):
    """Lost: examples that agree with the file. Make them anew: python -m tests.protocol.make_vectors."""
    text = page.read_text()
    assert page_with(text, TOLD) == text
    assert MARK.search(text) or page.name == "README.md"


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_long_value_in_a_page_is_one_of_the_file(page):
    """Lost: keys, CIDs and handles in running text that exist nowhere else."""
    whole = FILE.read_text()
    for found in re.findall(
        r"did:key:z6Mk[1-9A-HJ-NP-Za-km-z]{44}|\bb[a-z2-7]{58,}\b|12D3KooW\w{44}", page.read_text()
    ):
        assert found in whole, found


def test_a_quotation_that_is_wrong_would_be_seen():
    page = "<!-- vector: cids.table.cid -->\n```text\nbafkwrong\n```"
    assert page_with(page, TOLD) != page
    assert quote(TOLD, "cids.table.cid") in page_with(page, TOLD)
