"""`orchestrator run`: start a flow, show what happens, take answers, print the outputs."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import click

from orchestrator.authoring.project import Project
from orchestrator.authoring.run_service import RunService, follow, path_of
from orchestrator.cli.asking import Answers
from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.findings import render_text
from orchestrator.cli.progress import Progress
from orchestrator.cli.values import parse_inputs
from orchestrator.diagnostics import Diagnostic, Severity
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.engine import Engine
from orchestrator.runtime.state import Status


@click.command("run")
@click.argument("flow", type=click.Path(path_type=Path))
@click.option(
    "-i", "--input", "inputs", multiple=True, metavar="NAME=VALUE", help="An input; -i @FILE reads a mapping."
)
@click.option(
    "--answer", "answers", multiple=True, metavar="STEP=JSON", help="An answer to a request; repeat in order."
)
@click.option("--answers", "answers_file", type=click.Path(path_type=Path), help="Answers per step, as in `tests:`.")
@click.option("--as", "user", help="Who you are, for questions on the terminal.")
@click.option("--mock", "mocks", multiple=True, metavar="STEP=JSON", help="Give a step this result instead of calling.")
@click.option("--until", metavar="STEP", help="Stop when this step has ended.")
@click.option("--fake-llm", is_flag=True, help="Answer model calls with a built-in fake, offline.")
@click.option("--run-id", help="The run's id; one is made otherwise.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and no progress.")
@click.option("--quiet", "-q", is_flag=True, help="Print no progress.")
def command(
    flow: Path,
    inputs: tuple[str, ...],
    answers: tuple[str, ...],
    answers_file: Path | None,
    user: str | None,
    mocks: tuple[str, ...],
    until: str | None,
    fake_llm: bool,
    run_id: str | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Run a flow here, to its end or until it waits for somebody who is not at this terminal."""
    project = Project.open(flow, fake_llm=fake_llm)
    compiled = project.compile(flow)
    if not compiled.is_ok:
        if as_json:
            click.echo(json.dumps(envelope(False, None, compiled.diagnostics)))
        else:
            click.echo(render_text(compiled.diagnostics), err=True, nl=False)
        return Exit.DIAGNOSTICS
    notes = [d for d in compiled.diagnostics if d.severity is Severity.WARNING]
    if notes and not as_json and not quiet:
        click.echo(render_text(notes), err=True, nl=False)
    ir = compiled.checked()
    values = parse_inputs(inputs, ir.inputs)
    if mocks:
        from orchestrator.cli.values import mock_calls

        project.intercept = mock_calls(mocks, frozenset(ir.steps))
    if until is not None and until not in ir.steps:
        raise CommandFailed(f"flow `{ir.name}` has no step `{until}`; it has {', '.join(ir.steps)}", Exit.USAGE)
    people = project.config.people
    given = Answers.parse(answers, answers_file, _groups_of(project) if people.groups else None)
    runner = _Runner(project, given, user, until, is_quiet=quiet or as_json)
    plan = project.plan(ir)
    actor = asyncio.run(runner.run(plan, values, run_id))
    return report(actor, as_json=as_json, until=until)


