"""The command group: loads each command when it is asked for, groups the help, and turns errors into messages and codes."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.exits import CommandFailed, Exit, exit_of
from orchestrator.errors import CompileFailed, OrchestratorError

if TYPE_CHECKING:  # loaded when a shell asks
    from click.shell_completion import CompletionItem

PROG = "orchestrator"
Table = dict[str, tuple[str, str]]
EVERYDAY: Table = {
    "new": ("orchestrator.cli.new_cmd", "Make a project that runs at once, offline"),
    "check": ("orchestrator.cli.check_cmd", "Check flows and show every mistake at its place"),
    "run": ("orchestrator.cli.run_cmd", "Run a flow, or one callable with --step"),
    "test": ("orchestrator.cli.test_cmd", "Run the tests that stand in flow files"),
    "dev": ("orchestrator.cli.dev_cmd", "Serve the pages and reload on change"),
    "inbox": ("orchestrator.cli.inbox_cmd", "Show what waits for people"),
    "runs": ("orchestrator.cli.runs_cmd", "List, show, export and verify runs"),
    "plugin": ("orchestrator.cli.plugin_cmd", "List, check and make plugins"),
}
FLOWS: Table = {
    "explain": ("orchestrator.cli.explain_cmd", "Explain the code of a finding"),
    "fmt": ("orchestrator.cli.fmt_cmd", "Format flow files"),
    "graph": ("orchestrator.cli.graph_cmd", "Draw a flow"),
    "diff": ("orchestrator.cli.diff_cmd", "Say what changed between two versions of a flow"),
    "schema": ("orchestrator.cli.schema_cmd", "Write the JSON Schema for editors"),
}
RUNS: Table = {
    "decide": ("orchestrator.cli.decide_cmd", "Answer a request"),
    "send": ("orchestrator.cli.send_cmd", "Send an event to a run"),
    "resume": ("orchestrator.cli.resume_cmd", "Continue unfinished runs"),
    "cancel": ("orchestrator.cli.cancel_cmd", "Cancel a run"),
    "retry": ("orchestrator.cli.retry_cmd", "Run a failed run again from a step"),
    "replay": ("orchestrator.cli.replay_cmd", "Check or fork a recorded run"),
    "migrate": ("orchestrator.cli.migrate_cmd", "Move waiting runs to the flow as it is now"),
}
OPERATING: Table = {
    "serve": ("orchestrator.cli.serve_cmd", "Serve in production"),
    "worker": ("orchestrator.cli.worker_cmd", "Work off the runs of a store"),
    "users": ("orchestrator.cli.users_cmd", "Manage people and groups"),
    "keys": ("orchestrator.cli.keys_cmd", "Manage API keys"),
    "mcp": ("orchestrator.cli.mcp_cmd", "Use MCP servers' tools, and serve flows as tools"),
    "doctor": ("orchestrator.cli.doctor_cmd", "Look for problems of the project and machine"),
    "completion": ("orchestrator.cli.completion_cmd", "Write the completion script of a shell"),
}
GROUPS = {"Everyday": EVERYDAY, "Flows": FLOWS, "Runs": RUNS, "Operating": OPERATING}
COMMANDS: Table = {name: entry for group in GROUPS.values() for name, entry in group.items()}


def _exists(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


class LazyGroup(click.Group):
    """Knows the names and one-line helps of all commands, and imports a command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command this installation has."""
        return [name for name, (module, _) in COMMANDS.items() if _exists(module)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        entry = COMMANDS.get(cmd_name)
        if entry is None or not _exists(entry[0]):
            return None
        command: click.Command = importlib.import_module(entry[0]).command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:  # click's own triple
        """As click does, with a suggestion for a misspelt name."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in self.list_commands(ctx):
            from orchestrator.expr.suggest import nearest

            guess = nearest(name, self.list_commands(ctx))
            hint = f" Did you mean `{guess}`?" if guess else ""
            raise click.UsageError(f"There is no command `{name}`.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The everyday commands first, the rest in groups after them."""
        for title, group in GROUPS.items():
            rows = [(name, text) for name, (module, text) in group.items() if _exists(module)]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands' names, without importing any of them."""
        from click.shell_completion import CompletionItem

        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        if names or not incomplete.startswith("-"):
            return [CompletionItem(name, help=COMMANDS[name][1]) for name in names]
        return click.Command.shell_complete(self, ctx, incomplete)

    def invoke(self, ctx: click.Context) -> Any:  # what the command returns
        """Run the command; a reader that has gone (`| head`) ends it in silence, Ctrl-C without a word of ours."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise CommandFailed("", Exit.OK) from None
        except KeyboardInterrupt:
            raise CommandFailed("", Exit.INTERRUPTED) from None


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="orchestrator-flows", prog_name=PROG)
def app() -> None:
    """Durable workflows as YAML graphs of named events and steps, and as Python."""


def run(args: list[str] | None = None) -> None:
    """Run the command line and exit with its code. No error of a user shows a traceback."""
    words = sys.argv[1:] if args is None else args
    _open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:  # a file name need not be text; it is shown escaped
            reconfigure(errors="backslashreplace")
    code = _run(words)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        _close_quietly()
    except OSError:  # a full disk behind `>`
        code = code or Exit.ENVIRONMENT
        _close_quietly()
    sys.exit(int(code))


def _open_standard_streams() -> None:
    """Streams that the caller closed lead nowhere; else the next file that is opened, a store say, would be one of them."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - open for good


def _run(words: list[str]) -> int:
    wants_json = "--json" in words
    command = next((word for word in words if not word.startswith("-")), "")
    try:
        code = app.main(args=words, prog_name=PROG, standalone_mode=False)
        return code if isinstance(code, int) else Exit.OK
    except (click.exceptions.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except click.ClickException as error:
        if wants_json:
            return _fail_as_json(command, "usage", error.format_message(), Exit.USAGE)
        error.show()
        return Exit.USAGE
    except CommandFailed as error:
        if wants_json and error.code not in (Exit.OK, Exit.INTERRUPTED):
            return _fail_as_json(command, error.name, str(error), error.code)
        if str(error):
            click.echo(f"error: {error}", err=True)
        elif error.code is Exit.OK:
            _close_quietly()
        return error.code
    except CompileFailed as error:
        return _fail_to_compile(command, error, wants_json=wants_json)
    except OrchestratorError as error:
        if wants_json:
            return _fail_as_json(command, error.code, str(error), exit_of(error))
        click.echo(f"error[{error.code}]: {error}", err=True)
        return exit_of(error)
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        message = f"{name}{error.strerror or error}"
        if wants_json:
            return _fail_as_json(command, "environment", message, Exit.ENVIRONMENT)
        click.echo(f"error: {message}", err=True)
        return Exit.ENVIRONMENT
    except Exception as error:  # the last resort: a mistake of ours is told as one, in a line
        if os.environ.get("ORCHESTRATOR_TRACEBACK"):
            raise
        message = f"{type(error).__name__}: {error}"
        if wants_json:
            return _fail_as_json(command, "internal", message, Exit.ENVIRONMENT)
        click.echo(
            f"internal error: {message}\nThis is a mistake of the program; ORCHESTRATOR_TRACEBACK=1 shows where.",
            err=True,
        )
        return Exit.ENVIRONMENT


def _fail_as_json(command: str, code: str, message: str, exit_code: Exit) -> int:
    from orchestrator.cli.output import print_json

    print_json(command, ok=False, error={"code": code, "message": message})
    return exit_code


def _fail_to_compile(command: str, error: CompileFailed, *, wants_json: bool) -> int:
    from orchestrator.cli.output import print_json, show_findings

    if wants_json:
        print_json(command, ok=False, diagnostics=error.diagnostics)
    elif error.diagnostics:
        show_findings(error.diagnostics)
    else:
        click.echo(f"error: {error}", err=True)
    return Exit.DIAGNOSTICS


def _close_quietly() -> None:
    """Nobody reads any more: what is still buffered goes nowhere, without a word at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            try:
                os.dup2(nowhere, stream.fileno())
            except (OSError, ValueError):
                continue
