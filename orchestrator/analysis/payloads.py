"""Rules on what is handed over: fields of events, arguments of calls, state, inputs of triggers, error codes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING

from orchestrator.analysis.expressions import Checked
from orchestrator.analysis.facts import Facts, entries_of
from orchestrator.analysis.fitting import Misfit, misfits
from orchestrator.analysis.places import Path
from orchestrator.analysis.report import Report
from orchestrator.analysis.results import CatalogLike, constant
from orchestrator.analysis.values import calls_of
from orchestrator.diagnostics import Fix
from orchestrator.expr.suggest import edit_distance, listed, nearest
from orchestrator.ir.model import CallIR, Json, StepIR, Value
from orchestrator.ir.record import record
from orchestrator.plugin.info import CallableInfo
from orchestrator.plugin.shorthand import schema_of

if TYPE_CHECKING:  # only named
    from orchestrator.plugin.catalog import PluginProblem

KNOWN_ERRORS = (
    "any", "timeout", "deadline", "http.connect", "http.blocked", "repeat.exhausted", "loop.exhausted", "collect.timeout",
    "type.payload", "llm.rate_limit", "llm.bad_json", "flow.failed", "call.failed", "expr.failed", "id.conflict",
    "ask.nobody", "cancelled", "stalled", "http.4xx", "http.5xx", "http.429",
)  # fmt: skip


@record
class Handover:
    """What the rules of this module look at: one flow with its catalog and the types of its expressions."""

    facts: Facts
    catalog: CatalogLike
    checked: Checked
    report: Report


def check_payloads(facts: Facts, catalog: CatalogLike, checked: Checked, report: Report) -> None:
    """FLW502 to FLW509, FLW513, FLW517 to FLW519."""
    at = Handover(facts, catalog, checked, report)
    for step in facts.flow.steps.values():
        if step.body.kind in ("python", "procedure"):
            continue
        _check_emits(step, at)
        _check_state(step, at)
        for call, path, _ in calls_of(step):
            check_call(step, call, path, at)
        _check_wait(step, at)
        _check_error_codes(step, catalog, report)
    for n, trigger in enumerate(facts.flow.triggers):
        schema = facts.flow.inputs
        for misfit in misfits(trigger.inputs, schema, ("triggers", n, "inputs"), checked.type_at):
            _report(misfit, "FLW517", "this trigger", "input", report, missing_at=("triggers", n))


def _check_emits(step: StepIR, at: Handover) -> None:
    facts, checked, report = at.facts, at.checked, at.report
    base: Path = ("steps", step.name)
    ways = [(e.event, e.starts, e.with_, (*base, "emit", n, "with")) for n, e in enumerate(entries_of(step))]
    ways += [(c.event, c.starts, c.with_, (*base, "catch", n, "with")) for n, c in enumerate(step.catch)]
    for event, starts, given, path in ways:
        ir = facts.flow.events.get(event or "")
        if ir is None or starts is not None or ir.kind == "step" or not given or not isinstance(ir.schema, dict):
            continue
        partial = {**ir.schema, "required": []}
        who = "the flow" if event in facts.flow.stop else f"event `{event}`"
        word = "output" if event in facts.flow.stop else "field"
        for misfit in misfits(given, partial, path, checked.type_at):
            _report(
                misfit,
                "FLW502",
                who,
                word,
                report,
                declared=("outputs",) if word == "output" else ("events", event or ""),
            )


def _check_state(step: StepIR, at: Handover) -> None:
    facts, checked, report = at.facts, at.checked, at.report
    base: Path = ("steps", step.name)
    writes: list[tuple[dict[str, Value], Path]] = [(step.set, (*base, "set"))]
    writes += [(entry.set, (*base, "emit", n, "set")) for n, entry in enumerate(entries_of(step))]
    schema = facts.flow.state_schema
    properties = schema.get("properties", {}) if isinstance(schema, dict) else {}
    for values, path in writes:
        for key, value in values.items():
            if key not in facts.flow.state:
                guess = nearest(key, facts.flow.state)
                span = report.places.key_span((*path, key))
                report.add(
                    "FLW509",
                    f"the flow has no state `{key}`",
                    span,
                    help=f"did you mean `{guess}`?" if guess else f"declare it at the top: `state: {{{key}: …}}`",
                    fix=report.replace(span, guess) if guess else None,
                )
                continue
            for misfit in misfits(value, properties.get(key, True), (*path, key), checked.type_at):
                _report(misfit, "FLW502", f"state `{key}`", "field", report, declared=("state", key))


def check_call(step: StepIR, call: CallIR, path: Path, at: Handover) -> None:
    """The arguments of one call: FLW503 to FLW506, FLW518, FLW519."""
    info = at.catalog.get(call.target)
    if info is None:
        _report_unknown_call(step, call, (*path, "call"), at)
        return
    is_placed = step.policy.placement is not None and call is step.body.call  # it runs in another process than this
    if not is_placed and (problem := _problem_of(call.target, at)) is not None:
        at.report.put(problem.at(at.report.places.span((*path, "call"))))
    for misfit in misfits(call.with_, info.input_schema, (*path, "with"), at.checked.type_at):
        _report_argument(misfit, info, path, at.report)
    if "schema" in info.fields and "schema" in call.with_:
        _check_schema(call.with_["schema"], (*path, "with", "schema"), at.report)


def _check_schema(value: Value, path: Path, report: Report) -> None:
    """FLW518: the `schema` that a call asks for is a type, or a JSON Schema that can be used."""
    asked = constant(value)
    if asked is None:
        return
    try:
        schema = schema_of(asked)
        if schema is asked and isinstance(asked, dict):
            from orchestrator.plugin.schema_check import SchemaRefused, compile_schema

            try:
                compile_schema(schema)
            except SchemaRefused as problem:
                if not str(problem).startswith("pattern"):  # patterns are FLW704
                    raise ValueError(str(problem)) from None
    except ValueError as problem:
        report.add(
            "FLW518",
            f"this `schema` cannot be used: {problem}",
            path,
            help="write types as in `events:`, such as `{label: bug | other, tags: [str]}`, or a JSON Schema",
        )


def _report_unknown_call(step: StepIR, call: CallIR, path: Path, at: Handover) -> None:
    report = at.report
    problem = _problem_of(call.target, at)
    if problem is not None:
        report.put(problem.at(report.places.span(path)))
        return
    guess = at.catalog.suggest(call.target)
    if call.target.startswith("flow."):
        name = call.target.removeprefix("flow.")
        message = f"step `{step.name}` calls the flow `{name}`, which is not imported"
        hint = f"add it at the top: `imports: {{{name}: ./{name}.flow.yaml}}`"
    else:
        message = f"step `{step.name}` calls `{call.target}`, which nothing provides"
        hint = f'register it with `@register("{call.target}")`, put it into the plugin folder, or install its package'
    report.add(
        "FLW504",
        message,
        path,
        help=f"did you mean `{guess}`?" if guess else hint,
        fix=report.replace(path, guess, is_safe=_is_slip(call.target, guess)) if guess else None,
    )


def _problem_of(name: str, at: Handover) -> PluginProblem | None:
    """Why a callable cannot be used; catalogs of tests need not know."""
    problem_of: Callable[[str], PluginProblem | None] | None = getattr(at.catalog, "problem", None)
    return None if problem_of is None else problem_of(name)


def _is_slip(written: str, meant: str) -> bool:
    """Whether a name is a slip of the hand; `crm.judge` is another one's callable and not `llm.judge`."""
    return written.partition(".")[0] == meant.partition(".")[0] or edit_distance(written, meant, 1) == 1


