"""A workflow as a problem to plan: its step instances, where each may run by labels and offers, and why not elsewhere.

What an instance reads of datasets is known, and so are its readers. What steps before it make is released to the
requester's own site, and read there unless data of others that stay where they are must be beside it: nobody else's
policy lets in a value that no grant can name yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from catalog.capacity import CapacityFields
from catalog.cid import Cid
from catalog.dataset import DatasetFields
from catalog.error import BadInput, Denied
from catalog.index import Index
from catalog.offer import OfferFields
from privacy.label import effective_readers
from privacy.trust import blocks_at, has_left
from workflow.argument import Argument, Data, Many, members, pieces_in
from workflow.graph import Merge, Source, Step, Workflow, order_of_steps
from workflow.plan.estimate import Estimate, History
from workflow.plan.problem import Barred, Candidate, Edge, Place, Problem, Rule, Task
from workflow.price import most, moved_to
from workflow.unfold import given_inputs, shards

MAX_INSTANCES: Final = 20_000

RATE: Final = 12_500
"""Bytes a millisecond that are counted on between two sites, 100 Mbit a second: nothing measures their lines yet."""

Places = Mapping[tuple[str, int], str]
"""The site of each instance, by its step and shard."""

NO_PLACES: Final[Places] = {}


@dataclass(frozen=True, slots=True)
class Word:
    """What a site said in advance to a step: whether its policy allows it, after so many ``stewards``, and why not."""

    allowed: bool
    stewards: int = 0
    reason: str = ""


Said = Mapping[tuple[str, int, str], Word]
"""What a site said to an instance, by step, shard and site; who was not asked, or did not answer, is not in it."""

NOBODY_ASKED: Final[Said] = {}


@dataclass(frozen=True, slots=True)
class Members:
    """The sites to choose from, and those that left: name for people by root key; and the requester's own."""

    names: Mapping[str, str]
    home: str


@dataclass(frozen=True, slots=True)
class Instance:
    """A step instance: what it is ``given``, the names of its datasets, who ``holds`` one, why it does not run where.

    It is ``asked`` about in advance if it reads nothing that another step has to make before.
    """

    step: str
    shard: int
    given: Mapping[str, Argument]
    asked: bool
    data: tuple[str, ...]
    holders: tuple[str, ...]
    reasons: Mapping[str, str]
    estimates: Mapping[str, Estimate]


@dataclass(frozen=True, slots=True)
class Draft:
    """A problem, and what its numbers stand for: the ``sites`` by root key, an instance for each task.

    ``absent`` are shards that no site may run, where enough others remain; ``said`` is what sites said in advance.
    ``unforeseen`` are steps that are scattered over a list that another one makes: each is planned as if it ran once.
    """

    problem: Problem
    sites: tuple[str, ...]
    instances: tuple[Instance, ...]
    members: Members
    absent: tuple[Instance, ...] = ()
    said: Said = field(default_factory=dict)
    unforeseen: tuple[str, ...] = ()

    @property
    def shards(self) -> int:
        """Of the step that is scattered most widely."""
        return max((each.shard for each in (*self.instances, *self.absent)), default=0) + 1

    def placed(self, places: Places) -> Draft:
        """The same where each of these instances runs at its site alone, as far as it still may."""
        tasks = []
        for task, each in zip(self.problem.tasks, self.instances, strict=True):
            site = places.get((each.step, each.shard))
            kept = tuple(candidate for candidate in task.candidates if self.sites[candidate.site] == site)
            tasks.append(replace(task, candidates=kept or task.candidates))
        return replace(self, problem=replace(self.problem, tasks=tuple(tasks)))


