"""``comity site deploy``: what an operator's cluster needs to run steps, shown before it is put there or taken away."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from catalog.error import BadInput, Conflict
from cli.output import confirmed, document, pairs, say, show, table, warn, working
from cli.session import Session, Verb, pass_session

if TYPE_CHECKING:
    from deploy.kubernetes.install import Api, Step
    from deploy.kubernetes.manifest import Manifest, Room

_CONFIG: Final = "kubeconfig"
_REGISTRY: Final = "registry.example/comity"
_CONTAINERD: Final = "/run/containerd/containerd.sock"


@click.command(cls=Verb)
@click.argument("runner", type=click.Choice(["kubernetes", "argo"]))
@click.option("--namespace", default="comity", show_default=True, help="Where steps run; it is made.")
@click.option("--cpus", type=int, help="Of all steps together; 16, or what is in force there.")
@click.option("--gib", type=int, help="Of memory, of all steps together; 64, or what is in force there.")
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path),
    envvar="KUBECONFIG",
    default=Path("~/.kube/config").expanduser(),
    help="Who you are to the cluster, as for kubectl.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Where the node's kubeconfig goes, if not in its folder.")
@click.option("--show", "only_show", is_flag=True, help="Print it as YAML, ask no cluster.")
@click.option("--remove", is_flag=True, help="Take away what this put there.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def deploy(
    session: Session,
    runner: str,
    namespace: str,
    cpus: int | None,
    gib: int | None,
    kubeconfig: Path,
    out: Path | None,
    only_show: bool,
    remove: bool,
    yes: bool,
) -> None:
    """Put into your cluster what the site's steps need to run there, or take it away again.

    A namespace where Pod Security is «restricted», an account for the node with the least rights, a quota, and a
    policy that denies all network. The node gets a kubeconfig of its own.
    """
    from deploy.kubernetes.manifest import Room, manifests
    from deploy.kubernetes.manifest import document as text_of

    given = {name: most for name, most in (("cpus", cpus), ("gib", gib)) if most is not None}
    room = Room(namespace, **given)
    if not remove:
        room.check_free()
    made = manifests(runner, room)
    if only_show:
        show(session, {"manifests": [each.value for each in made]}, lambda: document(text_of(made)))
        return
    api = _connected(kubeconfig)
    try:
        if remove:
            _remove(session, api, made, yes)
        else:
            from deploy.kubernetes.install import in_force

            made = in_force(api, made, {"cpus", "gib"} - given.keys())
            _install(session, api, runner, room, made, _place(session, out), yes)
    finally:
        api.close()


def _install(
    session: Session, api: Api, runner: str, room: Room, made: Sequence[Manifest], place: Path, yes: bool
) -> None:
    from deploy.kubernetes import install

    steps = install.plan(api, made)
    _tell(session, steps)
    _check_alone(install.strangers(api, steps), room, yes)
    lost = install.replaced(api, room, place)
    if lost:
        warn(f"{place} has {lost}, which is replaced; name another place with --out to keep it")
    confirmed(yes, f"Put this into the cluster at {api.host}?")
    with working("putting it there …"):
        install.install(api, made)
        ends = install.write_config(api, room, place)

    def tell() -> None:
        pairs([("the node's kubeconfig", f"{place}, its token ends on {ends}: run this again before")])
        say("next, in site.toml: change the line «runner» in [steps], add the rest, and restart the node:")
        document(_settings(runner, place, room))

    show(session, _told(steps) | {"config": str(place), "token_ends": ends}, tell)


def _settings(runner: str, place: Path, room: Room) -> str:
    """What a site's settings lack for its steps to run there."""
    return f"""\
[steps]
runner = "{runner}"

[kubernetes]
config = {json.dumps(str(place))}
namespace = "{room.namespace}"
# The site's own registry, in which the node puts the images of steps, and from which the cluster pulls them.
registry = "{_REGISTRY}"
# containerd = "{_CONTAINERD}"   # instead of a registry, for a cluster of this machine alone
"""


def _check_alone(strangers: Sequence[str], room: Room, yes: bool) -> None:
    """Say whom a deployment would take the network from, before it is asked for.

    Raises:
        Conflict: it takes it from somebody, and nobody would be asked.
    """
    if not strangers:
        return
    first = ", ".join(strangers[:3]) + (", …" if len(strangers) > 3 else "")
    told = f"in «{room.namespace}» run pods that are not ours, and would have no network: {first}"
    if yes:
        raise Conflict(f"{told}; name another --namespace, or say it without --yes, and be asked")
    warn(told)


def _remove(session: Session, api: Api, made: Sequence[Manifest], yes: bool) -> None:
    from deploy.kubernetes import install

    steps = install.plan_removal(api, made)
    _tell(session, steps)
    gone = {each.kind for each, change in steps if change in (install.Change.REMOVED, install.Change.RETURNED)}
    if gone:
        confirmed(
            yes, f"Take this out of the cluster at {api.host}, with all that runs in a namespace that is removed?"
        )
        with working("taking it away …"):
            install.remove(api, steps)
    show(session, _told(steps), lambda: say(_farewell(gone)))


def _farewell(gone: Collection[str]) -> str:
    if not gone:
        return "Nothing of ours is there: nothing was changed. If steps run in another namespace, name it: --namespace"
    if "ServiceAccount" not in gone:
        return "It is gone."
    return "It is gone. The node's kubeconfig opens nothing any more: delete it."


def _connected(kubeconfig: Path) -> Api:
    try:
        from deploy.kubernetes.install import connect
    except ModuleNotFoundError as error:
        raise BadInput(f"«{error.name}» is not installed; it comes with the extra: comity[kubernetes]") from error
    try:
        return connect(kubeconfig)
    except BadInput as error:
        raise BadInput(f"{error}; name yours, as for kubectl, with --kubeconfig") from error


def _place(session: Session, out: Path | None) -> Path:
    """Where the node's kubeconfig goes."""
    if out is not None:
        return out.absolute()
    return session.folder().path.absolute() / _CONFIG


def _tell(session: Session, steps: Sequence[Step]) -> None:
    if not session.json:
        rows = [(each.kind, each.name, each.value["metadata"].get("namespace", "–"), change) for each, change in steps]
        table(("kind", "name", "namespace", "what becomes of it"), rows)


def _told(steps: Sequence[Step]) -> dict[str, object]:
    return {"objects": [{"kind": each.kind, "name": each.name, "change": str(change)} for each, change in steps]}
