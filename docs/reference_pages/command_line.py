"""The page of the command line, from the command line itself."""

from __future__ import annotations

from collections.abc import Iterator

import typer

from numa_sim.cli.app import app

WIDTH = 88
_HEAD = """# Command line

What each command says with `--help`.

Every command exits with 0 when all is well, 1 when a run folder is not what was written, 2 when something it was
given is wrong (one line on stderr says what, where, and what is allowed), 3 when some runs of a sweep failed, 130
after Ctrl-C.
"""


def commands(command: typer.core.TyperCommand, context: typer.Context) -> Iterator[tuple[str, str, str]]:
    """Path, first sentence and help text of `command` and of every command below it."""
    if not command.get_short_help_str(limit=1000) and not hasattr(command, "commands"):
        raise ValueError(f"{context.command_path} has no help text")
    yield context.command_path, command.get_short_help_str(limit=1000), command.get_help(context)
    for name in getattr(command, "commands", {}):
        inner = command.commands[name]
        yield from commands(inner, type(context)(inner, parent=context, info_name=name, max_content_width=WIDTH))


def cli_page() -> str:
    """MyST page: the help text of every command."""
    root = typer.main.get_command(app)
    context = root.context_class(root, info_name="numa-sim", max_content_width=WIDTH, terminal_width=WIDTH)
    parts = [_HEAD]
    for path, _, text in commands(root, context):
        parts.append(f"## `{path}`\n\n```text\n{text.strip()}\n```\n")
    return "\n".join(parts)
