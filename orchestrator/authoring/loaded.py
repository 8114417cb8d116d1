"""`load("x.flow.yaml")`: a flow file as a Python object that is checked, drawn and run like a workflow class."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.authoring.context import running_loop
from orchestrator.authoring.engines import engine_of, host_of
from orchestrator.authoring.handler import WorkflowHandler
from orchestrator.authoring.project import Project
from orchestrator.authoring.run_start import Start, ambient_call, is_durable, start_run
from orchestrator.errors import CompileFailed, UsageError
from orchestrator.runtime import ticks as t

if TYPE_CHECKING:  # loaded with the first run
    from orchestrator.authoring.saving import Saved
    from orchestrator.compiler.compile import Compiled
    from orchestrator.diagnostics import Diagnostic
    from orchestrator.ir.model import FlowIR, StepIR
    from orchestrator.runtime.actor import Actor
    from orchestrator.runtime.engine import Engine
    from orchestrator.runtime.plan import FlowPlan

Picture = Literal["mermaid", "svg", "dot", "html", "ascii"]


def load(
    path: str | Path,
    *,
    steps: Mapping[str, Callable[..., object]] | None = None,
    store: Any = None,  # a URL, a Journal or an engine
) -> LoadedFlow:
    """The flow of a file. `steps` are callables by the names that its `call:` uses; with `store` its runs are kept there.

    A relative path starts in the working directory. The file is read once; mistakes in it are told by `check()` and raised
    by `run()`.

    Raises: UsageError if the file cannot be read, or a callable cannot be used; CompileFailed for a config with errors.

    Example:
        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "hello.flow.yaml"
        >>> _ = file.write_text('''flow: hello
        ... inputs: {name: str}
        ... outputs: {text: str}
        ... steps:
        ...   greet:
        ...     on: Start
        ...     call: my.greet
        ...     with: {name: "${{ inputs.name }}"}
        ...     emit: {event: Stop, with: {text: "${{ result }}"}}
        ... ''')
        >>> def greet(name: str) -> str:
        ...     return f"Hello, {name}!"
        >>> load(file, steps={"my.greet": greet}).run_sync(name="Ada")
        {'text': 'Hello, Ada!'}
    """
    place = Path(path)
    project = Project.open(place, steps=steps)
    return LoadedFlow(project, place, project.compile(place), store)


class LoadedFlow:
    """A flow file, read and checked."""

    def __init__(self, project: Project, path: Path, compiled: Compiled, store: Any = None) -> None:
        self.project = project
        self.path = path
        self._compiled = compiled
        self._store = store

    def __repr__(self) -> str:
        errors = sum(d.severity == "error" for d in self._compiled.diagnostics)
        return f"<flow {self.name!r} of {self.path}{f', {errors} errors' if errors else ''}>"

    def _repr_html_(self) -> str:
        """The picture of the flow, for notebooks; its mistakes, if it has any."""
        from html import escape

        if self._compiled.flow is not None and self._compiled.is_ok:
            from orchestrator.draw.cards import drawing_of
            from orchestrator.draw.graph import graph_of
            from orchestrator.draw.svg import svg_element

            return svg_element(drawing_of(graph_of(self.flow)))
        return f"<pre>{escape(self._findings())}</pre>"

    # What it is.

    @property
    def name(self) -> str:
        """The flow's name."""
        flow = self._compiled.flow
        return flow.name if flow is not None else self.path.name.partition(".")[0]

    @property
    def flow(self) -> FlowIR:
        """The flow as plain data. Raises: CompileFailed if the file has errors."""
        flow = self._compiled.flow
        if flow is None or not self._compiled.is_ok:
            raise CompileFailed(self._compiled.diagnostics, f"{self.path} has errors\n{self._findings()}")
        return flow

    @property
    def steps(self) -> Mapping[str, StepIR]:
        """The steps by name, in the order of the file. Raises: CompileFailed if the file has errors."""
        return MappingProxyType(self.flow.steps)

    def check(self) -> tuple[Diagnostic, ...]:
        """Everything that is wrong or odd in the file, in its order; empty for a flow that is fine."""
        return self._compiled.diagnostics

    def draw(self, filename: str | Path | None = None, *, format: Picture = "mermaid") -> str:
        """The picture of the flow as text, written to `filename` if that is given (its ending decides the format).

        Raises: CompileFailed if the file has errors; UsageError for a format that is none.
        """
        from orchestrator.authoring.drawing import draw_flow

        return draw_flow(self.flow, filename, format)

    def _findings(self) -> str:
        from orchestrator.diagnostics_text import render_text

        source = self.path.read_text("utf-8", "replace")
        return render_text(self._compiled.diagnostics, {str(self.path): source})

    # Runs.

    def run(
        self,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        store: Any = None,  # a URL, a Journal or an engine
        run_id: str | None = None,
        **fields: Any,
    ) -> WorkflowHandler:
        """Start a run with these inputs; awaiting it gives the outputs. Inside a step it is a child of that step's run.

        Inputs that are named like an argument here go into the mapping: `run({"store": "north"}, size=3)`.

        Raises: CompileFailed for a file with errors, UsageError for wrong inputs; JournalConflict when awaited, if the store
        has a run of this id.
        """
        if running_loop() is None:
            raise UsageError("run() needs a running event loop; call it from async code, or use run_sync()")
        chosen = store if store is not None else self._store
        frame = _function_frame()
        if frame is not None:
            return self._run_in_function(frame, {**(inputs or {}), **fields})
        parent = ambient_call(engine_of(chosen) if chosen is not None else None)
        engine = parent.run.engine if parent is not None else engine_of(chosen)
        self._made_known(engine)
        start = Start(FlowLaunch(self, {**(inputs or {}), **fields}), engine, run_id, parent=parent)
        start_run(start)
        return WorkflowHandler(start)

    def _run_in_function(self, frame: Any, inputs: dict[str, Any]) -> WorkflowHandler:
        from orchestrator.functional.flow_calls import FlowCall

        engine = frame.run.actor.engine
        self._made_known(engine)
        launch = FlowLaunch(self, inputs)
        launch.first_tick(engine.clock.now())  # wrong inputs are told at the call
        start = Start(launch, engine, None)
        start.call = FlowCall(start, frame, self.name, inputs)
        return WorkflowHandler(start)

    def run_sync(
        self,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        store: Any = None,  # a URL, a Journal or an engine
        run_id: str | None = None,
        **fields: Any,
    ) -> Any:
        """Run to the end from code that is not async; the arguments of `run`, its outputs."""
        if running_loop() is not None:
            raise UsageError("run_sync() cannot be used while an event loop runs; write `await flow.run(…)`")

        async def main() -> Any:
            return await self.run(inputs, store=store, run_id=run_id, **fields)

        return asyncio.run(main())

    def resume(self, run_id: str, *, store: Any = None) -> WorkflowHandler:
        """Take up a run from its store: one that waits there, or whose process is gone. Finished steps do not run again.

        Raises: UsageError without a store; when awaited, UnknownRun, and StoreBusy while another process holds the run.
        """
        from orchestrator.authoring.taking_up import take_up

        engine = engine_of(store if store is not None else self._store)
        if not is_durable(engine):
            raise UsageError(
                "resume() takes a run up from a store; give one: resume(run_id, store='sqlite:///runs.db')"
            )
        self._made_known(engine)
        return WorkflowHandler(take_up(FlowLaunch(self, {}), engine, run_id))

    def _made_known(self, engine: Engine) -> None:
        from orchestrator.runtime.loop_end import at_loop_end_once

        flow = self.flow
        at_loop_end_once(self.project, self.project.hub.aclose)
        if is_durable(engine):
            host = host_of(engine)
            for name in (flow.name, *self.project.child_names(flow)):
                host.projects[name] = self.project
            for workflow in self.project.python_workflows(flow):
                host.add(workflow)


