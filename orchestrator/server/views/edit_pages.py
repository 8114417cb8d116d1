"""Routes of the editor: the text of a flow file, checked while it is written, compared before it is saved."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from orchestrator.server.access import Role, identity_of, need
from orchestrator.server.api_flows import check, read_source, save
from orchestrator.server.api_runs import desk_of
from orchestrator.server.desk import Desk
from orchestrator.server.pages import PageRoute, render
from orchestrator.server.problems import Refused
from orchestrator.server.views.diffing import diff_texts
from orchestrator.server.views.edit_view import palette_of, words_of
from orchestrator.server.views.flow_pages import base_of
from orchestrator.server.views.pictures import picture

Json = Any  # plain JSON
SEES = need(Role.VIEWER, Role.STARTER, Role.EDITOR)


async def show_editor(request: Request) -> Response:
    """The text of a flow with its findings and its picture."""
    source = read_source(desk_of(request), request.path_params["name"])
    said = "Saved. New runs take this version; open ones keep theirs." if "saved" in request.query_params else ""
    return await _editor(request, source, source["text"], said=said)


async def post_editor(request: Request) -> Response:
    """Check the text, compare it with the file, or save it."""
    desk, name = desk_of(request), request.path_params["name"]
    source = read_source(desk, name)
    form = await request.form(max_files=0, max_fields=20)
    text = _normal(str(form.get("text") or ""), source["text"])
    known = str(form.get("digest") or "")
    match str(form.get("do") or ""):
        case "save":
            try:
                _check_editor(request)
                await save(desk, name, text, known)
            except Refused as problem:
                return await _review(request, source, text, known, problem)
            return RedirectResponse(f"{base_of(request)}/flows/{quote(name, safe='')}/edit?saved=1", 303)
        case "review":
            return await _review(request, source, text, known)
    return await _editor(request, source | {"digest": known or source["digest"]}, text)


def _check_editor(request: Request) -> None:
    identity = identity_of(request)
    if not identity.may(Role.EDITOR):
        raise Refused(
            403, "auth.role", f"{identity.user} may not do this; it needs the role editor", "ask an operator for it"
        )


def _normal(text: str, before: str) -> str:
    """The text with the line ends of the file: browsers send their own."""
    plain = text.replace("\r\n", "\n")
    return plain.replace("\n", "\r\n") if "\r\n" in before else plain


async def _editor(request: Request, source: dict[str, str], text: str, *, said: str = "") -> Response:
    desk = desk_of(request)
    found = await check(desk, text, source["file"])
    served = desk.shelf.find(source["name"])
    may_save = desk.settings.allows_edit and identity_of(request).may(Role.EDITOR)
    return render(
        request,
        "edit.html",
        source=source | {"text": text},
        is_changed=text != read_source(desk, source["name"])["text"],
        findings=found["diagnostics"],
        is_ok=found["is_ok"],
        svg=await picture(served.ir) if served.ir is not None else "",
        palette=palette_of(_infos(desk)),
        may_save=may_save,
        why_not=_why_not(desk, may_save),
        said=said,
    )


def _why_not(desk: Desk, may_save: bool) -> str:
    if may_save:
        return ""
    if not desk.settings.allows_edit:
        return "Read-only: the server was started without --allow-edit. You can still try changes; they are checked, not saved."
    return "Read-only: saving needs the role editor. You can still try changes; they are checked, not saved."


def _infos(desk: Desk) -> list[Json]:
    if desk.project is None:
        return []
    catalog = desk.project.catalog
    return [info.to_json() for name in catalog.names() if (info := catalog.get(name)) is not None]


async def _review(
    request: Request, source: dict[str, str], text: str, known: str, problem: Refused | None = None
) -> Response:
    desk = desk_of(request)
    found = await check(desk, text, source["file"])
    is_stale = known != source["digest"]
    return render(
        request,
        "review.html",
        status=problem.status if problem is not None else 200,
        source=source,
        text=text,
        known=known,
        diff=diff_texts(source["text"], text),
        findings=found["diagnostics"],
        is_ok=found["is_ok"],
        is_stale=is_stale,
        may_save=desk.settings.allows_edit and identity_of(request).may(Role.EDITOR) and not is_stale,
        problem=None if problem is None else {"message": problem.message, "help": problem.help},
    )


async def show_words(request: Request) -> Response:
    """What can be completed in a flow."""
    desk = desk_of(request)
    served = desk.shelf.find(request.path_params["name"])
    return JSONResponse(words_of(served.ir, _infos(desk)))


def routes() -> list[PageRoute]:
    """The routes of these pages."""
    one = "/flows/{name}/edit"
    tries = need(Role.EDITOR, Role.VIEWER, form=True)  # saving asks for the role editor by itself
    return [
        PageRoute(one, show_editor, access=SEES, name="edit_page"),
        PageRoute(one, post_editor, access=tries, methods=["POST"], name="edit_form"),
        PageRoute("/flows/{name}/words", show_words, access=SEES, name="edit_words"),
    ]
