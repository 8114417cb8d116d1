"""Questions to people that are open in a run and in the runs that it started; and how the holder of its handler answers."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.authoring.run_start import Start, is_durable
from orchestrator.errors import UsageError
from orchestrator.runtime.actor import Actor

if TYPE_CHECKING:  # loaded when a store is used
    from orchestrator.journal.store import Store

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
        return await _in_store(any_engine.journal, start.run.run_id)


def _of_tree(start: Start) -> Iterator[OpenRequest]:
    root = start.run
    if root is None or root.is_over:
        return iter(())
    found = [_shown(run, request, root.run_id) for run in _tree(root) for request in run.state.requests.values()]
    found.sort(key=lambda request: request.opened_at)
    return iter(found)


def _tree(run: Actor) -> Iterator[Actor]:
    yield run
    for child_id in run.state.children:
        child = run.engine.runs.get(child_id)
        if child is not None and not child.is_over:
            yield from _tree(child)


def _shown(run: Actor, request: Any, root: str) -> OpenRequest:  # a runtime Request
    return _made(run.run_id, request.id, run.plan.ir.name, request.step, request.opened_at, request.data, root)


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


async def _in_store(store: Store, root: str) -> list[OpenRequest]:
    from orchestrator.journal.store import RunFilter

    found: list[OpenRequest] = []
    todo = [root]
    while todo:
        run_id = todo.pop()
        for _, row in await store.requests(run_id=run_id, limit=10_000):
            found.append(_made(run_id, row.request_id, row.flow, row.step, row.opened_at, row.data, root))
        todo += [row.run_id for row in (await store.runs(RunFilter(parent=run_id), limit=10_000)).rows]
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
    if groups is None:
        groups = _groups_of(start, user, run_id, name)
    options: dict[str, Any] = {"form": form, "groups": list(groups)}
    if item is not None:
        options["item"] = item
    await RunService(start.engine).answer(run_id, name, user=user, **options)


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
