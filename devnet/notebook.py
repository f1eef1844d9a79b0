"""A notebook executed in a kernel of its own, some cells at a time, so that others can act between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

from catalog.error import BadInput, ComityError, NotFound


@dataclass(frozen=True, slots=True)
class Shown:
    """What the cells showed, in order: printed text, and tables and pictures as HTML or SVG."""

    text: str
    html: tuple[str, ...]
    svg: tuple[str, ...]


class Pages:
    """An open notebook, executed up to some cell."""

    def __init__(self, client: NotebookClient, path: Path) -> None:
        self._client = client
        self._path = path
        self._next = 0

    def until(self, tag: str) -> Shown:
        """Execute on to the cell with this tag, and say what that cell showed.

        Raises:
            NotFound: no cell after those executed has the tag. ComityError: a cell failed; the message has its error.
        """
        cells = self._client.nb.cells
        tagged = (at for at in range(self._next, len(cells)) if tag in cells[at].metadata.get("tags", ()))
        last = next(tagged, None)
        if last is None:
            raise NotFound(f"{self._path}: no cell that was not executed yet has the tag «{tag}»")
        for at in range(self._next, last + 1):
            self._execute(at)
        self._next = last + 1
        return _shown(cells[last].get("outputs", ()))

    def save(self, path: Path) -> None:
        """Write the notebook with its outputs so far."""
        path.write_text(nbformat.writes(self._client.nb))  # type: ignore[no-untyped-call]  # nbformat has no types

    def _execute(self, at: int) -> None:
        try:
            self._client.execute_cell(self._client.nb.cells[at], at)
        except CellExecutionError as error:
            raise ComityError(f"{self._path}: cell {at}: {error.ename}: {error.evalue}") from error
        except DeadKernelError as error:
            raise ComityError(f"{self._path}: the notebook's kernel ended in cell {at}") from error


@contextmanager
def opened(path: Path, environment: Mapping[str, str], seconds: int = 120) -> Iterator[Pages]:
    """A notebook with its kernel, which sees ``environment`` and ends with the context.

    Raises:
        BadInput: it cannot be read.
    """
    try:
        book = nbformat.reads(path.read_text(), as_version=4)  # type: ignore[no-untyped-call]  # nbformat has no types
    except (OSError, ValueError) as error:
        raise BadInput(f"the notebook {path} cannot be read: {error}") from error
    client = NotebookClient(book, timeout=seconds, kernel_name="python3", shutdown_kernel="immediate")
    # Sockets in a folder of this user rather than ports that any user of the machine could reach.
    client.create_kernel_manager().transport = "ipc"
    with client.setup_kernel(env=dict(environment)):
        yield Pages(client, path)


def _shown(outputs: Sequence[Mapping[str, object]]) -> Shown:
    data = [each for output in outputs if isinstance(each := output.get("data"), Mapping)]
    return Shown(
        text="".join(str(each["text"]) for each in outputs if each.get("name") == "stdout"),
        html=tuple(str(each["text/html"]) for each in data if "text/html" in each),
        svg=tuple(str(each["image/svg+xml"]) for each in data if "image/svg+xml" in each),
    )
