"""The next epoch: only what more than half signed, only what may follow, and nothing on anybody's word."""

import pytest
from msgspec import structs

from catalog.dagcbor import decode, encode
from catalog.epoch import (
    EpochSignatureFields,
    changes,
    charters,
    check_next,
    check_successor,
    needed,
    next_epoch,
    sign_epoch,
    successor,
)
from catalog.error import VerificationFailed
from catalog.key import PrivateKey
from catalog.member import Epoch, Member, content_cid, epoch_message, quorum_for

ROOTS = [PrivateKey(bytes([number]) * 32) for number in range(1, 9)]
NEW = PrivateKey(bytes([99]) * 32)
MEMBERS = tuple(
    sorted((Member(site=f"Site {at}", root=root.did) for at, root in enumerate(ROOTS[:5])), key=lambda each: each.root)
)
KEYS = {root.did: root for root in (*ROOTS, NEW)}
CAME = Member(site="Newcomer", root=ROOTS[6].did)


def founding(members: tuple[Member, ...] = MEMBERS) -> Epoch:
    made = Epoch(
        consortium="Demo",
        number=0,
        previous=None,
        members=members,
        quorum=quorum_for(len(members)),
        floor="",
        duties={},
        protocol=(1, 1),
        signatures={},
    )
    return structs.replace(made, signatures={m.root: KEYS[m.root].sign(epoch_message(made)) for m in members})


def signed(document: Epoch, *roots: str, by: dict[str, PrivateKey] | None = None) -> dict[str, EpochSignatureFields]:
    return {root: sign_epoch(document, (by or KEYS)[root]) for root in roots}


def test_an_epoch_is_adopted_with_more_than_half_and_not_with_half():
    """Lost: a minority decides who is a member."""
    now = founding(MEMBERS[:4])
    wanted = next_epoch(now, (*now.members, CAME))
    assert needed(now) == 3
    roots = [member.root for member in now.members]
    assert successor(now, signed(wanted, *roots[:2])) is None
    adopted = successor(now, signed(wanted, *roots[:3]))
    assert adopted is not None
    check_successor(now, adopted)
    assert adopted.roots() == {*roots, CAME.root}
    assert decode(Epoch, encode(adopted)) == adopted
    with pytest.raises(VerificationFailed, match="signed by 2 members"):
        check_successor(now, structs.replace(adopted, signatures=dict(list(adopted.signatures.items())[:2])))


def test_the_name_of_what_an_epoch_says_does_not_depend_on_who_signed_it():
    """Lost: two nodes that heard of different signatures first can never agree on what follows."""
    now = founding()
    wanted = next_epoch(now, (*now.members, CAME))
    roots = [member.root for member in now.members]
    one, other = successor(now, signed(wanted, *roots[:3])), successor(now, signed(wanted, *roots[2:]))
    assert one is not None
    assert other is not None
    assert one != other
    assert content_cid(one) == content_cid(other)
    assert next_epoch(one, now.members, gone={CAME.root: 0}) == next_epoch(other, now.members, gone={CAME.root: 0})


def test_signatures_of_strangers_of_other_documents_and_of_old_roots_do_not_add_up():
    """Lost: a liar makes up the missing votes."""
    now = founding()
    wanted, other = next_epoch(now, (*now.members, CAME)), next_epoch(now, now.members, floor="forbid (x);")
    roots = [member.root for member in now.members]
    two = signed(wanted, *roots[:2])
    assert successor(now, {**two, CAME.root: sign_epoch(wanted, KEYS[CAME.root])}) is None
    assert successor(now, {**two, roots[2]: sign_epoch(other, KEYS[roots[2]])}) is None
    stolen = structs.replace(sign_epoch(wanted, KEYS[roots[0]]))
    assert successor(now, {**two, roots[2]: stolen}) is None
    replaced = structs.replace(now.members[2], acting=NEW.did, acting_from=4)
    later = structs.replace(now, members=(*now.members[:2], replaced, *now.members[3:]))
    wanted = next_epoch(later, (*later.members, CAME))
    assert successor(later, signed(wanted, *roots[:3])) is None
    assert successor(later, signed(wanted, *roots[:3], by={**KEYS, roots[2]: NEW})) is not None


def test_a_document_that_all_signed_and_that_may_not_follow_is_passed_over():
    """Lost: one careless afternoon of all stewards gives a consortium whose rules contradict each other."""
    now = founding()
    wanted = structs.replace(next_epoch(now, (*now.members, CAME)), quorum=1)
    assert successor(now, signed(wanted, *now.roots())) is None


