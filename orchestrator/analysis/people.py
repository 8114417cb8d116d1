"""Rules on requests to people: who may answer, how many must, and what happens when nobody does."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.analysis.facts import Facts, entries_of, names
from orchestrator.analysis.places import Path
from orchestrator.analysis.report import Report
from orchestrator.analysis.timing import seconds_of, show
from orchestrator.expr.suggest import nearest
from orchestrator.ir.model import AskIR, AudienceIR, EmitEntryIR, StepIR, Value

Groups = Mapping[str, tuple[str, ...]]  # group -> members, from the project's `[people]`


def check_people(facts: Facts, report: Report, groups: Groups | None) -> None:
    """FLW601 to FLW609."""
    for step in facts.flow.steps.values():
        ask = step.body.ask
        if ask is not None:
            path: Path = ("steps", step.name, "ask")
            _check_audience(step, ask, path, report, groups)
            _check_quorum(step, ask, path, report, groups)
            _check_order(step, ask, path, report)
            if ask.edit is not None and ask.edit not in ask.show:
                shown = [name for name in ask.show if name in ("body", "content")]
                report.add(
                    "FLW608",
                    f"step `{step.name}` lets people correct `{ask.edit}`, which it does not show",
                    (*path, "edit"),
                    help=f"write `edit: {shown[0]}`" if shown else f"add `show: {{{ask.edit}: …}}`",
                )
            _check_timeout_branch(step, ask, facts, report)
        wait = step.body.wait
        if wait is not None and wait.within is not None:
            _check_wait_timeout(step, facts, report)


def _check_audience(step: StepIR, ask: AskIR, path: Path, report: Report, groups: Groups | None) -> None:
    if ask.to is None:
        report.add(
            "FLW601",
            f"step `{step.name}` asks nobody: it has no `to`",
            path,
            help="say who may answer: `to: {users: [kim]}` or `to: {groups: [editors]}`",
        )
        return
    _check_one_audience(step, ask.to, (*path, "to"), report, groups)
    if ask.escalate is not None:
        _check_one_audience(step, ask.escalate.to, (*path, "escalate", "to"), report, groups)


def _check_one_audience(step: StepIR, to: AudienceIR, path: Path, report: Report, groups: Groups | None) -> None:
    listed = listed_people(to, groups)
    if listed is not None and not listed:
        named = bool(to.users or to.groups)
        report.add(
            "FLW601",
            f"step `{step.name}` asks nobody: "
            + (
                "everyone in `to` is also in `not`, or the groups are empty"
                if named
                else "`to` names no user and no group"
            ),
            path,
            help="name somebody else who may answer",
        )
    if groups is None or not isinstance(to.groups, tuple | list):
        return
    for n, group in enumerate(to.groups):
        if isinstance(group, str) and group not in groups:
            guess = nearest(group, groups)
            report.add(
                "FLW602",
                f"step `{step.name}` asks the group `{group}`, which the project does not have",
                (*path, "groups", n),
                help=f"did you mean `{guess}`?" if guess else "add it under `[people.groups]` in orchestrator.toml",
                fix=report.replace((*path, "groups", n), guess) if guess else None,
            )


def listed_people(to: AudienceIR, groups: Groups | None) -> frozenset[str] | None:
    """Everybody who may answer, if that is known before the run; None if not."""
    users, named, excluded = _texts(to.users), _texts(to.groups), _texts(to.exclude)
    if users is None or named is None:
        return None
    people = set(users)
    for group in named:
        if groups is None or group not in groups:
            return None
        people.update(groups[group])
    return frozenset(people - set(excluded or ()))


def _texts(value: Value) -> list[str] | None:
    if isinstance(value, str):
        return [value]
    if isinstance(value, tuple | list) and all(isinstance(item, str) for item in value):
        return list(value)
    return None


def _check_quorum(step: StepIR, ask: AskIR, path: Path, report: Report, groups: Groups | None) -> None:
    people = None if ask.to is None else listed_people(ask.to, groups)
    several = False
    for verdict, need in ask.quorum.items():
        where: Path = (*path, "quorum", verdict)
        if verdict not in (ask.verdicts or ("answered",)):
            _report_verdict(step, verdict, ask.verdicts, where, report)
            continue
        total = sum(need.values()) if isinstance(need, dict) else need
        several = several or total > 1
        if isinstance(need, dict):
            _check_quorum_groups(step, ask, need, where, report, groups)
        if people and total > len(people):
            report.add(
                "FLW604",
                f"`{verdict}` needs {total} answers, but only {len(people)} "
                f"{'person' if len(people) == 1 else 'people'} may answer ({names(sorted(people))})",
                where,
                help=f"ask for {len(people)}, or name more people in `to`",
                related=report.related((*path, "to"), "who may answer"),
            )
    if several and ask.deadline is None:
        report.add(
            "FLW609",
            f"step `{step.name}` needs several people and has no deadline: one silent person holds it for ever",
            path,
            help="add `deadline` (and `remind` or `escalate`) with a `timeout` branch",
        )


def _report_verdict(step: StepIR, verdict: str, verdicts: tuple[str, ...], path: Path, report: Report) -> None:
    guess = nearest(verdict, verdicts)
    report.add(
        "FLW603",
        f"the quorum of step `{step.name}` names `{verdict}`, which its form does not offer",
        report.places.key_span(path),
        help=f"did you mean `{guess}`?" if guess else f"the verdicts are {names(list(verdicts)) or 'none'}",
        fix=report.replace(report.places.key_span(path), guess) if guess else None,
    )


def _check_quorum_groups(
    step: StepIR, ask: AskIR, need: dict[str, int], path: Path, report: Report, groups: Groups | None
) -> None:
    named = None if ask.to is None else _texts(ask.to.groups)
    excluded = set((_texts(ask.to.exclude) if ask.to is not None else None) or ())
    for group, count in need.items():
        if named is not None and group not in named:
            guess = nearest(group, named)
            report.add(
                "FLW603",
                f"the quorum of step `{step.name}` counts the group `{group}`, which is not in `to`",
                report.places.key_span((*path, group)),
                help=f"did you mean `{guess}`?" if guess else f"add `{group}` to `to.groups`",
                fix=report.replace(report.places.key_span((*path, group)), guess) if guess else None,
            )
        elif groups is not None and group in groups and count > len(set(groups[group]) - excluded):
            members = len(set(groups[group]) - excluded)
            report.add(
                "FLW604",
                f"{count} of `{group}` must answer, but only {members} of them may",
                (*path, group),
                help="lower the number, or add people to the group",
            )


def _check_order(step: StepIR, ask: AskIR, path: Path, report: Report) -> None:
    limit = seconds_of(ask.deadline)
    if limit is None:
        return
    late = [("reminder", (*path, "remind", n), seconds_of(when)) for n, when in enumerate(ask.remind)]
    if ask.escalate is not None:
        late.append(("escalation", (*path, "escalate", "after"), seconds_of(ask.escalate.after)))
    for what, where, seconds in late:
        if seconds is not None and seconds >= limit:
            report.add(
                "FLW605",
                f"this {what} of step `{step.name}` comes after {show(seconds)}, but the request closes after {show(limit)}",
                where,
                help="let it come before the deadline",
                related=report.related((*path, "deadline"), "the deadline"),
            )


def outcomes_of(ask: AskIR) -> tuple[str, ...]:
    """Every outcome that a way out must be there for."""
    outcomes = ask.verdicts or ("answered",)
    if ask.deadline is not None:
        return (*outcomes, "timeout")
    if may_be_undecided(ask):
        return (*outcomes, "undecided")
    return outcomes


def may_be_undecided(ask: AskIR) -> bool:
    """Whether all could have answered with no verdict reaching its quorum: every verdict needs several answers."""
    if len(ask.verdicts) < 2:
        return False
    needs = [ask.quorum.get(verdict, 1) for verdict in ask.verdicts]
    return all((sum(n.values()) if isinstance(n, dict) else n) > 1 for n in needs)


def _check_timeout_branch(step: StepIR, ask: AskIR, facts: Facts, report: Report) -> None:
    if ask.deadline is None or f"{step.name}.timeout" in facts.graph.routes:
        return
    entries = entries_of(step)
    if any(entry.when is not None and "outcome" in entry.when for entry in entries):
        return  # whether the list covers every outcome is FLW410
    if step.emit is None or any("outcome" in text for entry in entries for text in _read_by(entry)):
        return
    report.add(
        "FLW606",
        f"step `{step.name}` has a deadline, but nothing says what happens when nobody answers in time",
        ("steps", step.name, "ask", "deadline"),
        help="add a branch for it: `emit: {…, timeout: …}`; silence must not pass as an answer",
        related=report.related(("steps", step.name, "emit"), "every outcome goes the same way here"),
    )


def _read_by(entry: EmitEntryIR) -> list[str]:
    return [str(value) for value in (*entry.with_.values(), *entry.set.values())]


def _check_wait_timeout(step: StepIR, facts: Facts, report: Report) -> None:
    name = f"{step.name}.timeout"
    if name in facts.graph.routes or any(c.errors and {"any", "timeout", "*"} & set(c.errors) for c in step.catch):
        return
    report.add(
        "FLW606",
        f"step `{step.name}` waits for a limited time, but no step listens to `{name}`",
        ("steps", step.name, "wait", "within"),
        help=f"add a step with `on: {name}`",
    )
