"""REST: going back in the record of a run: retry, fork, replay. Each makes a new run or changes nothing."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from orchestrator.authoring.past_runs import Replayed, fork_run, replay, replay_stored, retry_run
from orchestrator.errors import UsageError
from orchestrator.server import models as m
from orchestrator.server.access import Role, identity_of, need
from orchestrator.server.api_runs import desk_of
from orchestrator.server.desk import Desk
from orchestrator.server.endpoints import Operation
from orchestrator.server.operations import RUN_ID
from orchestrator.server.problems import Refused
from orchestrator.server.reading import read_body
from orchestrator.server.store_book import StoreBook


async def _stored(desk: Desk, run_id: str) -> StoreBook:
    """The store that holds a run. Raises: UnknownRun, Refused 409 for a run in memory."""
    book = await desk.book_of(run_id)
    if isinstance(book, StoreBook):
        return book
    await book.run(run_id)
    raise Refused(
        409,
        "run.not_stored",
        "this run is kept in memory only, so its record cannot be gone on from",
        "serve with --store sqlite:///runs.db",
    )


async def retry(request: Request) -> Response:
    """Run a failed run again, from the step that failed or another, as a new run."""
    desk, run_id = desk_of(request), request.path_params["run_id"]
    body = await read_body(request, m.Retry)
    book = await _stored(desk, run_id)
    new_id = await retry_run(book.engine, book.store, run_id, step=body.step, by=identity_of(request).user)
    return _begun(request, new_id)


async def fork(request: Request) -> Response:
    """A new run that goes on from a point of this one."""
    desk, run_id = desk_of(request), request.path_params["run_id"]
    body = await read_body(request, m.Fork)
    if body.run_id is not None and not RUN_ID.match(body.run_id):
        raise UsageError("a run id has letters, digits and . _ : - only, at most 120 of them", code="run.id")
    book = await _stored(desk, run_id)
    by = identity_of(request).user
    new_id = await fork_run(book.engine, book.store, run_id, body.at, by=by, new_id=body.run_id, changes=body.set)
    return _begun(request, new_id)


def _begun(request: Request, run_id: str) -> Response:
    location = f"{request.scope.get('root_path', '')}/api/runs/{run_id}"
    return JSONResponse({"run_id": run_id}, 201, {"Location": location})


async def replay_run(request: Request) -> Response:
    """Check a run's record against its own version of the flow, or with `current` the one that is served now."""
    desk, run_id = desk_of(request), request.path_params["run_id"]
    body = await read_body(request, m.Replay)
    book = await desk.book_of(run_id)
    plan = None
    if body.current:
        served = desk.shelf.find((await book.run(run_id)).row.flow)
        if served.ir is None or desk.project is None or served.kind != "yaml":
            raise Refused(422, "replay.flow", f"`{served.name}` is no flow file that could be compared")
        plan = desk.project.plan(served.ir)
    if isinstance(book, StoreBook):
        done = await replay_stored(book.engine, book.store, run_id, plan)
    else:
        record = desk.memory.record(run_id)
        done = replay(plan or record.actor.plan, [entry for _, entry in record.entries(-1)])
    return JSONResponse(replay_view(done))


def replay_view(done: Replayed) -> dict[str, object]:
    """What a replay came to."""
    return {
        "is_ok": done.is_ok,
        "ticks": done.ticks,
        "status": done.status,
        "diverged_at": done.diverged_at,
        "reason": done.reason,
    }


ONE = "/api/runs/{run_id}"
OPERATIONS = (
    Operation(
        "POST",
        ONE + "/retry",
        retry,
        need(),
        "Run a failed run again",
        "runs",
        m.Retry,
        m.NewRunAnswer,
        201,
        problems=(404, 409),
    ),
    Operation(
        "POST",
        ONE + "/fork",
        fork,
        need(),
        "Go on from a point of a run",
        "runs",
        m.Fork,
        m.NewRunAnswer,
        201,
        problems=(404, 409),
    ),
    Operation(
        "POST",
        ONE + "/replay",
        replay_run,
        need(Role.VIEWER, Role.EDITOR),
        "Check a run's record against its flow",
        "runs",
        m.Replay,
        m.ReplayAnswer,
        problems=(404,),
    ),
)
