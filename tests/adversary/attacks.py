"""The inventory: every attack that must fail, who tries it, what refuses it, and the test that shows both.

``test`` is the attack against the product as it is; ``without`` is the same attack with that one defence taken away,
where it must succeed, so that no attack fails here for want of an attack. Where the defence cannot be taken away,
``without`` says why, in words. At its end ``pytest tests/adversary`` prints a line for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack. ``test`` and ``without`` are «file::function» or «file::function[case]» below tests/adversary."""

    side: str
    tries: str
    refused_by: str
    test: str
    without: str = ""

    @property
    def both(self) -> bool:
        """Whether the test itself takes the defence away and sees the attack succeed."""
        return not self.without

    @property
    def weakened(self) -> str:
        """The test with the defence taken away; empty where there is none."""
        return self.test if self.both else self.without if "::" in self.without else ""

    @property
    def row(self) -> str:
        """Its line in docs/threat-model.md."""
        name, _, case = self.test.rstrip("]").partition("[")
        cases = "" if case in {"", "True", "False"} else f" ({case.removesuffix('-True')})"
        return f"| {self.side}: {self.tries} | {self.refused_by} | `tests/adversary/{name}`{cases} |"


def _all(side: str, rows: Iterable[Sequence[str]]) -> tuple[Attack, ...]:
    return tuple(Attack(side, *row) for row in rows)


_ORDER = "test_orders.py::test_refused[{}]"
_ORDER_WITHOUT = "test_orders.py::test_and_without_the_defence_it_succeeds[{}]"


def _order(tries: str, refused_by: str, case: str) -> tuple[str, str, str, str]:
    return tries, refused_by, _ORDER.format(case), _ORDER_WITHOUT.format(case)