FIRST, *REST = MEMBERS


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"number": 3}, "is not epoch 1"),
        ({"consortium": "Other"}, "is not epoch 1"),
        ({"previous": None}, "another document"),
        ({"protocol": (2, 2)}, "protocol"),
        ({"quorum": 0}, "quorum"),
        ({"quorum": 5}, "quorum"),
        ({"members": tuple(reversed(MEMBERS))}, "order"),
        ({"members": (FIRST, *MEMBERS)}, "order"),
        ({"members": (*MEMBERS, structs.replace(CAME, site="Site 1"))}, "one name"),
        ({"members": (structs.replace(FIRST, site="Stolen"), *REST)}, "keeps its name"),
        ({"members": REST}, "exactly those that left"),
        ({"left": {FIRST.root: 1}}, "exactly those that left"),
        ({"members": (structs.replace(FIRST, acting=REST[0].root, acting_from=1), *REST)}, "of two members"),
        ({"members": (structs.replace(FIRST, acting=FIRST.root, acting_from=1), *REST)}, "two members"),
        ({"members": (structs.replace(FIRST, acting_from=1), *REST)}, "would change"),
        ({"members": (*MEMBERS, structs.replace(CAME, suspended=True))}, "is new"),
        ({"members": (*MEMBERS, structs.replace(CAME, acting=NEW.did))}, "is new"),
    ],
)
def test_what_no_epoch_may_say_is_refused_whoever_proposes_it(change, told):
    """Lost: a proposer's document is believed. Each is one change of a document that may follow."""
    now = founding()
    if "members" in change:
        change = {**change, "members": tuple(change["members"])}
        if "order" not in told:
            change["members"] = tuple(sorted(change["members"], key=lambda member: member.root))
        if len(change["members"]) != len(MEMBERS):
            change["quorum"] = quorum_for(len(change["members"]))
    wanted = next_epoch(now, now.members)
    check_next(now, wanted)
    with pytest.raises(VerificationFailed, match=told):
        check_next(now, structs.replace(wanted, **change))


def test_who_left_comes_back_only_as_a_new_site_and_its_end_never_moves():
    """Lost: a removed member's later entries count after all."""
    zero = founding()
    gone = zero.members[0]
    one = next_epoch(zero, zero.members[1:], gone={gone.root: 7})
    check_next(zero, one)
    with pytest.raises(VerificationFailed, match="left this consortium"):
        check_next(one, structs.replace(next_epoch(one, (*one.members, gone)), left={gone.root: 7}))
    with pytest.raises(VerificationFailed, match="exactly those that left"):
        check_next(one, structs.replace(next_epoch(one, one.members), left={gone.root: 8}))
    found = charters([zero, one])
    assert found[gone.root].left == 7
    assert found[one.members[0].root].left is None


def test_a_replaced_root_is_replaced_again_and_never_put_back():
    zero = founding()
    first, *rest = zero.members
    one = next_epoch(zero, (structs.replace(first, acting=NEW.did, acting_from=5), *rest))
    check_next(zero, one)
    again = structs.replace(first, acting=ROOTS[7].did, acting_from=9)
    two = next_epoch(one, (again, *rest))
    check_next(one, two)
    assert charters([zero, one, two])[first.root].roots == ((0, first.root), (5, NEW.did), (9, ROOTS[7].did))
    for change in ({"acting": None, "acting_from": 9}, {"acting": ROOTS[7].did, "acting_from": 4}):
        with pytest.raises(VerificationFailed):
            check_next(one, next_epoch(one, (structs.replace(first, **change), *rest)))


def test_what_a_signer_is_shown_names_every_change():
    """Lost: somebody signs away a root key, or a floor, without having been told."""
    now = founding()
    first, second, third, *rest = now.members
    wanted = next_epoch(
        now,
        (
            structs.replace(first, acting=NEW.did, acting_from=5),
            structs.replace(second, suspended=True),
            structs.replace(third, witness_only=True),
            *rest[1:],
            CAME,
        ),
        floor="forbid (principal, action, resource);",
        gone={rest[0].root: 12},
    )
    check_next(now, wanted)
    told = "\n".join(changes(now, wanted))
    for word in (NEW.did, "entry 5", "suspended", "only witnesses", "first 12 entries", CAME.root, "forbid (principal"):
        assert word in told
    assert changes(now, next_epoch(now, now.members)) == ()
