"""Rules on time: cron, time zones, retries against deadlines, polling, steps that outlast the run."""

from __future__ import annotations

from datetime import UTC, datetime

from orchestrator.analysis.facts import Facts
from orchestrator.analysis.places import Path
from orchestrator.analysis.report import Report
from orchestrator.ir.model import RetryIR, StepIR, TriggerIR, Value
from orchestrator.plugin.types import parse_duration

SHORTEST_POLL_S = 0.1


def seconds_of(when: Value) -> float | None:
    """The length of a written duration; None for moments, expressions and nothing."""
    if isinstance(when, int | float) and not isinstance(when, bool):
        return float(when)
    if not isinstance(when, str):
        return None
    try:
        return parse_duration(when)
    except ValueError:
        return None


def show(seconds: float) -> str:
    """A length of time as the language writes it."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{round(seconds / size)}{unit}"
    return f"{seconds:g}s"


def check_triggers(facts: Facts, report: Report) -> None:
    """FLW610: cron expressions that cannot be read or never fire."""
    for n, trigger in enumerate(facts.flow.triggers):
        if trigger.kind == "cron":
            _check_cron(trigger, ("triggers", n, "cron"), report)


def _check_cron(trigger: TriggerIR, path: Path, report: Report) -> None:
    from cronsim import CronSim, CronSimError

    try:
        moments = CronSim(trigger.cron, datetime(2024, 1, 1, tzinfo=UTC))
    except CronSimError as problem:
        if _days_beyond_every_month(trigger.cron):
            report.add("FLW610", f"`{trigger.cron}` never fires: there is no such day", path)
            return
        report.add(
            "FLW610",
            f"`{trigger.cron}` is not a cron expression: {str(problem).lower()}",
            path,
            help="five fields: minute hour day-of-month month day-of-week, such as `0 6 * * mon`",
        )
        return
    if next(moments, None) is None:
        report.add("FLW610", f"`{trigger.cron}` never fires: there is no such day", path)


def _days_beyond_every_month(cron: str) -> bool:
    """Whether a line is refused only because no month that it names has such a day, as in `0 0 31 2 *`."""
    from cronsim import CronSim, CronSimError

    parts = cron.split()
    if len(parts) != 5:
        return False
    minute, hour, day, month, weekday = parts
    try:
        for line in (f"{minute} {hour} {day} 1 {weekday}", f"{minute} {hour} 1 {month} {weekday}"):
            CronSim(line, datetime(2024, 1, 1, tzinfo=UTC))
    except CronSimError:
        return False
    return True


def check_times(facts: Facts, report: Report) -> None:
    """FLW612 to FLW614: limits of one step that contradict each other or the run's."""
    run_s = seconds_of(facts.flow.timeout)
    for step in facts.flow.steps.values():
        policy = step.policy
        if policy.repeat is not None and policy.repeat.every_s < SHORTEST_POLL_S:
            report.add(
                "FLW613",
                f"step `{step.name}` polls every {show(policy.repeat.every_s)}; that is a busy loop",
                ("steps", step.name, "repeat", "every"),
                help="poll at most every 100ms, or wait for an event instead",
            )
        if policy.retry is not None:
            _check_retry(step, policy.retry, report)
        if run_s is not None:
            _check_run(step, run_s, report)


def _check_retry(step: StepIR, retry: RetryIR, report: Report) -> None:
    limit = seconds_of(step.policy.deadline)
    if limit is None:
        return
    total = longest_delays(retry)
    if total > limit:
        report.add(
            "FLW612",
            f"the delays between {retry.max} attempts of step `{step.name}` add up to {show(round(total, 3))}, "
            f"but its deadline is {show(limit)}",
            ("steps", step.name, "retry"),
            help="lower `max`, `delay` or `backoff`, or move the deadline",
            related=report.related(("steps", step.name, "deadline"), "the deadline of all attempts"),
        )


def longest_delays(retry: RetryIR) -> float:
    """The sum of all delays without jitter, which only shortens them. Cost: O(max), at most 1,000 terms."""
    total, delay = 0.0, retry.delay_s
    for n in range(min(retry.max - 1, 1000)):
        total += delay if retry.max_delay_s is None else min(delay, retry.max_delay_s)
        if delay > 1e9 or (n == 999):
            break
        delay *= retry.backoff
    return total


def _check_run(step: StepIR, run_s: float, report: Report) -> None:
    wait, ask, policy = step.body.wait, step.body.ask, step.policy
    limits: list[tuple[str, Path, float | None]] = [
        ("deadline", ("steps", step.name, "deadline"), seconds_of(policy.deadline)),
        ("timeout", ("steps", step.name, "timeout"), policy.timeout_s),
    ]
    if wait is not None:
        limits.append(("wait", ("steps", step.name, "wait"), seconds_of(wait.until)))
        limits.append(("wait", ("steps", step.name, "wait", "within"), seconds_of(wait.within)))
    if ask is not None:
        limits.append(("deadline", ("steps", step.name, "ask", "deadline"), seconds_of(ask.deadline)))
    if step.join is not None:
        limits.append(("within", ("steps", step.name, "collect", "within"), seconds_of(step.join.within)))
    for what, path, seconds in limits:
        if seconds is not None and seconds > run_s:
            report.add(
                "FLW614",
                f"the {what} of step `{step.name}` is {show(seconds)}, but the run ends after {show(run_s)}",
                path,
                help="raise the flow's `timeout`, or shorten this one",
                related=report.related(("timeout",), "the timeout of the run"),
            )
            return