FROM_THE_REQUESTER = _all(
    "requester",
    [
        _order("alter an order after it was signed", "the bus's signature", "order_altered_after_signing"),
        _order("alter a submission after it was signed", "the person's signature", "submission_altered_after_signing"),
        _order(
            "replay an order as another member", "the bus that the person named", "order_replayed_by_another_member"
        ),
        _order("replay a submission after its expiry", "its own time", "replayed_after_expiry"),
        _order("send an order of yesterday", "the order's time", "order_of_yesterday"),
        _order("have an order outlive its submission", "order ⊆ submission", "order_outlives_its_submission"),
        _order("name data that was not submitted", "order ⊆ submission", "data_that_was_not_submitted"),
        _order("swap the inputs of two shards", "order ⊆ submission", "inputs_swapped_between_shards"),
        _order("run another block than the step's", "order ⊆ submission", "block_that_the_step_does_not_run"),
        _order("run another workflow than the signed one", "its CID", "another_workflow_than_signed"),
        _order("add a reader to an output", "order ⊆ submission", "reader_beyond_the_destinations"),
        _order("spend beyond the budget", "order ⊆ submission", "max_cost_beyond_the_budget"),
        _order("use another person's project", "the project's people", "another_persons_project"),
        _order("change a project after its approval", "the approved terms", "project_changed_after_its_approval"),
        _order("use data for another purpose than granted", "the grant's purposes", "grant_for_another_purpose"),
        _order("run a block that the grant does not name", "the grant's blocks", "grant_for_another_block"),
        _order("send results where the grant does not", "the grant's destinations", "grant_for_another_destination"),
        _order("use a grant that was revoked", "the issuer's log", "grant_that_was_revoked"),
        _order(
            "widen a grant while passing it on", "each link ⊆ the one above", "grant_that_permits_more_than_its_parent"
        ),
        _order(
            "swap the purpose between plan and order", "the approved terms", "purpose_swapped_between_plan_and_order"
        ),
        _order("name an input of another owner", "labels are recomputed", "input_of_another_owner"),
        _order("choose a scatter's width after signing", "order ⊆ submission", "shard_beyond_the_list"),
        (
            "tell a bit by an exit code",
            "a failure has one wording",
            "test_channels.py::test_an_exit_code_that_carries_a_bit[True]",
            "test_channels.py::test_an_exit_code_that_carries_a_bit[False]",
        ),
        *(
            (
                f"tell a bit by the {channel} that a step takes",
                "usage is rounded to powers of two",
                f"test_channels.py::test_usage_that_carries_a_bit[{channel}-True]",
                f"test_channels.py::test_usage_that_carries_a_bit[{channel}-False]",
            )
            for channel in ("time", "memory")
        ),
        (
            "tell a bit by a branch of the workflow",
            "what is left out is delivered as null, and released as any value",
            "test_channels.py::test_a_branch_on_what_a_step_found",
            "no code here would do it",
        ),
        (
            "hide rows in the digits of a table",
            "numbers leave with seven digits",
            "test_channels.py::test_rows_hidden_in_the_digits_of_a_statistic[True]",
            "test_channels.py::test_rows_hidden_in_the_digits_of_a_statistic[False]",
        ),
        (
            "ask in 1,000 small differing queries",
            "the owner's ledger of what was released",
            "test_disclosure.py::test_a_thousand_small_differing_queries_tell_of_no_small_group",
            "test_disclosure.py::test_the_same_queries_tell_it_where_no_ledger_is_kept",
        ),
        (
            "give an endorsed block another file for its code",
            "what a block carries stands with its CID",
            "test_own_files.py::test_another_file_in_the_place_of_the_blocks_code",
            "test_own_files.py::test_and_where_nobody_looks_it_runs",
        ),
        (
            "have the node's own aggregator count ten made-up people who are one",
            "it counts a dataset's rows, or those of a block that was endorsed for them",
            "test_aggregator.py::test_ten_made_up_people_who_are_one",
            "test_aggregator.py::test_where_any_rows_are_vouched_for_they_leave",
        ),
        (
            "have visits counted as people",
            "the owner says which column is a person's",
            "test_contributors.py::test_visits_that_are_counted_as_people[patient]",
            "test_contributors.py::test_where_any_column_is_people_one_patients_mean_leaves",
        ),
        (
            "launder a label through a third site",
            "labels are recomputed back to the owners' logs",
            "test_proofs.py::test_a_label_laundered_through_a_third_site",
            "test_proofs.py::test_and_without_the_owners_word_it_is_laundered",
        ),
        (
            "run a block that changed since it was endorsed",
            "a block is its CID",
            "test_channels.py::test_a_block_that_changed_since_it_was_endorsed[True]",
            "test_channels.py::test_a_block_that_changed_since_it_was_endorsed[False]",
        ),
        *(
            (
                tries,
                refused_by,
                f"test_cancels.py::test_refused[{case}]",
                f"test_cancels.py::test_and_without_the_defence_it_succeeds[{case}]",
            )
            for case, tries, refused_by in (
                ("cancel_by_another_member", "show a cancellation as another member", "the bus that was named"),
                ("cancel_by_a_colleague", "cancel what a colleague submitted", "its person's word alone"),
                ("cancel_in_the_persons_name", "make a cancellation up", "the person's signature"),
                ("cancel_replayed_on_another_order", "replay a cancellation", "it names its submission"),
            )
        ),
        (
            "cancel a colleague's submission at the same node",
            "one sees one's own submissions",
            "test_cancels.py::test_a_colleague_at_the_same_node[True]",
            "test_cancels.py::test_a_colleague_at_the_same_node[False]",
        ),
        (
            "have one instance delivered or charged twice",
            "one delivery for each instance, from the log",
            "test_orders.py::test_a_second_delivery_of_an_instance",
        ),
        (
            "have a grant's revocation not reach a running step",
            "what let the data in is asked for again before release",
            "test_releases.py::test_a_grant_that_is_revoked_while_the_step_runs",
        ),
        (
            "go on with a copy when the grant is gone",
            "going on needs the grant too",
            "test_releases.py::test_going_on_at_home_with_what_a_revoked_grant_let_in[True]",
            "test_releases.py::test_going_on_at_home_with_what_a_revoked_grant_let_in[False]",
        ),
        (
            "run without the steward whom policy asks for",
            "signed answers in the audit log",
            "test_asking.py::test_silence_is_a_no",
            "test_asking.py::test_without_the_count_of_stewards_it_runs_unasked",
        ),
    ],
)


