"""Rules of workflows written as classes, in the words of Python: start and stop events, catch handlers, foreign events."""

from __future__ import annotations

from orchestrator.analysis.facts import Facts, names
from orchestrator.analysis.report import Report
from orchestrator.expr.suggest import nearest


def check_python(facts: Facts, report: Report) -> None:
    """FLW801 to FLW805; for other flows nothing."""
    flow = facts.flow
    if flow.kind != "class":
        return
    if not flow.steps:
        report.add("FLW801", f"workflow `{flow.name}` has no steps", ("flow",), help="decorate a method with `@step`")
        return
    if flow.start not in facts.graph.routes:
        report.add(
            "FLW802",
            f"no step of `{flow.name}` accepts `{flow.start}`, so a run could not begin",
            ("flow",),
            help=f"give one step a parameter of type `{flow.start}`",
        )
    if not any(stop in facts.emitters for stop in flow.stop):
        report.add(
            "FLW803",
            f"no step of `{flow.name}` returns {names(list(flow.stop))}, so a run could not end",
            ("flow",),
            help=f"let the last step return `{flow.stop[0] if flow.stop else 'StopEvent'}`",
        )
    _check_handlers(facts, report)


def _check_handlers(facts: Facts, report: Report) -> None:
    owners: dict[str, str] = {}
    for step in facts.flow.steps.values():
        for name in step.recovers:
            if name != "*" and name not in facts.flow.steps:
                guess = nearest(name, facts.flow.steps)
                report.add(
                    "FLW804",
                    f"`{step.name}` catches errors of `{name}`, which is no step of `{facts.flow.name}`",
                    ("steps", step.name),
                    help=f"did you mean `{guess}`?" if guess else f"its steps are {names(list(facts.flow.steps))}",
                )
            elif name in owners:
                report.add(
                    "FLW805",
                    f"`{step.name}` and `{owners[name]}` both catch errors of "
                    + ("every step" if name == "*" else f"`{name}`"),
                    ("steps", step.name),
                    help="let one of them name the steps it is for",
                    related=report.related(("steps", owners[name]), "the other handler"),
                )
            else:
                owners[name] = step.name
