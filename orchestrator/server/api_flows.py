"""REST: the workflows that are served; their schemas, pictures and texts; checking a text without saving it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from orchestrator.draw.overlay import RunPath
from orchestrator.ir.model import FlowIR
from orchestrator.server import models as m
from orchestrator.server.access import Role as R
from orchestrator.server.access import need
from orchestrator.server.api_runs import desk_of
from orchestrator.server.desk import Desk
from orchestrator.server.endpoints import Operation, Param
from orchestrator.server.problems import Refused
from orchestrator.server.reading import query_int, query_list, read_body
from orchestrator.server.shelf import Served, finding_view, relative

Json = Any  # plain JSON
FORMS = ("svg", "mermaid", "dot", "json")
SVG_CSP = "default-src 'none'; style-src 'unsafe-inline'; sandbox"


def flow_view(desk: Desk, served: Served) -> dict[str, Json]:
    """A workflow with its schemas and findings."""
    root = desk.root
    ir = served.ir
    return served.to_json(root) | {
        "inputs": served.input_schema,
        "outputs": served.output_schema,
        "secrets": list(ir.secrets) if ir is not None else [],
        "findings": [finding_view(d, root) for d in served.findings],
        "events": event_views(ir) if ir is not None else [],
    }


def event_views(ir: FlowIR) -> list[Json]:
    """The events of a workflow, with what may be sent from outside marked."""
    return [
        {
            "name": e.name,
            "kind": e.kind,
            "schema": e.schema,
            "external": e.external or e.kind == "answer",
            "description": e.description,
        }
        for e in ir.events.values()
    ]


async def list_flows(request: Request) -> Response:
    """Every workflow that is served, those with errors too."""
    desk = desk_of(request)
    root = desk.root
    return JSONResponse({"flows": [served.to_json(root) for served in desk.shelf]})


async def show_flow(request: Request) -> Response:
    """One workflow with its schemas and findings."""
    desk = desk_of(request)
    return JSONResponse(flow_view(desk, desk.shelf.find(request.path_params["name"])))


async def flow_schema(request: Request) -> Response:
    """JSON Schemas of what starts it, what it gives and its events."""
    served = desk_of(request).shelf.find(request.path_params["name"])
    events = {e.name: e.schema for e in served.ir.events.values()} if served.ir is not None else {}
    return JSONResponse({"inputs": served.input_schema, "outputs": served.output_schema, "events": events})


async def flow_graph(request: Request) -> Response:
    """The picture of a workflow, or with `run` of what that run did; as SVG, Mermaid, DOT or the graph as JSON."""
    desk = desk_of(request)
    served = desk.shelf.find(request.path_params["name"])
    form = (query_list(request, "format", FORMS) or ("svg",))[0]
    if served.ir is None:
        raise Refused(
            422,
            "flow.errors",
            f"`{served.name}` cannot be read, so it cannot be drawn",
            details=[finding_view(d, desk.root) for d in served.findings],
        )
    return await draw(served.ir, form)


async def run_graph(request: Request) -> Response:
    """The picture of a run's flow with the way it took, now or until the entry `at` of its log."""
    desk, run_id = desk_of(request), request.path_params["run_id"]
    form = (query_list(request, "format", FORMS) or ("svg",))[0]
    at = query_int(request, "at", -1, low=-1, high=2**53)
    book = await desk.book_of(run_id)
    ir, path = await book.path(run_id, None if at < 0 else at)
    if form == "json":
        return JSONResponse(await asyncio.to_thread(graph_json, ir) | {"path": path_view(path)})
    return await draw(ir, form, path)


def path_view(path: RunPath) -> Json:
    """The way a run took: how its steps stand, and how often each edge was taken."""
    return {
        "steps": {name: {"state": visit.state.value, "count": visit.count} for name, visit in path.steps.items()},
        "edges": [
            {"source": source, "event": event, "target": target, "count": count}
            for (source, event, target), count in path.edges.items()
        ],
    }


