"""The page `docs/cli.md`, made from the commands themselves: what stands there is what `--help` says."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator

import click

from orchestrator.cli.app import GROUPS, PROG, _exists
from orchestrator.cli.exits import Exit

MEANINGS = {
    Exit.OK: "done",
    Exit.RUN_FAILED: "the run or a test failed, or a file is not formatted",
    Exit.USAGE: "wrong usage, wrong inputs, an answer that fits no form",
    Exit.DIAGNOSTICS: "there are findings that stop a flow",
    Exit.WAITING: "the run waits for people or an event, and stays in the store",
    Exit.TIMED_OUT: "the run took longer than its `timeout`",
    Exit.NOT_FOUND: "no such file, run, request, code or callable",
    Exit.CONFLICT: "it exists, is decided, has ended, or has changed",
    Exit.AUTH: "not entitled to answer, or an address that is not safe to serve on",
    Exit.DIVERGED: "a recorded run gives other decisions now, or the audit log was changed",
    Exit.ENVIRONMENT: "the machine: files, disk, database, plugins",
    Exit.INTERRUPTED: "Ctrl-C or SIGTERM",
}
HEAD = """# The command line

`orchestrator`, short `orc`. Data goes to stdout, words for people to stderr. With `--json` a command prints one
object (`runs events` and `runs logs`: a line each): `{"v": 1, "command": …, "ok": …, "data": …, "diagnostics": […]}`, and
`"error": {"code", "message"}` if the command itself failed. Nothing is asked unless stdin and stderr are a terminal.
`NO_COLOR` switches colours off. This page is made from the commands (`make golden`).

## Exit codes
| code | means |
|---|---|
"""
RUN_PAGE = """
## Where runs are kept
`run` keeps its runs in `.orchestrator/runs.db` of the project, so that whatever waits can be answered or continued by a
later command, a server or a worker. `[store] url` of the config or `--store` name another place: `sqlite:///runs.db`
(beside you), `sqlite:////var/lib/runs.db`, `postgresql://user@host/database`, or `memory:` for nothing at all. Several
processes may use one store.

## `run --json`
`data` is `{"run_id", "status", "outputs", "error", "path", "waiting"}`. `path` has one entry per start of a step's body: not per
attempt, poll, item or answer. `waiting` are the steps that wait for people, an event, or a sub-flow that does.

## Completion
`eval "$(orchestrator completion bash)"` in `~/.bashrc`, the same with `zsh`, or
`orchestrator completion fish > ~/.config/fish/completions/orchestrator.fish`. Commands, options, flow files, codes and callables.
"""


def cli_page() -> str:
    """The whole page."""
    codes = "".join(f"| {int(code)} | {MEANINGS[code]} |\n" for code in Exit)
    parts = [HEAD + codes + RUN_PAGE]
    for title, group in GROUPS.items():
        parts.append(f"\n## {title}\n")
        for name, (module, _) in group.items():
            if _exists(module):
                parts += _command((name,), importlib.import_module(module).command)
    return "".join(parts)


def _command(path: tuple[str, ...], command: click.Command) -> Iterator[str]:
    """A command, and the commands under it."""
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _command((*path, name), inner)
        return
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    words = [PROG, *path, "[OPTIONS]" if options else "", *(_argument(a) for a in arguments)]
    yield f"\n### {' '.join(path)}\n`{' '.join(word for word in words if word)}`\n\n"
    help_text = inspect.cleandoc(command.help or "").replace("\n\n", "\0").replace("\n", " ").replace("\0", "\n\n")
    yield f"{help_text}\n\n"
    if options:
        yield "| option | |\n|---|---|\n"
        yield from (f"| {_option(option)} | {_cell(_help(option))} |\n" for option in options)


def _argument(argument: click.Argument) -> str:
    name = (argument.name or "").upper()
    many = "..." if argument.nargs == -1 else ""
    return f"{name}{many}" if argument.required else f"[{name}{many}]"


def _option(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    if option.is_flag or option.count:
        return names
    kind = option.type
    if option.metavar:
        value = option.metavar
    elif isinstance(kind, click.Choice):
        value = "|".join(str(choice) for choice in kind.choices)
    else:
        value = {"integer": "N", "integer range": "N", "float": "N", "path": "FILE"}.get(kind.name, "TEXT")
    return f"{names} `{_cell(value)}`"


def _help(option: click.Option) -> str:
    shown = f" Default: {option.default}." if option.show_default and not callable(option.default) else ""
    again = " May be given several times." if option.multiple and "repeat" not in (option.help or "").lower() else ""
    return f"{option.help or ''}{shown}{again}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
