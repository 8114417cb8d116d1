"""From a flow file to a checked FlowIR: read, lower, check, all findings in one run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from orchestrator.analysis.analyse import analyse
from orchestrator.analysis.places import Places
from orchestrator.analysis.report import Report, place_of
from orchestrator.compiler.imports import Imports, load_imports
from orchestrator.compiler.lower import lower_flow
from orchestrator.compiler.one_cause import TextAt, at_most, merge_names, without_echoes, without_shadows
from orchestrator.compiler.project import (
    CallableCatalog,
    FlowCatalog,
    ImportedFlow,
    ProjectContext,
    ResolveImport,
    no_imports,
)
from orchestrator.compiler.spans import SpecSpans
from orchestrator.diagnostics import Diagnostic, Severity, Span, TooManyFindings, has_errors, too_many
from orchestrator.errors import CompileFailed
from orchestrator.ir.model import FlowIR
from orchestrator.language.flow_reader import parse_flow
from orchestrator.language.limits import MAX_FINDINGS
from orchestrator.language.reader import paused_gc
from orchestrator.language.spec import FlowSpec


@dataclass(frozen=True, slots=True)
class Compiled:
    """A flow with its findings. `flow` is None where there was too little to lower; with errors it must not run.

    `children` are the compiled flow files that it imports, by local name; `spec` holds what is not in the IR (`tests`).
    """

    flow: FlowIR | None
    diagnostics: tuple[Diagnostic, ...]
    spans: SpecSpans | None = None
    spec: FlowSpec | None = None
    children: dict[str, Compiled] = field(default_factory=dict)

    @property
    def is_ok(self) -> bool:
        """Whether the flow may run."""
        return self.flow is not None and not has_errors(self.diagnostics)

    def checked(self) -> FlowIR:
        """The flow. Raises: CompileFailed when it has errors."""
        if self.flow is None or not self.is_ok:
            raise CompileFailed(self.diagnostics)
        return self.flow


def compile_flow(
    spec: FlowSpec,
    *,
    catalog: CallableCatalog,
    project: ProjectContext | None = None,
    resolve_import: ResolveImport = no_imports,
) -> Compiled:
    """Lower and check a parsed flow. Pure but for what the catalog and the resolver read. Cost: linear."""
    context = ProjectContext() if project is None else project
    spans = SpecSpans(spec)
    report = Report(Places(FlowIR(spec.name.value), spans))
    imports = load_imports(spec, context, resolve_import, report)
    known = FlowCatalog(catalog, imports.flows)
    try:
        flow, links = lower_flow(spec, known, imports, report, most_visits=context.most_visits)
    except TooManyFindings:
        return Compiled(None, (*(told := report.sorted()), too_many(told)), spans, spec, _children(imports))
    told = report.sorted()
    found = analyse(flow, known, spans=spans, groups=context.groups, is_secret_set=context.is_secret_set, links=links)
    found = [d for d in found if not any(_overlap(d, other) for other in told)]
    if spec.tests:
        from orchestrator.compiler.testing_fit import check_tests

        tests = Report(Places(flow, spans))
        check_tests(spec, flow, known, tests)
        found += tests.sorted()
    return Compiled(
        flow=flow,
        diagnostics=_in_order([*told, *found]),
        spans=spans,
        spec=spec,
        children=_children(imports),
    )


def compile_text(
    data: bytes,
    file: str,
    *,
    catalog: CallableCatalog,
    project: ProjectContext | None = None,
    resolve_import: ResolveImport = no_imports,
) -> Compiled:
    """Read, lower and check a flow file. Raises: never, for any bytes."""
    with paused_gc():
        parsed = parse_flow(data, file)
        if parsed.spec is None:
            return Compiled(None, parsed.diagnostics)
        compiled = compile_flow(parsed.spec, catalog=catalog, project=project, resolve_import=resolve_import)
    unread = [d for d in parsed.diagnostics if d.severity is Severity.ERROR]
    found = _in_order([*parsed.diagnostics, *without_echoes(compiled.diagnostics, unread)])
    return replace(
        compiled, diagnostics=at_most(MAX_FINDINGS, merge_names(without_shadows(found), _text_of(data, file)))
    )


def _text_of(data: bytes, file: str) -> TextAt:
    """What stands at a span of the file, which is decoded when that is first asked."""
    lines: list[str] = []

    def text_at(span: Span) -> str:
        if span.file != file or span.line != span.end_line:
            return ""
        if not lines:
            lines.extend(data.decode("utf-8-sig", "replace").split("\n"))
        return lines[span.line - 1][span.column - 1 : span.end_column - 1] if span.line <= len(lines) else ""

    return text_at


def _overlap(one: Diagnostic, two: Diagnostic) -> bool:
    """Whether two findings are about the same token of one line."""
    a, b = one.span, two.span
    return a.file == b.file and a.line == b.line and a.column < b.end_column and b.column < a.end_column


def _in_order(findings: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    return tuple(sorted(dict.fromkeys(findings), key=place_of))


def _children(imports: Imports) -> dict[str, Compiled]:
    flows: dict[str, ImportedFlow] = imports.flows
    return {name: flow.compiled for name, flow in flows.items() if flow.compiled is not None}
