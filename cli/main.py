"""The ``comity`` command: groups that are imported when they are used, and errors as one line with an exit code."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Sequence
from typing import Final

import click

from catalog.error import ComityError
from cli.output import show
from cli.session import Session, Verb, pass_session, persons_here

INTERRUPTED: Final = 130
"""What the command ends with after Ctrl-C, as a shell reports it."""

GROUPS: Final[dict[str, str]] = {
    "site": "Make a site, run its node, see how it fares.",
    "consortium": "Found a consortium with other sites.",
    "person": "Make a person's keys, enrol people.",
    "project": "Projects, which every grant and submission cites.",
    "dataset": "Publish, find and fetch datasets.",
    "block": "Share workflow building blocks, endorse them.",
    "catalog": "Search what all members publish.",
    "grant": "Grant people access to data.",
    "policy": "The rules by which this site decides.",
    "approval": "What stewards are asked; their answers.",
    "disclosure": "What left this site about which people, and what was held back.",
    "offer": "What this site runs, at what price.",
    "workflow": "Check, plan and submit workflows.",
    "submission": "Follow submissions, fetch their results, end them.",
    "audit": "Who accessed which data; verify the logs.",
    "devnet": "A whole consortium on this machine.",
}
"""The groups and what help says of them; each is ``group`` in the module ``cli.NAME``."""


class Root(click.Group):
    """Imports a group when it is used, so that help comes at once."""

    command_class = Verb

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The groups, in the order of the table, and what is defined here."""
        return [*GROUPS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One group, imported now."""
        if cmd_name not in GROUPS:
            return super().get_command(ctx, cmd_name)
        group = importlib.import_module(f"cli.{cmd_name}").group
        return group if isinstance(group, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 (click's)
        """The groups with their lines, none of them imported."""
        own = [(name, each.get_short_help_str()) for name, each in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl([*GROUPS.items(), *own])


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--site", metavar="DIR|URL", envvar="COMITY_SITE", help="The site's folder, or its node's address.")
@click.option(
    "--as",
    "person",
    metavar="PERSON",
    envvar="COMITY_PERSON",
    help="Whose key signs.",
    shell_complete=persons_here,
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@click.version_option(package_name="comity", message="%(prog)s %(version)s")
@click.pass_obj
def root(session: Session, site: str | None, person: str | None, as_json: bool) -> None:
    """Share data and computations between hospitals and institutes, each by its own rules.

    The first three options may stand after the verb too.

    Exit codes: 0 done, 1 failed, 2 wrong use, 3 denied by policy, 4 site unreachable, 5 verification failed,
    6 no feasible plan, 130 interrupted.
    """
    session.site, session.person = site, person
    session.json = session.json or as_json


@root.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@pass_session
def completion(session: Session, shell: str) -> None:
    """Print the completion script of a shell.

    For bash: comity completion bash > ~/.local/share/bash-completion/completions/comity
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"no completion for {shell}")
    # The script itself: click's own `source` would start the shell to ask its version.
    made = found(root, {}, "comity", "_COMITY_COMPLETE")
    script = made.source_template % made.source_vars()
    show(session, {"shell": shell, "script": script}, lambda: print(script))


def run(arguments: Sequence[str]) -> int:
    """Run one command; its exit code. Errors are one line on standard error, an object where JSON was asked for."""
    session = Session(json="--json" in arguments)
    try:
        code = root.main(list(arguments), prog_name="comity", standalone_mode=False, obj=session)
    except ComityError as error:
        return _failed(session, type(error).__name__, str(error), error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        if session.json:
            return _failed(session, "BadInput", "say what to do: a verb is missing", 2)
        print(error.format_message(), file=sys.stderr)
        return 2
    except click.ClickException as error:
        help_line = (
            f"; see: {error.ctx.command_path} --help" if isinstance(error, click.UsageError) and error.ctx else ""
        )
        return _failed(session, "BadInput", error.format_message().rstrip(".") + help_line, 2)
    except (click.Abort, KeyboardInterrupt) as stop:
        return _failed(session, "ComityError", str(stop) or "interrupted", INTERRUPTED)
    except ModuleNotFoundError as error:
        told = f"this needs «{error.name}», which comes with the node's packages; install Comity with its extra «node»"
        return _failed(session, "BadInput", told, 2)
    except OSError as error:
        told = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return _failed(session, "ComityError", told, 1)
    return code if isinstance(code, int) else 0


def main() -> None:
    """The entry point."""
    code = run(sys.argv[1:])
    if code == INTERRUPTED:
        # What had to be undone is undone; a thread that still waits for an answer would hold the terminal.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _failed(session: Session, kind: str, message: str, code: int) -> int:
    line = " ".join(message.split())
    shown = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in line)
    if session.json:
        print(json.dumps({"kind": kind, "message": shown}, ensure_ascii=False), file=sys.stderr)
    else:
        print(f"error: {shown}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
