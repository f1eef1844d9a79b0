"""Labels: who may read a value (the decentralized label model of Myers and Liskov; design section 6 and 7).

A label says for each owner site which readers that owner allows. A value may be read by those whom *all* its
owners allow; a label with no owner is open. A reader is a site, or a person at a site; the two are different
readers, so that a site which pools intermediate results does not thereby show them to its researchers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from catalog.error import BadInput
from catalog.label import Label

OPEN: Final = Label(owners={})
"""Everyone reads."""


def label_of(owners: Mapping[str, Iterable[str]]) -> Label:
    """The label under which each owner allows these readers, and itself.

    Raises:
        BadInput: an owner is no site, a reader is neither a site nor a person at one, or there are too many.
    """
    return Label(owners={owner: tuple(sorted({owner, *owners[owner]})) for owner in sorted(owners)})


def resident(owner: str) -> Label:
    """The label of data that never leave ``owner``."""
    return label_of({owner: ()})


def shared(owner: str, readers: Iterable[str]) -> Label:
    """The label of ``owner``'s data for named ``readers``."""
    return label_of({owner: readers})


def person_at(person: str, site: str) -> str:
    """The reader «``person`` at ``site``»."""
    return f"{person}@{site}"


def site_of(reader: str) -> str:
    """The site that a reader is, or is at."""
    return reader.rpartition("@")[2]


def join(a: Label, b: Label) -> Label:
    """The label of what was made from ``a`` and ``b``: every owner of either, and of its readers those in both.

    Raises:
        BadInput: together they have more than 256 owners.
    """
    return joined((a, b))


def joined(labels: Iterable[Label]) -> Label:
    """The join of all ``labels``; of none it is :data:`OPEN`.

    Raises:
        BadInput: together they have more than 256 owners.
    """
    owners: dict[str, frozenset[str]] = {}
    for label in labels:
        for owner, readers in label.owners.items():
            owners[owner] = owners[owner].intersection(readers) if owner in owners else frozenset(readers)
    return label_of(owners)


def withheld(label: Label) -> Label:
    """The label of the same owners under which each allows itself alone: what flows to it does; nobody else reads."""
    return label_of(dict.fromkeys(label.owners, ()))


def flows_to(a: Label, b: Label) -> bool:
    """Whether a value labelled ``a`` may be labelled ``b`` instead without an owner's release.

    That is: every owner of ``a`` is still there, and allows nobody in ``b`` whom it did not allow in ``a``.
    """
    return all(owner in b.owners and set(b.owners[owner]) <= set(readers) for owner, readers in a.owners.items())


def effective_readers(label: Label) -> frozenset[str] | None:
    """The readers whom every owner allows; ``None`` stands for everyone."""
    if not label.owners:
        return None
    return frozenset.intersection(*(frozenset(readers) for readers in label.owners.values()))


def may_hold(label: Label, site: str) -> bool:
    """Whether ``site`` may have the value: it, or a person at it, is an effective reader."""
    readers = effective_readers(label)
    return readers is None or any(site_of(reader) == site for reader in readers)


def released(label: Label, owner: str, added: Iterable[str]) -> Label:
    """The label after ``owner`` allowed the ``added`` readers too. Other owners' readers stay as they are.

    Raises:
        BadInput: ``owner`` is no owner of it, or an added reader is malformed.
    """
    if owner not in label.owners:
        raise BadInput(f"{owner} cannot release this value: it owns none of it; ask its owners")
    return label_of({**label.owners, owner: {*label.owners[owner], *added}})