def _forged(tries: str, refused_by: str, case: str) -> tuple[str, str, str, str]:
    at = f"test_proofs.py::{{}}[{case}]"
    return tries, refused_by, at.format("test_refused"), at.format("test_and_without_the_defence_it_succeeds")


def _reported(tries: str, refused_by: str, case: str) -> tuple[str, str, str, str]:
    at = f"test_reports.py::{{}}[{case}]"
    return tries, refused_by, at.format("test_refused"), at.format("test_and_without_the_defence_it_succeeds")


FROM_A_HOLDER = _all(
    "holder",
    [
        _reported("report in the holder's name", "the node's signature", "report_in_the_holders_name"),
        _reported("alter a report", "the node's signature", "report_altered_after_signing"),
        _reported("bring another's report", "the asker made the value", "report_brought_by_another_site"),
        _reported("report and order for one reader more", "order ⊆ submission", "report_and_order_for_one_reader_more"),
        _reported("report what another site made", "the order names its site", "report_by_a_site_that_did_not_make_it"),
        (
            "report without a proof",
            "the order names its proofs",
            "test_reports.py::test_refused[report_without_a_proof]",
            "test_reports.py::test_and_where_parts_need_no_proof_it_succeeds",
        ),
    ],
)

FROM_A_PEER = _all(
    "peer",
    [
        _forged("alter a receipt", "the node's signature", "receipt_altered"),
        _forged("sign another site's receipt", "the order's site", "receipt_signed_by_another_site"),
        _forged("pass off a receipt of another submission", "the order it names", "receipt_of_another_submission"),
        _forged("narrow the label of a value in a receipt", "labels are recomputed", "value_that_was_never_released"),
        _forged("release what is another's to release", "owners release", "release_by_a_non_owner"),
        _forged("use a release of another value", "the release names its value", "release_of_another_value"),
        _forged("use a release to somebody else", "the release names its readers", "release_to_somebody_else"),
        *(
            (
                tries,
                "the bus recomputes what a receipt says",
                f"test_receipts.py::test_a_lie_costs_its_liar_alone[{lie}]",
                f"test_receipts.py::test_the_check_is_what_leaves_it_out[{lie}]",
            )
            for lie, tries in {
                "false_signature": "answer an order with a false signature",
                "done_and_not_released": "call an output delivered that nobody released",
                "charges_for_a_failure": "charge for a step that failed",
                "charges_more_than_was_allowed": "tell a number by the price",
                "charges_more_than_its_offer_says": "charge more than the offer says of the use",
                "charges_by_an_entry_that_is_no_offer": "charge by an entry that is no offer",
                "for_another_order": "answer with a receipt for another order",
                "for_another_site": "answer as a site that is not in the plan",
                "name_that_climbs": "name an output with «..» in a receipt",
            }.items()
        ),
        *(
            (tries, refused_by, f"test_fetches.py::{test}[True]", f"test_fetches.py::{test}[False]")
            for tries, refused_by, test in (
                (
                    "forward a signed fetch to another site",
                    "the server's key is signed",
                    "test_a_signed_fetch_forwarded_to_another_site",
                ),
                (
                    "fetch held data as a non-reader",
                    "label and policy are asked for each fetch",
                    "test_held_data_asked_for_by_a_non_reader",
                ),
                (
                    "tell «forbidden» from «unknown» by bytes and size",
                    "one refusal",
                    "test_forbidden_told_from_unknown_by_bytes_and_size",
                ),
                (
                    "tell «forbidden» from «unknown» by time",
                    "a least time for refusals",
                    "test_forbidden_told_from_unknown_by_time",
                ),
            )
        ),
        *(
            (
                tries,
                "an owner checks a report itself",
                f"test_reports.py::test_refused[{case}]",
                f"test_reports.py::test_and_without_the_defence_it_succeeds[{case}]",
            )
            for case, tries in {
                "report_with_narrowed_owners": "leave an owner out of a report",
                "report_for_one_reader_more": "report a value for one reader more",
                "report_of_another_block": "report another block than ran",
                "report_with_the_values_own_name": "report a value by its own CID",
                "report_that_is_stale": "bring a report of yesterday",
            }.items()
        ),
        (
            "swap a value after its report",
            "an owner answers one value of an order",
            "test_reports.py::test_a_value_that_is_swapped_after_the_report",
        ),
        (
            "tell of a small group by two pooled values that no owner has seen",
            "a steward is asked about what nobody can compare",
            "test_unseen.py::test_a_second_pooled_value_about_the_same_people",
        ),
        (
            "tell of a small group by a pooled value and an owner's own count",
            "what left unseen counts in the owner's ledger",
            "test_unseen.py::test_a_count_of_its_own_after_a_value_that_nobody_has_seen",
        ),
        (
            "put a release beside another value",
            "a statement names its value",
            "test_reports.py::test_statements_that_a_holder_puts_beside_another_value",
        ),
        (
            "send an order in another member's name",
            "the bus that the person named",
            "test_orders.py::test_refused[order_by_a_bus_that_the_person_did_not_name]",
            "test_orders.py::test_and_without_the_defence_it_succeeds[order_by_a_bus_that_the_person_did_not_name]",
        ),
        (
            "send questions without end",
            "quotas for each person and each member",
            "test_peers.py::test_questions_without_end",
        ),
    ],
)


