"""``comity policy``: the rules by which a site decides."""

from __future__ import annotations

from pathlib import Path

import click

from catalog.plural import counted
from cli.output import document, say, show
from cli.session import Session, Verbs, pass_session

MAX_POLICY = 48 << 10
STARTERS = ("hospital", "institute")


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
    Policy.parse(text, site="here", version="unpublished", source=str(file))
    with session.node() as node:
        index = node.set_policy(text)
    show(session, {"index": index}, lambda: say(f"{file} is the policy of this site from now on (entry {index})."))


@group.command()
@click.argument("file", type=click.Path(path_type=Path))
@pass_session
def check(session: Session, file: Path) -> None:
    """Check the Cedar text in FILE against the schema, without a node."""
    from privacy.policy import Policy

    parsed = Policy.parse(_read(file), site="here", version="unpublished", source=str(file))
    rules = [rule.id for rule in parsed.rules]

    def tell() -> None:
        say(f"{file}: {counted(len(rules), 'rule')}, no fault: {', '.join(rules) or 'nothing is permitted'}")

    show(session, {"file": str(file), "rules": rules}, tell)


@group.command()
@click.argument("kind", type=click.Choice(STARTERS))
@pass_session
def starter(session: Session, kind: str) -> None:
    """Print a policy to start from, for a hospital or an institute."""
    from privacy.starters import STARTERS as TEXTS

    show(session, {"kind": kind, "text": TEXTS[kind]}, lambda: document(TEXTS[kind]))


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