def drafted(
    workflow: Workflow,
    inputs: Mapping[str, Argument],
    index: Index,
    members: Members,
    history: History,
    *,
    min_sites: int | None = None,
    said: Said = NOBODY_ASKED,
    places: Places = NO_PLACES,
) -> Draft:
    """Unfold a workflow and say of each instance where it may run, for how long and at what cost at most.

    Of a scattered step as many shards as ``min_sites`` are enough, if it is given: those that no site may run are left
    out, and so are those that ``places``, if there are any, do not name. What is ``said`` against a step bars a site.

    Raises:
        BadInput: the inputs do not fit the workflow, it unfolds into too many instances, or a step is pinned to a site
            that is no member.
        Denied: data that is not in the catalog here, or whose site left the consortium.
    """
    drafting = _Drafting(index, members, history, min_sites, said, places)
    values: dict[Source, Argument] = dict(given_inputs(workflow, inputs))
    for step in order_of_steps(workflow):
        unfolded = enumerate(shards(step, drafting.assumed(step, values)))
        made = drafting.add([drafting.make(step, shard, given) for shard, given in unfolded], step)
        if len(drafting.instances) > MAX_INSTANCES:
            raise BadInput(f"the workflow unfolds into more than {MAX_INSTANCES:,} steps; submit it in parts")
        for name in step.outputs:
            promised = [drafting.promise(number, name) for number in made]
            values[Source(step.id, name)] = Many(items=tuple(promised)) if step.scatter else promised[0]
    sites = tuple(Place(members.names[site], drafting.at_once(site)) for site in drafting.sites)
    problem = Problem(tuple(drafting.tasks), sites, tuple(drafting.rules), RATE)
    absent, unforeseen = tuple(drafting.absent), tuple(drafting.unforeseen)
    return Draft(problem, drafting.sites, tuple(drafting.instances), members, absent, said, unforeseen)


