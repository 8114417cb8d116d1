"""`@step` and `@catch_error`: mark a function as a step and remember what was said about it. Knows no flow and no run."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable
from datetime import timedelta
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from orchestrator.authoring.signature import Signature, origin_of, read_signature
from orchestrator.errors import WorkflowValidationError
from orchestrator.events import StepFailedEvent
from orchestrator.ir.model import Origin, RateIR

if TYPE_CHECKING:  # a workflow holds definitions
    from orchestrator.authoring.workflow import Workflow
    from orchestrator.retry import RetryPolicy

F = TypeVar("F", bound=Callable[..., Any])
MARK = "__orchestrator_step__"
MAX_FRAMES = 6
GRAPH_CHECKS = frozenset({"reachability", "dead_end"})
EFFECTS = frozenset({"none", "at_most_once"})


class StepDef:
    """A step as it was declared."""

    __slots__ = (
        "_locals",
        "_signature",
        "accepts_subclasses",
        "catches",
        "effect",
        "func",
        "is_inline",
        "is_method",
        "max_recoveries",
        "name",
        "num_workers",
        "passes_seed",
        "rate",
        "retry_policy",
        "skips",
        "timeout_s",
    )

    def __init__(self, func: Callable[..., Any], *, is_method: bool, num_workers: int | None) -> None:
        self.func = func
        self.name = func.__name__
        self.is_method = is_method
        self.num_workers = num_workers
        self.retry_policy: RetryPolicy | None = None
        self.passes_seed = True
        self.timeout_s: float | None = None
        self.rate: RateIR | None = None
        self.effect: str | None = None
        self.accepts_subclasses = False
        self.skips: frozenset[str] = frozenset()
        self.is_inline = False
        self.catches: tuple[str, ...] | None = None
        self.max_recoveries = 1
        self._signature: Signature | None = None
        self._locals: dict[str, Any] = {}

    @property
    def where(self) -> str:
        """How messages name it: its place and name."""
        return f"{self.origin}: step `{self.name}`"

    @property
    def origin(self) -> Origin:
        """Its place. Reads the source file."""
        return origin_of(self.func)

    @property
    def signature(self) -> Signature:
        """What it takes and gives.

        Raises: WorkflowValidationError.
        """
        if self._signature is None:
            try:
                self._signature = read_signature(self.func, self._locals, self.is_method, lambda: self.where)
            except NameError as error:
                raise WorkflowValidationError(f"{self.where} has an annotation that names nothing: {error}") from error
            self._locals = {}
        return self._signature

    def read_now(self, frame: FrameType | None) -> None:
        """Read the signature, or keep the local names around the definition until it can be read."""
        annotations = getattr(inspect.unwrap(self.func), "__annotations__", {})
        if any(isinstance(hint, str) for hint in annotations.values()):
            self._locals = _names_around(frame)
        try:
            self._signature = read_signature(self.func, self._locals, self.is_method, lambda: self.where)
        except NameError:
            return  # a name that is defined later; the first look at the workflow reads it
        self._locals = {}


@overload
def step(func: F, /) -> F: ...
@overload
def step(
    *,
    workflow: type[Workflow] | None = None,
    num_workers: int | None = 4,
    retry_policy: RetryPolicy | None = None,
    skip_graph_checks: Iterable[str] | None = None,
    accept_event_subclasses: bool = False,
    timeout: float | timedelta | None = None,
    rate: tuple[int, float] | None = None,
    effect: str | None = None,
    inline: bool = False,
) -> Callable[[F], F]: ...
def step(
    func: Callable[..., Any] | None = None,
    /,
    *,
    workflow: type[Workflow] | None = None,
    num_workers: int | None = 4,
    retry_policy: RetryPolicy | None = None,
    skip_graph_checks: Iterable[str] | None = None,
    accept_event_subclasses: bool = False,
    timeout: float | timedelta | None = None,
    rate: tuple[int, float] | None = None,
    effect: str | None = None,
    inline: bool = False,
) -> Any:  # the function itself, or a decorator that gives it back
    """Make a method of a Workflow, or with `workflow=` a free function, a step.

    `num_workers` bounds how many run at once in one run (None: no bound); `timeout` bounds one attempt; `rate=(n, seconds)`
    bounds starts; `effect` is None, "none" (repeating it is harmless) or "at_most_once"; `inline` runs a sync step in the
    event loop instead of a thread.

    Raises: WorkflowValidationError with the place of the step.
    """
    frame = sys._getframe(1)

    def mark(func: Callable[..., Any]) -> Callable[..., Any]:
        definition = _define(func, workflow, num_workers)
        definition.retry_policy = retry_policy
        definition.accepts_subclasses = bool(accept_event_subclasses)
        definition.is_inline = bool(inline)
        definition.timeout_s = _timeout(definition, timeout)
        definition.rate = _rate(definition, rate)
        definition.skips = frozenset(skip_graph_checks or ())
        if unknown := definition.skips - GRAPH_CHECKS:
            raise WorkflowValidationError(
                f"{definition.where}: skip_graph_checks knows {sorted(GRAPH_CHECKS)}, not {sorted(unknown)}"
            )
        if effect is not None and effect not in EFFECTS:
            raise WorkflowValidationError(f"{definition.where}: effect is 'none' or 'at_most_once', not {effect!r}")
        definition.effect = effect
        _check_policy(definition)
        return _finish(func, definition, frame, workflow)

    return mark if func is None else mark(func)


@overload
def catch_error(func: F, /) -> F: ...
@overload
def catch_error(
    *, for_steps: Iterable[str] | None = None, max_recoveries: int = 1, workflow: type[Workflow] | None = None
) -> Callable[[F], F]: ...
def catch_error(
    func: Callable[..., Any] | None = None,
    /,
    *,
    for_steps: Iterable[str] | None = None,
    max_recoveries: int = 1,
    workflow: type[Workflow] | None = None,
) -> Any:  # the function itself, or a decorator that gives it back
    """Make a step that takes the failures of other steps: of those in `for_steps`, or of all that no other one takes.

    It takes exactly a `StepFailedEvent` and may return any event. At most `max_recoveries` times in one line of events.

    Raises: WorkflowValidationError with the place of the step.
    """
    frame = sys._getframe(1)

    def mark(func: Callable[..., Any]) -> Callable[..., Any]:
        definition = _define(func, workflow, 4)
        definition.catches = ("*",) if for_steps is None else tuple(for_steps)
        if isinstance(for_steps, str) or not all(isinstance(s, str) for s in definition.catches):
            raise WorkflowValidationError(f"{definition.where}: for_steps is a list of step names")
        if isinstance(max_recoveries, bool) or not isinstance(max_recoveries, int) or max_recoveries < 1:
            raise WorkflowValidationError(f"{definition.where}: max_recoveries is a whole number of at least 1")
        definition.max_recoveries = max_recoveries
        marked = _finish(func, definition, frame, workflow)
        if definition.signature.accepts != (StepFailedEvent,):
            raise WorkflowValidationError(f"{definition.where}: a handler of errors takes exactly a StepFailedEvent")
        return marked

    return mark if func is None else mark(func)


def _define(func: Callable[..., Any], workflow: type[Workflow] | None, num_workers: int | None) -> StepDef:
    if not callable(func) or not hasattr(func, "__name__"):
        raise WorkflowValidationError(f"@step marks a function, not {func!r}")
    last = func.__qualname__.rpartition("<locals>.")[2]
    definition = StepDef(func, is_method="." in last and workflow is None, num_workers=num_workers)
    if not definition.is_method and workflow is None:
        raise WorkflowValidationError(
            f"{definition.where} is a free function; say whose step it is: @step(workflow=MyWorkflow)"
        )
    if num_workers is not None and (
        isinstance(num_workers, bool) or not isinstance(num_workers, int) or num_workers < 1
    ):
        raise WorkflowValidationError(
            f"{definition.where}: num_workers is a whole number of at least 1, not {num_workers!r}"
        )
    return definition


def _finish(
    func: Callable[..., Any], definition: StepDef, frame: FrameType, workflow: type[Workflow] | None
) -> Callable[..., Any]:
    definition.read_now(frame)
    setattr(func, MARK, definition)
    if workflow is not None:
        workflow.add_step(func)
    return func


def _timeout(definition: StepDef, timeout: float | timedelta | None) -> float | None:
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise WorkflowValidationError(f"{definition.where}: timeout is a number of seconds above 0, not {timeout!r}")
    return float(seconds)


def _rate(definition: StepDef, rate: tuple[int, float] | None) -> RateIR | None:
    if rate is None:
        return None
    try:
        count, per_s = rate
        if count < 1 or per_s <= 0:
            raise ValueError
    except (TypeError, ValueError):
        raise WorkflowValidationError(
            f"{definition.where}: rate is (starts, seconds), for example (10, 60), not {rate!r}"
        ) from None
    return RateIR(int(count), float(per_s))


def _check_policy(definition: StepDef) -> None:
    policy = definition.retry_policy
    if policy is None:
        return
    decide = getattr(policy, "next", None)
    if not callable(decide):
        raise WorkflowValidationError(
            f"{definition.where}: a retry_policy has `next(elapsed, attempts, error, *, seed=None)`; {policy!r} has not"
        )
    try:
        parameters = inspect.signature(decide).parameters.values()
    except (TypeError, ValueError):
        return
    definition.passes_seed = any(p.name == "seed" or p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)


def _names_around(frame: FrameType | None) -> dict[str, Any]:
    names: dict[str, Any] = {}
    for _ in range(MAX_FRAMES):
        if frame is None or frame.f_code.co_name == "<module>":
            break
        for name, value in frame.f_locals.items():
            names.setdefault(name, value)
        frame = frame.f_back
    return names
