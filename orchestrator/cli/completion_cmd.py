"""`orchestrator completion SHELL`: the script that teaches a shell our commands, options and flow files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli.exits import Exit
from orchestrator.cli.output import print_json

if TYPE_CHECKING:  # loaded when a script is asked for
    from click.shell_completion import ShellComplete

SHELLS = ("bash", "zsh", "fish")
WHERE = {
    "bash": 'eval "$(orchestrator completion bash)"      # in ~/.bashrc',
    "zsh": 'eval "$(orchestrator completion zsh)"       # in ~/.zshrc',
    "fish": "orchestrator completion fish > ~/.config/fish/completions/orchestrator.fish",
}


@click.command("completion", epilog="\b\n" + "\n".join(WHERE.values()))
@click.argument("shell", type=click.Choice(SHELLS))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def command(ctx: click.Context, shell: str, as_json: bool) -> int:
    """Print the completion script of a shell, for `orchestrator` and `orc`."""
    from click.shell_completion import get_completion_class

    from orchestrator.cli.app import PROG, app

    kind = get_completion_class(shell)
    assert kind is not None
    variable = f"_{PROG}_COMPLETE".upper()
    script = "\n".join(_source(kind(app, {}, name, variable)) for name in (PROG, "orc"))
    if as_json:
        print_json("completion", ok=True, data={"shell": shell, "script": script})
    else:
        click.echo(script)
    return Exit.OK


def _source(completer: ShellComplete) -> str:
    """The script without click's look at the installed shell, which need not be the one it is for."""
    return str(completer.source_template % completer.source_vars())
