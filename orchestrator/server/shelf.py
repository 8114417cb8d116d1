"""The workflows that are served, of all three kinds, under the names by which clients start them. Knows no HTTP.

A flow file is compiled when it is first seen or has changed; one with errors is on the shelf with its findings and cannot be
started. Runs that are under way keep the version they began with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.authoring.project import Project
from orchestrator.diagnostics import Diagnostic, Severity
from orchestrator.errors import UsageError
from orchestrator.ir.codec import flow_hash
from orchestrator.ir.model import FlowIR
from orchestrator.server.problems import Refused

if TYPE_CHECKING:  # only named; they load what a server of flow files does not need
    from orchestrator.authoring.workflow import Workflow
    from orchestrator.functional.workflow import FunctionalWorkflow

Json = Any  # plain JSON


@dataclass(frozen=True, slots=True)
class Served:
    """One workflow. `ir` is None for a flow file that cannot be read at all; `target` is the Python workflow."""

    name: str
    kind: str
    ir: FlowIR | None
    file: Path | None = None
    findings: tuple[Diagnostic, ...] = ()
    is_ok: bool = True
    target: Any = None  # a Workflow or a FunctionalWorkflow
    events: tuple[Any, ...] = ()  # event classes that clients may send, beside those of the steps

    @property
    def version(self) -> str:
        """A short name of the content."""
        return flow_hash(self.ir)[:12] if self.ir is not None else ""

    @property
    def input_schema(self) -> Json:
        """What starts a run, as a JSON Schema object."""
        if self.ir is None:
            return {}
        if self.kind == "yaml":
            return self.ir.inputs or {"type": "object", "properties": {}}
        if self.kind == "class":
            start = self.ir.events.get(self.ir.start)
            return start.schema if start is not None and start.schema is not True else {"type": "object"}
        return function_schema(self.target)

    @property
    def output_schema(self) -> Json:
        """What a run gives."""
        if self.ir is None:
            return {}
        if self.kind == "class":
            stop = self.ir.events.get(self.ir.stop[0]) if self.ir.stop else None
            return stop.schema if stop is not None and stop.schema is not True else {}
        return self.ir.outputs or {}

    def to_json(self, root: Path | None = None) -> dict[str, Json]:
        """The workflow in a list."""
        ir = self.ir
        return {
            "name": self.name,
            "kind": self.kind,
            "title": (ir.title if ir is not None else "") or self.name,
            "description": ir.description if ir is not None else "",
            "version": self.version,
            "file": relative(str(self.file), root) if self.file is not None else None,
            "is_ok": self.is_ok,
            "errors": sum(d.severity is Severity.ERROR for d in self.findings),
            "warnings": sum(d.severity is Severity.WARNING for d in self.findings),
            "steps": len(ir.steps) if ir is not None else 0,
            "triggers": [t.kind for t in ir.triggers] if ir is not None else [],
        }


@dataclass(slots=True)
class Shelf:
    """Workflows by name: those of a project's files, and those that were added in Python."""

    project: Project | None = None
    _added: dict[str, Served] = field(default_factory=dict)
    _files: dict[Path, tuple[tuple[int, int], Served]] = field(default_factory=dict)
    _by_name: dict[str, Served] = field(default_factory=dict)

    def add(self, name: str, workflow: Any, events: tuple[Any, ...] = ()) -> Served:
        """Serve a Python workflow, or a flow file given by its path.

        Raises: UsageError for what is none, and for a name that is taken.
        """
        if not name or not all(c.isalnum() or c in "-_." for c in name):
            raise UsageError(f"{name!r} is no name for a served workflow; use letters, digits, - _ and .")
        if name in self._added:
            raise UsageError(f"there is a workflow {name!r} already")
        served = _served(name, workflow, events)
        self._added[name] = served
        return served

    def scan(self, *, is_forced: bool = False) -> list[str]:
        """Look at the project's files again; gives the names of what is new, changed or gone."""
        if self.project is None:
            return []
        before = dict(self._by_name)
        files: dict[Path, tuple[tuple[int, int], Served]] = {}
        for path in self.project.flow_files():
            try:
                stat = path.stat()
            except OSError:
                continue
            stamp = (stat.st_mtime_ns, stat.st_size)
            known = self._files.get(path)
            files[path] = (
                known if known is not None and known[0] == stamp and not is_forced else (stamp, self._compile(path))
            )
        self._files = files
        self._by_name = {}
        for _, served in files.values():
            self._by_name.setdefault(served.name, served)
        names = {*before, *self._by_name}
        return sorted(name for name in names if before.get(name) != self._by_name.get(name))

    def _compile(self, path: Path) -> Served:
        assert self.project is not None
        stem = path.name.partition(".flow.")[0]
        try:
            compiled = self.project.compile(path)
        except UsageError as error:
            span_finding = _unreadable(path, str(error))
            return Served(stem, "yaml", None, path, (span_finding,), is_ok=False)
        flow = compiled.flow
        return Served(flow.name if flow is not None else stem, "yaml", flow, path, compiled.diagnostics, compiled.is_ok)

    def __iter__(self) -> Iterator[Served]:
        """Every workflow, by name."""
        found = {**self._by_name, **self._added}
        return iter(found[name] for name in sorted(found))

    def class_of(self, flow: str) -> Served | None:
        """The workflow class whose flow has this name, if one is served."""
        named = (s for s in self if s.kind == "class" and s.ir is not None and flow in (s.ir.name, s.name))
        return next(named, None)

    def class_named(self, flow: str) -> Served:
        """The workflow class whose flow has this name. Raises: UsageError `run.unbound`."""
        found = self.class_of(flow)
        if found is None:
            raise UsageError(f"no workflow class `{flow}` is served here", code="run.unbound")
        return found

    def served_name(self, flow: str) -> str:
        """The name under which a Python workflow is served, by that of its flow; other names stay."""
        named = (s.name for s in self if s.kind != "yaml" and s.ir is not None and s.ir.name == flow)
        return next(named, flow)

    def find(self, name: str) -> Served:
        """One workflow. Raises: Refused 404."""
        served = self._added.get(name) or self._by_name.get(name)
        if served is None:
            from orchestrator.expr.suggest import nearest

            names = [s.name for s in self]
            near = nearest(name, names)
            help_text = f"did you mean {near!r}?" if near else f"there are: {', '.join(names[:12]) or 'none'}"
            raise Refused(404, "flow.unknown", f"no workflow {name[:100]!r} is served here", help_text)
        return served