class _Runner:
    def __init__(
        self, project: Project, answers: Answers, user: str | None, until: str | None, *, is_quiet: bool
    ) -> None:
        self._project = project
        self._answers = answers
        self._user = user
        self._until = until
        self._is_quiet = is_quiet

    async def run(self, plan: Any, values: dict[str, Any], run_id: str | None) -> Actor:  # a FlowPlan
        engine = Engine()
        actor = await RunService(engine).start(plan, values, run_id=run_id)
        progress = Progress(actor, is_quiet=self._is_quiet)
        stop = asyncio.Event()
        asker = asyncio.create_task(self._take_answers(actor, stop))
        watcher = asyncio.create_task(self._watch(actor, progress, stop))
        done = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({watcher, done, asker}, return_when=asyncio.FIRST_COMPLETED)
            if asker.done() and asker.exception() is not None:
                raise asker.exception() or RuntimeError
            if not watcher.done():
                await asyncio.sleep(0)
        finally:
            for task in (asker, watcher, done):
                task.cancel()
            await asyncio.gather(asker, watcher, done, return_exceptions=True)
            if not actor.is_over:
                actor.discard()
            await self._project.hub.aclose()
        return actor

    async def _watch(self, actor: Actor, progress: Progress, stop: asyncio.Event) -> None:
        steps: dict[int, str] = {}
        from orchestrator.runtime import ticks as t

        async for _, entry in follow(actor):
            progress.show(entry)
            if isinstance(entry, t.StepStarted):
                steps[entry.act] = entry.step
            if (
                self._until is not None
                and isinstance(entry, t.StepSettled)
                and entry.again_at is None
                and steps.get(entry.act) == self._until
            ):
                stop.set()
                return

    async def _take_answers(self, actor: Actor, stop: asyncio.Event) -> None:
        seen_on_terminal = sys.stdin.isatty() and not self._is_quiet
        while not actor.is_over:
            request = next(iter(actor.state.requests.values()), None)
            if request is not None:
                if self._answers.give(actor, request):
                    continue
                if seen_on_terminal:
                    await asyncio.to_thread(lambda: None)
                    self._answers.ask_on_terminal(actor, request, self._user)
                    continue
            if _waits_for_outside(actor):
                stop.set()
                return
            await actor.wait_for_more()
        return


def _waits_for_outside(actor: Actor) -> bool:
    """Whether only people or outside events can move the run on: nothing runs and no short timer is set."""
    state = actor.state
    if state.is_over or state.busy > 0 or not actor.is_quiet:
        return False
    if state.children:
        return False
    has_own_timer = any(x.kind in ("again", "sleep", "join", "rate") for x in state.timers.values())
    return not has_own_timer and bool(state.requests or state.open_waits or actor.plan.is_reachable)


def report(actor: Actor, *, as_json: bool, until: str | None) -> int:
    """Print how a run ended; gives the exit code."""
    state = actor.state
    waiting = sorted(
        {r.step for r in state.requests.values()} | {actor.state.acts[a].step.name for a in state.open_waits}
    )
    outputs = state.result.value if state.result is not None else None
    status = state.status.value if state.is_over else ("waiting" if waiting else "stopped")
    data = {
        "run_id": actor.run_id,
        "status": status,
        "outputs": outputs,
        "error": state.error,
        "path": path_of(actor.log),
        "waiting": waiting,
    }
    code = {
        Status.DONE: Exit.OK,
        Status.TIMEOUT: Exit.TIMED_OUT,
    }.get(state.status, Exit.RUN_FAILED if state.is_over else (Exit.OK if until else Exit.WAITING))
    if as_json:
        click.echo(json.dumps(envelope(code in (Exit.OK, Exit.WAITING), data, ()), ensure_ascii=False))
    elif state.status is Status.DONE:
        click.echo(json.dumps(outputs, ensure_ascii=False, indent=2))
    elif state.is_over:
        error = state.error or {}
        where = f" in step `{error['step']}`" if error.get("step") else ""
        click.echo(f"run {actor.run_id} {status}{where}: {error.get('code')}: {error.get('message')}", err=True)
    elif until is not None:
        click.echo(f"run {actor.run_id} was stopped after `{until}`", err=True)
    else:
        click.echo(f"run {actor.run_id} waits: {', '.join(waiting) or 'for an event from outside'}", err=True)
    return code


def envelope(is_ok: bool, data: Any, diagnostics: tuple[Diagnostic, ...]) -> dict[str, Any]:
    """The shape of every `--json` output."""
    return {"v": 1, "command": "run", "ok": is_ok, "data": data, "diagnostics": [d.to_json() for d in diagnostics]}


def _groups_of(project: Project) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for group, users in project.config.people.groups.items():
        for user in users:
            found.setdefault(user, []).append(group)
    return found
