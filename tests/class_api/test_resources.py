"""SEMANTICS 1, row "resources"."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from orchestrator import (
    Resource,
    ResourceConfig,
    ResourceManager,
    StartEvent,
    StopEvent,
    Workflow,
    WorkflowValidationError,
    step,
)
from tests.class_api.support import A, run

log: list[str] = []


def make_db() -> dict[str, int]:
    log.append("db")
    return {"n": len(log)}


async def make_client(db: Annotated[dict[str, int], Resource(make_db)]) -> list[Any]:
    log.append("client")
    return [db]


@pytest.fixture(autouse=True)
def fresh_log() -> None:
    log.clear()


class Uses(Workflow):
    @step
    async def one(self, ev: StartEvent, db: Annotated[dict[str, int], Resource(make_db)]) -> A:
        db["seen"] = 1
        return A()

    @step
    async def two(self, ev: A, client: Annotated[list[Any], Resource(make_client)]) -> StopEvent:
        return StopEvent(result=client[0])


def test_a_resource_is_made_once_per_instance_and_nested_ones_share_it() -> None:
    async def main() -> Any:
        workflow = Uses()
        first = await workflow.run()
        second = await workflow.run()
        other = await Uses().run()
        return first is second, first is other, first["seen"]

    assert run(main) == (True, False, 1)
    assert log == ["db", "client", "db", "client"]


def test_two_lambdas_are_two_resources() -> None:
    class Two(Workflow):
        @step
        async def go(
            self,
            ev: StartEvent,
            a: Annotated[str, Resource(lambda: "first")],
            b: Annotated[str, Resource(lambda: "second")],
        ) -> StopEvent:
            return StopEvent(result=(a, b))

    assert Two().run_sync() == ("first", "second")


def test_an_uncached_resource_is_new_for_every_step() -> None:
    class Fresh(Workflow):
        @step
        async def go(self, ev: StartEvent, db: Annotated[Any, Resource(make_db, cache=False)]) -> A:
            return A(n=db["n"])

        @step
        async def next(self, ev: A, db: Annotated[Any, Resource(make_db, cache=False)]) -> StopEvent:
            return StopEvent(result=(ev.n, db["n"]))

    assert Fresh().run_sync() == (1, 2)


async def pool() -> AsyncIterator[str]:
    log.append("open")
    yield "pool"
    log.append("close")


def session(parent: Annotated[str, Resource(pool)]) -> Iterator[str]:
    log.append("begin")
    yield f"session of {parent}"
    log.append("end")


def test_generators_are_torn_down_in_reverse_when_the_run_has_ended() -> None:
    class Tears(Workflow):
        @step
        async def go(self, ev: StartEvent, s: Annotated[str, Resource(session)]) -> StopEvent:
            log.append("step")
            return StopEvent(result=s)

    async def main() -> Any:
        return await Tears().run()

    assert run(main) == "session of pool"
    assert log == ["open", "begin", "step", "end", "close"]


def test_an_uncached_generator_is_torn_down_after_its_step_even_if_that_fails() -> None:
    class Fails(Workflow):
        @step
        async def go(self, ev: StartEvent, p: Annotated[str, Resource(pool, cache=False)]) -> StopEvent:
            log.append("step")
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        Fails().run_sync()
    assert log == ["open", "step", "close"]


def test_a_manager_can_be_shared_and_filled_by_a_test() -> None:
    manager = ResourceManager()
    manager.set(make_db, {"n": 42})
    assert Uses(resource_manager=manager).run_sync() == {"n": 42, "seen": 1}


def circle_a(b: "Annotated[int, Resource(circle_b)]") -> int:
    return 1


def circle_b(a: "Annotated[int, Resource(circle_a)]") -> int:
    return 1


def test_a_circle_of_resources_is_told_with_its_members() -> None:
    class Circle(Workflow):
        @step
        async def go(self, ev: StartEvent, a: Annotated[int, Resource(circle_a)]) -> StopEvent:
            return StopEvent()

    with pytest.raises(WorkflowValidationError, match="circle_a -> circle_b -> circle_a"):
        Circle().run_sync()


class Model(BaseModel):
    name: str
    size: int = 1


def configured(file: Path, path: str | None) -> type[Workflow]:
    class Configured(Workflow):
        @step
        async def go(self, ev: StartEvent, model: Annotated[Model, ResourceConfig(file, path)]) -> StopEvent:
            return StopEvent(result=(model.name, model.size))

    return Configured


@pytest.mark.parametrize(
    ("name", "text"), [("c.json", '{"llm": {"main": {"name": "x"}}}'), ("c.yaml", "llm:\n  main:\n    name: x\n")]
)
def test_configuration_comes_from_json_or_yaml(name: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text(text)
    assert configured(file, "llm.main")().run_sync() == ("x", 1)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.json", "{", "is not JSON"),
        ("c.yaml", "a: [", "is not YAML"),
        ("c.json", '{"llm": {}}', r"has no `llm.main` \(missing at `main`\)"),
        ("c.json", '{"llm": {"main": {"size": "many"}}}', "size"),
    ],
)
def test_configuration_that_does_not_fit_is_told_before_the_run(
    name: str, text: str, message: str, tmp_path: Path
) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(WorkflowValidationError, match=message):
        configured(file, "llm.main")().validate()


def test_a_missing_configuration_file_is_told_with_its_step(tmp_path: Path) -> None:
    with pytest.raises(
        WorkflowValidationError, match=r"test_resources.py:\d+.*step `go`, parameter `model`: cannot read"
    ):
        configured(tmp_path / "none.json", None)().run_sync()
