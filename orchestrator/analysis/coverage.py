"""Rules on lists of ways out (every case has one, none is dead) and on loops (every pass is bounded)."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.analysis.expressions import Checked
from orchestrator.analysis.facts import Facts, entries_of, names
from orchestrator.analysis.people import outcomes_of
from orchestrator.analysis.report import Report
from orchestrator.expr.checking import infer
from orchestrator.expr.nodes import Compare, Expr, ListLit, Literal, Logic, Not, static_path
from orchestrator.expr.suggest import nearest
from orchestrator.expr.types import BOOL, EnumT, TypeT, is_nullable, members, without_null
from orchestrator.ir import link
from orchestrator.ir.model import AskIR, EmitEntryIR, StepIR

Case = tuple[str, Expr, tuple[object, ...]]  # what is looked at (as text and as tree) and the values that match


def check_ways_out(facts: Facts, checked: Checked, report: Report) -> None:
    """FLW410, FLW411 and, for an ask that forgets only its deadline, FLW606."""
    for step in facts.flow.steps.values():
        if len(step.catch) > 1:
            _check_catches(step, report)
        rule = step.emit
        if rule is None or rule.takes_all or not rule.entries:
            continue
        bare = next((n for n, entry in enumerate(rule.entries) if entry.when is None), None)
        if bare is not None:
            if bare < len(rule.entries) - 1:
                report.add(
                    "FLW411",
                    f"this way out of step `{step.name}` is never taken: the entry before it has no `when`",
                    ("steps", step.name, "emit", bare + 1, "event"),
                    help="move the entry without `when` to the end",
                    related=report.related(("steps", step.name, "emit", bare, "event"), "this one always matches"),
                )
            continue
        _check_cover(step, rule.entries, checked, report)


def _check_catches(step: StepIR, report: Report) -> None:
    """An entry whose every error an earlier one takes already."""
    for n, later in enumerate(step.catch):
        first = next((m for m, entry in enumerate(step.catch[:n]) if _takes_all(entry.errors, later.errors)), None)
        if first is not None:
            report.add(
                "FLW411",
                f"this `catch` of step `{step.name}` is never taken: one before it takes the same errors",
                ("steps", step.name, "catch", n, "event"),
                help="put the entry with the narrower `errors` first",
                related=report.related(("steps", step.name, "catch", first, "errors"), "this one takes them"),
            )


def _takes_all(patterns: tuple[str, ...], codes: tuple[str, ...]) -> bool:
    return bool(codes) and all(any(_takes(pattern, code) for pattern in patterns) for code in codes)


def _takes(pattern: str, code: str) -> bool:
    if pattern in ("any", "*", code):
        return True
    if pattern.endswith(".*"):
        return code.startswith(pattern[:-1])
    return pattern in ("http.4xx", "http.5xx") and code.startswith(pattern[:6]) and code[6:].isdigit()


def _check_cover(step: StepIR, entries: tuple[EmitEntryIR, ...], checked: Checked, report: Report) -> None:
    cases: dict[str, tuple[Expr, list[object]]] = {}
    for entry in entries:
        tree = checked.trees.get(entry.when or "")
        if tree is None:
            return  # it could not be read: reported already
        for text, subject, values in _cases(tree):
            cases.setdefault(text, (subject, []))[1].extend(values)
    ask = step.body.ask
    if ask is not None and step.for_each is None and "outcome" in cases:
        _check_outcomes(step, ask, cases["outcome"][1], report)
        return
    scope = checked.scopes[step.name].at("emit")
    for subject, covered in cases.values():
        kind, _ = infer(subject, scope)
        wanted = _all_values(kind)
        if wanted is not None and all(any(w is v or w == v for v in covered) for w in wanted):
            return
    report.add(
        "FLW410",
        f"the ways out of step `{step.name}` do not cover every case: when no `when` holds it goes nowhere",
        ("steps", step.name, "emit", len(entries) - 1, "when"),
        help="end the list with an entry without `when`; `event: none` says that nothing follows",
    )


def _all_values(kind: TypeT) -> tuple[object, ...] | None:
    inner = without_null(kind)
    extra: tuple[object, ...] = (None,) if is_nullable(kind) else ()
    if inner == BOOL:
        return (True, False, *extra)
    if isinstance(inner, EnumT):
        return (*inner.values, *extra)
    if all(isinstance(m, EnumT) for m in members(inner)):
        return (*(v for m in members(inner) if isinstance(m, EnumT) for v in m.values), *extra)
    return None


def _check_outcomes(step: StepIR, ask: AskIR, covered: list[object], report: Report) -> None:
    missing = [outcome for outcome in outcomes_of(ask) if outcome not in covered]
    if "timeout" in covered and "undecided" in missing:
        missing.remove("undecided")
    if missing == ["timeout"]:
        report.add(
            "FLW606",
            f"step `{step.name}` has a deadline, but no way out for `timeout`",
            ("steps", step.name, "ask", "deadline"),
            help="add a branch for it: silence must not pass as an answer",
            related=report.related(("steps", step.name, "emit"), "the ways out"),
        )
    elif missing:
        report.add(
            "FLW410",
            f"step `{step.name}` has no way out for the {'outcome' if len(missing) == 1 else 'outcomes'} {names(missing)}",
            ("steps", step.name, "emit"),
            help="add a branch, or end the list with an entry without `when`",
        )


def _cases(tree: Expr) -> list[Case]:
    """The values of one thing for which a condition surely holds: `x == 1`, `x in [1, 2]`, `x`, `not x`, and `or` of them."""
    match tree:
        case Compare(first=first, rest=(("==", Literal(value=value)),)):
            return _case(first, (value,))
        case Compare(first=Literal(value=value), rest=(("==", other),)):
            return _case(other, (value,))
        case Compare(first=first, rest=(("in", ListLit(items=items)),)) if all(isinstance(i, Literal) for i in items):
            return _case(first, tuple(i.value for i in items if isinstance(i, Literal)))
        case Not(operand=operand):
            return _case(operand, (False, None))
        case Logic(op="or", items=items):
            return [case for item in items for case in _cases(item)]
        case _:
            return _case(tree, (True,))


def _case(subject: Expr, values: tuple[object, ...]) -> list[Case]:
    path = static_path(subject)
    return [] if path is None else [(path, subject, values)]


def check_loops(facts: Facts, checked: Checked, report: Report) -> None:
    """FLW412, FLW413, FLW434: every pass of a loop goes by a bound or a condition that can change."""
    flow = facts.flow
    if facts.is_python:
        return
    for name, step in flow.steps.items():
        if step.policy.max_visits is not None and name not in facts.cycle_of:
            report.add(
                "FLW434", f"step `{name}` is in no loop, so `max_visits` bounds nothing", ("steps", name, "max_visits")
            )
    for cycle in facts.cycles:
        if facts.reachable.isdisjoint(cycle):
            continue
        changing = _changed_state(cycle, facts)
        inside = frozenset(cycle)
        left: dict[str, StepIR] = {}
        for name in cycle:
            step = flow.steps[name]
            is_bounded = not step.policy.has_default_bound
            if not is_bounded and not _is_guarded(step, inside, changing, facts, checked):
                left[name] = step
        for unbounded in link.cycles(replace(flow, steps=left, triggers=())):
            _report_loop(unbounded, inside, facts, report)


def _changed_state(cycle: tuple[str, ...], facts: Facts) -> frozenset[str]:
    keys: set[str] = set()
    for name in cycle:
        step = facts.flow.steps[name]
        keys.update(step.set)
        for entry in entries_of(step):
            keys.update(entry.set)
    return frozenset(keys)


def _is_guarded(step: StepIR, cycle: frozenset[str], changing: frozenset[str], facts: Facts, checked: Checked) -> bool:
    if step.guard is not None and _can_change(step.guard, changing, checked):
        return True
    conditions = [entry.when for entry in entries_of(step) if entry.when is not None]
    if not conditions or not _has_exit(step, cycle, facts):
        return False
    return any(_can_change(condition, changing, checked) for condition in conditions)


def _has_exit(step: StepIR, cycle: frozenset[str], facts: Facts) -> bool:
    for entry in entries_of(step):
        takers = facts.graph.routes.get(entry.event or "", ())
        if not any(name in cycle for name in takers):
            return True
    return False


def _can_change(source: str, changing: frozenset[str], checked: Checked) -> bool:
    names_read = checked.names.get(source)
    if names_read is None:
        return True  # it could not be read: reported already
    for path in names_read:
        root, _, rest = path.partition(".")
        if root == "state":
            key = rest.partition(".")[0].removesuffix("[]")
            if (not key and changing) or key in changing:
                return True
        elif root not in ("inputs", "run", "secrets"):
            return True
    return False


def _report_loop(cycle: tuple[str, ...], inside: frozenset[str], facts: Facts, report: Report) -> None:
    shown = " → ".join(f"`{name}`" for name in (*cycle, cycle[0])) if len(cycle) < 6 else names(list(cycle))
    for name in cycle:
        step = facts.flow.steps[name]
        for n, entry in enumerate(entries_of(step)):
            if entry.when is not None and _has_exit(step, inside, facts):
                report.add(
                    "FLW413",
                    f"the loop {shown} can never end: nothing in it changes what this condition reads",
                    ("steps", name, "emit", n, "when"),
                    help="`set` a counter in the loop and read it here, or bound a step with `max_visits`",
                )
                return
    report.add(
        "FLW412",
        f"the loop {shown} has no bound: no condition leads out of it, and no step has `max_visits`",
        ("steps", cycle[0]),
        help="leave the loop by a `when`, or write `max_visits: 20` on one of its steps (`unlimited` if you mean it)",
    )


def check_state(facts: Facts, report: Report) -> None:
    """FLW435: a state key that nothing sets."""
    if facts.is_python or not facts.flow.state:
        return
    written = {key for step in facts.flow.steps.values() for key in step.set}
    written |= {key for step in facts.flow.steps.values() for entry in entries_of(step) for key in entry.set}
    misspelt = {nearest(key, facts.flow.state) for key in written if key not in facts.flow.state}
    for key in facts.flow.state:
        if key not in written and key not in misspelt:
            report.add(
                "FLW435",
                f"the state `{key}` is never set, so it keeps its first value",
                ("state", key),
                help="make it an input with a default, or write the value where it is used",
            )
