"""What tests of the server share: a project in a folder, its app, and clients of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.testclient import TestClient

from orchestrator.authoring.project import Project
from orchestrator.server.access import Role
from orchestrator.server.accounts import Accounts
from orchestrator.server.app import create_app
from orchestrator.server.desk import Desk, ServerSettings

REVIEW = """
flow: review
description: Somebody looks at a text.
inputs:
  title: str
  body: str
outputs:
  verdict: str
steps:
  look:
    on: Start
    ask:
      title: Publish "${{ inputs.title }}"?
      show:
        body: ${{ inputs.body }}
      edit: body
      form:
        verdict: approve | reject
        note: str | null
      to: {users: [kim, lee]}
      delegate: true
    emit:
      approve: publish
      reject: drop
  publish:
    emit:
      event: Stop
      with: {verdict: approved}
  drop:
    emit:
      event: Stop
      with: {verdict: rejected}
"""
ECHO = """
flow: echo
inputs:
  text: str
outputs:
  text: str
steps:
  shout:
    on: Start
    emit:
      event: Stop
      with: {text: "${{ inputs.text | upper }}"}
"""
WAITS = """
flow: waits
inputs:
  order: str
outputs:
  by: str
events:
  Paid:
    external: true
    fields: {order: str, by: str}
steps:
  hold:
    on: Start
    wait:
      event: Paid
      match: {order: "${{ inputs.order }}"}
      within: 3d
    emit:
      event: Stop
      with: {by: "${{ result.by }}"}
  late:
    on: hold.timeout
    emit:
      event: Stop
      with: {by: nobody}
"""
BROKEN = """
flow: broken
steps:
  one:
    on: Strat
    emit: Stop
"""
FLOWS = {"review": REVIEW, "echo": ECHO, "waits": WAITS}


def write_flows(folder: Path, **flows: str) -> Path:
    """A project of these flows, by file name."""
    (folder / "orchestrator.toml").write_text("", "utf-8")
    for name, text in (flows or FLOWS).items():
        (folder / f"{name}.flow.yaml").write_text(text.lstrip(), "utf-8")
    return folder


def make_desk(folder: Path, *, accounts: Accounts | None = None, **settings: Any) -> Desk:
    """The desk of a project; open unless accounts are given."""
    project = Project.open(folder)
    chosen = ServerSettings(**{"is_open": accounts is None, **settings})
    return Desk(project=project, accounts=accounts, settings=chosen)


@contextmanager
def client_of(app: Starlette, **headers: str) -> Iterator[TestClient]:
    """A client in this process, while the app runs."""
    with TestClient(app, base_url="http://127.0.0.1", headers=headers, raise_server_exceptions=False) as client:
        yield client


@contextmanager
def open_client(folder: Path) -> Iterator[TestClient]:
    """A client of an open server over the standard flows."""
    with client_of(create_app(desk=make_desk(write_flows(folder)))) as client:
        yield client


def people() -> tuple[Accounts, Callable[[str], dict[str, str]]]:
    """Accounts with one user per role, named like it, beside kim, lee and noa; and the headers by which each signs in."""
    accounts = Accounts()
    keys: dict[str, str] = {}
    for role in Role:
        accounts.add_user(str(role), roles=[role])
        keys[role] = accounts.add_key(str(role))[0]
    for name, groups in (("kim", ["editors"]), ("lee", ["editors", "legal"]), ("noa", [])):
        accounts.add_user(name, roles=[Role.APPROVER], groups=groups)
        keys[name] = accounts.add_key(name)[0]
    return accounts, lambda name: {"Authorization": f"Bearer {keys[name]}"}


def start(client: TestClient, flow: str, **inputs: Any) -> str:
    """Start a run; gives its id."""
    answer = client.post(f"/api/flows/{flow}/runs", json={"inputs": inputs})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["run_id"])


def wait_for(client: TestClient, run_id: str, *statuses: str) -> dict[str, Any]:
    """The run, once it has one of these statuses: its log is followed until it waits or has ended."""
    for _ in range(200):
        run: dict[str, Any] = client.get(f"/api/runs/{run_id}").json()
        if run["status"] in statuses:
            return run
        in_loop(client, asyncio.sleep, 0.01)  # a turn of the server's loop
    raise AssertionError(f"run {run_id} is {run['status']}, not {statuses}")


def in_loop(client: TestClient, call: Callable[..., Any], *args: Any) -> Any:
    """Call something in the loop of the app; a coroutine is awaited."""
    portal: Any = client.portal
    return portal.call(call, *args)


def desk_of(client: TestClient) -> Desk:
    """The insides of the app that a client talks to."""
    app: Any = client.app
    desk: Desk = app.state.desk
    return desk


def open_request(client: TestClient, run_id: str) -> dict[str, Any]:
    """The first open request of a run, once it is there."""
    wait_for(client, run_id, "waiting")
    rows = [row for row in client.get("/api/requests").json()["requests"] if row["run_id"] == run_id]
    found: dict[str, Any] = client.get(f"/api/requests/{rows[0]['id']}").json()
    return found


@asynccontextmanager
async def async_client(url: str, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    """A real client of a real server."""
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=20, trust_env=False) as client:
        yield client


async def sse_events(response: httpx.Response) -> AsyncIterator[tuple[str | None, str, Any]]:
    """(id, event, data) of a stream of server-sent events."""
    number, kind = None, "message"
    async for line in response.aiter_lines():
        if line.startswith("id: "):
            number = line[4:]
        elif line.startswith("event: "):
            kind = line[7:]
        elif line.startswith("data: "):
            yield number, kind, json.loads(line[6:])
            kind = "message"
