"""Which engine runs something, and what an engine over a store can run: workflows and flows that this process has at hand.

A run that a store gives back (after a restart, or because it was rows for a while) finds its workflow here by its name.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orchestrator.authoring.run_start import is_durable, rerun_callers, show_child
from orchestrator.errors import UsageError
from orchestrator.ir.model import FlowIR
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.engine import Engine, current_engine
from orchestrator.runtime.plan import FlowPlan

if TYPE_CHECKING:  # loaded when a store is used
    from orchestrator.authoring.project import Project
    from orchestrator.authoring.workflow import Workflow
    from orchestrator.functional.workflow import FunctionalWorkflow
    from orchestrator.runtime.durable import DurableEngine
    from orchestrator.runtime.journal import Journal

_METHODS = ("commit", "claim", "load", "post", "renew", "ticks")


def engine_of(store: Any) -> Engine:  # a URL, a Journal or an engine
    """The engine of a store; without one, that of the running loop, in memory. The same engine for the same store.

    Raises: UsageError for what is no store; StoreError for a file that cannot be used.
    """
    if store is None:
        return current_engine()
    if isinstance(store, Engine):
        if is_durable(store):
            host_of(store)
        return store
    if isinstance(store, str):
        from orchestrator.dispatch.local import shared_engine

        engine = shared_engine(store)
        host_of(engine)
        return engine
    if all(hasattr(store, name) for name in _METHODS):
        return _engine_over(store)
    raise UsageError(
        f"store={store!r} is no store; give a URL such as 'sqlite:///runs.db', a journal or an engine, "
        "or leave it out to run in memory"
    )


_by_journal: weakref.WeakKeyDictionary[Any, weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, DurableEngine]] = (
    weakref.WeakKeyDictionary()
)


def _engine_over(journal: Journal) -> Engine:
    from orchestrator.dispatch.local import Binders
    from orchestrator.runtime.durable import DurableEngine
    from orchestrator.runtime.loop_end import at_loop_end

    loop = asyncio.get_running_loop()
    engines = _by_journal.setdefault(journal, weakref.WeakKeyDictionary())
    engine = engines.get(loop)
    if engine is None:
        engine = engines[loop] = DurableEngine(journal, Binders())
        at_loop_end(engine.aclose)
        host_of(engine)
    return engine


_hosts: weakref.WeakKeyDictionary[Engine, Host] = weakref.WeakKeyDictionary()


def host_of(engine: Any) -> Host:  # a DurableEngine
    """What an engine over a store can run; made at first use."""
    host = _hosts.get(engine)
    if host is None:
        host = _hosts[engine] = Host()
        engine.on_revived.append(host.revived)
        from orchestrator.dispatch.local import Binders

        if not isinstance(engine.bind, Binders):
            engine.bind = Binders(engine.bind)
        engine.bind.add(host.bind)
    return host


class Host:
    """The workflows and projects of one engine, by the names of their flows; the newest of a name counts."""

    def __init__(self) -> None:
        self.classes: dict[str, Workflow] = {}
        self.functions: dict[str, FunctionalWorkflow[Any]] = {}
        self.projects: dict[str, Project] = {}
        self.expected: dict[
            str, Callable[[Actor], None]
        ] = {}  # what takes the actors of child runs that are being made

    def add(self, workflow: Any) -> None:  # a Workflow or a FunctionalWorkflow
        """Have runs of a Python workflow go on here."""
        from orchestrator.authoring.workflow import Workflow

        if isinstance(workflow, Workflow):
            self.classes[workflow.flow.name] = workflow
        else:
            self.functions[workflow.name] = workflow

    def bind(self, flow: FlowIR) -> FlowPlan:
        """A stored flow, ready to run. Raises: PluginError, UsageError `run.unbound`."""
        if flow.kind == "class" and flow.name in self.classes:
            return self.classes[flow.name].plan_of(flow)
        if flow.kind == "function" and flow.name in self.functions:
            return self.functions[flow.name].plan
        if flow.kind == "yaml" and flow.name in self.projects:
            return self.projects[flow.name].bind(flow)
        kind = {"class": "no workflow class", "function": "no workflow function"}.get(flow.kind, "no loaded flow")
        raise UsageError(
            f"nothing here can run flow `{flow.name}`: this process has {kind} of that name", code="run.unbound"
        )

    def revived(self, run: Actor) -> None:
        """Give a run that its store gave back its live side."""
        parent = run.engine.runs.get(run.parent[0]) if run.parent is not None else None
        adopt = self.expected.pop(run.run_id, None)
        if adopt is not None:
            adopt(run)
            asyncio.get_running_loop().call_soon(_rerun, run)
            return
        if run.plan.attach is not None:
            run.plan.attach(run)
        else:
            workflow = self.classes.get(run.plan.ir.name) if run.plan.ir.kind == "class" else None
            if workflow is not None:
                workflow.attach(run)
            if parent is not None:
                show_child(parent, run)
        if run.plan.ir.kind == "class":
            asyncio.get_running_loop().call_soon(_rerun, run)


def _rerun(run: Actor) -> None:
    """Steps that wait for child runs begin again: their calls bring the children back."""
    if run.is_over or run.lost is not None or run.is_passive:
        return
    if run.plan.ir.kind == "class" and run.state.children:
        rerun_callers(run)
    elif run.plan.ir.kind == "function":
        from orchestrator.functional.body import go_on

        go_on(run)