async def draw(ir: FlowIR, form: str, path: Any = None) -> Response:
    """A flow in one of `FORMS`; `path` is a RunPath. Laid out in a thread."""
    if form == "json":
        return JSONResponse(await asyncio.to_thread(graph_json, ir))
    text = await asyncio.to_thread(_text, ir, form, path)
    if form == "svg":
        return Response(text, media_type="image/svg+xml", headers={"Content-Security-Policy": SVG_CSP})
    return Response(text, media_type="text/plain; charset=utf-8")


def _text(ir: FlowIR, form: str, path: Any) -> str:
    match form:
        case "mermaid":
            from orchestrator.draw.mermaid import to_mermaid

            return to_mermaid(ir, path)
        case "dot":
            from orchestrator.draw.dot import to_dot

            return to_dot(ir, path)
    from orchestrator.draw.svg import to_svg

    return to_svg(ir, path)


def graph_json(ir: FlowIR) -> Json:
    """Nodes, edges and groups of a flow's graph."""
    from orchestrator.draw.graph import graph_of

    graph = graph_of(ir)
    return {
        "name": graph.name,
        "title": graph.title,
        "description": graph.description,
        "nodes": [
            {
                "id": n.id,
                "kind": n.kind.value,
                "title": n.title,
                "detail": n.detail,
                "step": n.step,
                "badges": [{"kind": b.kind, "text": b.text} for b in n.badges],
                "accepts": list(n.accepts),
                "emits": list(n.emits),
            }
            for n in graph.nodes
        ],
        "edges": [
            {
                "id": e.id,
                "source": e.source,
                "target": e.target,
                "event": e.event,
                "label": e.label,
                "condition": e.condition,
                "kind": e.kind.value,
                "is_back": e.is_back,
            }
            for e in graph.edges
        ],
        "groups": [{"id": g.id, "kind": g.kind, "title": g.title, "nodes": list(g.nodes)} for g in graph.groups],
    }


async def check_text(request: Request) -> Response:
    """The findings of a text that is not saved; it is never run."""
    desk = desk_of(request)
    body = await read_body(request, m.CheckText)
    return JSONResponse(await check(desk, body.text, body.file, draws=body.graph))


async def check(desk: Desk, text: str, file: str, *, draws: bool = False) -> dict[str, Json]:
    """Check the text of a flow file as if it stood at `file` in the project. Raises: Refused for a place outside of it."""
    project = desk.project
    if project is None:
        raise Refused(
            404,
            "no_project",
            "this server serves no flow files",
            "start it with `orchestrator dev` or `serve` in a project",
        )
    place = _inside(project.root, file)
    compiled = await asyncio.to_thread(project.compile_bytes, text.encode("utf-8", "surrogatepass"), place)
    found = [finding_view(d, project.root) for d in compiled.diagnostics]
    svg = None
    if draws and compiled.flow is not None:
        from orchestrator.draw.cards import drawing_of
        from orchestrator.draw.graph import graph_of
        from orchestrator.draw.svg import svg_element

        flow = compiled.flow
        svg = await asyncio.to_thread(lambda: svg_element(drawing_of(graph_of(flow)), style=""))
    return {
        "is_ok": compiled.is_ok,
        "name": compiled.flow.name if compiled.flow is not None else None,
        "diagnostics": found,
        "svg": svg,
    }


def _inside(root: Path, file: str) -> Path:
    place = (root / file.replace("\0", "")).resolve()
    if "\0" in file or not place.is_relative_to(root.resolve()) or not place.name.endswith((".flow.yaml", ".flow.yml")):
        raise Refused(422, "file.place", "`file` must name a .flow.yaml file inside the project")
    return place


def read_source(desk: Desk, name: str) -> dict[str, str]:
    """The text of a flow file with the digest that saving needs. Raises: Refused 404."""
    served = desk.shelf.find(name)
    if served.file is None or desk.project is None:
        raise Refused(404, "flow.no_file", f"`{name}` is no flow file of this project")
    data = served.file.read_bytes()
    file = relative(str(served.file), desk.project.root)
    return {"name": name, "file": file, "text": data.decode("utf-8", "replace"), "digest": digest(data)}


def digest(data: bytes) -> str:
    """A short name of a file's content."""
    return hashlib.sha256(data).hexdigest()[:32]