def _step(tries: str, refused_by: str, case: str) -> tuple[str, str, str, str]:
    at = f"test_inside.py::{{}}[{case}]"
    return tries, refused_by, at.format("test_a_step_cannot"), at.format("test_and_without_the_wall_it_can")


def _socket(tries: str, refused_by: str, case: str) -> tuple[str, str, str, str]:
    at = f"test_inside.py::{{}}[{case}]"
    return (
        tries,
        refused_by,
        at.format("test_a_step_cannot_speak_over"),
        at.format("test_and_without_the_wall_it_can_speak_over"),
    )


def _either(tries: str, refused_by: str, test: str, also: str = "") -> tuple[str, str, str, str]:
    """A test that is run with the defence and without."""
    return tries, refused_by, f"{test}[{also}True]", f"{test}[{also}False]"


_NO_CODE = "no code here would do it"

FROM_INSIDE_A_STEP = _all(
    "step",
    [
        _step("read a host file by its path", "a root of listed mounts", "read_a_host_file_by_its_path"),
        _step("read a host file by a link", "a root of listed mounts", "read_a_host_file_by_a_link"),
        _step("read a host file by a linked folder", "a root of listed mounts", "read_a_host_file_by_a_linked_folder"),
        _step("read a host file by /proc/1/root", "a root of listed mounts", "read_a_host_file_by_proc_1_root"),
        _step("read a host file by /proc/self/fd", "no descriptor is handed in", "read_a_host_file_by_proc_self_fd"),
        _step("list /usr, /etc, /home of the host", "a tree of named files", "list_the_hosts_system_folders"),
        _step("open or make a device", "five devices, no capabilities", "open_a_device_of_the_host"),
        _step("mount something", "no capabilities, the system call list", "mount_something"),
        _step("become root, by setuid or a set-user-id file", "no capabilities, no such file", "become_root"),
        _step("trace another process", "the system call list", "trace_another_process"),
        _step("unshare further namespaces", "the system call list", "make_further_namespaces"),
        _step("keep a key in the kernel's keyring", "the system call list", "keep_a_key_in_the_kernels_keyring"),
        _step(
            "speak to the virtual machine's host (vsock)", "the system call list", "speak_to_the_virtual_machines_host"
        ),
        _step("alter its inputs", "read-only mounts", "alter_its_inputs"),
        _step("fork without end", "a bound on all processes together", "fork_without_end"),
        _step("fill the memory", "a bound on all processes together", "fill_the_memory"),
        _step(
            "fill the memory with files that lie nowhere",
            "the system call list",
            "fill_the_memory_with_files_that_lie_nowhere",
        ),
        _step("fill the disk", "the output quota, weighed while it runs", "fill_the_disk"),
        _step("fill the disk by one file", "the file size limit", "fill_the_disk_by_one_file"),
        _step(
            "leave an output tree of millions of entries",
            "the output quota, weighed while it runs",
            "fill_the_disks_tables_with_empty_files",
        ),
        _step(
            "fill the kernel's inodes in /tmp",
            "a bound on files there, looked at while it runs",
            "fill_the_kernels_tables_with_empty_files",
        ),
        _step("take all processor time", "a bound on all processes together", "take_all_processor_time"),
        _step("read the next step's input", "a root of listed mounts", "see_or_read_the_next_steps_input"),
        _socket("speak TCP", "a network namespace without a network", "tcp"),
        _socket("ask a DNS server", "a network namespace without a network", "dns"),
        _socket("reach an abstract socket", "a network namespace of its own", "abstract_socket"),
        _socket("reach the Docker socket", "a root of listed mounts", "docker_socket"),
        _either("outlive its step", "a process namespace", "test_inside.py::test_a_step_that_outlives_itself"),
        _either("signal other processes", "a process namespace", "test_inside.py::test_a_step_that_signals_others"),
        _either(
            "leave a file for the next step",
            "nothing but /work outlives a step",
            "test_inside.py::test_a_file_left_for_the_next_step",
        ),
        _either("flood standard output", "the file size limit", "test_inside.py::test_a_flood_on_standard_output"),
        *(
            _either(tries, refused_by, "test_staging.py::test_what_is_left_behind", f"{case}-")
            for case, tries, refused_by in (
                ("a_link_to_a_host_file", "leave a link to a host file as its output", "no link is followed"),
                ("a_linked_folder_on_the_way", "have outputs collected through a linked folder", "no link is followed"),
                ("a_second_name_of_a_host_file", "leave a second name of a file", "a file has one name"),
                ("a_name_of_two_lines", "give an output a name of two lines", "names are plain text"),
                ("a_name_that_steers_a_terminal", "give an output a name with escapes", "names are plain text"),
            )
        ),
        _either(
            "unfold a few bytes to more than the disk has, at staging",
            "what is written out is bounded",
            "test_staging.py::test_an_input_that_unfolds_to_more_than_there_is_room_for",
        ),
        *(
            (
                tries,
                "the evaluator has no file but the step's",
                f"test_staging.py::test_what_a_text_names_is_no_file_of_the_host[{case}]",
                _NO_CODE,
            )
            for case, tries in {
                "work_file_beside_the_block": "have a file beside its block copied in (InitialWorkDir)",
                "work_file_of_the_host": "name a file:// in InitialWorkDir",
                "work_file_by_an_expression": "name a file:// in InitialWorkDir by an expression",
                "work_file_by_its_path": "name a path in InitialWorkDir",
                "work_folder_of_the_host": "name a folder of the host in InitialWorkDir",
                "default_file_of_the_host": "read a file:// that is an input's default, by loadContents",
                "a_pattern_that_climbs": "collect by a pattern with «..»",
                "a_pattern_of_the_host": "collect by an absolute pattern",
                "an_output_by_an_expression": "name a file:// as an output by an expression",
            }.items()
        ),
    ],
)

