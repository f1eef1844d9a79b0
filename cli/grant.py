"""``comity grant``: give people access to data, pass it on, take it back, and say what is so of a person."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli import completing
from cli.output import pairs, say, show, table, warn
from cli.session import Session, Verbs, pass_session

if TYPE_CHECKING:
    from node.api.client import Node
    from node.api.granting import Standing
    from node.api.view import Published

ACTIONS = click.Choice(["see", "fetch", "compute", "release"])


@click.group(cls=Verbs)
def group() -> None:
    """Grant people access to data."""


@group.command()
@click.argument("person")
@click.option("--project", required=True, help="The project that it is for.", shell_complete=completing.projects)
@click.option(
    "--dataset",
    "datasets",
    multiple=True,
    required=True,
    help="A dataset of this site; may be repeated.",
    shell_complete=completing.datasets,
)
@click.option("--until", required=True, help="When it ends: 30d, or 2026-12-01.")
@click.option("--purpose", "purposes", multiple=True, help="A DUO term; the project's purpose otherwise.")
@click.option(
    "--action",
    "actions",
    type=ACTIONS,
    multiple=True,
    default=("see", "compute", "release"),
    show_default=True,
    help="What is granted; may be repeated.",
)
@click.option(
    "--block", "blocks", multiple=True, help="Only with this block; may be repeated.", shell_complete=completing.blocks
)
@click.option("--to", "destinations", multiple=True, help="Only for results that go to this site; may be repeated.")
@pass_session
def issue(
    session: Session,
    person: str,
    project: str,
    datasets: tuple[str, ...],
    until: str,
    purposes: tuple[str, ...],
    actions: tuple[str, ...],
    blocks: tuple[str, ...],
    destinations: tuple[str, ...],
) -> None:
    """Grant PERSON, enrolled at any member, access to this site's data within a project; for stewards."""
    with session.node() as node:
        made = node.grant(
            person,
            project,
            datasets,
            until=until,
            purposes=purposes or None,
            actions=actions,
            blocks=blocks,
            destinations=destinations,
        )
        _warn_of_doubts(node, made)
    show(session, made, lambda: say(f"{person} holds the grant {made.cid} (entry {made.index})."))


@group.command()
@click.argument("grant")
@click.argument("person")
@click.option("--until", help="When it ends, if sooner than the grant: 30d, or 2026-12-01.")
@click.option(
    "--dataset",
    "datasets",
    multiple=True,
    help="Only for this dataset; may be repeated.",
    shell_complete=completing.datasets,
)
@click.option("--purpose", "purposes", multiple=True, help="Only for this purpose; may be repeated.")
@click.option("--action", "actions", type=ACTIONS, multiple=True, help="Only this; may be repeated.")
@click.option(
    "--block", "blocks", multiple=True, help="Only with this block; may be repeated.", shell_complete=completing.blocks
)
@click.option("--to", "destinations", multiple=True, help="Only for results that go to this site; may be repeated.")
@pass_session
def attenuate(
    session: Session,
    grant: str,
    person: str,
    until: str | None,
    datasets: tuple[str, ...],
    purposes: tuple[str, ...],
    actions: tuple[str, ...],
    blocks: tuple[str, ...],
    destinations: tuple[str, ...],
) -> None:
    """Pass GRANT, which you hold, on to PERSON: as it is, or narrower.

    It counts once the project has PERSON among its people.
    GRANT is its CID, or the last eight or more characters of it.
    """
    with session.node() as node:
        made = node.attenuate(
            grant,
            person,
            until=until,
            datasets=datasets or None,
            purposes=purposes or None,
            actions=actions or None,
            blocks=blocks or None,
            destinations=destinations or None,
        )
        _warn_of_doubts(node, made)
    show(session, made, lambda: say(f"{person} holds the grant {made.cid} (entry {made.index})."))


@group.command()
@click.argument("grant")
@click.option("--reason", default="", help="For people; every member sees it, so name nobody.")
@pass_session
def revoke(session: Session, grant: str, reason: str) -> None:
    """Revoke GRANT and all that hangs on it, for good; for stewards of its data's owner, and for who passed it on."""
    with session.node() as node:
        index = node.revoke(grant, reason)
    show(session, {"index": index}, lambda: say(f"The grant is revoked (entry {index})."))


@group.command("list")
@pass_session
def list_(session: Session) -> None:
    """List the grants that you may see, and how each stands."""
    with session.node() as node:
        found = node.standings()
        names = _Names(node)

    def tell() -> None:
        from node.api.quantity import clock_text

        rows = [
            (
                f"…{str(each.cid)[-8:]}",
                names.person(each.grant.subject),
                names.person(each.grant.issuer) if each.grant.parent else each.site_name,
                each.grant.project.name,
                names.datasets(each),
                ", ".join(each.grant.actions),
                clock_text(each.grant.not_after),
                str(each.state),
            )
            for each in found
        ]
        table(("grant", "person", "by", "project", "datasets", "actions", "until", "state"), rows, "no grants")

    show(session, found, tell)


@group.command("show")
@click.argument("grant")
@pass_session
def show_(session: Session, grant: str) -> None:
    """Show GRANT below what it hangs on, the owner's own first."""
    with session.node() as node:
        found = node.chain(grant)
        names = _Names(node)
        sites = {each.site: each.name for each in node.members()}

    def tell() -> None:
        for depth, each in enumerate(found):
            _tell(each, depth, names, sites)

    show(session, found, tell)


