"""The same mistake in a flow file and in a class gets the same code, at the step that makes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import Event, StartEvent, StopEvent, Workflow, WorkflowValidationError, step
from orchestrator.authoring.loaded import load
from orchestrator.diagnostics import Severity


class Made(Event):
    n: int = 0


class Lost(Event):
    n: int = 0


class Round(Event):
    n: int = 0


class Unheard(Workflow):
    @step
    async def make(self, ev: StartEvent) -> Made | Lost:
        return Made()

    @step
    async def close(self, ev: Made) -> StopEvent:
        return StopEvent()


UNHEARD = """\
flow: unheard
events: {Made: {}, Lost: {}}
steps:
  make:
    on: Start
    emit:
      - {when: run.id == "x", event: Made}
      - event: Lost
  close:
    on: Made
    emit: Stop
"""


class Unsent(Workflow):
    @step
    async def make(self, ev: StartEvent) -> StopEvent:
        return StopEvent()

    @step
    async def take(self, ev: Lost) -> StopEvent:
        return StopEvent()


UNSENT = """\
flow: unsent
events: {Lost: {}}
steps:
  make:
    on: Start
    emit: Stop
  take:
    on: Lost
    emit: Stop
"""


class Unreachable(Workflow):
    @step
    async def make(self, ev: StartEvent) -> StopEvent:
        return StopEvent()

    @step
    async def there(self, ev: Round) -> Lost:
        return Lost()

    @step
    async def back(self, ev: Lost) -> Round | StopEvent:
        return Round()


UNREACHABLE = """\
flow: unreachable
events: {Lost: {}, Round: {}}
steps:
  make:
    on: Start
    emit: Stop
  there:
    on: Round
    max_visits: 5
    emit: Lost
  back:
    on: Lost
    emit:
      - {when: run.id == "x", event: Round}
      - event: Stop
"""


class Several(Workflow):
    @step
    async def make(self, ev: StartEvent) -> StopEvent | Made:
        return StopEvent()

    @step
    async def take(self, ev: Lost) -> StopEvent:
        return StopEvent()


SEVERAL = """\
flow: several
events: {Lost: {}, Made: {}}
steps:
  make:
    on: Start
    emit:
      - {when: run.id == "x", event: Made}
      - event: Stop
  take:
    on: Lost
    emit: Stop
"""

PAIRS = {
    "unheard": (UNHEARD, Unheard, [("FLW405", "make")]),
    "unsent": (UNSENT, Unsent, [("FLW403", "take")]),
    "unreachable": (UNREACHABLE, Unreachable, [("FLW406", "there")]),
    "several": (SEVERAL, Several, [("FLW403", "take"), ("FLW405", "make")]),
}
Findings = list[tuple[str, str]]  # code, step


def findings_of_flow(text: str, folder: Path) -> Findings:
    file = folder / "x.flow.yaml"
    file.write_text(text, "utf-8")
    flow = load(file)
    starts = {step.origin.line: name for name, step in flow._compiled.flow.steps.items() if step.origin}  # type: ignore[union-attr]
    errors = [d for d in flow.check() if d.severity is Severity.ERROR]
    return sorted((d.code, starts[max(line for line in starts if line <= d.span.line)]) for d in errors)


def findings_of_class(cls: type[Workflow]) -> Findings:
    with pytest.raises(WorkflowValidationError) as caught:
        cls().validate()
    steps = {step.origin.line: name for name, step in cls().flow.steps.items()}
    return sorted((d.code, steps[max(line for line in steps if line <= d.span.line)]) for d in caught.value.diagnostics)


@pytest.mark.parametrize("name", PAIRS)
def test_a_mistake_has_one_code_and_one_step_in_both(name: str, tmp_path: Path) -> None:
    text, cls, expected = PAIRS[name]
    assert findings_of_flow(text, tmp_path) == expected
    assert findings_of_class(cls) == expected
