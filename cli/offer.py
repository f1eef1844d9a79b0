"""``comity offer``: what a site runs, at what price."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from cli.output import say, show, table
from cli.session import Session, Verbs, pass_session

if TYPE_CHECKING:
    from catalog.capacity import Speed
    from catalog.offer import OfferFields
    from node.api.offering import Offered

NOT_SAID: Final = "–"


@click.group(cls=Verbs)
def group() -> None:
    """What this site runs, at what price."""


@group.command("set")
@click.option("--price", required=True, help="For one step, in the consortium's unit, such as 0.10.")
@click.option("--cpu-hour", default="0", show_default=True, help="On top, for an hour of one processor.")
@click.option("--gb-hour", default="0", show_default=True, help="On top, for a GB of memory held for an hour.")
@click.option("--gb-moved", default="0", show_default=True, help="On top, for a GB of other sites' datasets.")
@click.option("--most-seconds", type=click.IntRange(1), help="Of the wall: of no more of a step is charged.")
@click.option("--most-cpu-seconds", type=click.IntRange(1), help="Likewise, of all its processors.")
@click.option("--most-mib-memory", type=click.IntRange(1), help="Likewise, of memory.")
@click.option("--runner", help="What executes steps; as a rule the node's own.")
@click.option("--gpus", type=click.IntRange(0), default=0, help="None can be offered yet.")
@click.option(
    "--step-millis",
    type=click.IntRange(1, 86_400_000),
    default=1000,
    show_default=True,
    help="How long a step is expected to take.",
)
@pass_session
def set_(
    session: Session,
    price: str,
    cpu_hour: str,
    gb_hour: str,
    gb_moved: str,
    most_seconds: int | None,
    most_cpu_seconds: int | None,
    most_mib_memory: int | None,
    runner: str | None,
    gpus: int,
    step_millis: int,
) -> None:
    """Say what this site runs and at what price; for stewards.

    A step costs its price, and on top what it used, as its receipt tells that: in powers of two, of each kind at most
    what a step may use here. So it is known before what it costs at most.
    """
    from catalog.offer import Most

    bounds = (most_seconds, most_cpu_seconds, most_mib_memory)
    with session.node() as node:
        most = None
        if any(each is not None for each in bounds):
            steps = node.status().steps
            here = (steps.limits.seconds, steps.limits.cpu_seconds, steps.limits.memory_mib) if steps else (1, 1, 1)
            seconds, cpu_seconds, memory = (
                own if given is None else given for given, own in zip(bounds, here, strict=True)
            )
            most = Most(seconds=seconds, cpu_seconds=cpu_seconds, memory_mib=memory)
        index = node.set_offer(
            price,
            runner,
            step_millis,
            cpu_hour=cpu_hour,
            gb_hour=gb_hour,
            gb_moved=gb_moved,
            most=most,
            gpus=gpus,
        )
        runs = runner or node.status().runner
    show(session, {"index": index}, lambda: say(f"This site offers {runs} at {price} a step (entry {index})."))


@group.command("show")
@pass_session
def show_(session: Session) -> None:
    """Show what every member offers, and what its node says of itself.

    Speed is in thousandths of the reference machine's, of one processor: whole numbers, floats, hashing, disk.
    """
    with session.node() as node:
        found = node.offers()
    head = ("site", "runner", "price", "expected time", "processors", "memory", "speed (usual: 1,000)", "load")
    show(session, found, lambda: table(head, [_row(each) for each in found], "no offers"))


def _row(each: Offered) -> tuple[str, ...]:
    from node.api.quantity import span_text

    runner, said = each.offer.runner, each.capacity
    told = (each.site_name, runner, _prices(each.offer), span_text(each.offer.step_millis))
    if said is None:
        return *told, NOT_SAID, NOT_SAID, NOT_SAID, NOT_SAID
    return *told, f"{said.processors}", f"{said.memory_mib:,} MiB", speed_text(said.speed), str(said.load)


def _prices(offer: OfferFields) -> str:
    from node.api.quantity import money

    parts = (("CPU h", offer.cpu_hour), ("GB h", offer.gb_hour), ("GB moved", offer.gb_moved))
    return ", ".join([money(offer.price), *(f"{money(amount)} a {what}" for what, amount in parts if amount)])


def speed_text(speed: Speed | None) -> str:
    """A measured speed, shortly."""
    if speed is None:
        return NOT_SAID
    return f"{speed.integer} int, {speed.floating} float, {speed.hashing} hash, {speed.writing} disk"