@dataclass(slots=True)
class _Drafting:
    index: Index
    members: Members
    history: History
    min_sites: int | None
    said: Said
    places: Places
    tasks: list[Task] = field(default_factory=list)
    instances: list[Instance] = field(default_factory=list)
    absent: list[Instance] = field(default_factory=list)
    rules: dict[Rule, int] = field(default_factory=dict)
    promised: dict[Cid, int] = field(default_factory=dict)
    blocks: dict[tuple[Cid, str], bool] = field(default_factory=dict)
    unforeseen: list[str] = field(default_factory=list)

    @property
    def sites(self) -> tuple[str, ...]:
        return tuple(self.members.names)

    def at_once(self, site: str) -> int:
        """How many steps a site says that it runs together; of one that says nothing, one is counted on."""
        said = self.index.site(site).typed(CapacityFields, "capacity")
        return 1 if said is None else said.at_once

    def assumed(self, step: Step, values: Mapping[Source, Argument]) -> Mapping[Source, Argument]:
        """The values, with lists that nobody has made yet, and the step is scattered over, as long as the others.

        How long they will be nobody knows: without others, one member is planned with.
        """
        scattered = [each for each in step.inputs if each.name in step.scatter and each.merge is not Merge.NESTED]
        found = {source: values[source] for each in scattered for source in each.sources if source in values}
        lengths = [len(known) for each in found.values() if (known := members(each)) is not None]
        long = max(lengths, default=1)
        made = {source: each for source, each in found.items() if isinstance(each, Data) and each.cid in self.promised}
        if made:
            self.unforeseen.append(step.id)
        return {**values, **{source: Many(items=(each,) * long) for source, each in made.items()}}

    def promise(self, number: int, name: str) -> Data:
        """What stands for the output of an instance that nobody has made yet."""
        made = Data(site=self.members.home, cid=Cid.of(f"{number}/{name}".encode()), name=name)
        self.promised[made.cid] = number
        return made

    def add(self, made: Sequence[tuple[Task, Instance]], step: Step) -> list[int]:
        """Add the instances of a step, but for those that are left out; their numbers."""
        fit = [(task, each) for task, each in made if task.candidates and self._placed(each)]
        if step.scatter and self.min_sites is not None and len(fit) >= min(self.min_sites, len(made)):
            kept = {each.shard for _, each in fit}
            self.absent.extend(each for _, each in made if each.shard not in kept)
            made = fit
        for task, each in made:
            self.tasks.append(task)
            self.instances.append(each)
        return list(range(len(self.tasks) - len(made), len(self.tasks)))

    def _placed(self, instance: Instance) -> bool:
        return not self.places or (instance.step, instance.shard) in self.places

    def make(self, step: Step, shard: int, given: Mapping[str, Argument]) -> tuple[Task, Instance]:
        """An instance, and where it may run."""
        pieces = pieces_in(dict(given))
        befores = sorted({self.promised[item.cid] for item in pieces if item.cid in self.promised})
        data = [item for item in pieces if item.cid not in self.promised]
        known = {name: each for name, each in given.items() if not _all_promised(each, self.promised)}
        read = {item: self._readers(item) for item in data}
        barred, reasons, found, estimates = [], {}, [], {}
        for number, site in enumerate(self.sites):
            rule = self._rule(number, site, step, read, befores) or self._refused(number, site, step.id, shard)
            candidate, estimate = self._candidate(number, site, step, known, data)
            if candidate is None or estimate is None:
                # Whatever was asked for there, nothing would run.
                rule = Rule(number, rule.reason if rule else "it offers no computation")
            if rule is None and candidate is not None and estimate is not None:
                found.append(candidate)
                estimates[site] = estimate
            elif rule is not None:
                reasons[site] = rule.reason
                barred.append(Barred(self.rules.setdefault(rule, len(self.rules)), candidate))
        holders = tuple(dict.fromkeys(item.site for item in data))
        wanted = (*holders, self.members.home)
        found.sort(key=lambda each: wanted.index(self.sites[each.site]) if self.sites[each.site] in wanted else 99)
        name = f"{step.id}[{shard}]"
        task = Task(name, tuple(Edge(before) for before in befores), tuple(found), tuple(barred))
        names = tuple(item.name for item in data)
        return task, Instance(step.id, shard, given, not befores, names, holders, reasons, estimates)

    def _refused(self, number: int, site: str, step: str, shard: int) -> Rule | None:
        """What a site said against it in advance."""
        word = self.said.get((step, shard, site))
        if word is None or word.allowed:
            return None
        return Rule(number, f"it says no: {word.reason}", f"ask {self.members.names[site]} to allow «{step}»")

    def _candidate(
        self, number: int, site: str, step: Step, known: Mapping[str, Argument], data: Sequence[Data]
    ) -> tuple[Candidate, Estimate] | tuple[None, None]:
        offer = self.index.site(site).typed(OfferFields, "offer")
        if offer is None:
            return None, None
        size = sum(fields.size for item in data if (fields := self._dataset(item)) is not None)
        moved = moved_to(self.index, site, known)
        block = step.run if isinstance(step.run, Cid) else Cid.of(step.run.encode())
        estimate = self.history.estimate(block, site, size, offer.step_millis)
        millis = estimate.millis - (-moved // RATE)
        return Candidate(number, millis, most(offer, moved), moved), estimate

    def _rule(
        self, number: int, site: str, step: Step, read: Mapping[Data, frozenset[str] | None], befores: Sequence[int]
    ) -> Rule | None:
        """Why an instance may not run at a site, and what could be asked for."""
        if step.site and self._pinned(step) != site:
            return Rule(number, f"«{step.id}» is pinned to {step.site}")
        if stale := self.index.site(site).stale:
            return Rule(number, stale)
        reasons, asks = [], []
        for item, readers in read.items():
            # That a person there reads it opens it to nobody's steps.
            if readers is not None and site not in readers:
                owner = self.members.names.get(item.site, "its owner")
                only = readers == {item.site}
                reasons.append(
                    f"«{item.name}» is resident at {owner} and may not leave it"
                    if only
                    else f"«{item.name}» is shared by {owner} with others"
                )
                asks.append(f"ask {owner} to allow {self.members.names[site]} to read «{item.name}»")
        if reasons:
            return Rule(number, reasons[0], " and ".join(dict.fromkeys(asks)))
        home = self.members.home
        if befores and site != home and all(each is None or home in each for each in read.values()):
            made = self.instances[befores[0]].step
            return Rule(number, f"what «{made}» makes is released to the requester's site alone")
        if isinstance(step.run, Cid) and not self._shared(step.run, site):
            return Rule(number, "the block is not shared with it", f"share the block of «{step.id}» with it")
        return None

    def _pinned(self, step: Step) -> str:
        found = [site for site, name in self.members.names.items() if step.site in (site, name)]
        if len(found) != 1:
            raise BadInput(f"step «{step.id}» is pinned to «{step.site}», which names no site of the consortium")
        return found[0]

    def _shared(self, block: Cid, site: str) -> bool:
        if (block, site) not in self.blocks:
            self.blocks[block, site] = bool(blocks_at(self.index, block, site))
        return self.blocks[block, site]

    def _readers(self, data: Data) -> frozenset[str] | None:
        if has_left(self.index, data.site):
            owner = self.members.names.get(data.site, data.site)
            raise Denied(f"the dataset {data.cid} is not offered any more: its site, {owner}, left the consortium")
        fields = self._dataset(data)
        if fields is None or fields.withdrawn:
            raise Denied(f"no dataset {data.cid} stands in the catalog; see «comity dataset list»")
        return effective_readers(fields.label)

    def _dataset(self, data: Data) -> DatasetFields | None:
        return self.index.site(data.site).typed(DatasetFields, "dataset", str(data.cid))


def _all_promised(argument: Argument, promised: Mapping[Cid, int]) -> bool:
    items = argument.items if isinstance(argument, Many) else (argument,)
    return all(isinstance(item, Data) and item.cid in promised for item in items)
