"""``comity submission result``: what a submission delivered, shown, saved or published."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from catalog.plural import counted
from cli import completing
from cli.crate import publish as publish_from
from cli.fetch import write_out
from cli.output import document, say, show
from cli.session import Session, Verb, pass_session

if TYPE_CHECKING:
    from node.api.client import Node


@click.command(cls=Verb)
@click.argument("submission", shell_complete=completing.submissions)
@click.argument("name", required=False)
@click.option("--out", type=click.Path(path_type=Path), help="The new file or folder; shown otherwise.")
@click.option("--publish", metavar="DATASET", help="Make a dataset of it; SUBMISSION is a crate with results then.")
@click.option(
    "--level", type=click.Choice(["resident", "open"]), help="With --publish: resident where nothing is said."
)
@pass_session
def result(
    session: Session, submission: str, name: str | None, out: Path | None, publish: str | None, level: str | None
) -> None:
    """Fetch the output NAME of SUBMISSION, or its only one.

    A value is shown as it is: a number as a number, a list as JSON. A folder, and a value with files, is saved to a
    new folder (--out), the value as «value.json» in it. A steward publishes a result from a crate (--publish), under
    the label that it has by the receipts.
    """
    from catalog.error import BadInput

    if publish is not None:
        publish_from(session, Path(submission), name, publish, out, level)
        return
    if level is not None:
        raise BadInput("--level says how to publish a result; give --publish DATASET too")
    with session.node() as node:
        run = node.run(submission)
        run.check()
        found = [each for each in run.results if name in (None, each.name)]
        form = str(found[0].form) if len(found) == 1 else "file"
        if out is not None and form != "file":
            _save(session, node, submission, name, out, form)
        elif form == "folder":
            raise BadInput(f"the output «{found[0].name}» is a folder; give --out FOLDER")
        elif form == "value":
            _show(session, node.result_value(submission, name), found[0].name)
        elif session.json and out is None:
            raise BadInput("with --json the bytes need a file; give --out FILE")
        else:
            write_out(session, node.result(submission, name), out)


def _save(session: Session, node: Node, submission: str, name: str | None, out: Path, form: str) -> None:
    saved = node.save_result(submission, name, out)
    what = f"{counted(saved.files, 'file')}, {counted(saved.bytes, 'byte')}"
    told = {"file": saved.place, "form": form, "folder": saved.folder, "files": saved.files, "bytes": saved.bytes}
    show(session, told, lambda: say(f"{out}: {what}." if saved.folder else f"{out} has {what}."))


def _show(session: Session, value: object, name: str) -> None:
    import json

    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    show(session, {"name": name, "form": "value", "value": value}, lambda: document(text))
