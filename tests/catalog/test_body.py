"""Bodies: what a leaf commits to, signed by one actor for one log and one place in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from catalog.body import MAX_BODY, Body, Name, fields_of, read_body, write_body
from catalog.cid import Cid
from catalog.dagcbor import Value, encode
from catalog.dataset import DatasetFields, Level
from catalog.entry import KINDS, read_entry
from catalog.error import VerificationFailed
from catalog.key import UNSIGNED, PrivateKey, check
from catalog.label import Label
from catalog.member import KeyFields, Role

ROOT, STEWARD, OTHER = (PrivateKey(bytes([number]) * 32) for number in (1, 2, 3))


class Text(Value, frozen=True, kw_only=True):
    name: Name


def dataset(name: str = "Births") -> DatasetFields:
    return DatasetFields(
        cid=Cid.of(b"x").keyed(bytes(32)),
        name=name,
        level=Level.RESIDENT,
        label=Label(owners={ROOT.did: (ROOT.did,)}),
        purposes=("DUO:0000006",),
        description="",
        media_type="text/csv",
        size=1,
    )


def written(**changes) -> Body:
    options = {"site": ROOT.did, "at": 5, "by": STEWARD} | changes
    return write_body("dataset", dataset(), **options)


@given(st.text(max_size=60).map(lambda text: text + "x"), st.none() | st.integers(0, 1 << 40))
def test_a_body_reads_back_with_its_signature_and_its_fields(description, previous):
    """Lost: an entry that its own site cannot read again. What was just written and what is read count the same."""
    fields = structs.replace(dataset(), description=description)
    body = write_body("dataset", fields, site=ROOT.did, at=5, by=STEWARD, previous=previous, audience=(OTHER.did,))
    again = read_body(encode(body))
    check(again, STEWARD.did)
    check(body, STEWARD.did)
    assert encode(again) == encode(body)
    assert fields_of(again, DatasetFields) == fields_of(body, DatasetFields) == fields


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "key"},
        {"site": OTHER.did},
        {"actor": OTHER.did},
        {"audience": ()},
        {"audience": (OTHER.did,)},
        {"previous": 0},
        {"at": 6},
        {"fields": {}},
    ],
)
def test_nothing_of_a_body_changes_under_its_signature(change):
    """Lost: a body moved to another log or place, to more eyes, or to another kind."""
    body = structs.replace(written(), **change)
    with pytest.raises(VerificationFailed):
        check(body, STEWARD.did)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "Dataset"},
        {"kind": ""},
        {"kind": "dataset\n"},
        {"kind": "a" * 17},
        {"site": "St. Anna"},
        {"actor": ROOT.did + "\n"},
        {"audience": (ROOT.did,) * 257},
        {"audience": ("all",)},
        {"previous": -1},
        {"at": -1},
        {"sig": bytes(63)},
        {"fields": {"description": "x" * MAX_BODY}},
    ],
)
def test_a_body_out_of_bounds_is_refused(change):
    with pytest.raises(VerificationFailed):
        read_body(encode(structs.replace(written(), **change)))


@given(st.binary(max_size=300))
def test_garbage_is_no_body(data):
    with pytest.raises(VerificationFailed):
        read_body(data)


def test_who_may_see_a_body():
    """Lost: a grant, which names a person, goes to every member."""
    everyone, alone, two = written(), written(audience=()), written(audience=(OTHER.did,))
    assert [body.visible_to(ROOT.did) for body in (everyone, alone, two)] == [True, True, True]
    assert [body.visible_to(OTHER.did) for body in (everyone, alone, two)] == [True, False, True]
    assert [body.visible_to(STEWARD.did) for body in (everyone, alone, two)] == [True, False, False]


@pytest.mark.parametrize(
    "name", ["", "x" * 121, "a\nb", "a\x1b[2Jb", "a\x7f", "a\u202eb", "a\u200bb", "\u2028", "a\x9b"]
)
def test_a_name_that_steers_a_terminal_or_hides_is_refused(name):
    with pytest.raises(VerificationFailed):
        fields_of(structs.replace(written(), fields={"name": name}), Text)


@pytest.mark.parametrize("name", ["x", "x" * 120, "St. Anna «Süd»", "京都大学", "a'\"\\b", "👩🏽 in care"])
def test_a_name_of_any_language_is_taken(name):
    assert fields_of(structs.replace(written(), fields={"name": name}), Text).name == name


def test_fields_of_another_shape_are_refused():
    """Lost: text where a link stands would be the same entry in other bytes."""
    plain = read_body(encode(written())).fields
    assert isinstance(plain["cid"], Cid)
    for change in ({"cid": str(plain["cid"])}, {"size": "1"}, {"size": -1}, {"more": 1}, {"label": {}}, {"level": "x"}):
        with pytest.raises(VerificationFailed):
            fields_of(structs.replace(written(), fields=plain | change), DatasetFields)


def test_an_entry_is_read_for_its_own_log_and_under_its_own_kind_alone():
    """Lost: another site's body in this log, or a key read as a dataset."""
    body = read_body(encode(written()))
    entry = read_entry(ROOT.did, 4, "dataset", body)
    assert (entry.index, entry.subject, entry.site) == (4, str(dataset().cid), ROOT.did)
    for site, kind, given_body in (
        (OTHER.did, "dataset", body),
        (ROOT.did, "block", body),
        (ROOT.did, "epoch", structs.replace(body, kind="epoch")),
        (ROOT.did, "key", structs.replace(body, kind="key")),
    ):
        with pytest.raises(VerificationFailed):
            read_entry(site, 4, kind, given_body)


@given(st.sampled_from(sorted(KINDS)), st.dictionaries(st.text(max_size=5), st.none() | st.integers(0, 9) | st.text()))
def test_fields_of_garbage_are_refused_for_every_kind(kind, fields):
    body = structs.replace(written(), kind=kind, fields=fields)
    if kind in ("policy", "offer", "beat") and set(fields) == set(KINDS[kind].fields.__struct_fields__):
        return
    with pytest.raises(VerificationFailed):
        read_entry(ROOT.did, 0, kind, body)


def test_an_enrolment_says_whose_key_it_is():
    fields = KeyFields(did=STEWARD.did, role=Role.STEWARD, name="Ada", x25519=bytes(32))
    body = write_body("key", fields, site=ROOT.did, at=0, by=ROOT)
    assert read_entry(ROOT.did, 0, "key", read_body(encode(body))).subject == STEWARD.did
    unsigned = structs.replace(body, sig=UNSIGNED)
    with pytest.raises(VerificationFailed):
        check(unsigned, ROOT.did)
    text = structs.replace(body, fields=body.fields | {"x25519": "A" * 43 + "="})
    with pytest.raises(VerificationFailed):
        fields_of(text, KeyFields)
