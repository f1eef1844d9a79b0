"""What a submission delivered, as its person's own node gives it: whole folders, and each access written down."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec import structs

from catalog.block import BlockFields
from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.dataset import Level
from catalog.error import BadInput, Denied, NotFound
from catalog.httpsig import SignedRequest
from catalog.key import UNSIGNED, signed
from catalog.project import ProjectFields, ProjectRef
from node.bus.journal import State
from node.site import results
from node.site.releasedvalues import ReleasedValues
from privacy.label import resident, shared
from tests.adversary.hospital import NOW, PURPOSE, Hospital, at_a_hospital, dataset
from tests.adversary.stage import Stage, forged
from tests.simulation.consortium import CIDS, LATER
from workflow.argument import Data
from workflow.order import Wanted
from workflow.receipt import Form, Output
from workflow.value import read_value

ASKED = SignedRequest(base=b"what the local interface has checked", sig=UNSIGNED)
TABLE = Cid.of(b"a table").keyed(b"k" * 32)
VALUE = [{"class": "File", "location": "files/0/a.bam"}, 7]
TEXT = (
    "cwlVersion: v1.2\nclass: Workflow\ninputs: {data: File}\nsteps:\n"
    f"  count: {{run: 'comity:{CIDS['count']}', in: {{data: data}}, out: [result]}}\n"
    "outputs: {made: {type: File, outputSource: count/result}}\n"
)


class Delivered:
    """A submission of Mara's that delivered one output, which lies at her own site."""

    def __init__(self, there: Hospital, ref: ProjectRef, submission: Cid, made: Cid) -> None:
        self.there, self.site, self.mara = there, there.site, there.mara.did
        self.ref, self.submission, self.made = ref, submission, made

    @classmethod
    async def by(cls, there: Hospital, tmp_path: Path, form: Form) -> Delivered:
        """A folder with a value and a file of it; or a file."""
        site, stage = there.site, Stage()
        await there.enrol(there.mara)
        ref = ProjectRef(site=site.root, name="trial")
        terms = ProjectFields(
            name="trial", people={there.mara.did: bytes(32)}, purpose=PURPOSE, datasets=(), not_after=LATER
        )
        await there.write("project", terms)
        await there.write("dataset", structs.replace(dataset(TABLE, resident(site.root)), level=Level.RESIDENT))
        label = shared(site.root, [site.root])
        block = BlockFields(cid=CIDS["count"], name="count", label=label, description="", outputs={})
        await there.write("block", block, there.mara)
        if form is Form.FILE:
            made = await site.blobs.hold(b"0123456789", ref)
        else:
            folder = tmp_path / "made"
            (folder / "files" / "0").mkdir(parents=True)
            (folder / "files" / "0" / "a.bam").write_bytes(b"reads")
            (folder / "value.json").write_text(json.dumps(VALUE))
            made = await site.blobs.hold_path(folder, ref)
        submission = stage.submission(
            there.mara,
            person=there.mara.did,
            site=site.root,
            project=ref,
            workflow=Cid.of(TEXT.encode()),
            inputs={"data": Data(site=site.root, cid=TABLE, name="table")},
        )
        order = stage.order(
            submission,
            site.node.key,
            bus=site.node.did,
            site=site.root,
            inputs=dict(submission.inputs),
            outputs={"result": Wanted(type="statistics", readers=(site.root,))},
        )
        output = Output(
            handle=f"held:{site.root}/{'0' * 32}",
            type="statistics",
            name="made",
            cid=made,
            size=1,
            form=form,
            release=None,
            reason="",
        )
        receipt = signed(
            structs.replace(
                forged(order, stage.anna, {"result": output}), site=site.root, node=site.node.did, sig=UNSIGNED
            ),
            site.node.key,
        )
        cid = cid_of(submission)
        await site.journal.begin(submission, TEXT, NOW)
        await site.journal.ordered(order)
        await site.journal.received(cid, receipt)
        await site.journal.end(cid, State.DONE, "", NOW)
        return cls(there, ref, cid, made)


