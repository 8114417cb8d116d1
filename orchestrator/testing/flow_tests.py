"""Runs the `tests:` of a flow file: the real compiler and runtime, virtual time, calls with effects mocked and nothing else.

Says what was run and how it ended; driving one run is flow_bench's, comparing it with `expect` is flow_expect's.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.authoring.run_service import path_of
from orchestrator.compiler.compile import Compiled
from orchestrator.diagnostics import Span
from orchestrator.errors import CompileFailed, OrchestratorError
from orchestrator.ir.model import FlowIR
from orchestrator.language.spec import TestSpec
from orchestrator.testing.flow_bench import FlowBench
from orchestrator.testing.flow_expect import Problem, compare, edges_taken

if TYPE_CHECKING:  # only named
    from orchestrator.authoring.loaded import LoadedFlow
    from orchestrator.authoring.project import Project


@dataclass(slots=True)
class FlowTestResult:
    """How one test ended; `problems` is empty when it passed, `notes` are things to know that fail nothing."""

    name: str
    span: Span
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    path: list[str] = field(default_factory=list)
    outputs: Any = None  # plain JSON
    took_s: float = 0.0
    edges: set[tuple[str, str]] = field(default_factory=set)

    @property
    def is_ok(self) -> bool:
        """Whether everything that was expected held."""
        return not self.problems


@dataclass(slots=True)
class FlowTestReport:
    """All tests of one file, and which of the flow's edges they took."""

    file: Path
    results: list[FlowTestResult]
    edges: set[tuple[str, str]]

    @property
    def is_ok(self) -> bool:
        """Whether every test passed."""
        return all(result.is_ok for result in self.results)

    @property
    def taken(self) -> set[tuple[str, str]]:
        """The (step, event) edges that some test took."""
        return {edge for result in self.results for edge in result.edges} & self.edges

    @property
    def missed(self) -> list[tuple[str, str]]:
        """The edges that no test took, sorted."""
        return sorted(self.edges - self.taken)

    @property
    def share(self) -> float:
        """The part of the edges that was taken, 0 to 1."""
        return len(self.taken) / len(self.edges) if self.edges else 1.0


def run_flow_tests(flow: str | Path | LoadedFlow, *, only: str | None = None) -> FlowTestReport:
    """Run the `tests:` of a flow file, given by its path or loaded; those whose name holds `only`.

    A flow that calls functions of yours is loaded with them: `run_flow_tests(load("x.flow.yaml", steps={...}))`.

    Raises: CompileFailed if the flow has errors; UsageError if the file cannot be read.

    Example: assert run_flow_tests("publish.flow.yaml").is_ok
    """
    if isinstance(flow, str | Path):
        from orchestrator.authoring.project import Project

        file = Path(flow)
        return run_tests_in(Project.open(file), file, only=only)
    return run_tests_in(flow.project, flow.path, only=only)


def run_tests_in(project: Project, file: Path, *, only: str | None = None) -> FlowTestReport:
    """Run the tests of a file of a project.

    Raises: CompileFailed if the flow has errors; UsageError if the file cannot be read.
    """
    compiled = project.compile(file)
    tests = tests_of(compiled)
    results = [run_flow_test(project, compiled, test) for test in tests if only is None or only in test.name.value]
    return FlowTestReport(file, results, edges_of(compiled.checked()))


def tests_of(compiled: Compiled) -> tuple[TestSpec, ...]:
    """The tests of a flow that has no errors.

    Raises: CompileFailed.
    """
    if compiled.spec is None or not compiled.is_ok:
        raise CompileFailed(compiled.diagnostics)
    return compiled.spec.tests


def edges_of(flow: FlowIR) -> set[tuple[str, str]]:
    """The ways through a flow: every event that every step may emit."""
    return {(step.name, event) for step in flow.steps.values() for event in step.emits}


def run_flow_test(project: Project, compiled: Compiled, test: TestSpec) -> FlowTestResult:
    """Run one test in a fresh event loop."""
    return asyncio.run(_run_test(project, compiled.checked(), test))


async def _run_test(project: Project, flow: FlowIR, test: TestSpec) -> FlowTestResult:
    began = time.perf_counter()
    result = FlowTestResult(test.name.value, test.name.span)
    bench = FlowBench(project, flow, test)
    try:
        await bench.run()
    except OrchestratorError as error:
        where = test.inputs.span if error.code == "inputs" and test.inputs is not None else test.name.span
        bench.problems.append(Problem(str(error), where))
    finally:
        await project.hub.aclose()
    run = bench.actor
    result.problems += bench.problems
    if run is not None:
        result.path = path_of(run.log)
        result.outputs = run.state.result.value if run.state.result is not None else None
        result.edges = edges_taken(run.log)
        result.problems += compare(run, result.path, result.outputs, test)
        result.notes = bench.leftovers()
        if not run.is_over:
            run.discard()
    result.took_s = time.perf_counter() - began
    return result
