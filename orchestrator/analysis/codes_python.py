"""The codes FLW801 to FLW807: workflows written as classes. Their examples are Python and are run by tests of that API."""

from __future__ import annotations

from orchestrator.analysis.codes_table import ERROR, CodeInfo, table

PYTHON_CODES = table(
    CodeInfo(
        "FLW801",
        ERROR,
        "a workflow without steps",
        "A class workflow needs at least one method or function decorated with `@step`.",
        "class Empty(Workflow):\n    pass\n",
        "class One(Workflow):\n    @step\n    async def work(self, ev: StartEvent) -> StopEvent:\n        return StopEvent()\n",
    ),
    CodeInfo(
        "FLW802",
        ERROR,
        "no step accepts the start event",
        "A run begins with the workflow's start event. If no step has a parameter of that type, nothing would ever run.",
        "class Late(Workflow):\n    @step\n    async def work(self, ev: Paid) -> StopEvent:\n        return StopEvent()\n",
        "class Early(Workflow):\n    @step\n    async def work(self, ev: StartEvent) -> StopEvent:\n"
        "        return StopEvent()\n",
    ),
    CodeInfo(
        "FLW803",
        ERROR,
        "no step returns the stop event",
        "A run ends when a step returns `StopEvent` or a subclass. Declare it in the return annotation of the last step.",
        "class Endless(Workflow):\n    @step\n    async def work(self, ev: StartEvent) -> Again:\n        return Again()\n\n"
        "    @step\n    async def again(self, ev: Again) -> Again:\n        return Again()\n",
        "class Done(Workflow):\n    @step\n    async def work(self, ev: StartEvent) -> StopEvent:\n        return StopEvent()\n",
    ),
    CodeInfo(
        "FLW804",
        ERROR,
        "catches errors of a step that is not there",
        "`@catch_error(for_steps=[…])` names steps of the workflow by the names of their methods.",
        'class Wrong(Workflow):\n    @catch_error(for_steps=["wrok"])\n    async def rescue(self, ev: StepFailedEvent) -> '
        "StopEvent:\n        return StopEvent()\n",
        'class Right(Workflow):\n    @catch_error(for_steps=["work"])\n    async def rescue(self, ev: StepFailedEvent) -> '
        "StopEvent:\n        return StopEvent()\n",
    ),
    CodeInfo(
        "FLW805",
        ERROR,
        "two handlers for one step",
        "Only one `@catch_error` handler may take the errors of a step, and only one may take those of every step.",
        "class Two(Workflow):\n    @catch_error\n    async def one(self, ev: StepFailedEvent) -> StopEvent: ...\n\n"
        "    @catch_error\n    async def two(self, ev: StepFailedEvent) -> StopEvent: ...\n",
        "class One(Workflow):\n    @catch_error\n    async def one(self, ev: StepFailedEvent) -> StopEvent: ...\n",
    ),
    CodeInfo(
        "FLW806",
        ERROR,
        "a handler for a handler",
        "A `@catch_error` step cannot catch the errors of another one: a handler that fails fails the run.",
        'class Wrong(Workflow):\n    @catch_error(for_steps=["one"])\n    async def two(self, ev: StepFailedEvent) -> StopEvent:'
        " ...\n\n    @catch_error\n    async def one(self, ev: StepFailedEvent) -> StopEvent: ...\n",
        "class Right(Workflow):\n    @catch_error\n    async def one(self, ev: StepFailedEvent) -> StopEvent: ...\n",
    ),
    CodeInfo(
        "FLW807",
        ERROR,
        "a resource that cannot be had",
        "A parameter is annotated with a `Resource` or `ResourceConfig` whose file, path or factory cannot be used.",
        "class Wrong(Workflow):\n    @step\n    async def work(self, ev: StartEvent, model: Annotated[Model, "
        'ResourceConfig("nowhere.json")]) -> StopEvent: ...\n',
        "class Right(Workflow):\n    @step\n    async def work(self, ev: StartEvent, model: Annotated[Model, "
        'ResourceConfig("model.json")]) -> StopEvent: ...\n',
    ),
)
