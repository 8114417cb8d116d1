"""Questions to people that are open in a run and in the runs that it started; and how the holder of its handler answers."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.authoring.run_start import Start, is_durable
from orchestrator.errors import UsageError
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.questions import ANSWER, question_data

if TYPE_CHECKING:  # loaded when a store is used
    from orchestrator.journal.store import Store
    from orchestrator.runtime.durable import DurableEngine

Json = Any  # plain JSON
MARK = "~"


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """A question that waits for people. `id` is what `handler.answer` takes; `form` is a JSON Schema."""

    id: str
    run_id: str
    flow: str
    step: str
    title: str
    show: Mapping[str, Json]
    form: Mapping[str, Json]
    verdicts: tuple[str, ...]
    to: Mapping[str, list[str]] | None
    deadline: float | None
    opened_at: float
    items: list[Json] | None = None


class OpenRequests(list[OpenRequest]):
    """The open questions that this process knows; awaited, those that the store has."""

    def __init__(self, start: Start) -> None:
        self._start = start
        super().__init__(_of_tree(start))

    def __await__(self) -> Generator[Any, Any, list[OpenRequest]]:
        return self._all().__await__()

    async def _all(self) -> list[OpenRequest]:
        start = self._start
        if start.run is None and start.began is not None and not start.is_withdrawn:
            await start.began
        if not is_durable(start.engine) or start.run is None:
            return list(_of_tree(start))
        any_engine: Any = start.engine
        if start.run.sink is not None and start.run.lost is None:
            await start.run.sink.flush()
        return await _in_store(any_engine, start.run.run_id)


def _of_tree(start: Start) -> Iterator[OpenRequest]:
    root = start.run
    if root is None or root.is_over:
        return iter(())
    found = [request for run in _tree(root) for request in _of_run(run, root.run_id)]
    found.sort(key=lambda request: request.opened_at)
    return iter(found)


def _tree(run: Actor) -> Iterator[Actor]:
    yield run
    for child_id in run.state.children:
        child = run.engine.runs.get(child_id)
        if child is not None and not child.is_over:
            yield from _tree(child)


def _of_run(run: Actor, root: str) -> Iterator[OpenRequest]:
    for request in run.state.requests.values():
        yield _made(run.run_id, request.id, run.plan.ir.name, request.step, request.opened_at, request.data, root)
    if run.plan.ir.kind == "function":
        yield from _questions_of(run, root)


def _questions_of(run: Actor, root: str) -> Iterator[OpenRequest]:
    """The open questions of a functional workflow: its answer is one value, `answer`."""
    open_ids = {w.request_id for paths in run.state.open_waits.values() for w in paths.values() if w.request_id}
    for tick in run.log:
        if isinstance(tick, t.WaitOpened) and tick.request_id in open_ids and tick.announce is not None:
            open_ids.discard(tick.request_id)
            asked = run.plan.codec.question(tick.announce[1])
            name = str(tick.request_id)
            yield _made(run.run_id, name, run.plan.ir.name, asked["source"], tick.at, question_data(asked), root)


def _made(run_id: str, name: str, flow: str, step: str, opened_at: float, data: Json, root: str) -> OpenRequest:
    return OpenRequest(
        name if run_id == root else f"{run_id}{MARK}{name}",
        run_id,
        flow,
        step,
        data["title"],
        data["show"],
        data["form"],
        tuple(data["verdicts"]),
        data["to"],
        data["deadline"],
        opened_at,
        data.get("items"),
    )


async def _in_store(engine: DurableEngine, root: str) -> list[OpenRequest]:
    from orchestrator.journal.store import RunFilter

    any_journal: Any = engine.journal
    store: Store = any_journal
    found: list[OpenRequest] = []
    todo = [await store.run(root)]
    while todo:
        run = todo.pop()
        for _, row in await store.requests(run_id=run.run_id, limit=10_000):
            found.append(_made(run.run_id, row.request_id, row.flow, row.step, row.opened_at, row.data, root))
        todo += (await store.runs(RunFilter(parent=run.run_id), limit=10_000)).rows
    return sorted(found, key=lambda request: request.opened_at)


async def answer_open(
    start: Start,
    request_id: str,
    user: str,
    groups: Iterable[str] | None,
    item: int | None,
    form: dict[str, Any],
) -> None:
    """Answer a question of a run or of one that it started.

    Raises: AnswerRefused, UsageError for an id that nothing here has.
    """
    from orchestrator.authoring.run_service import RunService

    root = start.run
    if root is None:
        raise UsageError("the run has not begun, so it asks nothing")
    run_id, _, name = request_id.rpartition(MARK)
    run_id = run_id or root.run_id
    service = RunService(start.engine)
    if await _is_question(start, run_id):
        value = form[ANSWER] if set(form) == {ANSWER} else form
        async with service.hold(run_id) as run:
            await _answer_question(run, name, value)
        return
    if groups is None:
        groups = _groups_of(start, user, run_id, name)
    options: dict[str, Any] = {"form": form, "groups": list(groups)}
    if item is not None:
        options["item"] = item
    await service.answer(run_id, name, user=user, **options)


async def _is_question(start: Start, run_id: str) -> bool:
    """Whether a run is that of a functional workflow, which asks for a value and takes it from anybody."""
    live = start.engine.runs.get(run_id)
    if live is not None:
        return live.plan.ir.kind == "function"
    if not is_durable(start.engine):
        return False
    any_engine: Any = start.engine
    return bool((await any_engine.journal.run(run_id)).kind == "function")


async def _answer_question(run: Actor, request_id: str, value: Json) -> None:
    from orchestrator.functional.body import session_of

    body: Any = next(iter(run.plan.steps.values())).body
    session = session_of(body.workflow, run)
    session.answer(session.check_answers({request_id: value}))
    if run.sink is not None:
        await run.sink.flush()


def _groups_of(start: Start, user: str, run_id: str, name: str) -> list[str]:
    """The groups of a person as the project's config has them; where nobody is named, those that the question asks for."""
    known = getattr(start.launch, "groups_of", None)
    found: list[str] | None = known(user) if known is not None else None
    if found is not None:
        return found
    run = start.engine.runs.get(run_id)
    request = run.state.requests.get(name) if run is not None else None
    if request is None:
        return []
    audiences = [request.data.get("to") or {}, (request.data.get("escalate") or {}).get("to") or {}]
    return list(dict.fromkeys(group for audience in audiences for group in audience.get("groups", ())))
