"""Binding and calling: inputs, injection, results, exceptions, threads, streams, cancellation."""

from __future__ import annotations

import asyncio
import contextvars
import enum
import logging
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator.errors import RunError, StepError
from orchestrator.plugin import (
    Clock,
    Context,
    Duration,
    Emitted,
    Event,
    HttpClient,
    Llm,
    Plugin,
    ProjectFiles,
    Secret,
    bind,
)
from orchestrator.plugin.signature import describe
from tests.support.calling import Caller

pytestmark = pytest.mark.anyio
who = contextvars.ContextVar("who", default="nobody")


class Level(enum.StrEnum):
    LOW = "low"


class Order(BaseModel):
    """An order."""

    id: int
    level: Level = Level.LOW


class Approved(Event):
    """An event."""

    by: str


class Rework(Approved):
    """Another event."""

    notes: str = ""


@dataclass
class Point:
    """A dataclass."""

    x: int


def call_of(function: Any, **options: Any) -> Caller:
    plugin = Plugin("t")
    plugin.step(name="f", **options)(function)
    caller = Caller(secrets={"API_KEY": "s3cr3t-key"})
    info = describe(plugin.steps["t.f"], provider="test")
    caller.catalog._infos["t.f"] = info
    return caller


async def test_a_decorated_function_stays_a_normal_function() -> None:
    plugin = Plugin("t")

    @plugin.step
    def double(n: int) -> int:
        "Twice."
        return 2 * n

    assert double(4) == 8
    assert plugin.steps["t.double"].function is double


async def test_models_and_enums_come_in_as_objects_and_go_out_as_json() -> None:
    def f(order: Order, level: Level = Level.LOW) -> list[Order]:
        assert isinstance(order, Order)
        return [order]

    assert await call_of(f)("t.f", order={"id": 1}) == [{"id": 1, "level": "low"}]


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Point(1), {"x": 1}),
        (Level.LOW, "low"),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00Z"),
        ((1, {2}), [1, [2]]),
        ({"p": Point(3)}, {"p": {"x": 3}}),
        (None, None),
    ],
)
async def test_a_result_of_no_declared_type_is_made_plain(value: Any, plain: Any) -> None:
    assert await call_of(lambda: value)("t.f") == plain


async def test_an_object_json_does_not_know_passes_by_reference() -> None:
    thing = object()
    assert (await call_of(lambda: {"thing": thing})("t.f"))["thing"] is thing


async def test_a_result_that_is_not_what_was_declared_is_an_error() -> None:
    def f() -> Order:
        return {"id": "seven"}  # type: ignore[return-value]

    error = await call_of(f).error("t.f")
    assert error.code == "type.payload"
    assert error.details[0]["path"] == "id"


async def test_an_event_result_is_emitted_under_its_own_name() -> None:
    def f(ok: bool) -> Approved | Rework:
        return Approved(by="kim", also=1) if ok else Rework(by="lee", notes="shorter")

    call = call_of(f)
    info = call.catalog.get("t.f")
    assert info is not None
    assert [e.name for e in info.events] == ["Approved", "Rework"]
    assert await call("t.f", ok=True) == Emitted("Approved", {"by": "kim", "also": 1})
    assert await call("t.f", ok=False) == Emitted("Rework", {"by": "lee", "notes": "shorter"})


async def test_everything_that_can_be_injected_is_injected_by_type() -> None:
    async def f(
        ctx: Context,
        http: HttpClient,
        llm: Llm,
        clock: Clock,
        log: logging.Logger,
        files: ProjectFiles,
        api_key: Secret,
        token: Secret,
        wait: Duration = 1.0,
    ) -> list[Any]:
        assert isinstance(http, HttpClient)
        assert isinstance(files, ProjectFiles)
        assert clock.now() > 0
        return [ctx.run_id, log.name, api_key.reveal()[::-1], token.reveal(), wait]

    call = call_of(f, secrets=["API_KEY"])
    call.hub._given_model = object()  # type: ignore[assignment]  # only handed on here
    assert list(call.catalog.get("t.f").fields) == ["token", "wait"]  # type: ignore[union-attr]
    assert await call("t.f", token="tok", wait="90s") == ["run", "orchestrator.step.t.f", "yek-t3rc3s", "tok", 90.0]


async def test_a_sync_function_runs_in_a_thread_with_the_callers_context() -> None:
    def f() -> list[Any]:
        return [threading.current_thread() is threading.main_thread(), who.get()]

    who.set("kim")
    assert await call_of(f)("t.f") == [False, "kim"]
    assert await call_of(f, inline=True)("t.f") == [True, "kim"]


