"""`run --step ns.verb`: call one callable of the project, outside any flow."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.output import print_json, print_value, say
from orchestrator.cli.screen import inert
from orchestrator.cli.values import parse_inputs
from orchestrator.errors import OrchestratorError, PluginError, StepError, UsageError

if TYPE_CHECKING:  # only named
    from orchestrator.authoring.project import Project
    from orchestrator.plugin.catalog import PluginProblem
    from orchestrator.plugin.info import CallableInfo

Json = Any  # plain JSON


def call_step(project: Project, name: str, inputs: tuple[str, ...], *, as_json: bool, shows_text: bool) -> int:
    """Call a callable and print its result; gives the exit code.

    Raises: CommandFailed for a callable that is unknown or broken; click.UsageError for wrong inputs.
    """
    info = find_callable(project, name)
    if (problem := project.catalog.problem(name)) is not None:
        raise CommandFailed(told(problem), Exit.ENVIRONMENT)
    values = parse_inputs(inputs, info.input_schema, owner=f"`{name}`")
    try:
        result = asyncio.run(_call(project, info, values, shows_text=shows_text))
    except PluginError as error:
        raise CommandFailed(str(error), Exit.ENVIRONMENT) from error
    except (StepError, UsageError) as error:
        if as_json:
            data = {"error": {"code": error.code, "message": str(error), "details": getattr(error, "details", None)}}
            print_json("run", ok=False, data=data)
        else:
            say(f"{name} failed: {error.code}: {error}")
        return Exit.USAGE if isinstance(error, UsageError) else Exit.RUN_FAILED
    if as_json:
        print_json("run", ok=True, data={"result": result})
    else:
        print_value(result)
    return Exit.OK


def find_callable(project: Project, name: str) -> CallableInfo:
    """What is known of a callable. Raises: CommandFailed with the reason or the name that was probably meant."""
    info = project.catalog.get(name)
    if info is not None:
        return info
    problem = project.catalog.problem(name)
    if problem is not None:
        raise CommandFailed(told(problem), Exit.ENVIRONMENT)
    guess = project.catalog.suggest(name)
    hint = f"did you mean `{guess}`?" if guess else "`orchestrator plugin list` shows all"
    raise CommandFailed(f"nothing provides `{name}`; {hint}", Exit.NOT_FOUND)


def told(problem: PluginProblem) -> str:
    """A problem of a plugin in one line: what, where, the way out."""
    where = f" ({problem.origin})" if problem.origin else ""
    return f"{problem.message}{where}" + (f"; {problem.help}" if problem.help else "")


async def _call(project: Project, info: CallableInfo, values: dict[str, Json], *, shows_text: bool) -> Json:
    from orchestrator.cli.running import TerminatedAsInterrupt
    from orchestrator.plugin.info import Emitted
    from orchestrator.plugin.invoke import bind_apart
    from orchestrator.plugin.services import PlainContext

    hub = project.hub
    services = hub.services(PlainContext(), info)
    if shows_text:
        services.on_delta = lambda text: click.echo(
            inert(text.replace("\n", "\0")).replace("\ufffd", "\n"), err=True, nl=False
        )
    try:
        with TerminatedAsInterrupt():  # what it opened is closed, programs that it started end
            invoker = await bind_apart(info, hub.import_limit_s)
            result = await invoker(values, services)
    except OrchestratorError:
        raise
    except Exception as error:  # the callable's own code failed: that is its result here, not ours to raise
        raise StepError("call.failed", f"{type(error).__name__}: {error}") from error
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise
    except BaseException as error:  # of a kind that is none of ours to obey
        raise StepError("call.failed", type(error).__name__) from error
    finally:
        await hub.aclose()
        if shows_text:
            sys.stderr.flush()
    plain = {"event": result.event, "fields": result.fields} if isinstance(result, Emitted) else result
    try:
        json.dumps(plain)
    except (TypeError, ValueError) as error:
        raise StepError("call.failed", f"`{info.name}` gave what JSON cannot hold: {error}") from error
    return plain