async def show_source(request: Request) -> Response:
    """The text of a flow file."""
    return JSONResponse(read_source(desk_of(request), request.path_params["name"]))


async def save_source(request: Request) -> Response:
    """Write a flow file, if it is still what was read."""
    body = await read_body(request, m.SaveSource)
    return JSONResponse(await save(desk_of(request), request.path_params["name"], body.text, body.digest))


_NAME = re.compile(r"""^flow[ \t]*:[ \t]*["']?([^\s"'#]+)""", re.MULTILINE)


async def save(desk: Desk, name: str, text: str, known: str) -> dict[str, str]:
    """Write a flow file, whole or not at all. Raises: Refused 403 where editing is off, 409 if the file has changed."""
    if not desk.settings.allows_edit:
        raise Refused(
            403,
            "edit.off",
            "this server does not save flows",
            "start it with --allow-edit, or edit the file where it is kept",
        )
    source = read_source(desk, name)
    if source["digest"] != known:
        raise Refused(
            409,
            "edit.conflict",
            "the file was changed by somebody else since you opened it",
            "load it again and repeat your change",
        )
    written = _NAME.search(text)
    if written is None or written[1] != name or "\0" in text:
        raise Refused(
            422,
            "edit.name",
            f"the text must begin with `flow: {name}`, the name that runs and links go by",
            "to rename a flow, rename it in its file; to make another one, make another file",
        )
    served = desk.shelf.find(name)
    assert served.file is not None
    data = text.encode("utf-8")
    await asyncio.to_thread(_write_whole, served.file, data)
    await desk.rescan()
    return {"name": name, "file": source["file"], "text": text, "digest": digest(data)}


def _write_whole(file: Path, data: bytes) -> None:
    """Write a file, whole or not at all. Raises: Refused."""
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=".saving-")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        os.chmod(temporary, file.stat().st_mode & 0o777)
        os.replace(temporary, file)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise Refused(500, "edit.failed", f"the file cannot be written: {error.strerror}") from error


SEES = need(R.VIEWER, R.STARTER, R.EDITOR)
EDITS = need(R.EDITOR)
_FORMAT = Param("format", "svg, mermaid, dot or json", {"enum": list(FORMS), "default": "svg"})

OPERATIONS = (
    Operation("GET", "/api/flows", list_flows, SEES, "List workflows", "flows", None, m.FlowsAnswer),
    Operation(
        "POST", "/api/check", check_text, need(R.EDITOR, R.VIEWER), "Check a text", "flows", m.CheckText, m.CheckAnswer
    ),
    Operation(
        "GET",
        "/api/flows/{name}",
        show_flow,
        SEES,
        "Show a workflow",
        "flows",
        None,
        m.FlowDetailAnswer,
        problems=(404,),
    ),
    Operation(
        "GET",
        "/api/flows/{name}/schema",
        flow_schema,
        SEES,
        "JSON Schemas of a workflow",
        "flows",
        None,
        m.SchemaAnswer,
        problems=(404,),
    ),
    Operation(
        "GET",
        "/api/flows/{name}/graph",
        flow_graph,
        SEES,
        "Draw a workflow",
        "flows",
        None,
        "image/svg+xml",
        params=(_FORMAT,),
        problems=(404,),
    ),
    Operation(
        "GET",
        "/api/flows/{name}/source",
        show_source,
        SEES,
        "The text of a flow file",
        "flows",
        None,
        m.SourceAnswer,
        problems=(404,),
    ),
    Operation(
        "PUT",
        "/api/flows/{name}/source",
        save_source,
        EDITS,
        "Save a flow file",
        "flows",
        m.SaveSource,
        m.SourceAnswer,
        problems=(404, 409),
    ),
    Operation(
        "GET",
        "/api/runs/{run_id}/graph",
        run_graph,
        SEES,
        "Draw a run: its flow with the way it took",
        "runs",
        None,
        "image/svg+xml",
        params=(_FORMAT, Param("at", "Until this entry of the log", {"type": "integer"})),
        problems=(404,),
    ),
)