def _report_argument(misfit: Misfit, info: CallableInfo, path: Path, report: Report) -> None:
    depth = len(path) + 1
    if misfit.kind == "missing" and len(misfit.path) == depth:
        report.add(
            "FLW506",
            f"`{info.name}` needs `{misfit.field}`",
            (*path, "call"),
            help=f"add `{misfit.field}: …` to `with` ({_usage(info)})",
        )
        return
    if misfit.kind == "unknown" and len(misfit.path) == depth + 1:
        span = report.places.key_span(misfit.path)
        report.add(
            "FLW505",
            f"`{info.name}` takes no `{misfit.field}`",
            span,
            help=f"did you mean `{misfit.guess}`?" if misfit.guess else f"it takes {listed(info.fields) or 'nothing'}",
            fix=report.replace(span, misfit.guess) if misfit.guess else None,
        )
        return
    _report(misfit, "FLW505", f"`{info.name}`", "field", report)


def _usage(info: CallableInfo) -> str:
    shown = [name if name in info.required else f"{name}?" for name in info.fields]
    return f"it takes {listed(shown)}"


def _check_wait(step: StepIR, at: Handover) -> None:
    facts, checked, report = at.facts, at.checked, at.report
    wait = step.body.wait
    if wait is None or wait.event is None:
        return
    ir = facts.flow.events.get(wait.event)
    if ir is None:
        guess = nearest(wait.event, facts.flow.events)
        path: Path = ("steps", step.name, "wait", "event")
        report.add(
            "FLW401",
            f"step `{step.name}` waits for unknown event `{wait.event}`",
            path,
            help=f"did you mean `{guess}`?" if guess else f"declare it: `events: {{{wait.event}: {{external: true}}}}`",
            fix=report.replace(path, guess) if guess else None,
        )
        return
    if not isinstance(ir.schema, dict):
        return
    for misfit in misfits(
        wait.match, {**ir.schema, "required": []}, ("steps", step.name, "wait", "match"), checked.type_at
    ):
        _report(misfit, "FLW502", f"event `{wait.event}`", "field", report, declared=("events", wait.event))