def _function_frame() -> Any:  # a Frame of the functional API, if the caller is inside of a workflow function
    frames = sys.modules.get("orchestrator.functional.frames")
    frame = frames.frame_here() if frames is not None else None
    return frame if frame is not None and not frame.run.is_released else None


class FlowLaunch:
    """The `Launch` of a flow file."""

    __slots__ = ("_flow", "_inputs")

    def __init__(self, flow: LoadedFlow, inputs: Mapping[str, Any]) -> None:
        self._flow = flow
        self._inputs = inputs

    def plan(self) -> FlowPlan:
        """The flow, ready to run."""
        return self._flow.project.plan(self._flow.flow)

    def first_tick(self, now: float) -> t.Started:
        """The inputs, checked. Raises: UsageError that names each that is missing, unknown or of the wrong type."""
        from orchestrator.runtime.flow_bind import start_tick

        return start_tick(self.plan(), self._inputs, now)

    def saved(self, plan: FlowPlan) -> Saved | None:
        """Never: what goes on is taken up from its store."""
        return None

    def earlier(self) -> Actor | None:
        """Never, for the same reason."""
        return None

    def attach(self, run: Actor) -> None:
        """A flow file keeps nothing beside the state of its run."""

    def failed(self) -> None:
        """Nobody waits for the run to end."""

    def groups_of(self, user: str) -> list[str] | None:
        """The groups of a person; None if the project's config names nobody."""
        people = self._flow.project.config.people
        if not people.groups and not people.users:
            return None
        return [group for group, users in people.groups.items() if user in users]
