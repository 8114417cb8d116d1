"""A pytest plugin for flow authors: every entry of `tests:` in a `*.flow.yaml` is a test item.

Off by default. Turn it on in a project with `flow_tests = true` under `[tool.pytest.ini_options]`, or for one run with
`pytest --flows`. Imports nothing of the program until a flow file is collected, because pytest loads it in every project.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # loaded when a flow is collected
    from orchestrator.authoring.project import Project
    from orchestrator.compiler.compile import Compiled
    from orchestrator.language.spec import TestSpec

SUFFIXES = (".flow.yaml", ".flow.yml")
PROJECTS = pytest.StashKey[dict[Path, Any]]()  # root -> Project
EDGES = pytest.StashKey[dict[str, tuple[set[tuple[str, str]], set[tuple[str, str]]]]]()  # file -> (all, taken)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option and the ini key that turn the plugin on."""
    group = parser.getgroup("orchestrator")
    group.addoption(
        "--flows", action="store_true", default=False, help="Run the tests that stand in *.flow.yaml files."
    )
    parser.addini("flow_tests", "Run the tests that stand in *.flow.yaml files.", type="bool", default=False)


def is_on(config: pytest.Config) -> bool:
    """Whether flow files are collected in this run."""
    return bool(config.getoption("--flows") or config.getini("flow_tests"))


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Take flow files, if the plugin is on."""
    if file_path.name.endswith(SUFFIXES) and is_on(parent.config):
        collector: FlowFile = FlowFile.from_parent(parent, path=file_path)
        return collector
    return None


class FlowFile(pytest.File):
    """A flow file: one item per test, and one that fails if the flow has errors."""

    def collect(self) -> Iterator[pytest.Item]:
        """The items of the file."""
        project = project_of(self.config, self.path)
        compiled = project.compile(self.path)
        if not compiled.is_ok or compiled.spec is None:
            yield FlowCheck.from_parent(self, name="check", compiled=compiled)
            return
        for test in compiled.spec.tests:
            yield FlowTest.from_parent(self, name=test.name.value, project=project, compiled=compiled, test=test)


class FlowProblem(Exception):
    """A flow test failed; the text is what pytest prints."""


class _FlowItem(pytest.Item):
    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None
    ) -> Any:  # pytest's own types
        """The problems with their places instead of a traceback."""
        if isinstance(excinfo.value, FlowProblem):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)


class FlowCheck(_FlowItem):
    """Fails with the findings of a flow that cannot start."""

    def __init__(self, *, compiled: Compiled, **rest: Any) -> None:  # rest: pytest's own arguments
        super().__init__(**rest)
        self._compiled = compiled

    def runtest(self) -> None:
        """Show every finding."""
        from orchestrator.authoring.project import read_flow
        from orchestrator.diagnostics_text import render_text

        texts = {str(self.path): read_flow(self.path).decode("utf-8", "replace")}
        raise FlowProblem(render_text(self._compiled.diagnostics, texts).rstrip())

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """The file."""
        return self.path, 0, "check"


class FlowTest(_FlowItem):
    """One entry of `tests:`."""

    def __init__(self, *, project: Project, compiled: Compiled, test: TestSpec, **rest: Any) -> None:  # as above
        super().__init__(**rest)
        self._project = project
        self._compiled = compiled
        self._test = test

    def runtest(self) -> None:
        """Run it in virtual time."""
        from orchestrator.testing.flow_tests import edges_of, run_flow_test

        result = run_flow_test(self._project, self._compiled, self._test)
        known = self.config.stash.setdefault(EDGES, {})
        edges, taken = known.setdefault(str(self.path), (edges_of(self._compiled.checked()), set()))
        taken |= result.edges & edges
        for note in result.notes:
            self.add_report_section("call", "notes", str(note))
        if result.problems:
            raise FlowProblem(
                "\n".join([*map(str, result.problems), f"path: {' → '.join(result.path) or 'nothing ran'}"])
            )

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """The place of the test in its file."""
        return self.path, self._test.name.span.line - 1, self.name


def project_of(config: pytest.Config, file: Path) -> Project:
    """The project of a flow file; one for all files of a folder."""
    from orchestrator.authoring.project import Project

    projects = config.stash.setdefault(PROJECTS, {})
    folder = file.parent
    if folder not in projects:
        projects[folder] = Project.open(file)
    project: Project = projects[folder]
    return project


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:  # pytest's reporter
    """Which ways through the flows no test took."""
    for file, (edges, taken) in sorted(config.stash.get(EDGES, {}).items()):
        missed = ", ".join(f"{step} → {event}" for step, event in sorted(edges - taken))
        shown = f"{_short(file, config)}: {len(taken)} of {len(edges)} edges taken"
        if missed:
            terminalreporter.write_line(f"{shown}; not: {missed}")


def _short(file: str, config: pytest.Config) -> str:
    try:
        return str(Path(file).relative_to(config.invocation_params.dir))
    except ValueError:
        return file