async def test_an_async_generator_streams_chunks_and_gives_the_whole() -> None:
    async def f(text: str) -> AsyncIterator[str]:
        for word in text.split():
            yield word

    async def g() -> AsyncIterator[Point]:
        yield Point(1)
        yield Point(2)

    call = call_of(f)
    assert await call("t.f", text="a b") == "ab"
    assert [w["value"] for w in call.written] == ["a", "b"]
    assert await call_of(g)("t.f") == [{"x": 1}, {"x": 2}]


async def test_an_undeclared_exception_becomes_call_failed_with_its_type() -> None:
    def f() -> None:
        raise KeyError("gone")

    error = await call_of(f).error("t.f")
    line = f.__code__.co_firstlineno + 1
    details = {"type": "KeyError", "at": f"test_invoke.py:{line}"}
    assert (error.code, error.message, error.details) == ("call.failed", "KeyError: 'gone'", details)
    assert isinstance(error.__cause__, KeyError)


async def test_a_secret_in_an_exception_is_masked() -> None:
    def f(api_key: Secret) -> None:
        raise ValueError(f"bad key {api_key.reveal()}")

    error = await call_of(f, secrets=["API_KEY"]).error("t.f")
    assert error.message == "ValueError: bad key ***"


async def test_step_errors_and_errors_of_the_runtime_pass_unchanged() -> None:
    def f(kind: str) -> None:
        raise StepError("crm.gone", "no", retry_after=3) if kind == "step" else RunError("over", code="cancelled")

    call = call_of(f)
    assert (await call.error("t.f", kind="step")).retry_after == 3
    with pytest.raises(RunError, match="over"):
        await call("t.f", kind="run")


async def test_a_task_group_that_failed_for_one_reason_fails_with_it() -> None:
    async def fail() -> None:
        raise StepError("crm.gone", "no")

    async def f() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())

    assert (await call_of(f).error("t.f")).code == "crm.gone"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, GeneratorExit])
async def test_what_is_no_exception_is_never_swallowed(kind: type[BaseException]) -> None:
    def f() -> None:
        raise kind

    with pytest.raises(kind):
        await call_of(f, inline=True)("t.f")


async def test_cancelling_reaches_the_function_and_comes_back_as_cancelled() -> None:
    seen: list[str] = []

    async def f() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    task = asyncio.ensure_future(call_of(f)("t.f"))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled"]


async def test_inputs_are_not_changed_and_defaults_are_the_functions_own() -> None:
    def f(items: list[int], more: list[int] | None = None) -> int:
        items.append(1)
        return len(items)

    given = {"items": [1, 2]}
    call = call_of(f)
    assert await call("t.f", **given) == 3
    assert given == {"items": [1, 2]}


async def test_binding_checks_nothing_twice_and_is_fast() -> None:
    from time import perf_counter

    def f(n: int) -> int:
        return n

    call = call_of(f, inline=True)
    info = call.catalog.get("t.f")
    assert info is not None
    invoke, services = bind(info), call.hub.services(call.context, info)
    began = perf_counter()
    for _ in range(2000):
        await invoke({"n": 1}, services)
    assert (perf_counter() - began) / 2000 < 0.0002


@pytest.mark.parametrize("inline", [True, False])
async def test_a_callable_that_exits_fails_its_call_and_ends_no_process(inline: bool) -> None:
    def f() -> None:
        raise SystemExit(0)

    error = await call_of(f, inline=inline).error("t.f")
    assert (error.code, str(error)) == ("call.failed", "SystemExit: 0")


async def test_secrets_are_masked_in_the_injected_logs_and_their_tracebacks(caplog: pytest.LogCaptureFixture) -> None:
    async def f(log: logging.Logger, ctx: Context, api_key: Secret) -> None:
        log.warning("the key is %s", api_key.reveal())
        ctx.log.warning("again: " + api_key.reveal())
        ctx.log.warning("%d", api_key.reveal())
        try:
            raise ValueError(api_key.reveal())
        except ValueError:
            log.exception("it failed")

    await call_of(f, secrets=["API_KEY"])("t.f")
    assert "the key is ***" in caplog.text and "again: ***" in caplog.text and "ValueError: ***" in caplog.text
    assert "s3cr3t-key" not in caplog.text
    assert {record.name for record in caplog.records} == {"orchestrator.step.t.f", "orchestrator.step"}