FROM_THE_OPERATORS_SIDE = _all(
    "operator",
    [
        _either(
            "serve with a policy that cannot be read",
            "it is read before anything is served",
            "test_operators.py::test_a_policy_that_cannot_be_read_at_start_up",
        ),
        _either(
            "set the clock back",
            "a time that never goes back",
            "test_operators.py::test_a_clock_that_is_set_back",
            "False-",
        ),
        _either(
            "set the clock back and start anew",
            "what was heard of others holds the time",
            "test_operators.py::test_a_clock_that_is_set_back",
            "True-",
        ),
        _either(
            "run with a full disk below the audit log",
            "the intent is durable first",
            "test_operators.py::test_a_full_disk_below_the_audit_log",
        ),
        _either(
            "have an answer count of whose steward's key was revoked meanwhile",
            "stewards are looked up when it counts",
            "test_operators.py::test_a_stewards_key_that_is_revoked_while_an_approval_waits",
        ),
        _either(
            "go on where isolation broke since the start",
            "the probe, each hour",
            "test_operators.py::test_an_isolation_that_broke_since_the_start",
        ),
    ],
)

ATTACKS = (*FROM_INSIDE_A_STEP, *FROM_THE_REQUESTER, *FROM_A_PEER, *FROM_A_HOLDER, *FROM_THE_OPERATORS_SIDE)
