"""Decisions explained on a terminal: to the steward in full, to who asked as far as the deciding site lets them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalog.plural import counted
from cli.output import pairs, say, show, table
from cli.session import Session

if TYPE_CHECKING:
    from node.api.client import Node
    from privacy.difference import Difference, Recorded
    from privacy.explain import Explanation
    from privacy.policy import Policy


def explain_own(session: Session, node: Node, named: str) -> bool:
    """Show what is told of each step of a submission of this person's; whether there is one of that name."""
    from node.api.short import is_named

    run = next((each for each in node.runs() if is_named(named, each.submission)), None)
    if run is None:
        return False
    steps = [
        {"step": each.step, "shard": each.shard, "site": each.site_name, "status": each.status, "rules": each.rules}
        | {"reason": each.reason}
        for each in run.view.instances
    ]

    def tell() -> None:
        rows = [
            (
                f"{each.step}[{each.shard}]",
                each.site_name,
                each.status,
                ", ".join(each.rules) or "–",
                each.reason or "–",
            )
            for each in run.view.instances
        ]
        table(("step", "site", "status", "rules that decided", "why"), rows)
        say(f"The steward of a site can explain more of what it decided: comity policy explain {run.submission}")

    show(session, {"submission": str(run.submission), "steps": steps}, tell)
    return True


def explain_recorded(session: Session, node: Node, named: str) -> None:
    """Show decisions of the audit log here in full.

    Raises:
        NotFound: there is none of that name. Denied: this person may not read the log.
    """
    from cli.decided import decided, found_in, policy_of

    members = {each.site: each.name for each in node.members()}
    here = members.get(node.site, "this site")
    policy = policy_of(node, here)
    found = found_in(decided(node), named)
    told = [(each, _explained(policy, each, members)) for each in found]

    def tell() -> None:
        for number, (recorded, explanation) in enumerate(told):
            if number:
                say("")
            _tell(policy, recorded, explanation)

    show(session, [_document(policy, *each) for each in told], tell)


def _explained(policy: Policy, recorded: Recorded, members: dict[str, str]) -> Explanation | str:
    """The explanation, or why there is none."""
    from privacy.explain import explain
    from privacy.replay import NotReplayable

    try:
        return explain(policy.on(recorded.at), recorded.decision, lambda site: members.get(site, site))
    except NotReplayable as error:
        return str(error)


def _document(policy: Policy, recorded: Recorded, explained: Explanation | str) -> dict[str, object]:
    told: dict[str, object] = {"leaf": recorded.place, "at": recorded.at, "order": recorded.order}
    told |= {"decision": recorded.decision, "policy_now": policy.version}
    if isinstance(explained, str):
        return told | {"unexplained": explained}
    nearest = explained.nearest
    changes = [each.words for each in nearest.changes] if nearest is not None else None
    return told | {
        "used": explained.used,
        "missing": explained.missing,
        "denied_beside_policy": explained.beside,
        "nearest": {"changes": changes, "rules": nearest.rules, "duties": nearest.duties} if nearest else None,
    }


def _tell(policy: Policy, recorded: Recorded, explained: Explanation | str) -> None:
    from node.api.quantity import clock_text

    decision = recorded.decision
    asks = ", and ".join(decision.duties.told)
    pairs(
        [
            ("decision", f"{decision.action} {'allowed' if decision.allowed else 'denied'}, {clock_text(recorded.at)}"),
            *([("order", recorded.order)] if recorded.order else []),
            ("leaf", str(recorded.place)),
            ("policy", _version(policy, decision.policy)),
            ("rules", ", ".join(decision.rules) or "none"),
            ("reason", decision.reason),
            *([("duties", asks)] if asks else []),
        ]
    )
    if isinstance(explained, str):
        say(f"What was asked cannot be told for certain: {explained}.")
        return
    table(("fact that rules read", "as it was"), list(explained.used.items()))
    if explained.missing:
        say(f"Missing: {'; '.join(explained.missing.values())}.")
    if explained.beside and asks:
        say("The policy allows it to whoever sees to its duties.")
    elif explained.beside:
        say("The policy in force allows it; it was denied for what it rests on, or by an earlier policy.")
    elif explained.nearest is not None:
        say(f"Nearest: {explained.nearest.told} (by {', '.join(explained.nearest.rules)}).")
    elif not decision.allowed:
        say("No one or two facts that people can change would allow it.")


def _version(policy: Policy, version: str) -> str:
    if version == policy.version:
        return f"entry {version}, the one in force"
    return f"entry {version}; explained by the one in force, entry {policy.version}"


def tell_difference(found: Difference) -> None:
    """The decisions that would change, and how many could not be made anew."""
    from node.api.quantity import clock_text

    rows = [
        (
            clock_text(each.recorded.at),
            str(each.recorded.place),
            each.recorded.decision.action,
            _said(each.before.allowed, each.before.duties.told),
            _said(each.after.allowed, each.after.duties.told),
            each.after.reason,
        )
        for each in found.changed
    ]
    if rows:
        table(("when", "leaf", "what", "old", "new", "why"), rows)
    say(f"{len(rows)} of {counted(found.compared, 'recorded decision')} would change.")
    for reason, count in found.unread.items():
        say(f"{counted(count, 'decision')} could not be made anew: {reason}")


def _said(allowed: bool, duties: tuple[str, ...]) -> str:
    return "denied" if not allowed else "allowed" + (f", asking {', and '.join(duties)}" if duties else "")