def _served(name: str, workflow: Any, events: tuple[Any, ...]) -> Served:
    from orchestrator.authoring.workflow import Workflow
    from orchestrator.functional.workflow import FunctionalWorkflow

    if isinstance(workflow, Workflow):
        from orchestrator.authoring.class_flow import flow_from_class

        return Served(name, "class", flow_from_class(workflow), target=workflow, events=events)
    if isinstance(workflow, FunctionalWorkflow):
        return Served(name, "function", workflow.ir, target=workflow, events=events)
    if isinstance(workflow, str | Path):
        path = Path(workflow)
        project = Project.open(path)
        flow = project.compile(path).checked()
        return Served(name, "yaml", flow, path, target=project.plan(flow))
    raise UsageError(
        f"{workflow!r} cannot be served; add an instance of a Workflow, a function that @workflow made a workflow, "
        "or the path of a flow file"
    )


def function_schema(workflow: FunctionalWorkflow[Any]) -> Json:
    """The input of a functional workflow as an object with one field named like its parameter."""
    shape = workflow.shape
    if shape.input is None:
        return {"type": "object", "properties": {}, "additionalProperties": False}
    from orchestrator.functional.questions import schema_of

    schema = schema_of(shape.input_hint) if shape.input_hint is not None else None
    required = [] if shape.has_default else [shape.input]
    return {
        "type": "object",
        "properties": {shape.input: schema or {}},
        "required": required,
        "additionalProperties": False,
    }


def start_class_of(served: Served) -> Any:
    """The class of the event that starts a class workflow."""
    workflow: Workflow = served.target
    return workflow.start_event_class


def _unreadable(path: Path, message: str) -> Diagnostic:
    from orchestrator.diagnostics import Span

    return Diagnostic("FLW001", Severity.ERROR, message, Span(str(path), 1, 1, 1, 1))


def groups_named(ir: FlowIR) -> Mapping[str, str]:
    """Groups that a flow's questions name literally: group -> step."""
    found: dict[str, str] = {}
    for step in ir.steps.values():
        ask = step.body.ask
        if ask is None:
            continue
        audiences = [a for a in (ask.to, ask.escalate.to if ask.escalate is not None else None) if a is not None]
        for audience in audiences:
            groups = audience.groups if isinstance(audience.groups, list | tuple) else [audience.groups]
            found.update({g: step.name for g in groups if isinstance(g, str)})
    return found


def finding_view(found: Diagnostic, root: Path | None) -> Json:
    """A finding with the file named from the project's folder on."""
    view = found.to_json()
    for place in (view, *view["related"]):
        place["file"] = relative(place["file"], root)
    return view


def relative(file: str, root: Path | None) -> str:
    """A file named from the project's folder on."""
    path = Path(file)
    return str(path.relative_to(root)) if root is not None and path.is_relative_to(root) else path.name
