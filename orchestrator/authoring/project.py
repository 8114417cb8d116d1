"""A project: its config, callables, flows and store as one thing that the CLI, the server and `load` share.

Compiles flow files and what they import, binds IR to the project's callables, and knows which flow a hash stands for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.compiler.compile import Compiled, compile_text
from orchestrator.compiler.project import Imported, ImportedFlow, ImportProblem, ProjectContext
from orchestrator.diagnostics import Diagnostic, Severity, has_errors
from orchestrator.errors import CompileFailed, PluginError, StoreError, UsageError
from orchestrator.expr.suggest import nearest
from orchestrator.ir.codec import flow_hash
from orchestrator.ir.model import CallIR, FlowIR, StepIR
from orchestrator.language.limits import MAX_BYTES
from orchestrator.plugin.catalog import Catalog
from orchestrator.plugin.config import ProjectConfig, load_config
from orchestrator.plugin.providers import configured_provider

if TYPE_CHECKING:  # checking a flow needs no runtime, so that is loaded with the first run
    from orchestrator.plugin.hub import ServiceHub
    from orchestrator.plugin.llm import ChatModel
    from orchestrator.runtime.actor import Actor
    from orchestrator.runtime.clock import Clock
    from orchestrator.runtime.flow_bind import FlowBinding, Intercept
    from orchestrator.runtime.limits import RunLimits
    from orchestrator.runtime.plan import FlowPlan

SUFFIXES = (".flow.yaml", ".flow.yml")
SKIPPED_FOLDERS = frozenset({".venv", "node_modules", ".git", "__pycache__"})


@dataclass(slots=True)
class Project:
    """A folder of flows with its config.

    Example: Project.open(Path(".")).compile(Path("flows/hello.flow.yaml")).is_ok
    """

    config: ProjectConfig
    root: Path
    catalog: Catalog
    model: ChatModel | None = None  # in place of the configured one
    findings: tuple[Diagnostic, ...] = ()
    intercept: Intercept | None = None
    replaced: frozenset[str] = frozenset()  # steps whose sub-flow is not run but intercepted
    _known: dict[str, FlowIR] = field(default_factory=dict)
    _compiled: dict[Path, FlowIR] = field(default_factory=dict)  # not hashed yet: checking a flow needs no hash
    _plans: dict[str, FlowPlan] = field(default_factory=dict)
    _fitting: set[str] = field(default_factory=set)  # hashes of flows whose callables are here
    _python: dict[str, tuple[Any, FlowPlan]] = field(default_factory=dict)
    _binding: FlowBinding | None = None
    _hub: ServiceHub | None = None

    @classmethod
    def open(
        cls,
        start: Path,
        *,
        steps: Mapping[str, Callable[..., object]] | None = None,
        model: ChatModel | None = None,
        clock: Clock | None = None,
        fake_llm: bool = False,
    ) -> Project:
        """The project around a file or folder; a folder without a config is a project of its own.

        Raises: CompileFailed if the config has errors.
        """
        config, findings = load_config(start if start.is_dir() else start.parent)
        if has_errors(findings):
            raise CompileFailed(tuple(findings))
        if fake_llm and model is None:
            from orchestrator.plugin.llm_fake import FakeModel

            model = FakeModel()
        root = config.root or (start if start.is_dir() else start.parent)
        return cls(config, root, Catalog(config, steps=steps), model, tuple(findings))

    @property
    def hub(self) -> ServiceHub:
        """What the calls of this project's flows share: connections, secrets, the model."""
        if self._hub is None:
            from orchestrator.plugin.hub import ServiceHub

            self._hub = ServiceHub(self.config, model=self.model)
        return self._hub

    def record_models(self, *, record: Path | None = None, replay: Path | None = None) -> None:
        """Keep the answers of models in a file, or take them from one, whatever the config says."""
        llm = replace(self.config.llm, record=str(record or ""), replay=str(replay or ""))
        self.config = replace(self.config, llm=llm)
        self._hub = self._binding = None

    @property
    def limits(self) -> RunLimits:
        """What one run may hold here: `[limits]` of the config over the defaults."""
        from orchestrator.runtime.limits import RunLimits

        names = (field.name for field in fields(RunLimits))
        return RunLimits(**{name: int(self.config.limits[name]) for name in names if name in self.config.limits})

    @property
    def binding(self) -> FlowBinding:
        """What the steps of this project's flows are bound to."""
        if self._binding is None:
            from orchestrator.runtime.flow_bind import FlowBinding

            people = self.config.people
            groups = {name: list(users) for name, users in people.groups.items()}
            self._binding = FlowBinding(
                self.catalog,
                self.hub,
                resolve_flow=self._resolve_child,
                intercept=self.intercept,
                replaced=self.replaced,
                limits=self.limits,
                people=groups if people.groups or people.users else None,
            )
        return self._binding

    def follow(self, newer: Project) -> None:
        """Let runs that began with this project call what the one that was loaded after it has."""
        if self._binding is not None:
            self._binding.follow(newer.binding)

    def flow_files(self) -> Iterator[Path]:
        """Every flow file of the project, sorted by path."""
        yield from find_flows(self.root)

    def compile(self, path: Path) -> Compiled:
        """Read, check and lower a flow file.

        Raises: UsageError if the file cannot be read.
        """
        return self._compile(read_flow(path), path, ())

    def compile_bytes(self, data: bytes, path: Path) -> Compiled:
        """The same for text that is not saved yet; `path` says where it would be."""
        return self._compile(data, path, ())

    def _compile(self, data: bytes, path: Path, outer: tuple[Path, ...]) -> Compiled:
        def resolve(kind: str, target: str, importer: str) -> Imported:
            return self._import(kind, target, path, (*outer, path.resolve()))

        context = ProjectContext(self.config, is_secret_set=self.has_secret, read_schema=self._read_schema)
        compiled = compile_text(data, str(path), catalog=self.catalog, project=context, resolve_import=resolve)
        if compiled.is_ok and compiled.flow is not None:
            self._compiled[path] = compiled.flow
        return compiled

    def _import(self, kind: str, target: str, importer: Path, outer: tuple[Path, ...]) -> Imported:
        if kind != "flow":
            from orchestrator.authoring.python_import import import_python

            return import_python(target, self)
        path = (importer.parent / target).resolve()
        if not path.is_relative_to(self.root.resolve()):
            return ImportProblem(f"`{target}` lies outside of the project", "import flows of this project only")
        if path in outer:
            names = " → ".join(p.name for p in (*outer[outer.index(path) :], path))
            return ImportProblem(f"the flows import each other in a circle: {names}", code="FLW512")
        try:
            data = read_flow(path)
        except UsageError as error:
            flows = {_stem(p): p for p in self.flow_files() if p != importer}
            near = flows.get(nearest(_stem(path), flows) or "")
            written = None if near is None else Path(os.path.relpath(near, importer.parent)).as_posix()
            hint = (
                f"did you mean `{written if written.startswith('.') else f'./{written}'}`?"
                if written
                else "write the path from this file, such as `./child.flow.yaml`"
            )
            return ImportProblem(f"`{target}` cannot be read: {str(error).rpartition(': ')[2]}", hint)
        compiled = self._compile(data, path, outer)
        if compiled.flow is None or not compiled.is_ok:
            first = next((d for d in compiled.diagnostics if d.severity is Severity.ERROR), None)
            code = "FLW512" if first is not None and first.code == "FLW512" else "FLW510"
            return ImportProblem(f"`{target}` has errors of its own", str(first) if first else None, code)
        flow = compiled.flow
        key = flow_hash(flow)
        self._known.setdefault(key, flow)
        return ImportedFlow(flow.name, flow.inputs, flow.outputs, key, compiled)

    def has_secret(self, name: str) -> bool:
        """Whether a secret has a value here, as far as can be told without importing the plugin that provides secrets."""
        is_plugin = self.config.secrets.provider not in ("", "env")
        return is_plugin or configured_provider(self.config)(name) is not None

    def _read_schema(self, path: str) -> Any:  # a JSON Schema
        """A schema file of the project, read as strictly as a schema that stands in a flow. Raises: ValueError."""
        from orchestrator.plugin.http_body import parse_json
        from orchestrator.plugin.schema_check import SchemaRefused, compile_schema

        file = (self.root / path).resolve()
        if not file.is_relative_to(self.root.resolve()):
            raise ValueError("it lies outside of the project")
        try:
            data = read_flow(file)
            if len(data) > MAX_BYTES:
                raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
            schema = parse_json(data)
            if not isinstance(schema, dict | bool):
                raise ValueError("a schema is an object")
            return compile_schema(schema).schema
        except UsageError as error:
            raise ValueError(str(error).removeprefix(f"{file}: ")) from error
        except UnicodeDecodeError:
            raise ValueError("it is not UTF-8") from None
        except SchemaRefused as error:
            raise ValueError(str(error)) from error

    def plan(self, flow: FlowIR) -> FlowPlan:
        """A flow, bound to this project's callables; the same plan for the same content.

        Raises: UsageError for a workflow class or function that no flow of the project calls.
        """
        if flow.kind != "yaml":
            return self._python_plan_of(flow)
        key = flow_hash(flow)
        known = self._plans.get(key)
        if known is None:
            self._flows().setdefault(key, flow)
            from orchestrator.runtime.flow_bind import bind_flow

            known = self._plans[key] = bind_flow(flow, self.binding)
            known.attach = _show_questions
        return known

    def bind(self, flow: FlowIR) -> FlowPlan:
        """A stored flow, bound to this project's callables.

        Raises: PluginError `binding` that names the callables which are not here, or how one does not fit.
        """
        from orchestrator.analysis.binding import unfit_call

        targets = {call.target for step in flow.steps.values() for call in _calls_of(step)}
        gone = sorted(name for name in targets if not name.startswith("flow.") and self.catalog.get(name) is None)
        if gone:
            raise PluginError(
                f"flow `{flow.name}` calls {', '.join(gone)}, which this process does not have", code="binding"
            )
        key = flow_hash(flow)
        unfit = unfit_call(flow, self.catalog, targets) if flow.kind == "yaml" and key not in self._fitting else None
        if unfit is not None:
            raise PluginError(f"flow `{flow.name}` was made for another version of the code: {unfit}", code="binding")
        self._fitting.add(key)
        return self.plan(flow)

    def python_plan(self, target: str) -> FlowPlan:
        """A workflow class or function of a module that the project allows, ready to be called; imported at first use.

        Raises: UsageError.
        """
        known = self._python.get(target)
        if known is None:
            from orchestrator.authoring.python_child import callable_plan, load_workflow
            from orchestrator.authoring.python_import import allows

            if not allows(self.config, target):
                raise UsageError(
                    f"the project does not allow Python from `{target}` ([python] allow)", code="run.unbound"
                )
            workflow = load_workflow(target, self.root)
            known = self._python[target] = (workflow, callable_plan(workflow))
            known[1].limits = self.limits
        return known[1]

    def _python_plan_of(self, flow: FlowIR) -> FlowPlan:
        """The plan of a stored class or function: of an import which has its name, or of an allowed module that has it."""
        from orchestrator.authoring.python_import import targets_named

        loaded = [target for target, (_, plan) in self._python.items() if plan.ir.name == flow.name]
        imported = (target for target in self._python_targets() if target.rpartition(":")[2] == flow.name)
        for target in chain(loaded, imported, targets_named(flow, self.config, self.root)):
            plan = self.python_plan(target)
            if (plan.ir.name, plan.ir.kind) == (flow.name, flow.kind):
                if flow.kind == "function" or plan.hash == flow_hash(flow):
                    return plan
                older: FlowPlan = self._python[target][0].plan_of(flow)
                return replace(older, start=plan.start, attach=plan.attach, plain=plan.plain)
        raise UsageError(
            f"no flow of this project calls a {flow.kind} workflow `{flow.name}`, and no module of `[python] allow` has it",
            code="run.unbound",
        )

    def _python_targets(self) -> Iterator[str]:
        seen: set[str] = set()
        for is_scanned in (False, True):
            if is_scanned:
                for path in self.flow_files():
                    self.compile(path)
            for flow in list(self._flows().values()):
                for ref in flow.imports.values():
                    if ref.startswith("python:") and ref not in seen and self._is_called(flow, ref):
                        seen.add(ref)
                        yield ref.removeprefix("python:")

    def python_workflows(self, flow: FlowIR) -> Iterator[Any]:  # Workflow and FunctionalWorkflow
        """The Python workflows that a flow calls, directly or not. Raises: UsageError for one that cannot be used."""
        for ref in flow.imports.values():
            child = self._flows().get(ref)
            if child is not None:
                yield from self.python_workflows(child)
            elif ref.startswith("python:") and ":" in ref and self._is_called(flow, ref):
                self.python_plan(ref.removeprefix("python:"))
                yield self._python[ref.removeprefix("python:")][0]

    @staticmethod
    def _is_called(flow: FlowIR, ref: str) -> bool:
        """Whether an import is a workflow and not a type."""
        names = {f"flow.{name}" for name, other in flow.imports.items() if other == ref}
        return any(call.target in names for step in flow.steps.values() for call in _calls_of(step))

    def child_names(self, flow: FlowIR) -> Iterator[str]:
        """The names of the flow files that a flow calls, directly or not."""
        for ref in flow.imports.values():
            child = self._flows().get(ref)
            if child is not None:
                yield child.name
                yield from self.child_names(child)

    def _resolve_child(self, parent: FlowIR, name: str) -> FlowPlan:
        ref = parent.imports.get(name, "")
        if ref.startswith("python:"):
            return self.python_plan(ref.removeprefix("python:"))
        flow = self._flows().get(ref)
        if flow is None:
            raise StoreError(f"flow `{parent.name}` calls `flow.{name}`, whose version {ref[:12]} is not known here")
        return self.plan(flow)

    def _flows(self) -> dict[str, FlowIR]:
        """The flows of this project by the hash of their content."""
        while self._compiled:
            _, flow = self._compiled.popitem()
            self._known.setdefault(flow_hash(flow), flow)
        return self._known

    def know(self, flow: FlowIR) -> None:
        """Remember a version of a flow, for runs that refer to it by hash."""
        self._flows().setdefault(flow_hash(flow), flow)


def _show_questions(run: Actor) -> None:
    """Show the questions of a flow that another one calls on the stream of the caller."""
    parent = run.engine.runs.get(run.parent[0]) if run.parent is not None else None
    if parent is not None:
        from orchestrator.authoring.run_start import show_child

        show_child(parent, run, only_questions=parent.plan.ir.kind == "yaml")


def _calls_of(step: StepIR) -> Iterator[CallIR]:
    for call in (step.body.call, step.fallback, step.finally_, step.undo):
        if call is not None:
            yield call


def find_flows(folder: Path) -> Iterator[Path]:
    """Every flow file under a folder, sorted by path; what tools keep for themselves (`.venv`, `.git`) is left out."""
    found: list[Path] = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in SKIPPED_FOLDERS]
        found += [Path(parent, name) for name in files if name.endswith(SUFFIXES)]
    yield from sorted(path for path in found if path.is_file())


def _stem(path: Path) -> str:
    """The name of a flow file without its endings."""
    return path.name.partition(".")[0]


def read_flow(path: Path) -> bytes:
    """The bytes of a flow file, and at most one more than a flow may have: the reader refuses the rest unread.

    Raises: UsageError if the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {getattr(error, 'strerror', None) or error}", code="file") from error
