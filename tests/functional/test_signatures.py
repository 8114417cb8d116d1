"""Which functions can be a workflow or a step, and what they are given."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Optional

import pytest

from orchestrator.functional import RunArgumentError, RunContext, SignatureError, WorkflowRunContext, step, workflow

HINTS = [
    Optional[RunContext],  # noqa: UP045  # the old spelling is what is tested
    RunContext | None,
    Annotated[RunContext, "x"],
    "RunContext",
    "m.RunContext",
]


def test_context_is_found_by_annotation_whatever_its_name_and_place() -> None:
    @workflow
    async def flow(run: RunContext, x: int) -> bool:
        return isinstance(run, WorkflowRunContext) and x == 1

    assert asyncio.run(flow.run(1)).get_outputs() == [True]


@pytest.mark.parametrize("hint", HINTS)
def test_context_is_found_behind_optional_annotated_and_text(hint: Any) -> None:
    async def body(x: int, c: Any = None) -> bool:
        return isinstance(c, WorkflowRunContext)

    body.__annotations__["c"] = hint
    assert asyncio.run(workflow(body).run(1)).get_outputs() == [True]


def test_context_may_be_keyword_only_or_positional_only() -> None:
    @workflow
    async def keyword(x: int, *, ctx: RunContext) -> bool:
        return isinstance(ctx, WorkflowRunContext)

    @workflow
    async def positional(ctx: RunContext, x: int, /) -> bool:
        return isinstance(ctx, WorkflowRunContext) and x == 1

    assert asyncio.run(keyword(1)) is asyncio.run(positional(1)) is True


def test_a_workflow_without_input_runs_without_a_message_and_refuses_one() -> None:
    @workflow
    async def flow(ctx: RunContext) -> str:
        return "ran"

    assert asyncio.run(flow()) == asyncio.run(flow.run()).text == "ran"
    with pytest.raises(RunArgumentError, match="takes no input"):
        flow.run(1)


def test_a_workflow_whose_message_would_have_no_name_is_refused() -> None:
    async def many(*messages: str) -> None: ...
    async def named(ctx: RunContext, **fields: str) -> None: ...

    with pytest.raises(SignatureError, match=r"workflow `many` takes `\*messages`; it gets one input"):
        workflow(many)
    with pytest.raises(SignatureError, match=r"workflow `named` takes `\*\*fields`; it gets one input"):
        workflow(named)


def test_an_input_with_a_default_may_be_left_out() -> None:
    @workflow
    async def flow(x: int = 7) -> int:
        return x

    assert [asyncio.run(flow()), asyncio.run(flow(None)), asyncio.run(flow(1))] == [7, None, 1]


def test_none_is_a_message_and_no_message_is_none() -> None:
    @workflow
    async def flow(x: str | None) -> str:
        return f"got {x}"

    assert asyncio.run(flow.run(None)).text == "got None"
    with pytest.raises(RunArgumentError, match="needs a message for `x`"):
        flow.run()


def test_two_inputs_are_refused_with_file_line_and_names() -> None:
    async def flow(a: int, b: int = 2) -> None: ...

    with pytest.raises(SignatureError, match=r"test_signatures\.py:\d+: workflow `flow` takes 2 inputs \(a, b\)"):
        workflow(flow)
    with pytest.raises(ValueError, match="2 inputs"):
        workflow(flow)


@pytest.mark.parametrize("mark", [workflow, step])
def test_functions_that_are_not_async_are_refused_at_decoration(mark: Any) -> None:
    def plain(x: int) -> int:
        return x

    async def yields(x: int) -> Any:
        yield x

    with pytest.raises(TypeError, match="not async; write `async def plain`"):
        mark(plain)
    with pytest.raises(SignatureError, match="yields"):
        mark(yields)
    with pytest.raises(SignatureError, match="options by name"):
        mark("name")


def test_star_arguments_are_no_inputs() -> None:
    @workflow
    async def flow(x: int, *args: Any, **kwargs: Any) -> Any:
        return [x, args, kwargs]

    assert asyncio.run(flow(1)) == [1, (), {}]


def test_a_step_gets_its_context_without_losing_an_argument() -> None:
    @step
    async def first(ctx: RunContext, a: int, b: int) -> Any:
        return [ctx is not None, a, b]

    @step
    async def last(a: int, b: int = 5, ctx: RunContext | None = None) -> Any:
        return [ctx is not None, a, b]

    @workflow
    async def flow(x: None) -> Any:
        return [await first(1, 2), await first(1, b=2), await last(1), await last(1, 2)]

    assert asyncio.run(flow(None)) == [[True, 1, 2], [True, 1, 2], [True, 1, 5], [True, 1, 2]]


def test_an_explicit_context_of_a_step_wins() -> None:
    @step
    async def take(a: int, ctx: Any) -> Any:
        return ctx

    @workflow
    async def flow(x: None) -> Any:
        return await take(1, ctx="mine")

    assert asyncio.run(flow(None)) == "mine"


def test_a_step_outside_a_run_is_the_plain_function() -> None:
    @step(name="renamed")
    async def add(a: int, b: int = 1, ctx: RunContext | None = None) -> Any:
        """Adds."""
        return a + b, ctx

    assert asyncio.run(add(1)) == (2, None)
    assert (add.__name__, add.__doc__, add.name) == ("add", "Adds.", "renamed")


def test_a_step_outside_a_run_that_needs_a_context_gets_none() -> None:
    @step
    async def lead(ctx: RunContext, a: int) -> Any:
        return ctx, a

    assert asyncio.run(lead(1)) == asyncio.run(lead(a=1)) == asyncio.run(lead(None, 1)) == (None, 1)


def test_a_method_can_be_a_step() -> None:
    class Client:
        @step
        async def get(self, key: str, ctx: RunContext) -> str:
            return f"{key} {ctx is not None}"

    @workflow
    async def flow(x: None) -> str:
        return await Client().get("k")

    assert asyncio.run(flow.run(None)).text == "k True"


@pytest.mark.parametrize("options", [{"retry": 0}, {"retry": True}, {"retry": "x"}, {"timeout": 0}, {"name": ""}])
def test_bad_options_of_a_step_are_refused_at_decoration(options: Any) -> None:
    async def body() -> None: ...

    with pytest.raises(SignatureError):
        step(**options)(body)
