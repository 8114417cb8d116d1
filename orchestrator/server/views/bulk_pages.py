"""Routes that act on several things at once: one verdict for many requests, cancelling or retrying many runs; and two runs
side by side. Each request and run is judged by itself; what was refused is told with its reason, the rest is done."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from orchestrator.errors import OrchestratorError
from orchestrator.server.access import Identity, Role, identity_of, need
from orchestrator.server.api_past import retry_one
from orchestrator.server.api_requests import parsed_request
from orchestrator.server.api_runs import desk_of
from orchestrator.server.book import Reply
from orchestrator.server.desk import Desk
from orchestrator.server.pages import PageRoute, render
from orchestrator.server.problems import Refused, refused_by
from orchestrator.server.request_desk import act, find_request, form_with_verdict
from orchestrator.server.views.compare_view import compared_runs
from orchestrator.server.views.flow_pages import base_of
from orchestrator.server.views.inbox_pages import inbox_page
from orchestrator.server.views.inbox_view import bulk_verdicts, form_key
from orchestrator.server.views.run_pages import SEES, runs_page
from orchestrator.server.views.wording import as_words, plural

MOST = 200  # things in one form


def _picked(form: FormData) -> list[str]:
    found = list(dict.fromkeys(one for one in form.getlist("pick") if isinstance(one, str)))
    if not found:
        raise Refused(422, "bulk.none", "Tick at least one row first.")
    if len(found) > MOST:
        raise Refused(422, "bulk.many", f"Tick at most {MOST} rows at a time.")
    return found


async def _word(request: Request) -> tuple[FormData, str]:
    form = await request.form(max_files=0, max_fields=500)
    given = form.get("do")
    return form, given if isinstance(given, str) else ""


async def decide_many(request: Request) -> Response:
    """Give one verdict to every request that is ticked; each answer is judged as if it came alone."""
    desk, person = desk_of(request), identity_of(request)
    form, word = await _word(request)
    kind, _, verdict = word.partition(":")
    problems: list[str] = []
    done = 0
    try:
        if kind != "verdict" or not verdict:
            raise Refused(422, "bulk.word", "Choose one of the buttons of the page.")
        ticked = _picked(form)
        await _check_alike(desk, person, ticked)
        for picked in ticked:
            if (refusal := await _decide_one(desk, person, picked, verdict)) is None:
                done += 1
            else:
                problems.append(refusal)
    except Refused as problem:
        problems.append(problem.message)
    scope = str(form.get("scope") or "")
    if problems:
        return await inbox_page(request, scope=scope, problems=problems, done=done, status=409 if done else 422)
    return RedirectResponse(f"{base_of(request)}/inbox?{urlencode({'scope': scope, 'done': 'many'})}", 303)


def _told(error: OrchestratorError | Refused) -> str:
    return error.message if isinstance(error, Refused) else refused_by(error).message


async def _check_alike(desk: Desk, person: Identity, ticked: list[str]) -> None:
    """One verdict means the same for all that are ticked only if they ask the same. Raises: Refused 422."""
    forms = set[str]()
    for picked in ticked:
        try:
            row = await find_request(desk, person, *parsed_request(picked.rpartition("@")[0]))
        except (OrchestratorError, Refused):
            continue  # told when it is answered
        forms.add(form_key(row))
    if len(forms) > 1:
        raise Refused(422, "bulk.forms", "Tick requests that ask for the same only; these have different forms.")


async def _decide_one(desk: Desk, person: Identity, picked: str, verdict: str) -> str | None:
    """Why it was refused, if it was. `picked` is the id of a request and the revision that its list showed."""
    public, _, revision = picked.rpartition("@")
    title = "A request"
    try:
        row = await find_request(desk, person, *parsed_request(public))
        title = str(row.data.get("title") or as_words(row.step))
        if row.state == "open" and verdict not in bulk_verdicts(row):
            raise Refused(422, "bulk.verdict", "it cannot be answered with this verdict alone; open it")
        if not (revision.isascii() and revision.isdigit() and len(revision) < 10):
            raise Refused(422, "bulk.revision", "load the page again; the revision that you saw is not known")
        values = form_with_verdict(row, {}, verdict)
        reply = Reply(row.request_id, person.user, desk.groups_for(person, row), "answer", values, int(revision))
        await act(desk, row, person, reply)
    except (OrchestratorError, Refused) as error:
        return f"{title}: {_told(error)}"
    return None


async def change_many(request: Request) -> Response:
    """Cancel every run that is ticked, or run each of the failed ones again."""
    desk, who = desk_of(request), identity_of(request).user
    form, word = await _word(request)
    problems: list[str] = []
    done = 0
    try:
        if word not in ("cancel", "retry"):
            raise Refused(422, "bulk.word", "Choose one of the buttons of the page.")
        for run_id in _picked(form):
            try:
                if word == "cancel":
                    await (await desk.book_of(run_id)).cancel(run_id, f"cancelled by {who}")
                else:
                    await retry_one(desk, run_id, who)
                done += 1
            except (OrchestratorError, Refused) as error:
                problems.append(f"{run_id}: {_told(error)}")
    except Refused as problem:
        problems.append(problem.message)
    if problems:
        said = f"{plural(done, 'run')} {'cancelled' if word == 'cancel' else 'begun again'}." if done else ""
        return await runs_page(request, problems=problems, said=said, status=409 if done else 422)
    return RedirectResponse(f"{base_of(request)}/runs?{urlencode({'said': word})}", 303)


async def compare_picked(request: Request) -> Response:
    """Go to the comparison of the two runs that are ticked."""
    form, _ = await _word(request)
    picked = [one for one in form.getlist("pick") if isinstance(one, str)]
    if len(picked) != 2:
        return await runs_page(request, problems=["Tick two runs to compare them."], status=422)
    return RedirectResponse(f"{base_of(request)}/compare?{urlencode({'a': picked[1], 'b': picked[0]})}", 303)


async def show_comparison(request: Request) -> Response:
    """Two runs side by side: what went in, the way that each took, what came out."""
    desk = desk_of(request)
    a, b = (request.query_params.get(name, "").strip()[:200] for name in ("a", "b"))
    view = await compared_runs(desk, a, b, base_of(request)) if a and b else None
    return render(request, "compare.html", a=a, b=b, view=view)


def routes() -> list[PageRoute]:
    """The routes of these pages."""
    answers, operates, sees = (
        need(Role.APPROVER, form=True),
        need(form=True),
        need(Role.VIEWER, Role.STARTER, Role.EDITOR),
    )
    looks = need(*(role for role in SEES.roles if role is not Role.OPERATOR), form=True)
    return [
        PageRoute("/bulk/requests", decide_many, access=answers, methods=["POST"], name="bulk_requests"),
        PageRoute("/bulk/runs", change_many, access=operates, methods=["POST"], name="bulk_runs"),
        PageRoute("/bulk/compare", compare_picked, access=looks, methods=["POST"], name="bulk_compare"),
        PageRoute("/compare", show_comparison, access=sees, name="compare_page"),
    ]
