"""What people sign into their site's catalog: enrolments, datasets, projects, policy.

Every body is made and signed here, where the person's key is; the node gets it finished.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from secrets import token_bytes
from typing import TypeVar

from msgspec import structs

from catalog.block import BlockFields
from catalog.body import write_body
from catalog.cid import Cid
from catalog.dagcbor import Value, decode, encode
from catalog.dataset import DatasetFields, Level
from catalog.entry import KINDS
from catalog.error import BadInput, Conflict, Denied, NotFound, VerificationFailed
from catalog.key import Signer
from catalog.label import Label, Reader
from catalog.leaf import SALT_BYTES
from catalog.member import KeyFields, Role
from catalog.mirror import MirrorFields
from catalog.policy import PolicyFields
from catalog.project import ProjectFields
from node.api import operation
from node.api.copies import BringCopy, HoldersView, TransferView
from node.api.fetching import Fetcher
from node.api.quantity import Moment, moment
from node.api.schema import ImportDataset, Imported, WriteEntry
from node.api.view import Listing, Published
from privacy.label import effective_readers, site_of
from privacy.purpose import HMB, checked, checked_undertaking, checked_use

V = TypeVar("V", bound=Value)


class Publisher(Fetcher):
    """Writes this site's catalog as one person, who signs each entry here."""

    def enrol(self, name: str, did: str, x25519: bytes, role: str = "researcher") -> int:
        """Enrol a person's public keys at this site; for its stewards. The entry's index."""
        if role not in (Role.STEWARD, Role.RESEARCHER, Role.AUDITOR):
            raise BadInput(f"«{role}» is no role of a person; use researcher, steward or auditor")
        return self._write("key", KeyFields(did=did, role=Role(role), name=name, x25519=x25519))

    def publish_dataset(
        self,
        path: str | Path,
        name: str,
        level: str = "resident",
        purposes: Sequence[str] = (HMB,),
        description: str = "",
        readers: Sequence[str] = (),
        custodians: Sequence[str] = (),
        population: str = "",
        columns: Mapping[str, Sequence[str]] | None = None,
        person: str = "",
    ) -> Published:
        """Make a dataset of a file or folder on the node's machine and put it into the catalog; for stewards.

        ``level`` is ``open``, ``shared`` or ``resident``; ``purposes`` are DUO terms: permissions, and the conditions
        on them. What is published already in just this way stays as it is; shared data are encrypted anew each time.
        Of shared data, ``readers`` are members and people (:meth:`reader`) who may have it, as far as grants and policy
        let them, and ``custodians`` members who keep its key too. Data with the same ``population`` are about the same
        people: what leaves of one is held against what left of the other. ``columns`` are all values of a column, and
        ``person`` is the column that says whose a row is.

        Raises:
            BadInput: an unknown purpose or level, readers of what is not shared, or what the node cannot read.
            NotFound: no such reader or custodian.
            Conflict: the data are published already, and something else is said of them; or other data under that name.
            VerificationFailed: the node named the data otherwise than their level asks.
        """
        terms = tuple(checked_use(term) for term in purposes)
        if level not in set(Level):
            raise BadInput(f"there is no level «{level}»; use open, shared or resident")
        if (readers or custodians) and level != Level.SHARED:
            raise BadInput(f"readers and custodians are for shared data; these are {level}")
        named = label_of(self.site, map(self.reader, readers))
        keepers = self._keepers(custodians)
        made = self._import(path, level, name)
        fields = DatasetFields(
            cid=made.cid,
            name=name,
            level=Level(level),
            label=Label(owners={}) if level == Level.OPEN else named,
            purposes=terms,
            description=description,
            media_type=made.media_type,
            size=made.size,
            custodians=keepers,
            population=population,
            columns={column: tuple(sorted(values)) for column, values in (columns or {}).items()},
            person=person,
        )
        return self._announce(fields)

    def publish_made(
        self, path: str | Path, name: str, level: Level, label: Label, purposes: Sequence[str], description: str
    ) -> Published:
        """Make a dataset of a result that lies at ``path`` on the node's machine, under its joined label; for stewards.

        ``label`` is what :func:`workflow.crate.lineage.label_as` gives, ``description`` begins with its lineage.

        Raises:
            BadInput, Conflict, Denied, VerificationFailed: as :meth:`publish_dataset`.
        """
        terms = tuple(checked_use(term) for term in purposes)
        made = self._import(path, level, name)
        fields = DatasetFields(
            cid=made.cid,
            name=name,
            level=level,
            label=label,
            purposes=terms,
            description=description,
            media_type=made.media_type,
            size=made.size,
        )
        return self._announce(fields)

    def _import(self, path: str | Path, level: str, name: str) -> Imported:
        """Have the node read what lies at ``path`` on its machine."""
        request = ImportDataset(path=str(Path(path).absolute()), level=level, name=name)
        made = self._connection.ask(operation.IMPORT_DATASET, request)
        if made.cid.is_keyed != (level == Level.RESIDENT):
            raise VerificationFailed(f"the node named {level} data by a CID of the wrong kind; nothing was published")
        return made

    def _announce(self, fields: DatasetFields) -> Published:
        """Put imported data into the catalog, unless just that stands there."""
        there = (each for each in self._published() if (each.site, each.fields.cid) == (self.site, fields.cid))
        standing = next(there, None)
        if standing is None:
            self._show_policy(fields.custodians)
            return Published(fields.cid, fields.name, self._write("dataset", fields), fields.size)
        if changed := self.differences(standing.fields, fields):
            raise Conflict(
                f"these data are published already, as «{standing.fields.name}», and nothing was changed"
                f" ({'; '.join(changed)}); to change that on purpose: comity dataset change {fields.cid}"
            )
        return Published(fields.cid, fields.name, standing.index, fields.size)

    def reader(self, name: str) -> Reader:
        """A member by name, or a person by name, ``NAME@SITE`` or key: who a label may name, as it names them.

        Raises:
            NotFound: neither. BadInput: several people of that name.
        """
        members = {each.name: each.site for each in self.members()}
        if name in members or name in members.values():
            return members.get(name, name)
        who = self.enrolled(name)
        return f"{who.fields.did}@{who.site}"

    def change_dataset(
        self,
        dataset: Cid | str,
        *,
        name: str | None = None,
        purposes: Sequence[str] | None = None,
        description: str | None = None,
        readers: Sequence[str] | None = None,
        custodians: Sequence[str] | None = None,
        population: str | None = None,
        columns: Mapping[str, Sequence[str]] | None = None,
        person: str | None = None,
    ) -> int:
        """Say otherwise what a dataset of this site is called, may serve, or is; if it is shared, who reads it too, and
        who keeps its key, or whom it is about.

        What is none stays. A reader who is not named any more gets no key from now on; a custodian who is not named
        any more destroys the key. The entry's index.

        Raises:
            NotFound: no such dataset. Denied: it is another site's.
            BadInput: an unknown purpose, or nothing would change. Conflict: the name is another dataset's here.
        """
        found = self.dataset(dataset)
        after = self.changed_dataset(
            found, name, purposes, description, readers, custodians, population, columns, person
        )
        self._show_policy(after.custodians)
        return self._write("dataset", after)

    def changed_dataset(
        self,
        found: Listing[DatasetFields],
        name: str | None = None,
        purposes: Sequence[str] | None = None,
        description: str | None = None,
        readers: Sequence[str] | None = None,
        custodians: Sequence[str] | None = None,
        population: str | None = None,
        columns: Mapping[str, Sequence[str]] | None = None,
        person: str | None = None,
    ) -> DatasetFields:
        """The fields that :meth:`change_dataset` would write; raises as it does."""
        if found.site != self.site:
            raise Denied(f"the dataset «{found.fields.name}» is {found.site_name}'s, which alone can change it")
        now = found.fields
        others = (each.fields for each in self._published() if each.site == self.site and each.fields.cid != now.cid)
        if name is not None and any(each.name == name for each in others):
            raise Conflict(f"this site publishes another dataset as «{name}»; take a name that it has not given")
        if not (readers is None and custodians is None) and now.level is not Level.SHARED:
            raise BadInput(f"«{now.name}» is {now.level}: only readers and custodians of shared data are chosen")
        after = structs.replace(
            now,
            label=now.label if readers is None else label_of(self.site, map(self.reader, readers)),
            name=now.name if name is None else name,
            purposes=now.purposes if purposes is None else tuple(checked_use(term) for term in purposes),
            description=now.description if description is None else description,
            custodians=now.custodians if custodians is None else self._keepers(custodians),
            population=now.population if population is None else population,
            columns=now.columns if columns is None else {name: tuple(sorted(each)) for name, each in columns.items()},
            person=now.person if person is None else person,
        )
        if after == now:
            raise BadInput(
                f"nothing of «{now.name}» would change; give another --name, --purpose, --description,"
                " --reader, --custodian, --population, --values or --person"
            )
        return readable(after)

    def differences(self, before: DatasetFields, after: DatasetFields) -> tuple[str, ...]:
        """What ``after`` says otherwise of a dataset than ``before``, in words, each with both."""
        names = {each.fields.did: each.fields.name for each in self.people()}
        names |= {each.site: each.name for each in self.members()}

        def named(keys: Iterable[str]) -> str:
            return ", ".join(sorted("@".join(names.get(each, each) for each in key.split("@")) for key in keys))

        said = {
            "name": (before.name, after.name),
            "purposes": (", ".join(sorted(before.purposes)), ", ".join(sorted(after.purposes))),
            "description": (before.description, after.description),
            "readers": (named(_readers(before)), named(_readers(after))),
            "custodians": (named(before.custodians), named(after.custodians)),
            "population": (before.population, after.population),
            "values": (_listed(before), _listed(after)),
            "person": (before.person, after.person),
        }
        return tuple(f"{what}: «{old}», not «{new}»" for what, (old, new) in said.items() if old != new)

    def mirror(self, published: Listing[DatasetFields] | Listing[BlockFields], *, end: bool = False) -> int:
        """Hold another site's dataset or block here too, for whoever may read it, or do so no more. The entry's index.

        The bytes are fetched first; this returns when they are here.

        Raises:
            BadInput: it is this site's own, or resident. NotFound: it is not mirrored here, and was to end.
        """
        fields = published.fields
        if published.site == self.site:
            raise BadInput(f"«{fields.name}» is this site's own; it holds it already")
        made = MirrorFields(cid=fields.cid, owner=published.site, withdrawn=end)
        standing = (each.fields for each in self.listed("mirror", MirrorFields) if each.site == self.site)
        if end and not any(each == structs.replace(made, withdrawn=False) for each in standing):
            raise NotFound(f"«{fields.name}» is not mirrored here; there is nothing to end")
        if not end:
            self._connection.ask(operation.BRING_COPY, BringCopy(cid=fields.cid))
        readers = effective_readers(fields.label)
        seen_by = None if readers is None else tuple(sorted({site_of(each) for each in readers} - {self.site}))
        return self._write("mirror", made, audience=seen_by)

    def transfers(self) -> tuple[TransferView, ...]:
        """What is on its way to this site now; needs no person."""
        return self._connection.ask(operation.TRANSFERS)

    def holders(self) -> tuple[HoldersView, ...]:
        """Who holds each dataset and block, and how many of them answer now."""
        return self._connection.ask(operation.HOLDERS)

    def new_project(
        self,
        name: str,
        people: Iterable[str],
        purpose: str,
        datasets: Iterable[Cid | str] = (),
        *,
        until: Moment,
        members: Iterable[str] = (),
        undertakings: Sequence[str] = (),
    ) -> int:
        """Put a project into this site's catalog; ``people`` are enrolled persons by name or key.

        The owners of its datasets, and ``members`` beside them, are asked to approve it; ``undertakings`` are the
        conditions of use, as DUO terms, that its people take on. Where the project is there already, all of that
        takes the place of what it was; it needs no new approval if nothing changed but that people left.

        Raises:
            NotFound: a person, dataset or member. BadInput: nobody is to be in it, or an unknown purpose or
                undertaking. Conflict: it has ended.
        """
        dids = sorted({self.enrolled(each).fields.did for each in people})
        if not dids:
            raise BadInput(f"nobody is to be in the project «{name}»; name a person, or end it")
        there = self._own(name)
        if there is not None and there.ended:
            raise Conflict(f"the project «{name}» has ended, for good; choose another name")
        known = {} if there is None else there.people
        found = [self.dataset(each) for each in datasets]
        asked = {*(each.site for each in found), *(self.member(each).site for each in members)}
        fields = ProjectFields(
            name=name,
            people={did: known.get(did) or token_bytes(SALT_BYTES) for did in dids},
            purpose=checked(purpose),
            datasets=tuple(sorted(each.fields.cid for each in found)),
            not_after=end_of(until),
            members=tuple(sorted(asked - {self.site})),
            undertakings=tuple(sorted(map(checked_undertaking, undertakings))),
        )
        return self._write("project", fields)

    def _own(self, project: str) -> ProjectFields | None:
        """A project of this site as it stands. The salts of its people stay, for approvals name people by them."""
        ours = (each.fields for each in self.listed("project", ProjectFields) if each.site == self.site)
        return next((fields for fields in ours if fields.name == project), None)

    def set_policy(self, text: str) -> int:
        """Make Cedar text this site's policy, from now on; empty text permits nothing.

        Other sites do not see it, but for custodians of this site's keys: what of a rule an asker may be told is for
        the policy itself to say.

        Raises:
            BadInput: the node finds a fault in it; the message says where.
        """
        return self._write("policy", PolicyFields(text=text), audience=self._custodians())

    def _custodians(self) -> tuple[str, ...]:
        """The members that keep keys for this site."""
        ours = (each.fields for each in self._published() if each.site == self.site)
        return tuple(sorted({keeper for fields in ours for keeper in fields.custodians}))

    def _keepers(self, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted({self.member(each).site for each in names}))

    def _show_policy(self, keepers: Iterable[str]) -> None:
        """Let custodians see this site's policy, by which they give keys; nothing if they see it already."""
        policy = next((each for each in self.listed("policy", PolicyFields) if each.site == self.site), None)
        if policy is not None and not set(keepers) <= set(policy.audience or ()):
            seen_by = tuple(sorted({*self._custodians(), *keepers}))
            self._write("policy", policy.fields, audience=seen_by)

    def _write(self, kind: str, fields: Value, audience: tuple[str, ...] | None = None) -> int:
        subject = KINDS[kind].subject(readable(fields))
        mine = (each for each in self.entries(kind) if each.site == self.site and each.subject == subject)
        previous = next((each.index for each in mine), None)
        body = write_body(
            kind, fields, site=self.site, at=now(), by=self._signer(), previous=previous, audience=audience
        )
        return self._connection.ask(operation.WRITE_ENTRY, WriteEntry(body=encode(body))).index

    def _signer(self) -> Signer:
        if self._connection.person is None:
            raise BadInput("this needs a person's signature; say as whom with --as PERSON, or set COMITY_PERSON")
        return self._connection.person


def now() -> int:
    """Unix milliseconds by this machine's clock."""
    return time.time_ns() // 1_000_000


def end_of(until: Moment) -> int:
    """``until`` in Unix milliseconds.

    Raises:
        BadInput: it is no time, or over already.
    """
    begin = now()
    end = moment(until, begin)
    if end <= begin:
        raise BadInput(f"«{until}» is over already; give a time to come, such as 30d")
    return end


def _readers(fields: DatasetFields) -> list[str]:
    return [reader for owner, readers in fields.label.owners.items() for reader in readers if reader != owner]


def label_of(owner: str, readers: Iterable[str]) -> Label:
    """The label under which ``owner`` allows these readers, and itself."""
    return Label(owners={owner: tuple(sorted({owner, *readers}))})


def readable(value: V) -> V:
    """A value that others will be able to read: bounds stand in the types, which are looked at when bytes are read.

    Raises:
        BadInput: a field is out of its bounds.
    """
    try:
        return decode(type(value), encode(value))
    except VerificationFailed as error:
        raise BadInput(str(error)) from error


def _listed(fields: DatasetFields) -> str:
    """The values of columns, as they are given."""
    return "; ".join(f"{column}={','.join(values)}" for column, values in sorted(fields.columns.items()))