def _report(
    misfit: Misfit,
    unknown: str,
    who: str,
    word: str,
    report: Report,
    *,
    declared: Path | None = None,
    missing_at: Path | None = None,
) -> None:
    """One misfit; the code of unknown and missing names depends on the place, that of types does not."""
    related = report.related(declared, "declared here") if declared is not None else ()
    if misfit.kind == "unknown":
        span = report.places.key_span(misfit.path)
        report.add(
            unknown,
            f"{who} has no {word} `{misfit.field}`",
            span,
            help=f"did you mean `{misfit.guess}`?" if misfit.guess else None,
            fix=report.replace(span, misfit.guess) if misfit.guess else None,
            related=related,
        )
    elif misfit.kind == "missing":
        at = missing_at if missing_at is not None else misfit.path
        report.add(
            unknown if missing_at is not None else "FLW503",
            f"{who} needs the {word} `{misfit.field}`"
            if missing_at is not None
            else f"the field `{misfit.field}` is missing",
            at,
            related=related,
        )
    elif misfit.kind == "null":
        report.add("FLW519", misfit.message, misfit.path, help="say what holds then: `… or ''`", related=related)
    else:
        report.add(
            "FLW503", misfit.message, misfit.path, help=_meant(misfit), fix=_mend(misfit, report), related=related
        )


def _meant(misfit: Misfit) -> str | None:
    """The help for a value that is near a legal one."""
    return None if misfit.guess is None else f"did you mean `{misfit.guess}`?"


def _mend(misfit: Misfit, report: Report) -> Fix | None:
    """The fix for a value that is near a legal one."""
    return None if misfit.guess is None else report.replace(misfit.path, misfit.guess)


def _check_error_codes(step: StepIR, catalog: CatalogLike, report: Report) -> None:
    places: list[tuple[Iterable[str], Path]] = []
    if step.policy.retry is not None:
        places.append((step.policy.retry.errors, ("steps", step.name, "retry", "errors")))
    places += [(caught.errors, ("steps", step.name, "catch", n, "errors")) for n, caught in enumerate(step.catch)]
    if not places:
        return
    known = [*KNOWN_ERRORS, *declared_errors(step, catalog)]
    for codes, path in places:
        for n, code in enumerate(codes):
            guess = None if is_known_code(code, known) else nearest(code, known)
            if guess is not None:
                report.add(
                    "FLW513",
                    f"the error code `{code}` is unknown and looks like `{guess}`",
                    (*path, n),
                    help=f"did you mean `{guess}`?",
                    fix=report.replace((*path, n), guess),
                )


def declared_errors(step: StepIR, catalog: CatalogLike) -> list[str]:
    """The codes that the callables of a step declare."""
    found: list[str] = []
    for call, _, _ in calls_of(step):
        info = catalog.get(call.target)
        if info is not None:
            found += info.errors
    return found


def is_known_code(code: str, known: Collection[str]) -> bool:
    """Whether a code or pattern is one of these, or of a family that always exists."""
    if code in known or code == "*" or code.endswith(".*") or code.startswith("limit."):
        return True
    return code.startswith("http.") and code.removeprefix("http.").isdigit() and len(code) == 8


def note_unknown_results(facts: Facts, catalog: CatalogLike, checked: Checked, report: Report) -> None:
    """FLW515: fields are read of a result whose type nobody declared, so they cannot be checked."""
    read_from: set[str] = set()
    for name, read in checked.read_by.items():
        if any(path.startswith("result.") for path in read):
            read_from.add(name)
        if any(path.startswith("ev.result.") for path in read):
            accepted = facts.flow.steps[name].accepts
            read_from.update(event.removesuffix(".done") for event in accepted if event.endswith(".done"))
    for name in facts.flow.steps:
        call = facts.flow.steps[name].body.call
        info = None if call is None or name not in read_from else catalog.get(call.target)
        if info is not None and _says_nothing(info.result_schema):
            report.add(
                "FLW515",
                f"the type of the result of `{info.name}` is not declared, so what is read of it is not checked",
                ("steps", name, "call"),
                help="give the function a return annotation",
            )


def _says_nothing(schema: Json) -> bool:
    return schema is True or schema == {}
