"""Taking back what stands in this site's catalog, so that nothing of it can be read anywhere: data, and persons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec import structs

from catalog.cid import Cid
from catalog.error import Denied, NotFound
from catalog.key import Did
from catalog.member import Role
from catalog.withdraw import WithdrawFields
from node.api import operation
from node.api.publish import Publisher
from node.api.schema import Mentions, MentionView

AT_ONCE = 4096
"""Places that one withdrawal names at most."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What an erasure took back: places of this site's catalog; and what other sites must take back themselves."""

    person: str
    places: tuple[MentionView, ...]
    elsewhere: tuple[MentionView, ...]


class Forgetter(Publisher):
    """Takes entries back as one steward, who signs that here."""

    def withdraw_dataset(self, dataset: Cid | str, *, erase: bool = False) -> int:
        """Publish a dataset of this site no more; with ``erase``, its entries are erased at every member, also later.

        The index of the entry. The data stay where they lie.

        Raises:
            NotFound: no such dataset. Denied: it is another site's.
        """
        found = self.dataset_ever(dataset) if erase else self.dataset(dataset)
        if found.site != self.site:
            raise Denied(f"the dataset «{found.fields.name}» is {found.site_name}'s, which alone can withdraw it")
        if not erase:
            return self._write("dataset", structs.replace(found.fields, withdrawn=True))
        entries = [
            each
            for each in self._mentions(bytes(found.fields.cid))
            if each.site == self.site and (each.kind, each.subject) == ("dataset", str(found.fields.cid))
        ]
        return self._withdraw(entries)

    def person_key(self, who: str) -> Did:
        """The key of a person by name, ``NAME@SITE`` or key; also one that nobody has enrolled any more.

        Raises:
            NotFound: nobody of that name. BadInput: several.
        """
        return who if who.startswith("did:key:") else self.enrolled(who).fields.did

    def remove_person(self, person: Did, since: int | None = None) -> int:
        """Remove the key of a researcher or auditor of this site: nothing that it signs counts from now on.

        With ``since`` nothing counts that it signed from that place of the catalog on.

        Raises:
            NotFound: this site has not enrolled it. Denied: the root alone removes stewards.
        """
        key = next((each.fields for each in self.people() if (each.site, each.fields.did) == (self.site, person)), None)
        if key is None:
            raise NotFound("this site has enrolled no such person, or removed them before; see «comity person list»")
        if key.role in _OF_ROOT:
            raise Denied(f"{key.name} is a {key.role}, whom the site's root key alone removes")
        return self._write("key", structs.replace(key, removed=True, until=since))

    def mentions(self, person: Did) -> Forgotten:
        """Where the key of a person stands, here and in other sites' catalogs, as far as this site may see."""
        found = self._mentions(person.encode())
        here = tuple(each for each in found if each.site == self.site)
        return Forgotten(person, here, tuple(each for each in found if each.site != self.site))

    def forget_person(self, person: Did) -> Forgotten:
        """Take back every entry of this site that contains the key of ``person``; for stewards.

        What must go on without them is written anew first: projects name the others alone, which needs no new
        approval (a project that is left with nobody ends), and the steward signs the person's blocks. What other sites
        have is theirs to take back.

        Raises:
            NotFound: the key stands nowhere in this site's catalog. Denied: it is a steward's, under whose signature
            other entries count.
        """
        found = self.mentions(person)
        if not found.places:
            raise NotFound("that key stands nowhere in this site's catalog: there is nothing to take back")
        ours = (each.fields for each in self.people() if each.site == self.site)
        if any(key.did == person and key.role in _OF_ROOT for key in ours):
            raise Denied(
                "entries that count stand under this steward's signature; another steward signs them anew first"
            )
        for place in found.places:
            if place.counts:
                self._write_anew(place, person)
        # What a project says now names the person no more, and stays; all that did, goes.
        self._withdraw(self.mentions(person).places)
        return found

    def _write_anew(self, place: MentionView, person: Did) -> None:
        if place.kind == "project":
            entry = self.project(f"{place.subject}@{place.site_name}", ended=True)
            people = {did: salt for did, salt in entry.fields.people.items() if did != person}
            ended = entry.fields.ended or not people
            self._write("project", structs.replace(entry.fields, people=people, ended=ended))
        elif place.kind == "block" and place.actor == person:
            block = next(each for each in self.blocks() if (each.site, each.index) == (place.site, place.index))
            self._write("block", block.fields, audience=block.audience)

    def _mentions(self, needle: bytes) -> Sequence[MentionView]:
        return self._connection.ask(operation.MENTIONS, Mentions(needle=needle))

    def _withdraw(self, mentions: Iterable[MentionView]) -> int:
        """Take entries back, in as many withdrawals as that needs; the index of the last one.

        A revocation goes with its grant or after it, a key only when nothing is left that it signed.
        """
        places = [each.index for each in sorted(mentions, key=_turn)]
        if not places:
            raise NotFound("nothing of that is left to take back")
        parts = [places[start : start + AT_ONCE] for start in range(0, len(places), AT_ONCE)]
        return [self._write("withdraw", WithdrawFields(places=tuple(sorted(part)))) for part in parts][-1]


def _turn(mention: MentionView) -> tuple[int, int]:
    return {"revoke": 1, "key": 2}.get(mention.kind, 0), mention.index


_OF_ROOT = (Role.STEWARD, Role.NODE)
