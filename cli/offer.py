"""``comity offer``: what a site runs, at what price."""

from __future__ import annotations

import click

from cli.output import say, show, table
from cli.session import Session, Verbs, pass_session


@click.group(cls=Verbs)
def group() -> None:
    """What this site runs, at what price."""


@group.command("set")
@click.option("--price", required=True, help="For one step, in the consortium's unit, such as 0.10.")
@click.option(
    "--runner", type=click.Choice(["sandbox"]), default="sandbox", show_default=True, help="What executes steps."
)
@click.option(
    "--step-millis",
    type=click.IntRange(1, 86_400_000),
    default=1000,
    show_default=True,
    help="How long a step is expected to take.",
)
@pass_session
def set_(session: Session, price: str, runner: str, step_millis: int) -> None:
    """Say what this site runs and at what price; for stewards."""
    with session.node() as node:
        index = node.set_offer(price, runner, step_millis)
    show(session, {"index": index}, lambda: say(f"This site offers {runner} at {price} a step (entry {index})."))


@group.command("show")
@pass_session
def show_(session: Session) -> None:
    """Show what every member offers."""
    from catalog.offer import OfferFields
    from node.api.quantity import money, span_text

    with session.node() as node:
        found = node.listed("offer", OfferFields)

    def tell() -> None:
        rows = [
            (each.site_name, each.fields.runner, money(each.fields.price), span_text(each.fields.step_millis))
            for each in found
        ]
        table(("site", "runner", "price of a step", "expected time"), rows, "no offers")

    show(session, found, tell)
