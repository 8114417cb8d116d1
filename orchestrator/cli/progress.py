"""Live progress of a run for people, on stderr: a line per thing that happens, and on a terminal what goes on just now.

Reads ticks and state, changes nothing. A fan-out of many members is counted instead of told member by member.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from orchestrator.cli.screen import Screen, inert, one_line, styled
from orchestrator.cli.when import in_words
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.state import Activation, Group, Timer

TOLD_ONE_BY_ONE = 8  # members of a fan-out
STANDING = 10  # lines at the bottom
BAR = 20
REDRAW_S = 0.1


@dataclass(slots=True)
class _Body:
    """A started activation, as far as it is told."""

    step: str
    at: float
    group: Group | None = None
    text: list[str] = field(default_factory=list)


DONE = {
    "answer": "answered",
    "claim": "claimed it",
    "release": "released it",
    "edit": "corrected it",
    "delegate": "passed it on",
}


class Progress:
    """Tells what happens in a run and in the flows that it calls."""

    def __init__(self, screen: Screen, *, is_quiet: bool = False, shows_text: bool = False) -> None:
        self.screen = screen
        self._is_quiet = is_quiet
        self._shows_text = shows_text
        self._bodies: dict[tuple[str, int], _Body] = {}
        self._quarters: dict[tuple[str, int], int] = {}
        self._began = time.monotonic()
        self._drawn_at = 0.0

    def tell(self, run: Actor, entry: Any) -> None:  # a tick, or (payload, act, attempt)
        """Tell one entry of a run's log; called as it is applied."""
        if self._is_quiet:
            return
        if type(entry) is tuple:
            self._streamed(run, entry[0], entry[1])
            return
        match entry:
            case t.StepStarted():
                self._step_started(run, entry)
            case t.StepSettled():
                self._step_settled(run, entry)
            case t.Streamed(value=value, act=act):
                self._streamed(run, value, act)
            case t.Answer(action=action, who=who, form=form):
                said = ", ".join(f"{k}: {one_line(str(v), 60)}" for k, v in form.items() if v is not None)
                verb = DONE.get(action, action)
                self._line("◆", f"{one_line(str(who.get('user')))} {verb}  {said}", "cyan", run)
            case t.EventIn(type=type_name) if type_name[:1] == "?":
                self._line("◆", f"{one_line(type_name[1:])} was answered", "cyan", run)
            case t.EventIn(type=type_name):
                self._line("→", f"{type_name} came from outside", "cyan", run)
            case t.Cancel(status=status, reason=reason):
                self._line("■", f"{status}{': ' + one_line(reason) if reason else ''}", "yellow", run)

    def _step_started(self, run: Actor, tick: t.StepStarted) -> None:
        act = run.state.acts.get(tick.act)
        group = act.scope.group if act is not None and act.scope is not None else None
        key = (run.run_id, tick.act)
        self._bodies.setdefault(key, _Body(tick.step, tick.at)).group = group
        is_told = not _is_many(group)
        if tick.request is not None:
            request = tick.request
            whom = audience_text(request.get("to"))
            until = f" until {in_words(request['deadline'], tick.at)}" if request.get("deadline") else ""
            self._line("?", f"{tick.step}  waits for {whom}{until}", "cyan", run)
        elif tick.wait is not None and is_told:
            what, due = tick.wait.get("type"), tick.wait.get("due")
            until = f" until {in_words(due, tick.at)}" if due is not None else ""
            self._line("…", f"{tick.step}  waits{' for ' + what if what else ''}{until}", "cyan", run)
        elif tick.phase != "main":
            self._line("↳", f"{tick.step}  {tick.phase}", "yellow", run)
        elif tick.attempt > 1 and is_told:
            self._line("↻", f"{tick.step}  attempt {tick.attempt}", "yellow", run)

    def _step_settled(self, run: Actor, tick: t.StepSettled) -> None:
        key = (run.run_id, tick.act)
        body = self._bodies.get(key)
        if body is None:
            return
        if tick.again_at is None:
            del self._bodies[key]
        self._flush_text(body)
        name, many = body.step, _is_many(body.group)
        if many and body.group is not None:
            self._count(run, body.group)
        if tick.error is not None:
            text = f"{name}  {tick.error['code']}: {one_line(str(tick.error['message']))}"
            details = tick.error.get("details")
            text += f"  at {details['at']}" if isinstance(details, dict) and isinstance(details.get("at"), str) else ""
            if tick.again_at is not None:
                wait = max(0.0, tick.again_at - tick.at)
                next_try = f"  (again in {wait:.1f} s)" if tick.again_as is None else f"  (then its {tick.again_as})"
                self._line("✗", text + next_try, "yellow", run)
            else:
                self._line("✗", text, "yellow" if tick.is_handled else "red", run)
        elif many:
            return
        elif tick.again_at is not None:
            self._line("…", f"{name}  not yet, again in {max(0.0, tick.again_at - tick.at):.1f} s", None, run)
        else:
            took = f"  {tick.at - body.at:.2f} s" if tick.at - body.at >= 0.005 else ""
            out = ", ".join(_named(item) for item in tick.emitted)
            self._line("✓", f"{name}{'  → ' + out if out else ''}{took}", "green", run)

    def _count(self, run: Actor, group: Group) -> None:
        """Tell each quarter of a big fan-out where nothing stands at the bottom to show it."""
        if self.screen.is_live:
            return
        key = (run.run_id, group.id)
        done = group.size - group.open
        quarter = 4 * done // max(1, group.size)
        if quarter > self._quarters.get(key, 0):
            self._quarters[key] = quarter
            self._line("·", f"{site_name(group.site)}  {done} of {group.size}", None, run)

    def _streamed(self, run: Actor, value: Any, act: int) -> None:  # what a step wrote
        if not isinstance(value, dict):
            return
        if value.get("type") == "progress":
            self._line("·", f"{value.get('step')}  {one_line(str(value.get('value')))}", None, run)
        elif value.get("type") == "llm.delta" and self._shows_text:
            body = self._bodies.get((run.run_id, act))
            if body is not None:
                self._add_text(body, str(value.get("text", "")))

    def _add_text(self, body: _Body, text: str) -> None:
        whole = "".join([*body.text, text])
        *lines, rest = whole.split("\n")
        for line in lines:
            self._text_line(body.step, line)
        body.text = [rest] if rest else []

    def _flush_text(self, body: _Body) -> None:
        if body.text:
            self._text_line(body.step, "".join(body.text))
            body.text = []

    def _text_line(self, step: str, text: str) -> None:
        self.screen.line(f"        {styled('│ ' + step, dim=True)}  {inert(text)}")

    def _line(self, mark: str, text: str, colour: str | None, run: Actor) -> None:
        clock = f"{time.monotonic() - self._began:6.2f}"
        inner = styled(f"{run.plan.ir.name} › ", dim=True) if run.parent is not None else ""
        self.screen.line(f"{styled(clock, dim=True)}  {styled(mark, colour)} {inner}{text}")

    # What stands at the bottom.

    def redraw(self, runs: Iterable[Actor], now: float) -> None:
        """Show what goes on just now; cheap to call often."""
        if self._is_quiet or not self.screen.is_live or time.monotonic() - self._drawn_at < REDRAW_S:
            return
        self._drawn_at = time.monotonic()
        lines: list[str] = []
        hidden = 0
        for run in runs:
            if run.is_over:
                continue
            for line in self._standing(run, now):
                if len(lines) < STANDING:
                    lines.append(line)
                else:
                    hidden += 1
        self.screen.stand([*lines, *([styled(f"    and {hidden} more", dim=True)] if hidden else [])])

    def _standing(self, run: Actor, now: float) -> Iterable[str]:
        state = run.state
        groups: dict[int, Group] = {g.id: g for g in state.groups.values() if g.size > 1}
        for group in groups.values():
            done = group.size - group.open
            full = BAR * done // group.size
            bar = styled("█" * full, "green") + styled("░" * (BAR - full), dim=True)
            running = sum(1 for act in state.acts.values() if act.is_running and _descends(act, group))
            yield f"    {site_name(group.site)}  {bar}  {done} of {group.size}, {running} running"
        for request in state.requests.values():
            due = request.data.get("deadline")
            until = f" until {in_words(due, now)}" if due else ""
            yield f"  {styled('?', 'cyan')} {request.step}  waits for {audience_text(request.data.get('to'))}{until}"
        timers = {timer.ref: timer for timer in state.timers.values() if timer.kind in ("again", "sleep", "wait")}
        for act in state.acts.values():
            if act.scope is not None and _is_many(act.scope.group):
                continue
            line = self._act_line(act, timers.get(act.id), now)
            if line is not None:
                yield line

    def _act_line(self, act: Activation, timer: Timer | None, now: float) -> str | None:
        if timer is not None:
            return f"  {styled('…', 'cyan')} {act.step.name}  until {in_words(timer.due, now)}"
        if act.is_running and act.waits == 0 and act.task is not None and now - act.started_at >= 0.3:
            return f"  {styled('▸', 'green')} {act.step.name}  {now - act.started_at:.0f} s"
        return None


