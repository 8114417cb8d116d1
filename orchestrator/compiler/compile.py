"""From a flow file to a checked FlowIR: read, lower, check, all findings in one run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from orchestrator.analysis.analyse import analyse
from orchestrator.analysis.places import Places
from orchestrator.analysis.report import Report, place_of
from orchestrator.compiler.imports import Imports, load_imports
from orchestrator.compiler.lower import lower_flow
from orchestrator.compiler.project import (
    CallableCatalog,
    FlowCatalog,
    ImportedFlow,
    ProjectContext,
    ResolveImport,
    no_imports,
)
from orchestrator.compiler.spans import SpecSpans
from orchestrator.diagnostics import Diagnostic, Severity, Span, has_errors
from orchestrator.errors import CompileFailed
from orchestrator.ir.model import FlowIR
from orchestrator.language.flow_reader import parse_flow
from orchestrator.language.reader import paused_gc
from orchestrator.language.spec import FlowSpec

# Findings about what is missing in the graph; beside a part that could not be read they would only be its echo.
ECHOES = frozenset(
    {"FLW403", "FLW404", "FLW405", "FLW406", "FLW407", "FLW408", "FLW409", "FLW414"}
    | {"FLW430", "FLW431", "FLW432", "FLW433", "FLW435", "FLW707"}
)


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
    flow, links = lower_flow(spec, known, imports, report)
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
    found = [d for d in compiled.diagnostics if not _is_echo(d, unread)]
    return replace(compiled, diagnostics=_without_shadows(_in_order([*parsed.diagnostics, *found])))


def _is_echo(finding: Diagnostic, unread: list[Diagnostic]) -> bool:
    """Whether a finding may only be there because a part of the file could not be read."""
    if not unread:
        return False
    if finding.code == "FLW704":  # said of the schema where it stands
        return any(d.code == "FLW214" and "pattern" in d.message for d in unread)
    return finding.code in ECHOES or any(
        d.span.file == finding.span.file and d.span.line == finding.span.line for d in unread
    )


def _without_shadows(found: tuple[Diagnostic, ...]) -> tuple[Diagnostic, ...]:
    """Without the warnings about a part that has an error inside: what it does is not known before that is mended."""
    wrong: dict[tuple[str, int], list[Span]] = {}
    for d in found:
        if d.severity is Severity.ERROR:
            wrong.setdefault((d.span.file, d.span.line), []).append(d.span)
    if not wrong:
        return found
    return tuple(
        d
        for d in found
        if d.severity is not Severity.WARNING
        or not any(
            d.span.column <= span.column and span.end_column <= d.span.end_column
            for span in wrong.get((d.span.file, d.span.line), ())
        )
    )


def _overlap(one: Diagnostic, two: Diagnostic) -> bool:
    """Whether two findings are about the same token of one line."""
    a, b = one.span, two.span
    return a.file == b.file and a.line == b.line and a.column < b.end_column and b.column < a.end_column


def _in_order(findings: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    return tuple(sorted(dict.fromkeys(findings), key=place_of))


def _children(imports: Imports) -> dict[str, Compiled]:
    flows: dict[str, ImportedFlow] = imports.flows
    return {name: flow.compiled for name, flow in flows.items() if flow.compiled is not None}
