"""What every CWL document has, tool or workflow: version, class, namespaces, and a second reader that agrees.

Comity reads the subset that it supports itself, strictly and with places (:mod:`workflow.document`). Then cwl-utils,
the reference implementation's own parser, must accept the same document and find the same names in it: what this
node publishes and runs is CWL to every other implementation, and two readers never see two different tools.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin

from catalog.error import BadInput
from workflow.document import OURS, Part, read_document, shown

if TYPE_CHECKING:
    from schema_salad.exceptions import SchemaSaladException

VERSIONS: Final = ("v1.0", "v1.1", "v1.2")
METADATA: Final = ("id", "label", "doc", "intent", "class", "cwlVersion", "$namespaces")

_CWL: Final = "https://w3id.org/cwl/"
_ADDRESSES: Final = ("http://", "https://", "urn:")
_NOWHERE = "https://document.invalid/document"
_PROCESSES = ("CommandLineTool", "Workflow", "ExpressionTool", "Operation")


@dataclass(frozen=True, slots=True)
class Header:
    """Version and class of a document, its identifier in short form, and the ``prefixes`` it declares."""

    root: Part
    kind: str
    version: str
    id: str
    label: str
    doc: str
    prefixes: Mapping[str, str]

    def expand(self, name: str) -> str:
        """``name`` with its namespace prefix written out."""
        prefix, colon, rest = name.partition(":")
        return self.prefixes[prefix] + rest if colon and prefix in self.prefixes else name


def read_header(text: str | bytes, file: str) -> Header:
    """Read a document and what its first lines say.

    Raises:
        BadInput: as :func:`workflow.document.read_document`; another version, another class, a packed document, a
            word of CWL's that is written with a prefix.
    """
    root = read_document(text, file)
    fields = root.fields()
    for name, part in fields.items():
        if name.startswith("$") and name != "$namespaces":
            raise part.unsupported(f"«{shown(name)}»")
    version, kind = root.required("cwlVersion"), root.required("class")
    if version.text() not in VERSIONS:
        raise version.unexpected(f"one of {', '.join(VERSIONS)}")
    if kind.text() not in _PROCESSES:
        raise kind.unexpected("CommandLineTool or Workflow")
    prefixes = (
        {name: uri.text() for name, uri in fields["$namespaces"].fields().items()} if "$namespaces" in fields else {}
    )
    header = Header(
        root=root,
        kind=kind.text(),
        version=version.text(),
        id=re.split("[#/]", fields["id"].text())[-1] if "id" in fields else "",
        label=fields["label"].text() if "label" in fields else "",
        doc="\n".join(line.text() for line in fields["doc"].one_or_more()) if "doc" in fields else "",
        prefixes=prefixes,
    )
    for name, part in root.walk():
        for word in (name, part.value) if name == "class" else (name,):
            if isinstance(word, str):
                _check_word(header, part, word)
    return header


def _check_word(header: Header, part: Part, word: str) -> None:
    """Refuse CWL's own words under other names: what is metadata to this reader would be a requirement to others.

    Other parsers write out each name with a colon, for which every word of CWL's is a prefix too: to them
    ``cwl:hints``, ``hints:`` and ``Process:/hints`` may all be ``hints``.
    """
    prefix, colon, _ = word.partition(":")
    full = header.expand(word)
    if full.startswith(_CWL):
        raise part.error(f"«{shown(word)}» is a word of CWL's own: write it without a prefix")
    if colon and not full.startswith(_ADDRESSES):
        address = OURS if prefix == "comity" else "https://…"
        raise part.error(f'«{shown(word)}» needs its prefix: write $namespaces: {{{shown(prefix)}: "{address}"}}')


def read_hints(header: Header, part: Part | None) -> tuple[dict[str, Part], tuple[str, ...]]:
    """The hints that this node may act on, by class with its prefix written out, and the names of the others.

    A hint may be ignored (CWL v1.2, 4.3.7), so unknown ones are; those in Comity's own namespace never are.

    Raises:
        BadInput: not a list or map of hints, or the prefix ``comity:`` is not declared as ours.
    """
    acted: dict[str, Part] = {}
    ignored: list[str] = []
    for name, body in part.entries("class") if part is not None else ():
        full = header.expand(name)
        if name.startswith("comity:") and not full.startswith(OURS):
            raise body.error(f'«{shown(name)}» needs its prefix: write $namespaces: {{comity: "{OURS}"}}')
        if full.startswith(OURS) or ":" not in full:
            acted[full] = body
        else:
            ignored.append(name)
    return acted, tuple(ignored)


def confirm(header: Header, expected: Mapping[str, Sequence[str]]) -> None:
    """Have cwl-utils accept the document and find in each field (``inputs``, …) the names that we found.

    Its fetcher refuses every address and file. Importing it costs about 0.15 s once, so it is imported here.

    Raises:
        BadInput: it does not accept the document, or reads other names.
    """
    from cwl_utils.parser import cwl_v1_0, cwl_v1_1, cwl_v1_2
    from schema_salad.exceptions import SchemaSaladException, ValidationException
    from schema_salad.fetcher import Fetcher
    from schema_salad.runtime import LoadingOptions, shortname

    class Nothing(Fetcher):
        """A world in which no document exists; the parameters are the library's."""

        def fetch_text(self, url: str, content_types: list[str] | None = None) -> str:  # noqa: ARG002
            raise ValidationException(f"the document refers to {url}, and nothing outside it is read")

        def check_exists(self, url: str) -> bool:  # noqa: ARG002
            return False

        def urljoin(self, base_url: str, url: str) -> str:
            return urljoin(base_url, url)

    root = header.root
    parser = {"v1.0": cwl_v1_0, "v1.1": cwl_v1_1, "v1.2": cwl_v1_2}[header.version]
    options = LoadingOptions(fetcher=Nothing(), fileuri=_NOWHERE, no_link_check=True)
    try:
        process = parser.load_document_by_yaml(root.value, _NOWHERE, options)
    except SchemaSaladException as error:
        raise _most_useful(root, error) from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        # Code generated from the schema, which takes the shapes of some values for granted.
        raise root.error(f"not CWL {header.version}: {shown(error)}") from error
    for field, names in expected.items():
        seen = [shortname(member.id) for member in getattr(process, field)]
        if sorted(seen) != sorted(names):
            raise root.error(f"«{field}» reads as {shown(', '.join(seen))} to another CWL parser: simplify the names")


def _most_useful(root: Part, error: SchemaSaladException) -> BadInput:
    """The last complaint in the text with what it is about, in words of CWL and not of the library."""
    chain = [error]
    while chain[-1].children:
        chain.append(max(chain[-1].children, key=lambda child: child.start or (0, 0)))
    line, column = next((each.start for each in reversed(chain) if each.start), (1, 1))
    text = " ".join(each.message for each in chain[-2:])
    # cwl-utils tries null first where a field may be absent, and complains about that alone.
    text = re.sub(r"because:\s*Expected a <class 'NoneType'>.*", "", " ".join(text.split()))
    text = re.sub(r"<class '(\w+)'>|ruamel\.yaml[.\w]*String", lambda match: match[1] or "text", text)
    text = text.replace(_NOWHERE, "").replace(urljoin(_NOWHERE, "."), "").replace("`", "").strip()
    return BadInput(f"{root.file}:{line}:{column}: not CWL: {text[:200] or 'not valid'}")
