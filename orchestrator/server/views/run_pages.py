"""Routes of runs: the list, and one run with its picture, timeline, events, state, logs and calls of models, at any point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from orchestrator.errors import OrchestratorError
from orchestrator.ir.model import FlowIR
from orchestrator.server.access import Role, identity_of, need
from orchestrator.server.api_runs import cursor_text, desk_of, read_run_query
from orchestrator.server.book import ENDED, STATUSES, RunBook, RunDetail
from orchestrator.server.desk import Desk
from orchestrator.server.pages import PageRoute, render
from orchestrator.server.problems import Refused, refused_by
from orchestrator.server.reading import query_int
from orchestrator.server.views.filter_pages import kept_filters
from orchestrator.server.views.flow_pages import base_of
from orchestrator.server.views.flow_view import run_line
from orchestrator.server.views.log_view import calls_of, lines_of, logged, sentence
from orchestrator.server.views.pictures import overlay_json, picture, step_cards
from orchestrator.server.views.state_view import state_page
from orchestrator.server.views.timeline_view import timeline_view
from orchestrator.server.views.wording import facts, moment, pretty

Json = Any  # plain JSON
SEES = need(Role.VIEWER, Role.STARTER, Role.EDITOR)
TABS = (
    ("graph", "Graph"),
    ("timeline", "Timeline"),
    ("events", "Events"),
    ("state", "State"),
    ("logs", "Logs"),
    ("llm", "Model calls"),
)
SAID = {"cancel": "The runs are cancelled.", "retry": "The runs have begun again, as new runs."}
LINES = 200
AHEAD = 300
MOST_ENTRIES = 30_000
CHUNK = 2_000


@dataclass(frozen=True, slots=True)
class Opened:
    """A run that somebody looks at: live, or as it was after entry `at`."""

    desk: Desk
    book: RunBook
    detail: RunDetail
    at: int | None
    last: int
    base: str

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.detail.row.run_id

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.detail.row.status in ENDED

    @property
    def until(self) -> int:
        """The entry that is looked at."""
        return self.last if self.at is None else self.at

    def href(self, tab: str, **more: str) -> str:
        """A tab of this run at the same point."""
        at = {} if self.at is None else {"at": str(self.at)}
        return f"{self.base}/runs/{quote(self.run_id, safe='')}?{urlencode({'tab': tab, **at, **more})}"


async def show_runs(request: Request) -> Response:
    """Runs, newest first, with the filters of the address."""
    return await runs_page(request, said=SAID.get(request.query_params.get("said", ""), ""))


async def runs_page(request: Request, *, problems: Sequence[str] = (), said: str = "", status: int = 200) -> Response:
    """The list again, with what was refused of several changes."""
    desk, base = desk_of(request), base_of(request)
    query = read_run_query(request)
    page, following = await desk.runs(query)
    given = request.query_params.multi_items()
    kept = [(key, value) for key, value in given if key not in ("cursor", "said") and value]
    after = f"{base}/runs?{urlencode([*kept, ('cursor', cursor_text(following) or '')])}" if following else ""
    costs, now = await desk.costs.of(page), desk.clock.now()
    return render(
        request,
        "runs.html",
        status=status,
        problems=list(problems),
        said=said,
        kept=kept_filters(request, "runs"),
        runs=[run_line(row, now, base, spent.text) for row, spent in zip(page, costs, strict=True)],
        flows=[served.name for served in desk.shelf],
        statuses=list(STATUSES),
        query={
            "flow": query.flows[0] if query.flows else "",
            "status": query.statuses[0] if query.statuses else "",
            "text": query.text,
            "by": query.started_by,
            "tag": query.tag,
        },
        next_href=after,
        first_href=f"{base}/runs?{urlencode(kept)}" if query.before else "",
        is_filtered=bool(kept),
    )


async def _open(request: Request) -> Opened:
    desk, run_id = desk_of(request), request.path_params["run_id"]
    detail = await desk.run(run_id)
    book = await desk.book_of(run_id)
    at = query_int(request, "at", -1, low=-1, high=2**53)
    last = -1 if detail.row.status == "queued" else int((await book.state(run_id, None)).get("seq", -1))
    last = max(last, await _streamed_since(book, run_id, last))
    return Opened(desk, book, detail, None if at < 0 or at >= last else at, last, base_of(request))


async def _streamed_since(book: RunBook, run_id: str, last: int) -> int:
    """The number of the last entry, where streamed ones follow those that made the state."""
    while rows := await book.log(run_id, last, CHUNK):
        last = int(rows[-1]["seq"])
    return last


async def _entries(opened: Opened, until: int | None = None) -> list[Json]:
    """The log, at most MOST_ENTRIES of it."""
    out: list[Json] = []
    place = -1
    while len(out) < MOST_ENTRIES:
        rows = await opened.book.log(opened.run_id, place, CHUNK)
        out += rows if until is None else [row for row in rows if row["seq"] <= until]
        if not rows or (until is not None and rows[-1]["seq"] >= until):
            break
        place = rows[-1]["seq"]
    return out


async def show_run(request: Request) -> Response:
    """One run."""
    opened = await _open(request)
    tab = request.query_params.get("tab", "graph")
    if tab not in dict(TABS):
        raise Refused(404, "not_found", f"a run has no page {tab[:40]!r}", f"it has {', '.join(dict(TABS))}")
    return await _run_page(request, opened, tab)


async def _run_page(request: Request, opened: Opened, tab: str, problem: Refused | None = None) -> Response:
    row, now = opened.detail.row, opened.desk.clock.now()
    error = row.error if isinstance(row.error, dict) else None
    found = await opened.book.log(opened.run_id, opened.until - 1, 1) if opened.last >= 0 else []
    shown = found[0] if found else None
    (spent,) = await opened.desk.costs.of([row])
    return render(
        request,
        "run.html",
        status=problem.status if problem is not None else 200,
        run=run_line(row, now, opened.base, spent.text)
        | {
            "parent": row.parent or "",
            "children": list(opened.detail.children)[:50],
            "ended": moment(row.ended_at, now),
            "is_over": opened.is_over,
            "is_stored": opened.book.is_durable,
            "has_plain_events": row.kind == "yaml",
            "inputs": facts(opened.detail.inputs),
            "outputs": facts(opened.detail.outputs) if opened.is_over else [],
            "problem": None if error is None else _error(error, await _place_of(opened, error)),
        },
        tab=tab,
        tabs=[{"name": n, "label": label, "href": opened.href(n), "is_current": n == tab} for n, label in TABS],
        scrub={
            "at": opened.until,
            "last": opened.last,
            "is_live": opened.at is None,
            "text": "" if shown is None else _words(shown),
            "type": "" if shown is None else shown["type"],
            "when": moment(shown["at"], now) if shown is not None else None,
        },
        problem=None if problem is None else {"message": problem.message, "help": problem.help},
        **await _TAB[tab](request, opened),
    )


def _words(entry: Json) -> str:
    return f"{entry['step']}: {sentence(entry)}" if entry["step"] else sentence(entry)


async def _place_of(opened: Opened, error: dict[str, Json]) -> str:
    """Where the step that failed is written, as `file:line`; nothing where that is not known."""
    if not error.get("step") or opened.last < 0:
        return ""
    try:
        ir, _ = await opened.book.path(opened.run_id, opened.at)
    except OrchestratorError:
        return ""
    step = ir.steps.get(str(error["step"]))
    return "" if step is None or step.origin is None else f"{Path(step.origin.file).name}:{step.origin.line}"


def _error(error: dict[str, Json], place: str) -> dict[str, str]:
    details = error.get("details")
    return {
        "code": str(error.get("code") or ""),
        "message": str(error.get("message") or error.get("reason") or ""),
        "step": str(error.get("step") or ""),
        "place": place,
        "details": pretty(details, 4_000) if details else "",
    }


async def _graph(request: Request, opened: Opened) -> dict[str, Any]:
    if opened.last < 0:
        return {"svg": "", "steps": []}
    ir, path = await opened.book.path(opened.run_id, opened.at)
    return {"svg": await picture(ir, path), "steps": await step_cards(ir)}


async def _timeline(request: Request, opened: Opened) -> dict[str, Any]:
    page = query_int(request, "page", 1, low=1, high=1_000_000)
    entries = await _entries(opened, opened.until)
    now = opened.detail.row.ended_at or opened.desk.clock.now()
    view = timeline_view(entries, now, is_over=opened.is_over, at=opened.at, page=page)
    following = opened.href("timeline", page=str(view["page"] + 1)) if view["page"] < view["pages"] else ""
    previous = opened.href("timeline", page=str(view["page"] - 1)) if view["page"] > 1 else ""
    return {"timeline": view, "following": following, "previous": previous, "is_cut": len(entries) >= MOST_ENTRIES}


async def _events(request: Request, opened: Opened) -> dict[str, Any]:
    step, kind = request.query_params.get("step", ""), request.query_params.get("type", "")
    given = request.query_params.get("after")
    first = await opened.book.log(opened.run_id, -1, 1)
    begin = first[0]["at"] if first else None
    if given is None and not (step or kind):
        after = opened.until - LINES  # the newest, or those up to the point that is looked at
    else:
        after = query_int(request, "after", -1, low=-1, high=2**53)
    after = max(-1, after)
    rows, is_more = await _filtered(opened, after, step, kind)
    lines = lines_of(rows, opened.desk.clock.now(), begin, until=opened.until)[:LINES]
    more = {name: value for name, value in (("step", step), ("type", kind)) if value}
    last = lines[-1]["last"] if lines else after
    return {
        "lines": lines,
        "filter": {"step": step, "type": kind},
        "types": sorted({line["type"] for line in lines} | ({kind} if kind else set())),
        "first_href": opened.href("events", after="-1", **more) if after >= 0 else "",
        "previous": opened.href("events", after=str(max(-1, after - LINES)), **more) if after >= 0 else "",
        "following": opened.href("events", after=str(last), **more) if is_more and last < opened.until else "",
        "download": f"{opened.base}/api/runs/{quote(opened.run_id, safe='')}/events",
        "is_newest": last >= opened.until,
    }


async def _filtered(opened: Opened, after: int, step: str, kind: str) -> tuple[list[Json], bool]:
    """Entries after a number that fit, and some more so that effects are seen; whether there may be more."""
    if not (step or kind):
        rows = await opened.book.log(opened.run_id, after, LINES + AHEAD)
        return rows, len(rows) > LINES
    out: list[Json] = []
    place = after
    for _ in range(MOST_ENTRIES // CHUNK):
        rows = await opened.book.log(opened.run_id, place, CHUNK)
        out += [row for row in rows if (not step or row["step"] == step) and (not kind or row["type"].startswith(kind))]
        if not rows or len(out) > LINES:
            break
        place = rows[-1]["seq"]
    return out[: LINES + 1], len(out) > LINES


async def _state(request: Request, opened: Opened) -> dict[str, Any]:
    if opened.last < 0:
        return {"state": None}
    state = await opened.book.state(opened.run_id, opened.at)
    before = await opened.book.state(opened.run_id, opened.until - 1) if opened.until > 0 else None
    return {"state": state_page(state, before, opened.desk.clock.now())}


async def _logs(request: Request, opened: Opened) -> dict[str, Any]:
    entries = await _entries(opened, opened.until)
    begin = entries[0]["at"] if entries else None
    lines = logged(lines_of(entries, opened.desk.clock.now(), begin))
    return {"lines": lines[-1_000:], "is_cut": len(lines) > 1_000}


async def _llm(request: Request, opened: Opened) -> dict[str, Any]:
    entries = await _entries(opened, opened.until)
    targets = frozenset[str]()
    if opened.last >= 0:
        ir, _ = await opened.book.path(opened.run_id, 0)
        targets = model_steps(ir)
    calls = calls_of(entries, targets)
    calls["calls"] = calls["calls"][-200:]
    return {"calls": calls}


def model_steps(ir: FlowIR) -> frozenset[str]:
    """The steps that call a model."""
    return frozenset(
        step.name
        for step in ir.steps.values()
        if step.body.call is not None and step.body.call.target.startswith("llm.")
    )


_TAB = {"graph": _graph, "timeline": _timeline, "events": _events, "state": _state, "logs": _logs, "llm": _llm}


async def show_overlay(request: Request) -> Response:
    """How the picture of a run is coloured at a point, for the scrubber: nodes, edges, and the entry in words."""
    opened = await _open(request)
    ir, path = await opened.book.path(opened.run_id, opened.at)
    found = await opened.book.log(opened.run_id, opened.until - 1, 1)
    text = _words(found[0]) if found else ""
    when = moment(found[0]["at"], opened.desk.clock.now()) if found else None
    return JSONResponse(
        {
            "at": opened.until,
            "last": opened.last,
            "status": opened.detail.row.status,
            "text": text,
            "when": "" if when is None else when["full"],
            **await overlay_json(ir, path),
        }
    )


async def post_cancel(request: Request) -> Response:
    """Cancel a run."""
    opened = await _open(request)
    try:
        await opened.book.cancel(opened.run_id, f"cancelled by {identity_of(request).user}")
    except OrchestratorError as error:
        return await _run_page(request, opened, "graph", refused_by(error))
    return RedirectResponse(f"{opened.base}/runs/{quote(opened.run_id, safe='')}", 303)


def routes() -> list[PageRoute]:
    """The routes of these pages."""
    return [
        PageRoute("/runs", show_runs, access=SEES, name="runs_page"),
        PageRoute("/runs/{run_id}", show_run, access=SEES, name="run_page"),
        PageRoute("/runs/{run_id}/overlay", show_overlay, access=SEES, name="run_overlay"),
        PageRoute("/runs/{run_id}/cancel", post_cancel, access=need(form=True), methods=["POST"], name="cancel_form"),
    ]
