"""What a project gives to a compilation besides the file: its config, its imported flows and models, its schema files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from orchestrator.analysis.granting import Here
from orchestrator.ir.model import Json
from orchestrator.plugin.config import ProjectConfig
from orchestrator.plugin.info import CallableInfo

if TYPE_CHECKING:  # compile.py imports this module
    from orchestrator.compiler.compile import Compiled
    from orchestrator.plugin.catalog import PluginProblem


DEFAULT_VISITS = 100


class CallableCatalog(Protocol):
    """What the compiler needs of `orchestrator.plugin.catalog.Catalog`."""

    def get(self, name: str) -> CallableInfo | None:
        """What is known of a callable; None if there is none."""

    def suggest(self, name: str) -> str | None:
        """The callable that was probably meant."""


@dataclass(frozen=True, slots=True)
class ProjectContext:
    """The project around a flow.

    `is_secret_set` tells whether a secret has a value, None where that is not known; `read_schema` gives a JSON Schema
    file of the project by the path written in the flow, and raises ValueError with a reason.
    """

    config: ProjectConfig = field(default_factory=ProjectConfig)
    is_secret_set: Callable[[str], bool] | None = None
    read_schema: Callable[[str], Json] | None = None

    @property
    def most_visits(self) -> int:
        """How often a step of a loop may run where the flow does not say."""
        return int(self.config.limits.get("max_visits", DEFAULT_VISITS))

    @property
    def here(self) -> Here:
        """What the project grants. Its groups are not known where it names no people at all."""
        people, config = self.config.people, self.config
        return Here(
            groups=people.groups if people.users or people.groups else None,
            is_secret_set=self.is_secret_set,
            may_run=config.process_allow.__contains__ if self.is_secret_set is not None else None,
            refused=self._refused if self.is_secret_set is not None else None,
        )

    def _refused(self, host: str, port: int) -> str | None:
        from orchestrator.plugin.egress import EgressRules

        return EgressRules(self.config.http_allow_hosts).refused(host, port)


@dataclass(frozen=True, slots=True)
class ImportedFlow:
    """A flow that another one may call. `ref` pins its content; `compiled` is there for flow files."""

    name: str
    inputs: Json
    outputs: Json
    ref: str
    compiled: Compiled | None = None


@dataclass(frozen=True, slots=True)
class ImportedModel:
    """A type that a flow may name."""

    schema: Json
    ref: str


@dataclass(frozen=True, slots=True)
class ImportProblem:
    """Why an import cannot be used; `code` is FLW510 unless something more precise is known."""

    message: str
    help: str | None = None
    code: str = "FLW510"


Imported = ImportedFlow | ImportedModel | ImportProblem
ResolveImport = Callable[[str, str, str], Imported]  # kind (`flow`, `python`), target, importing file


def no_imports(kind: str, target: str, importer: str) -> Imported:
    """A resolver for flows that stand alone."""
    return ImportProblem(f"`{target}` cannot be imported: this flow was given without a project")


class FlowCatalog:
    """A catalog that also knows the flows imported by one flow, as `flow.<name>`."""

    __slots__ = ("_base", "_flows")

    def __init__(self, base: CallableCatalog, flows: Mapping[str, ImportedFlow]) -> None:
        self._base = base
        self._flows = {
            f"flow.{name}": CallableInfo(
                name=f"flow.{name}",
                input_schema=flow.inputs,
                result_schema=flow.outputs,
                errors=("flow.failed",),
                is_idempotent=True,
                doc=f"The flow `{flow.name}`.",
                provider="flow",
            )
            for name, flow in flows.items()
        }

    def get(self, name: str) -> CallableInfo | None:
        """What is known of a callable or an imported flow."""
        return self._flows.get(name) or (None if name.startswith("flow.") else self._base.get(name))

    def problem(self, name: str) -> PluginProblem | None:
        """Why a callable that exists cannot be used."""
        problem_of = getattr(self._base, "problem", None)
        return None if problem_of is None else problem_of(name)

    def suggest(self, name: str) -> str | None:
        """The callable or flow that was probably meant."""
        from orchestrator.expr.suggest import nearest

        if name.startswith("flow."):
            return nearest(name, self._flows)
        return self._base.suggest(name)

    @property
    def flow_names(self) -> tuple[str, ...]:
        """The imported flows as callables."""
        return tuple(self._flows)