def delivered(tmp_path: Path, form: Form, test: Callable[[Delivered], Awaitable[None]]) -> None:
    async def play(there: Hospital) -> None:
        await test(await Delivered.by(there, tmp_path, form))

    at_a_hospital(tmp_path, play)


def test_a_value_with_files_is_given_whole_and_written_down_once(tmp_path: Path) -> None:
    """Lost: a list of files is no result; or a folder of a thousand files is a thousand lines in the log, or none."""

    async def test(it: Delivered) -> None:
        before = it.site.audit.size
        page = await results.tree(it.site, it.mara, ASKED, it.submission, "made", "", "")
        assert page.folder
        assert [(each.path, each.size) for each in page.items] == [
            ("files", None),
            ("files/0", None),
            ("files/0/a.bam", 5),
            ("value.json", len(json.dumps(VALUE))),
        ]
        assert it.site.audit.size == before + 1
        part = await results.result(it.site, it.mara, ASKED, it.submission, "made", "files/0/a.bam", "1-3")
        assert part == b"ead"
        assert it.site.audit.size == before + 1
        told = await results.result(it.site, it.mara, ASKED, it.submission, "made", "value.json")
        assert read_value(told) == VALUE
        assert it.site.audit.size == before + 2
        with pytest.raises(BadInput):
            await results.result(it.site, it.mara, ASKED, it.submission, "made")
        with pytest.raises(NotFound):
            await results.result(it.site, it.mara, ASKED, it.submission, "made", "files/1")

    delivered(tmp_path, Form.VALUE, test)


def test_a_part_that_nothing_was_written_down_of_is_written_down(tmp_path: Path) -> None:
    """Lost: who asks for the middle of a result at once has it, and nobody learns of it."""

    async def test(it: Delivered) -> None:
        before = it.site.audit.size
        assert await results.result(it.site, it.mara, ASKED, it.submission, "made", "", "2-4") == b"234"
        assert it.site.audit.size == before + 1

    delivered(tmp_path, Form.FILE, test)


def test_anothers_result_and_its_parts_are_as_if_they_were_not_there(tmp_path: Path) -> None:
    """Lost: a colleague reads what somebody else was given, while that person reads it."""

    async def test(it: Delivered) -> None:
        await it.there.enrol(it.there.paul)
        await results.tree(it.site, it.mara, ASKED, it.submission, "made", "", "")
        before = it.site.audit.size
        with pytest.raises(NotFound):
            await results.tree(it.site, it.there.paul.did, ASKED, it.submission, "made", "", "x")
        with pytest.raises(NotFound):
            await results.result(it.site, it.there.paul.did, ASKED, it.submission, "made", "value.json", "0-1")
        assert it.site.audit.size == before

    delivered(tmp_path, Form.VALUE, test)


@pytest.mark.parametrize("form", [Form.VALUE, Form.FILE])
def test_the_bus_reads_the_value_of_a_folder_or_of_a_file(tmp_path: Path, form: Form) -> None:
    """Lost: a list of files is not scattered over; or what comes of it stays when its project is over."""

    async def test(it: Delivered) -> None:
        site, litter = it.site, list[str]()
        values = ReleasedValues(
            site.index, site.materials, site.blobs, site.holdings, site.clock, lambda: litter.append("swept")
        )
        data = Data(site=site.root, cid=it.made, name="made", at="")
        told = await values.value(data, [TABLE], it.ref)
        assert told == (json.dumps(VALUE).encode() if form is Form.VALUE else b"0123456789")
        assert site.holdings.accounted(it.made) == [TABLE]
        with pytest.raises(Denied, match="has ended"):
            await values.value(data, [TABLE], structs.replace(it.ref, name="another"))

    delivered(tmp_path, form, test)
