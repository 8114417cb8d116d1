"""Routes of the inbox, of decisions, and of decisions by signed link. GET shows, POST decides; no script is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from orchestrator.errors import OrchestratorError, RunFinished
from orchestrator.plugin.schema_check import compile_schema
from orchestrator.runtime.answering import AnswerRefused
from orchestrator.server.access import Identity, Role, identity_of, need, public
from orchestrator.server.api_requests import named_request
from orchestrator.server.api_runs import desk_of
from orchestrator.server.book import Reply, RequestRow
from orchestrator.server.desk import Desk
from orchestrator.server.links import decide, person_of, read_link, request_of
from orchestrator.server.pages import PageRoute, render
from orchestrator.server.problems import Refused, refused_by
from orchestrator.server.request_desk import (
    SCOPES,
    act,
    find_request,
    is_for_groups,
    is_for_person,
    may_answer,
    request_detail,
    request_view,
    sees,
)
from orchestrator.server.views.ballots import recount, refusal_for
from orchestrator.server.views.decision_view import Attempt, decision_view, text_mark
from orchestrator.server.views.filter_pages import kept_filters
from orchestrator.server.views.forms import Filled, errors_of, read_form
from orchestrator.server.views.inbox_view import inbox_view
from orchestrator.server.views.wording import plural

MOST = 5_000
SAID = {
    "answered": "Your answer is recorded.",
    "many": "Your answers are recorded.",
    "claimed": "You have claimed this request; others see that.",
    "released": "The claim is given back.",
    "delegated": "The request is passed on.",
    "edited": "The correction is saved as a new revision.",
}
LOOKS = need(Role.APPROVER, Role.VIEWER)


async def show_inbox(request: Request) -> Response:
    """The list of requests of a scope."""
    return await inbox_page(request, scope=request.query_params.get("scope", ""))


async def inbox_page(
    request: Request, *, scope: str, problems: Sequence[str] = (), done: int = 0, status: int = 200
) -> Response:
    """The list again, with what was refused of several answers and how many were recorded."""
    desk, person = desk_of(request), identity_of(request)
    open_rows = [row for row in await desk.requests("open", MOST) if sees(desk, row, person)]
    mine = [row for row in open_rows if is_for_person(row, person.user)]
    groups = [row for row in open_rows if is_for_groups(row, person.user, desk.groups_for(person, row))]
    if scope not in SCOPES:
        scope = "me" if mine else "groups" if groups or not person.may(Role.VIEWER) else "all" if open_rows else "me"
    rows = {"me": mine, "groups": groups, "all": open_rows, "done": []}[scope]
    if scope == "done":
        rows = [row for row in await desk.requests(None, MOST) if sees(desk, row, person)]
    view = inbox_view(
        rows,
        {row.id: request_view(desk, row, person) for row in rows},
        scope=scope,
        counts={"me": len(mine), "groups": len(groups), "all": len(open_rows)},
        query=dict(request.query_params),
        user=person.user,
        now=desk.clock.now(),
        base=request.scope.get("root_path", ""),
    )
    for line in view["rows"]:
        line["by"] = await _starter(desk, line["run_id"])
    said = SAID.get(request.query_params.get("done", ""), "")
    if problems and done:
        said = f"{plural(done, 'answer')} recorded."
    kept = kept_filters(request, "inbox")
    return render(request, "inbox.html", status=status, inbox=view, said=said, problems=list(problems), kept=kept)


async def _starter(desk: Desk, run_id: str) -> str:
    """Who started the run that asks; nobody is known for one that a trigger or another program started."""
    try:
        return await (await desk.book_of(run_id)).started_by(run_id)
    except OrchestratorError:
        return ""


async def count_inbox(request: Request) -> Response:
    """How many requests somebody could answer now."""
    desk, person = desk_of(request), identity_of(request)
    rows = await desk.requests("open", MOST)
    return JSONResponse({"count": sum(may_answer(desk, row, person) for row in rows)})


async def show_decision(request: Request) -> Response:
    """One request."""
    desk, person = desk_of(request), identity_of(request)
    row = await find_request(desk, person, *named_request(request))
    return await _decision_page(request, row, person, said=SAID.get(request.query_params.get("done", ""), ""))


async def post_decision(request: Request) -> Response:
    """Act on a request as its form says; a refused answer shows the form again, filled."""
    desk, person = desk_of(request), identity_of(request)
    row = await find_request(desk, person, *named_request(request))
    form = await request.form(max_files=0, max_fields=500)
    submitted = _Submitted(desk, row, person, form)
    problem = await submitted.carry_out()
    if problem is None:
        base = request.scope.get("root_path", "")
        place = "" if row.kind == "question" else f"/{row.id}"  # an answered question leaves nothing to look at
        return RedirectResponse(f"{base}/inbox{place}?done={submitted.done}", 303)
    row = await find_request(desk, person, row.run_id, row.request_id)
    return await _decision_page(request, row, person, attempt=submitted.attempt(problem), status=problem.status)


async def _decision_page(
    request: Request,
    row: RequestRow,
    person: Identity,
    *,
    said: str = "",
    attempt: Attempt | None = None,
    status: int = 200,
) -> Response:
    desk = desk_of(request)
    view = await _view(desk, row, person, attempt, request, may_act=person.may(Role.APPROVER))
    return render(request, "decision.html", status=status, decision=view, said=said)


async def _view(
    desk: Desk, row: RequestRow, person: Identity, attempt: Attempt | None, request: Request, *, may_act: bool
) -> Any:
    text = request.query_params.get("page", "")
    return decision_view(
        row,
        request_detail(desk, row, person),
        user=person.user,
        groups=desk.groups_for(person, row),
        now=desk.clock.now(),
        may_act=may_act,
        closed=await desk.requests(None, MOST),
        attempt=attempt,
        page=int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 1,
        base=request.scope.get("root_path", ""),
    )


class _Submitted:
    """What a browser sent for a request, and carrying it out."""

    def __init__(self, desk: Desk, row: RequestRow, person: Identity, form: FormData) -> None:
        self.desk, self.row, self.person, self.form = desk, row, person, form
        self.done = "answered"
        self.others: list[str] = []
        self.item_errors: dict[int, str] = {}
        self.field = row.data.get("verdict_field") or ""
        self.filled = read_form(row.data.get("form"), form, skip=[self.field] if self.field else [])
        self.items: dict[int, Filled] = {}

    async def carry_out(self) -> Refused | None:
        """Do it; gives why it was refused, if it was."""
        word, _, verdict = _text(self.form, "do").partition(":")
        try:
            match word:
                case "verdict" | "answer" | "all":
                    await self._answer(verdict, is_for_all=word == "all")
                case "items":
                    await self._answer_items()
                case "claim" | "release":
                    self.done = "claimed" if word == "claim" else "released"
                    await self._act(word)
                case "delegate":
                    self.done = "delegated"
                    await self._delegate()
                case "edit":
                    self.done = "edited"
                    await self._edit()
                case _:
                    raise Refused(422, "request.form", "Choose one of the buttons of the page.")
        except Refused as problem:
            return problem
        except (AnswerRefused, RunFinished) as error:
            return refused_by(error)
        return None

    def attempt(self, problem: Refused) -> Attempt:
        """The refused answer, for the page that shows it again."""
        return {
            "message": f"Not taken: {problem.message}" if problem.message[:1].islower() else problem.message,
            "filled": self.filled,
            "items": self.items,
            "item_errors": self.item_errors,
            "text": _text(self.form, "text") if self._has_new_text() else None,
            "others": self.others,
            "to": _text(self.form, "to"),
        }

    def _revision(self) -> int | None:
        text = _text(self.form, "revision")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None

    async def _act(
        self,
        action: str,
        values: Mapping[str, Any] | None = None,  # plain JSON
        revision: int | None = None,
        item: int | None = None,
    ) -> None:
        groups = self.desk.groups_for(self.person, self.row)
        reply = Reply(self.row.request_id, self.person.user, groups, action, dict(values or {}), revision, item)
        await act(self.desk, self.row, self.person, reply)

    async def _answer(self, verdict: str, *, is_for_all: bool) -> None:
        values = dict(self.filled.values)
        if self.field:
            values[self.field] = verdict
        self._check(values, self.filled)
        revision = self._revision()
        if self._has_new_text() and not is_for_all:
            await self._act("edit", {"text": _text(self.form, "text")}, revision)
            revision = revision + 1 if revision is not None else None
        if not is_for_all:
            await self._act("answer", values, revision)
            return
        request, groups = recount(self.row), self.desk.groups_for(self.person, self.row)
        if refusal_for(request, self.person.user, groups) is None:
            await self._act("answer", values, revision)
            return
        mine = [n for n in range(len(request.ballots)) if refusal_for(request, self.person.user, groups, n) is None]
        for number in mine:
            await self._act("answer", values, revision, number)
        if not mine:
            await self._act("answer", values, revision)  # refused, with the reason

    async def _answer_items(self) -> None:
        """Answer the items that have a verdict, each by itself; those before a refused one are recorded."""
        chosen: list[tuple[int, dict[str, Any]]] = []
        for number in range(len(self.row.data.get("items") or ())):
            filled = read_form(
                self.row.data.get("form"), self.form, prefix=f"i{number}", skip=[self.field] if self.field else []
            )
            verdict = _text(self.form, f"i{number}.verdict")
            values = dict(filled.values) | ({self.field: verdict} if self.field and verdict else {})
            if not (verdict if self.field else filled.values):
                continue
            self.items[number] = Filled(values, filled.errors)
            by_field, others = self._problems(values, filled)
            if by_field or others:
                self.items[number] = Filled(values, by_field)
                self.item_errors[number] = "; ".join(others) or "Something is missing or wrong here."
            chosen.append((number, values))
        if self.item_errors:
            raise Refused(422, "request.form", "Some answers do not fit the form; they are marked.")
        if not chosen:
            raise Refused(422, "request.form", "Choose an answer for at least one item.")
        revision = self._revision()
        for done, (number, values) in enumerate(chosen):
            try:
                await self._act("answer", values, revision, number)
            except AnswerRefused as error:
                self.item_errors[number] = error.message
                if done:
                    self.others.append(f"{done} of {len(chosen)} answers were recorded before that.")
                raise
            self.items.pop(number)

    def _problems(self, values: Mapping[str, Any], filled: Filled) -> tuple[dict[str, str], list[str]]:
        schema = self.row.data.get("form") or {}
        found, others = errors_of(compile_schema(schema).problems(dict(values)))
        return {**found, **filled.errors}, others

    def _check(self, values: Mapping[str, Any], filled: Filled) -> None:
        by_field, self.others = self._problems(values, filled)
        if by_field or self.others:
            self.filled = Filled(filled.values, by_field)
            raise Refused(422, "request.form", "The answer does not fit the form.")

    def _has_new_text(self) -> bool:
        """Whether the text was changed in this form, whatever others have made of it meanwhile."""
        if "had_text" not in self.form or not self.row.data.get("edit"):
            return False
        return text_mark(_text(self.form, "text")) != _text(self.form, "had_text")

    async def _edit(self) -> None:
        if not self._has_new_text():
            raise Refused(422, "request.edit", "The text is as it was; change it first.")
        await self._act("edit", {"text": _text(self.form, "text")}, self._revision())

    async def _delegate(self) -> None:
        to = _text(self.form, "to").strip()
        if not to:
            raise Refused(422, "request.form", "Say to whom it is passed on.")
        await self._act("delegate", {"to": to})


def _text(form: FormData, name: str) -> str:
    value = form.get(name)
    return value.replace("\r\n", "\n") if isinstance(value, str) else ""


async def show_link(request: Request) -> Response:
    """What a signed link is about, and nothing of the run around it."""
    return await _link_page(request, None, 200)


async def post_link(request: Request) -> Response:
    """Decide with a link, once."""
    desk = desk_of(request)
    link = read_link(desk, request.path_params["token"])
    row, person = await request_of(desk, link), person_of(desk, link)
    form = await request.form(max_files=0, max_fields=500)
    submitted = _Submitted(desk, row, person, form)
    _, _, verdict = _text(form, "do").partition(":")
    try:
        values = dict(submitted.filled.values) | ({submitted.field: verdict} if submitted.field else {})
        submitted._check(values, submitted.filled)
        await decide(desk, link, values, None)
    except (Refused, OrchestratorError) as error:
        problem = error if isinstance(error, Refused) else refused_by(error)
        return await _link_page(request, submitted.attempt(problem), problem.status)
    base = request.scope.get("root_path", "")
    return RedirectResponse(f"{base}/d/{request.path_params['token']}?done=answered", 303)


async def _link_page(request: Request, attempt: Attempt | None, status: int) -> Response:
    desk = desk_of(request)
    link = read_link(desk, request.path_params["token"])
    row, person = await request_of(desk, link), person_of(desk, link)
    is_used = desk.accounts.is_link_used(link.nonce)
    view = await _view(desk, row, person, attempt, request, may_act=not is_used)
    if link.verdicts:
        view["verdicts"] = [v for v in view["verdicts"] if v["verdict"] in link.verdicts]
    if is_used and view["is_open"]:
        view["why_not"] = "This link has been used; the answer is recorded and the request waits for others."
    elif row.revision != link.revision and view["can_answer"]:
        view["can_answer"] = False
        view["why_not"] = "The text was corrected after this link was sent. Ask for a new link, or sign in to decide."
    base = request.scope.get("root_path", "")
    here = f"{base}/d/{request.path_params['token']}"
    said = SAID.get(request.query_params.get("done", ""), "") if is_used else ""
    return render(request, "link.html", status=status, decision=view, said=said, here=here, person=link.person)


def routes() -> list[PageRoute]:
    """The routes of these pages."""
    acts = need(Role.APPROVER, form=True)
    return [
        PageRoute("/inbox", show_inbox, access=LOOKS, name="inbox"),
        PageRoute("/inbox/count", count_inbox, access=LOOKS, name="inbox_count"),
        PageRoute("/inbox/{id}", show_decision, access=LOOKS, name="decision"),
        PageRoute("/inbox/{id}", post_decision, access=acts, methods=["POST"], name="decide"),
        PageRoute("/d/{token}", show_link, access=public(rate="link"), name="link"),
        PageRoute("/d/{token}", post_link, access=public(rate="link"), methods=["POST"], name="decide_link"),
    ]
