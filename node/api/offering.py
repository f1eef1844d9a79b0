"""Offers as stewards sign them and people compare them: what each member runs, how fast, how busy, at what price."""

from __future__ import annotations

from dataclasses import dataclass

from catalog.capacity import CapacityFields
from catalog.error import BadInput
from catalog.offer import Most, OfferFields
from node.api.publish import Publisher
from node.api.quantity import Money, micros
from node.api.view import Listing


@dataclass(frozen=True, slots=True)
class Offered:
    """What a member's steward offers, and what its node says of itself; none if it has not said so yet."""

    site: str
    site_name: str
    index: int
    offer: OfferFields
    capacity: CapacityFields | None


class Offerer(Publisher):
    """Sets this site's offer, and compares all members'."""

    def set_offer(
        self,
        price: Money,
        runner: str | None = None,
        step_millis: int = 1000,
        *,
        cpu_hour: Money = 0,
        gb_hour: Money = 0,
        gb_moved: Money = 0,
        most: Most | None = None,
        gpus: int = 0,
    ) -> int:
        """Say at what price this site runs steps, by what, and how long one is expected to take; the entry's index.

        ``price`` is for a step whatever it uses; ``cpu_hour``, ``gb_hour`` and ``gb_moved`` come on top, for no more
        than ``most``. Without a ``runner`` it is the node's, without ``most`` what the node lets a step use.

        Raises:
            BadInput: GPUs, which no runner gives to a step; or the node has another runner, or gives steps less.
        """
        if gpus:
            raise BadInput(
                f"{gpus} GPUs cannot be offered: no runner of this version gives a step a GPU, so whoever planned on"
                " one would be left without; leave --gpus away"
            )
        charged = {"cpu_hour": micros(cpu_hour), "gb_hour": micros(gb_hour), "gb_moved": micros(gb_moved)}
        if runner is None or (most is None and (charged["cpu_hour"] or charged["gb_hour"])):
            status = self.status()
            runner = status.runner if runner is None else runner
            if most is None and status.steps is not None:
                limits = status.steps.limits
                most = Most(seconds=limits.seconds, cpu_seconds=limits.cpu_seconds, memory_mib=limits.memory_mib)
        fields = OfferFields(runner=runner, price=micros(price), step_millis=step_millis, most=most, **charged)
        return self._write("offer", fields)

    def offers(self) -> tuple[Offered, ...]:
        """The offers of all members that did not leave, each with what its node says of itself."""
        said = {each.site: each.fields for each in self.listed("capacity", CapacityFields)}
        listed: tuple[Listing[OfferFields], ...] = self.listed("offer", OfferFields)
        return tuple(
            Offered(each.site, each.site_name, each.index, each.fields, said.get(each.site))
            for each in listed
            if not each.left
        )
