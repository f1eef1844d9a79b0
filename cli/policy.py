"""``comity policy``: the rules by which a site decides."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from catalog.error import ComityError
from catalog.plural import counted
from cli.explained import tell_difference
from cli.output import document, say, show, table, working
from cli.session import Session, Verbs, pass_session

if TYPE_CHECKING:
    from privacy.cases import Case

MAX_POLICY = 48 << 10
STARTERS = ("hospital", "registry", "rare-disease", "open-data", "institute")
RECORDED = "90d"


@click.group(cls=Verbs)
def group() -> None:
    """The rules by which this site decides."""


@group.command("set")
@click.argument("file", type=click.Path(path_type=Path))
@pass_session
def set_(session: Session, file: Path) -> None:
    """Make the Cedar text in FILE this site's policy; an empty one permits nothing. For stewards."""
    from privacy.policy import Policy

    text = _read(file)
    # Here too, and before the node: a fault is told with the name of the file.
    Policy.parse(text, site="this site", version="unpublished", source=str(file))
    with session.node() as node:
        index = node.set_policy(text)
    show(session, {"index": index}, lambda: say(f"{file} is the policy of this site from now on (entry {index})."))


@group.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--cases", type=click.Path(path_type=Path), metavar="TABLE", help="The table of cases; else FILE's .cases.yaml."
)
@pass_session
def check(session: Session, file: Path, cases: Path | None) -> None:
    """Check the Cedar text in FILE against the schema, and against its table of cases, without a node."""
    from privacy.cases import failures
    from privacy.policy import Policy

    parsed = Policy.parse(_read(file), site="this site", version="unpublished", source=str(file))
    beside = cases or file.with_suffix(".cases.yaml")
    expected = _cases(beside) if cases is not None or beside.exists() else []
    rules = [rule.id for rule in parsed.rules]
    failed = failures(parsed, expected)

    def tell() -> None:
        say(f"{file}: {counted(len(rules), 'rule')}, no fault: {', '.join(rules) or 'nothing is permitted'}")
        if failed:
            rows = [(each.case, each.expected, each.found, each.place) for each in failed]
            table(("case", "expected", "found", "place"), rows)
        elif expected:
            say(f"{beside}: {counted(len(expected), 'case')}, each as expected")

    show(session, {"file": str(file), "rules": rules, "cases": len(expected), "failed": failed}, tell)
    if failed:
        raise ComityError(f"{len(failed)} of {counted(len(expected), 'case')} in {beside} failed")


@group.command()
@click.argument("kind", type=click.Choice(STARTERS))
@click.option("--cases", is_flag=True, help="Its table of cases instead.")
@pass_session
def starter(session: Session, kind: str, cases: bool) -> None:
    """Print a policy to start from: a teaching hospital, a registry, a rare-disease cohort, open data, an institute."""
    from privacy.starters import CASES
    from privacy.starters import STARTERS as TEXTS

    text = (CASES if cases else TEXTS)[kind]
    show(session, {"kind": kind, "text": text}, lambda: document(text))


@group.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--since", default=RECORDED, show_default=True, metavar="TIME", help="Only what is not older.")
@click.option("--folder", type=click.Path(path_type=Path), metavar="DIR", help="Read a site's folder; ask no node.")
@pass_session
def diff(session: Session, old: Path, new: Path, since: str, folder: Path | None) -> None:
    """Say which decisions in this site's audit log the policy in NEW would make otherwise than the one in OLD."""
    from cli.decided import decided, decided_in, floor_in, floor_of
    from privacy.difference import difference
    from privacy.policy import Policy

    def parsed(file: Path, floor: str) -> Policy:
        return Policy.parse(_read(file), site="this site", version=str(file), floor=floor, source=str(file))

    with working("making the recorded decisions anew …"):
        if folder is not None:
            floor = floor_in(folder)
            found = difference(parsed(old, floor), parsed(new, floor), decided_in(folder, since))
        else:
            with session.node() as node:
                floor = floor_of(node)
                found = difference(parsed(old, floor), parsed(new, floor), decided(node, since))
    show(session, found, lambda: tell_difference(found))


@group.command()
@click.argument("decision", metavar="ORDER|DECISION")
@pass_session
def explain(session: Session, decision: str) -> None:
    """Explain the decisions about an order or a submission (its CID, or the end), or at a leaf (its number) of the log.

    Of what you submitted (its CID) you are told what the sites that decided let you know.
    """
    from cli.explained import explain_own, explain_recorded

    with session.node() as node:
        if not explain_own(session, node, decision):
            explain_recorded(session, node, decision)


@group.command("show")
@pass_session
def show_(session: Session) -> None:
    """Show the policy of this site."""
    from catalog.policy import PolicyFields

    with session.node() as node:
        own = [each for each in node.listed("policy", PolicyFields) if each.site == node.site]

    def tell() -> None:
        if not own or not own[0].fields.text.strip():
            say("no policy is set: nothing is permitted")
        else:
            document(own[0].fields.text)

    show(session, own[0] if own else None, tell)


def _cases(file: Path) -> list[Case]:
    from cli.casefile import cases_of

    return cases_of(file)


def _read(file: Path) -> str:
    from catalog.error import BadInput

    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_POLICY + 1)
        text = data.decode()
    except OSError as error:
        raise BadInput(f"the policy {file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"the policy {file} is not text in UTF-8") from error
    if len(data) > MAX_POLICY:
        raise BadInput(f"the policy {file} is too large: at most {MAX_POLICY:,} bytes are published")
    return text
