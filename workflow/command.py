"""The command line of a tool with its inputs (CWL v1.2, CommandLineTool 4.1 «Input binding»)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from catalog.error import BadInput
from workflow.document import shown
from workflow.job import check_inputs
from workflow.name import is_file_name, is_inner_pattern, is_plain_text
from workflow.reference import Runtime, Template, as_text
from workflow.tool import Binding, Input, Output, Tool
from workflow.type import Carried, Staged, Type

BLOCK: str = "/block"
"""Where the tool's own folder is mounted inside the runner."""

_Key = tuple[int, int, int, str]


@dataclass(frozen=True, slots=True)
class Collect:
    """How one output is found: files that match any of ``patterns`` below the working folder, as ``type`` says."""

    name: str
    type: Type
    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Command:
    """What a runner needs: ``stdin`` is an absolute path inside, ``stdout`` and ``stderr`` name working files."""

    argv: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    stdin: str | None
    stdout: str | None
    stderr: str | None
    outputs: tuple[Collect, ...]


def command_line(
    tool: Tool, values: Mapping[str, object], block: str = BLOCK, runtime: Runtime | None = None
) -> Command:
    """The command of ``tool`` for ``values``, which are complete and typed as :func:`check_inputs` asks.

    Files and folders are given as :class:`workflow.type.Staged`; the tool's own files lie below ``block``.

    Raises:
        BadInput: an input does not fit, or a name made from one would lie outside the working folder.
    """
    runtime = runtime or Runtime()
    job = {name: _placed(value, block) for name, value in check_inputs(tool, values).items()}
    argv = [*tool.base_command]
    for _, words in sorted([*_argument_words(tool, job, runtime), *_input_words(tool, job)], key=lambda pair: pair[0]):
        argv += words
    if not argv or not argv[0]:
        raise BadInput(f"the tool «{shown(tool.id)}» makes an empty command: give it a baseCommand")
    if not all(is_plain_text(word) for word in argv):
        raise BadInput(f"the tool «{shown(tool.id)}» makes an argument that no program can be given")
    stdout, stderr = (_stream(each, job, runtime) for each in (tool.stdout, tool.stderr))
    return Command(
        argv=tuple(argv),
        environment=tuple((name, value.text(job, runtime)) for name, value in tool.environment),
        stdin=_path(job, tool.stdin.name) if tool.stdin is not None else None,
        stdout=stdout,
        stderr=stderr,
        outputs=tuple(_collect(each, job, runtime, {"stdout": stdout, "stderr": stderr}) for each in tool.outputs),
    )


def stage_path(name: str, basename: str, index: int | None = None, folder: str = "/inputs") -> Staged:
    """Where a file given to the input ``name`` is mounted inside; ``index`` keeps an array's equal names apart.

    Raises:
        BadInput: ``basename`` is no plain file name.
    """
    if not is_file_name(basename):
        raise BadInput(f"input «{shown(name)}»: «{shown(basename)}» cannot be a file's name inside the runner")
    return Staged("/".join([folder, name, *([] if index is None else [str(index)]), basename]))


def _placed(value: object, block: str) -> object:
    if isinstance(value, Carried):
        return Staged(f"{block}/{value.path}")
    return tuple(_placed(each, block) for each in value) if isinstance(value, tuple) else value


def _argument_words(tool: Tool, job: Mapping[str, object], runtime: Runtime) -> list[tuple[_Key, list[str]]]:
    """Arguments sort by position, then by their order, and before inputs of their position."""
    found = []
    for index, argument in enumerate(tool.arguments):
        value = argument.value.value(job, runtime)
        words = _words(value, argument.binding)
        if isinstance(value, tuple) and argument.binding.item_separator is None:
            words += [as_text(each) for each in value]
        found.append(((argument.binding.position, 0, index, ""), words))
    return found


def _input_words(tool: Tool, job: Mapping[str, object]) -> list[tuple[_Key, list[str]]]:
    """Inputs with a binding sort by position, then by name."""
    return [
        ((each.binding.position, 1, 0, each.name), _bound(each, each.binding, job[each.name]))
        for each in tool.inputs
        if each.binding is not None
    ]


def _bound(parameter: Input, binding: Binding, value: object) -> list[str]:
    words = _words(value, binding)
    if isinstance(value, tuple) and binding.item_separator is None:
        for member in value:
            words += _words(member, parameter.item_binding or Binding())
    return words


def _words(value: object, binding: Binding) -> list[str]:
    """The words of one binding; of an array without a separator only its prefix, for its members follow."""
    if value is None or value is False or value == ():
        return []
    prefix = [binding.prefix] if binding.prefix is not None else []
    if value is True or (isinstance(value, tuple) and binding.item_separator is None):
        return prefix
    text = (binding.item_separator or "").join(map(as_text, value)) if isinstance(value, tuple) else as_text(value)
    return [*prefix, text] if binding.separate else [(binding.prefix or "") + text]


def _stream(template: Template | None, job: Mapping[str, object], runtime: Runtime) -> str | None:
    if template is None:
        return None
    name = template.text(job, runtime)
    if not is_file_name(name):
        raise BadInput(f"«{template}» becomes «{shown(name)}», which names no file in the working folder")
    return name


def _path(job: Mapping[str, object], name: str) -> str:
    value = job[name]
    if not isinstance(value, Staged):
        raise BadInput(f"input «{name}»: nothing given, and the tool reads its standard input from it")
    return value.path


def _collect(output: Output, job: Mapping[str, object], runtime: Runtime, streams: Mapping[str, str | None]) -> Collect:
    stream = streams.get(output.stream)
    if stream is not None:
        return Collect(output.name, output.type, (re.sub(r"([*?[])", r"[\1]", stream),))
    patterns = []
    for template in output.globs:
        # A tool may name its working folder in full; patterns are always relative to it.
        pattern = template.text(job, runtime).removeprefix(f"{runtime.outdir}/")
        if not is_inner_pattern(pattern):
            raise BadInput(f"output «{output.name}»: «{shown(pattern)}» would match outside the working folder")
        patterns.append(pattern)
    return Collect(output.name, output.type, tuple(patterns))
