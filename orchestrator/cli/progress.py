"""Live progress of a run for people, on stderr: one line per thing that happens, with fan-outs counted and waits named."""

from __future__ import annotations

import time
from typing import Any

import click

from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor


class Progress:
    """Prints what happens in a run as it happens."""

    def __init__(self, run: Actor, *, is_quiet: bool) -> None:
        self._run = run
        self._is_quiet = is_quiet
        self._started: dict[int, tuple[str, float]] = {}
        self._fans: dict[str, list[int]] = {}
        self._began = time.monotonic()
        self._delta_open = False

    def show(self, entry: Any) -> None:
        """Show one entry of the log."""
        if self._is_quiet:
            return
        if type(entry) is tuple:
            self._streamed(entry[0])
            return
        match entry:
            case t.StepStarted():
                self._step_started(entry)
            case t.StepSettled():
                self._step_settled(entry)
            case t.Streamed(value=value):
                self._streamed(value)
            case t.Answer(action="answer", who=who, form=form):
                said = ", ".join(f"{k}: {v}" for k, v in form.items() if v is not None)
                self._line("◆", f"{who.get('user')} answered  {said}", "cyan")
            case t.TimerFired():
                self._line("·", "a timer came due", None)
            case t.Cancel(status=status):
                self._line("■", status, "yellow")

    def _step_started(self, tick: t.StepStarted) -> None:
        self._started[tick.act] = (tick.step, tick.at)
        if tick.request is not None:
            audience = tick.request.get("to") or {}
            whom = ", ".join([*audience.get("users", ()), *audience.get("groups", ())]) or "anybody"
            self._line("?", f"{tick.step}  waits for {whom}", "cyan")
        elif tick.wait is not None:
            what = tick.wait.get("type")
            self._line("…", f"{tick.step}  waits {'for ' + what if what else 'until its time comes'}", "cyan")
        elif tick.attempt > 1:
            self._line("↻", f"{tick.step}  attempt {tick.attempt}", "yellow")

    def _step_settled(self, tick: t.StepSettled) -> None:
        name, at = self._started.get(tick.act, ("?", tick.at))
        took = f"{tick.at - at:.2f} s" if tick.at - at >= 0.005 else ""
        if tick.again_at is not None and tick.error is not None:
            wait = max(0.0, tick.again_at - tick.at)
            self._line("✗", f"{name}  {tick.error['code']}: {tick.error['message']}  (again in {wait:.1f} s)", "yellow")
        elif tick.again_at is not None:
            self._line("…", f"{name}  not yet", None)
        elif tick.error is not None:
            colour = "yellow" if tick.is_handled else "red"
            self._line("✗", f"{name}  {tick.error['code']}: {tick.error['message']}", colour)
        else:
            out = ", ".join(_named(item) for item in tick.emitted)
            self._line("✓", f"{name}  {'→ ' + out if out else ''}  {took}".rstrip(), "green")

    def _streamed(self, value: Any) -> None:
        if isinstance(value, dict) and value.get("type") == "llm.delta":
            return
        if isinstance(value, dict) and value.get("type") == "progress":
            self._line("·", f"{value.get('step')}  {value.get('value')}", None)

    def _line(self, mark: str, text: str, colour: str | None) -> None:
        clock = f"{time.monotonic() - self._began:6.2f}"
        click.echo(f"{click.style(clock, dim=True)}  {click.style(mark, fg=colour)} {text}", err=True)


def _named(item: Any) -> str:
    if isinstance(item, t.Fan):
        names = sorted({m[0] for m in item.members}) or ["nothing"]
        return f"{len(item.members)} × {', '.join(names)}"
    return str(item[0])
