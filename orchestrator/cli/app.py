"""The command group: loads each command when it is asked for, groups the help, and turns errors into messages and codes."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any

import click

from orchestrator.cli.exits import CommandFailed, Exit, exit_of
from orchestrator.errors import CompileFailed, OrchestratorError

EVERYDAY: dict[str, tuple[str, str]] = {
    "new": ("orchestrator.cli.new_cmd", "Make a project that runs at once, offline"),
    "check": ("orchestrator.cli.check_cmd", "Check flows and show every mistake at its place"),
    "run": ("orchestrator.cli.run_cmd", "Run a flow, or one callable with --step"),
    "test": ("orchestrator.cli.test_cmd", "Run the tests that stand in flow files"),
    "dev": ("orchestrator.cli.dev_cmd", "Serve the pages and reload on change"),
    "inbox": ("orchestrator.cli.inbox_cmd", "Show what waits for people"),
    "runs": ("orchestrator.cli.runs_cmd", "List, show, export and verify runs"),
    "plugin": ("orchestrator.cli.plugin_cmd", "List, check and make plugins"),
}
MORE: dict[str, tuple[str, str]] = {
    "explain": ("orchestrator.cli.explain_cmd", "Explain the code of a finding"),
    "fmt": ("orchestrator.cli.fmt_cmd", "Format flow files"),
    "graph": ("orchestrator.cli.graph_cmd", "Draw a flow"),
    "schema": ("orchestrator.cli.schema_cmd", "Write the JSON Schema for editors"),
    "send": ("orchestrator.cli.send_cmd", "Send an event to a run"),
    "decide": ("orchestrator.cli.decide_cmd", "Answer a request"),
    "resume": ("orchestrator.cli.resume_cmd", "Continue unfinished runs"),
    "cancel": ("orchestrator.cli.cancel_cmd", "Cancel a run"),
    "retry": ("orchestrator.cli.retry_cmd", "Run a failed run again from a step"),
    "replay": ("orchestrator.cli.replay_cmd", "Check or fork a recorded run"),
    "migrate": ("orchestrator.cli.migrate_cmd", "Move waiting runs to the flow as it is now"),
    "diff": ("orchestrator.cli.diff_cmd", "Say what changed between two versions of a flow"),
    "serve": ("orchestrator.cli.serve_cmd", "Serve in production"),
    "worker": ("orchestrator.cli.worker_cmd", "Work off the runs of a store"),
    "users": ("orchestrator.cli.users_cmd", "Manage people and groups"),
    "keys": ("orchestrator.cli.keys_cmd", "Manage API keys"),
    "doctor": ("orchestrator.cli.doctor_cmd", "Look for problems of the project and machine"),
}
COMMANDS = {**EVERYDAY, **MORE}


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
        """The everyday commands first, the rest after them."""
        for title, group in (("Everyday", EVERYDAY), ("More", MORE)):
            rows = [(name, text) for name, (module, text) in group.items() if _exists(module)]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="orchestrator-flows", prog_name="orchestrator")
def app() -> None:
    """Durable workflows as YAML graphs of named events and steps, and as Python."""


def run(args: list[str] | None = None) -> None:
    """Run the command line and exit. No error of a user shows a traceback."""
    try:
        code = app.main(args=args, prog_name="orchestrator", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(Exit.INTERRUPTED)
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(Exit.USAGE)
    except CommandFailed as error:
        if str(error):
            click.echo(f"error: {error}", err=True)
        sys.exit(error.code)
    except CompileFailed as error:
        show_findings(error)
        sys.exit(Exit.DIAGNOSTICS)
    except OrchestratorError as error:
        click.echo(f"error[{error.code}]: {error}", err=True)
        sys.exit(exit_of(error))
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(Exit.OK)
    sys.exit(code if isinstance(code, int) else Exit.OK)


def show_findings(error: CompileFailed) -> None:
    """Print the findings of a flow that cannot start."""
    from orchestrator.cli.findings import render_text

    click.echo(render_text(error.diagnostics), err=True, nl=False)
