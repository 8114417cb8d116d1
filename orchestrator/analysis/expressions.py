"""Checks every expression of a flow where it stands, and keeps its type for the rules that look at whole values.

The findings inside an expression (FLW3xx) are those of `orchestrator.expr`; here they get their place in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.analysis.facts import Facts
from orchestrator.analysis.places import Path
from orchestrator.analysis.report import Report
from orchestrator.analysis.results import CatalogLike
from orchestrator.analysis.rewriting import asks_by, assume_by, split_events
from orchestrator.analysis.safety import check_secret_use
from orchestrator.analysis.scopes import Scope, Scopes, StepScopes
from orchestrator.analysis.values import Found, flow_level_expressions, step_expressions
from orchestrator.diagnostics import Diagnostic, Edit, Fix
from orchestrator.expr.checking import infer
from orchestrator.expr.errors import ExprSyntaxError
from orchestrator.expr.findings import ExprFinding, error, finding_of
from orchestrator.expr.nodes import Attr, Expr, Name, used_names
from orchestrator.expr.parser import parse
from orchestrator.expr.placing import check_condition, check_iterable
from orchestrator.expr.types import ANY, ObjectT, TypeT, union

MAX_EXPRESSIONS = 5_000  # different ones in one flow, about 60 µs each
NO_RESULTS: Mapping[str, TypeT] = {}
NO_NAMES: frozenset[str] = frozenset()
CONDITIONS = frozenset({"when", "until", "if"})
_JUDGED = CONDITIONS | {"for_each"}  # places where more is asked than that the expression has a type


@dataclass(slots=True)
class Checked:
    """What is known of the expressions: trees and names by source, types by place, scopes by step (that has any)."""

    trees: dict[str, Expr | None] = field(default_factory=dict)
    roots: dict[str, frozenset[str]] = field(default_factory=dict)
    names: dict[str, frozenset[str]] = field(default_factory=dict)
    types: dict[tuple[Path, int], TypeT] = field(default_factory=dict)
    scopes: dict[str, StepScopes] = field(default_factory=dict)
    chains: dict[str, tuple[str, ...] | None] = field(default_factory=dict)
    read_by: dict[str, set[str]] = field(default_factory=dict)
    is_cut: bool = False  # more than MAX_EXPRESSIONS: those after them are not looked at, and the flow is refused

    def type_at(self, path: Path, source: str, ordinal: int, whole: bool) -> TypeT:
        """The type of the expression at a place; `any` where it could not be read."""
        return self.types.get((path, ordinal), ANY)


def check_expressions(facts: Facts, catalog: CatalogLike, report: Report) -> Checked:
    """FLW3xx and FLW701. Cost: linear in the size of all expressions."""
    checked = Checked()
    scopes = Scopes(facts, catalog)
    for step in facts.flow.steps.values():
        if step.body.kind in ("python", "procedure"):
            continue
        written = step_expressions(step)
        if not written:
            continue
        own = scopes.step(step)
        checked.scopes[step.name] = own
        read: set[str] = set()
        for found in written:
            _check(found, own.at(found.site, found.entry), checked, report, own.results_by)
            read |= checked.names.get(found.source, NO_NAMES)
        checked.read_by[step.name] = read
    for found in flow_level_expressions(facts.flow):
        trigger = facts.flow.triggers[found.entry] if found.site.startswith("trigger.") else None
        scope = scopes.base if trigger is None else scopes.trigger(trigger.kind, trigger.event)
        _check(found, scope, checked, report)
    return checked


def _check(
    found: Found, scope: Scope, checked: Checked, report: Report, results: Mapping[str, TypeT] = NO_RESULTS
) -> None:
    tree = _tree(found, checked, report)
    if tree is None:
        return
    if check_secret_use(found, checked.roots[found.source], report):
        return
    steps = checked.chains[found.source]
    if "events" in checked.roots[found.source] and "events[0]" in scope:
        tree = split_events(tree)
    key = found.path[-1]
    if steps is not None and key not in _JUDGED:
        kind = _type_of_chain(steps, scope)
        if kind is not None:
            checked.types[found.path, found.ordinal] = kind
            return
    if results and asks_by(tree):
        for by, result in results.items():
            _judge(assume_by(tree, by), {**scope, "result": result}, found, checked, report)
    else:
        _judge(tree, scope, found, checked, report)


def _judge(tree: Expr, scope: Scope, found: Found, checked: Checked, report: Report) -> None:
    """Check one tree at its place; a place with several keeps the type that all of them may have."""
    key = found.path[-1]
    if key in CONDITIONS and found.is_whole and found.site not in ("with", "set", "ask", "match"):
        findings = check_condition(tree, scope)
    elif key == "for_each" and found.is_whole:
        _, findings = check_iterable(tree, scope)
    else:
        kind, findings = infer(tree, scope)
        known = checked.types.get((found.path, found.ordinal))
        checked.types[found.path, found.ordinal] = kind if known is None else union(known, kind)
    for finding in findings:
        report.put(to_diagnostic(finding, found, report))


def _tree(found: Found, checked: Checked, report: Report) -> Expr | None:
    source = found.source
    known = checked.trees.get(source)
    if known is not None:
        return known
    if len(checked.trees) >= MAX_EXPRESSIONS and source not in checked.trees:
        if not checked.is_cut:
            checked.is_cut = True
            report.put(to_diagnostic(_too_many(), found, report))
        return None
    try:
        tree = parse(source)
    except ExprSyntaxError as problem:
        checked.trees[source] = None
        report.put(to_diagnostic(finding_of(problem), found, report))
        return None
    checked.trees[source] = tree
    names = used_names(tree)
    checked.names[source] = names
    checked.roots[source] = frozenset(name.partition(".")[0].removesuffix("[]") for name in names)
    checked.chains[source] = _chain(tree)
    return tree


def _too_many() -> ExprFinding:
    message = f"more than {MAX_EXPRESSIONS:,} different expressions in one flow"
    return error("FLW112", message, 0, 1, "move some steps into a flow of their own")


def _chain(tree: Expr) -> tuple[str, ...] | None:
    """The names of a plain chain of fields, such as `ev.user.name`; None for everything else."""
    names: list[str] = []
    while isinstance(tree, Attr):
        names.append(tree.name)
        tree = tree.base
    if not isinstance(tree, Name):
        return None
    return (tree.id, *reversed(names))


def _type_of_chain(chain: tuple[str, ...], scope: Scope) -> TypeT | None:
    """The type of a chain whose every field is surely there; None where there may be something to say about it."""
    found = scope.get(chain[0])
    for name in chain[1:]:
        if not isinstance(found, ObjectT) or name in found.optional:
            return ANY if found == ANY else None
        found = found.fields.get(name)
    return found


def to_diagnostic(finding: ExprFinding, found: Found, report: Report) -> Diagnostic:
    """A finding inside an expression at its place in the file."""
    span = report.places.within(found.path, found.ordinal, finding.start, finding.end)
    fix = None
    if finding.replacement is not None and report.places.is_exact:
        fix = Fix(f"replace with `{finding.replacement}`", (Edit(span, finding.replacement),))
    message = finding.message
    if not report.places.is_exact:
        message = f"{message} (in `{found.source}`)"
    return Diagnostic(finding.code, finding.severity, message, span, finding.help, fix)
