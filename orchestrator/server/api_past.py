"""REST: going back in the record of a stored run: retry, fork, replay, and moving a waiting run to the flow as it is now."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from orchestrator.dispatch import operate
from orchestrator.errors import UsageError
from orchestrator.runtime.journal import AuditRow
from orchestrator.server import models as m
from orchestrator.server.access import Role, identity_of, need
from orchestrator.server.api_runs import desk_of
from orchestrator.server.desk import Desk
from orchestrator.server.endpoints import Operation
from orchestrator.server.problems import Refused
from orchestrator.server.reading import read_body
from orchestrator.server.shelf import Served
from orchestrator.server.store_book import StoreBook
from orchestrator.server.tick_views import preview, to_json


async def _stored(desk: Desk, run_id: str) -> StoreBook:
    """The store that holds a run. Raises: UnknownRun, Refused 409 for a run in memory."""
    book = await desk.book_of(run_id)
    if isinstance(book, StoreBook):
        return book
    await book.run(run_id)
    raise Refused(
        409,
        "run.not_stored",
        "this run is kept in memory only, so there is no record to go back in",
        "serve with a store, such as --store sqlite:///runs.db",
    )


async def retry_run(request: Request) -> Response:
    """Run a failed run again, from the step that failed or another, as a new run."""
    desk, run_id = desk_of(request), request.path_params["run_id"]
    body = await read_body(request, m.Retry)
    return _made(request, await retry_one(desk, run_id, identity_of(request).user, body.step))


async def retry_one(desk: Desk, run_id: str, user: str, step: str | None = None) -> str:
    """Run a failed run again; gives the id of the new one. Raises: UnknownRun, Refused 409, UsageError."""
    book = await _stored(desk, run_id)
    new_id = await operate.retry(book.store, run_id, book.engine.bind, step=step, now=desk.clock.now())
    await _begun(user, book, run_id, new_id, "run.retry")
    return new_id


async def fork_run(request: Request) -> Response:
    """A new run that goes on from a point of this one, with changed state if that is given."""
    desk, run_id = desk_of(request), request.path_params["run_id"]
    body = await read_body(request, m.Fork)
    book = await _stored(desk, run_id)
    state = (await book.plan_of(run_id)).ir.state
    odd = sorted(body.set.keys() - state.keys())
    if odd:
        raise UsageError(
            f"this flow has no state {odd[0][:100]!r}; it has {', '.join(state) or 'none'}", code="fork.state"
        )
    writes = [("set", (name,), value) for name, value in body.set.items()]
    now = desk.clock.now()
    new_id = await operate.fork(book.store, run_id, body.at, book.engine.bind, writes=writes, event=body.event, now=now)
    await _begun(identity_of(request).user, book, run_id, new_id, "run.fork")
    return _made(request, new_id)


async def _begun(user: str, book: StoreBook, old: str, new: str, action: str) -> None:
    """Say who did it, and have the new run taken up."""
    await book.store.log([AuditRow(book.engine.clock.now(), new, user, action, {"from": old})])
    book.engine.keeper.wake()


def _made(request: Request, new: str) -> Response:
    location = f"{request.scope.get('root_path', '')}/api/runs/{new}"
    return JSONResponse({"run_id": new}, 201, {"Location": location})


def _served_flow(desk: Desk, name: str) -> Served:
    served = desk.shelf.find(name)
    if served.ir is None or not served.is_ok or desk.project is None or served.kind != "yaml":
        raise Refused(422, "flow.errors", f"`{name}` is no flow file without errors that a run could move to")
    return served


async def replay_run(request: Request) -> Response:
    """Make every decision in a run's record again, with its own version of the flow or the one that is served now."""
    desk, run_id = desk_of(request), request.path_params["run_id"]
    body = await read_body(request, m.Replay)
    book = await _stored(desk, run_id)
    flow = _served_flow(desk, (await book.run(run_id)).row.flow).ir if body.current else None
    report = await operate.check_replay(book.store, run_id, book.engine.bind, flow=flow)
    found = [
        {
            "seq": d.seq,
            "step": d.step,
            "what": d.what,
            "recorded": preview(to_json(d.recorded)),
            "now": preview(to_json(d.now)),
        }
        for d in report.divergences[:100]
    ]
    return JSONResponse(
        {"is_same": report.is_same, "ticks": report.ticks, "decisions": report.decisions, "divergences": found}
    )


async def migrate_run(request: Request) -> Response:
    """Move a waiting or parked run to the flow as it is served now, if everything in it has its place there."""
    desk, run_id = desk_of(request), request.path_params["run_id"]
    book = await _stored(desk, run_id)
    served = _served_flow(desk, (await book.run(run_id)).row.flow)
    assert served.ir is not None
    engine = book.engine
    await operate.migrate(book.store, run_id, engine.bind, served.ir, worker=engine.worker, now=desk.clock.now())
    await book.store.log(
        [AuditRow(desk.clock.now(), run_id, identity_of(request).user, "run.migrate", {"to": served.version})]
    )
    engine.keeper.wake()
    return JSONResponse({"status": "migrated"})


ONE = "/api/runs/{run_id}"
MADE = (404, 409)
OPERATIONS = (
    Operation(
        "POST",
        ONE + "/retry",
        retry_run,
        need(),
        "Run a failed run again",
        "runs",
        m.Retry,
        m.NewRunAnswer,
        201,
        problems=MADE,
    ),
    Operation(
        "POST",
        ONE + "/fork",
        fork_run,
        need(),
        "Go on from a point of a run",
        "runs",
        m.Fork,
        m.NewRunAnswer,
        201,
        problems=MADE,
    ),
    Operation(
        "POST",
        ONE + "/replay",
        replay_run,
        need(Role.VIEWER, Role.EDITOR),
        "Make the decisions of a run's record again",
        "runs",
        m.Replay,
        m.ReplayAnswer,
        problems=MADE,
    ),
    Operation(
        "POST",
        ONE + "/migrate",
        migrate_run,
        need(),
        "Move a waiting run to the flow as it is now",
        "runs",
        None,
        m.Accepted,
        problems=MADE,
    ),
)