@group.command()
@click.argument("person")
@click.argument("type")
@click.argument("value")
@click.option("--until", required=True, help="Until when it is so: 365d, or 2026-12-01.")
@click.option("--source", default="", help="Who asserts it, as a URL; this site otherwise.")
@click.option("--iss", default="", help="With LinkedIdentities: the account's identity provider, as a URL.")
@click.option("--sub", default="", help="With LinkedIdentities: the account there.")
@pass_session
def claim(session: Session, person: str, type: str, value: str, until: str, source: str, iss: str, sub: str) -> None:
    """Say of PERSON what a GA4GH visa of TYPE with VALUE would say; for stewards.

    TYPE is AffiliationAndRole, ResearcherStatus, AcceptedTermsAndPolicies or LinkedIdentities. The last, with --iss and
    --sub, says that an account is PERSON's, without which no visa for that account counts.
    """
    from catalog.claim import Identity
    from catalog.error import BadInput

    if bool(iss) != bool(sub) or (type == "LinkedIdentities") != bool(iss):
        raise BadInput("--iss and --sub belong to LinkedIdentities, both of them, and to nothing else")
    identity = Identity(iss=iss, sub=sub) if iss else None
    with session.node() as node:
        index = node.claim(person, type, value, source=source or node.site, until=until, identity=identity)
    show(session, {"index": index}, lambda: say(f"{person}: {type} {value} (entry {index})."))


@group.command()
@click.argument("person")
@click.argument("type")
@click.argument("value")
@pass_session
def unclaim(session: Session, person: str, type: str, value: str) -> None:
    """Say no more of PERSON what «grant claim» or a visa said."""
    with session.node() as node:
        index = node.unclaim(person, type, value)
    show(session, {"index": index}, lambda: say(f"{person}: no more {type} {value} (entry {index})."))


@group.command()
@pass_session
def claims(session: Session) -> None:
    """List what the members say of people."""
    with session.node() as node:
        found = node.claims()
        names = _Names(node)

    def tell() -> None:
        from node.api.quantity import clock_text

        rows = [
            (names.person(each.fields.person), each.site_name, claim.type, claim.value, clock_text(claim.not_after))
            for each in found
            for claim in each.fields.claims
        ]
        table(("person", "by", "type", "value", "until"), rows, "no claims")

    show(session, found, tell)


@group.command("import-visa")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--jwks", required=True, type=click.Path(path_type=Path), help="The issuers that you trust, and their keys."
)
@click.option("--person", required=True, help="Whose account the visa was issued to.")
@click.option("--project", default="", help="With ControlledAccessGrants: the project that access is for.")
@click.option("--until", help="With ControlledAccessGrants: when the grant ends, if sooner than the visa.")
@pass_session
def import_visa(session: Session, file: Path, jwks: Path, person: str, project: str, until: str | None) -> None:
    """Read a GA4GH visa (a JSON Web Token in FILE) of PERSON, and say what it says; for stewards.

    Who issues visas that count is for you to list in the file of --jwks:
    {"issuers": {"https://login.example.org/": {"keys": [a public JWK, …]}}}.
    """
    from privacy.visa import MAX_ISSUERS, MAX_TOKEN

    token, issuers = _read(file, MAX_TOKEN), _read(jwks, MAX_ISSUERS)
    with session.node() as node:
        made = node.import_visa(token, issuers, person, project=project, until=until)
    show(session, made, lambda: say(f"{person}: {made.name} (entry {made.index})."))


def _warn_of_doubts(node: Node, made: Published) -> None:
    """Say at once what keeps a grant from being of use: it stands, and its person would learn it much later."""
    for why in node.doubts(made.cid):
        warn(f"nobody can use this grant, or all of it, as things stand: {why}")


class _Names:
    """Names for keys and CIDs, as the node knows them."""

    def __init__(self, node: Node) -> None:
        from catalog.dataset import DatasetFields

        self._people = {each.fields.did: f"{each.fields.name}@{each.site_name}" for each in node.people()}
        self._data = {each.fields.cid: each.fields.name for each in node.listed("dataset", DatasetFields)}

    def person(self, did: str) -> str:
        return self._people.get(did, did)

    def datasets(self, each: Standing) -> str:
        return ", ".join(self._data.get(cid, str(cid)) for cid in each.grant.datasets)


def _tell(each: Standing, depth: int, names: _Names, sites: dict[str, str]) -> None:
    from node.api.quantity import clock_text

    grant, place = each.grant, "   " * depth + ("└─ " if depth else "")
    say(f"{place}{each.cid}  {each.state}" + (f": {each.reason}" if each.reason else ""))
    room = "   " * (depth + 1)
    pairs(
        [
            (f"{room}for", names.person(grant.subject)),
            (f"{room}by", f"{names.person(grant.issuer)}, in the log of {each.site_name}"),
            (f"{room}project", grant.project.name),
            (f"{room}datasets", f"{names.datasets(each)} of {sites.get(grant.site, grant.site)}"),
            (f"{room}purposes", ", ".join(grant.purposes)),
            (f"{room}actions", ", ".join(grant.actions)),
            (f"{room}blocks", ", ".join(str(block) for block in grant.blocks) or "any"),
            (f"{room}to", ", ".join(sites.get(site, site) for site in grant.destinations) or "any"),
            (f"{room}until", clock_text(grant.not_after)),
            *((f"{room}claim", f"{claim.type} {claim.value}") for claim in grant.claims),
        ]
    )


def _read(path: Path, most: int) -> bytes:
    """At most one byte more than ``most``, which its reader then refuses."""
    from catalog.error import BadInput

    try:
        with path.open("rb") as file:
            return file.read(most + 1)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from error