def screen_of(*, is_quiet: bool) -> Screen:
    """The screen of this process: stderr, live on a terminal that is not a dumb one."""
    is_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return Screen(
        sys.stderr, is_live=is_terminal and not is_quiet, has_colour=is_terminal and not os.environ.get("NO_COLOR")
    )


def audience_text(to: Any) -> str:  # the rendered audience of a request
    """Who may answer, in words."""
    if not isinstance(to, dict):
        return "anybody"
    names = [*to.get("users", ()), *to.get("groups", ())]
    without = [str(name) for name in to.get("not", ())]
    who = ", ".join(one_line(str(name), 60) for name in names) or "anybody"
    return who + (f" but {', '.join(one_line(n, 60) for n in without)}" if without else "")


def site_name(site: str) -> str:
    """The step that opened a fan-out."""
    return site.partition("#")[0]


def _is_many(group: Group | None) -> bool:
    return group is not None and group.size > TOLD_ONE_BY_ONE


def _descends(act: Activation, group: Group) -> bool:
    scope = act.scope
    while scope is not None:
        if scope.group is group:
            return True
        scope = scope.group.parent
    return False


def _named(item: Any) -> str:  # an emission or a Fan
    if isinstance(item, t.Fan):
        names = sorted({m[0] for m in item.members}) or ["nothing"]
        return f"{len(item.members)} × {', '.join(names)}"
    return event_name(str(item[0]))


def event_name(event: str) -> str:
    """An event as a person reads it: `review.start` is the step `review`, `review.done` is no name of its own."""
    return event.removesuffix(".start") if event.endswith(".start") else event
