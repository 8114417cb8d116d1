"""Who may do what: every route is walked over, by everybody."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from orchestrator.errors import UsageError
from orchestrator.server.access import GuardedRoute, Role, checked_routes
from orchestrator.server.app import OPERATIONS, create_app
from orchestrator.server.llama_adapter import Adapter
from tests.server.kit import client_of, make_desk, people, start, wait_for, write_flows

PUBLIC = {
    "/api/session",
    "/api/health",
    "/api/ready",
    "/api/openapi.json",
    "/api/links/{token}",
    "/hooks/{path:path}",
    "/static/{path:path}",
    "/health",
}


def all_routes(tmp_path: Path) -> list[GuardedRoute]:
    desk = make_desk(tmp_path)
    routes = create_app(desk=desk, more=Adapter(desk).routes()).routes
    return [route for route in routes if isinstance(route, GuardedRoute)]


def cases(routes: list[GuardedRoute]) -> list[tuple[GuardedRoute, str, str]]:
    filled = []
    for route in routes:
        path = route.path
        for name in route.param_convertors:
            path = path.replace(f"{{{name}:path}}", "x").replace(f"{{{name}}}", "x")
        filled += [(route, method, path) for method in sorted((route.methods or set()) - {"HEAD"})]
    return filled


def test_every_route_says_who_may_use_it_and_few_are_public(tmp_path: Path) -> None:
    app = create_app(desk=make_desk(tmp_path))
    assert all(isinstance(route, GuardedRoute) for route in app.routes)
    public = {route.path for route in all_routes(tmp_path) if route.access.is_public}
    assert public <= PUBLIC | {"/sign-in", "/sign-in/oidc", "/sign-in/oidc/callback", "/d/{token}"}, public - PUBLIC


def test_a_route_that_says_nothing_is_refused() -> None:
    async def bare(request: Request) -> Response:
        return Response()

    with pytest.raises(UsageError, match="does not say who may use it"):
        checked_routes([Route("/bare", bare)])


def test_nobody_passes_any_route_that_is_not_public(tmp_path: Path) -> None:
    accounts, _ = people()
    desk = make_desk(write_flows(tmp_path), accounts=accounts)
    app = create_app(desk=desk, more=Adapter(desk).routes())
    with client_of(app) as client:
        guarded = [case for case in cases(all_routes(tmp_path)) if not case[0].access.is_public]
        assert len(guarded) > 50
        for _, method, path in guarded:
            answer = client.request(method, path, follow_redirects=False)
            assert answer.status_code == 401, (method, path, answer.status_code)


@pytest.mark.parametrize("role", list(Role))
def test_a_role_passes_exactly_the_routes_that_name_it(tmp_path: Path, role: Role) -> None:
    accounts, sign = people()
    desk = make_desk(write_flows(tmp_path), accounts=accounts)
    app = create_app(desk=desk, more=Adapter(desk).routes())
    with client_of(app, **sign(role)) as client:
        for route, method, path in cases(all_routes(tmp_path)):
            if route.access.is_public or path == "/api/stream":
                continue
            answer = client.request(method, path, follow_redirects=False)
            is_problem = answer.headers.get("content-type") == "application/problem+json"
            refused = is_problem and answer.json()["code"] in ("auth.role", "auth.needed")
            may = route.access.needs_session or role in route.access.roles
            assert refused != may, (role, method, path, answer.status_code)


def test_operators_pass_everything() -> None:
    assert all(op.access.is_public or op.access.needs_session or Role.OPERATOR in op.access.roles for op in OPERATIONS)


def test_an_unknown_expired_or_revoked_key_is_refused(tmp_path: Path) -> None:
    accounts, sign = people()
    expired, _ = accounts.add_key("viewer", lasts_s=-1)
    revoked, kept = accounts.add_key("viewer")
    accounts.remove_key(kept.id)
    with client_of(create_app(desk=make_desk(write_flows(tmp_path), accounts=accounts))) as client:
        for key in ("orc_x_y", "nonsense", expired, revoked):
            assert client.get("/api/flows", headers={"Authorization": f"Bearer {key}"}).status_code == 401
        assert client.get("/api/flows", headers={"Authorization": "Basic eA=="}).status_code == 401
        assert client.get("/api/flows", headers=sign("viewer")).status_code == 200


def signed_in(client: TestClient, name: str, password: str) -> None:
    answer = client.post("/api/session", json={"name": name, "password": password})
    assert answer.status_code == 200, answer.text


def test_signing_in_opens_a_session_that_signing_out_ends(tmp_path: Path) -> None:
    accounts, _ = people()
    accounts.change_user("viewer", password="a long password")
    with client_of(create_app(desk=make_desk(write_flows(tmp_path), accounts=accounts))) as client:
        assert client.post("/api/session", json={"name": "viewer", "password": "wrong password"}).status_code == 401
        assert client.post("/api/session", json={"name": "nobody", "password": "wrong password"}).status_code == 401
        signed_in(client, "viewer", "a long password")
        me = client.get("/api/me").json()
        assert me["user"] == "viewer" and me["roles"] == ["viewer"]
        token = client.cookies["orchestrator_session"]
        assert client.delete("/api/session", headers={"X-CSRF-Token": me["csrf"]}).status_code == 200
        assert client.get("/api/me", headers={"Cookie": f"orchestrator_session={token}"}).status_code == 401


def test_a_session_changes_nothing_without_the_token_of_its_pages(tmp_path: Path) -> None:
    accounts, _ = people()
    accounts.change_user("starter", password="a long password")
    with client_of(create_app(desk=make_desk(write_flows(tmp_path), accounts=accounts))) as client:
        signed_in(client, "starter", "a long password")
        body = {"inputs": {"text": "x"}}
        assert client.post("/api/flows/echo/runs", json=body).json()["code"] == "csrf"
        assert client.post("/api/flows/echo/runs", json=body, headers={"X-CSRF-Token": "0" * 64}).status_code == 403
        same = client.post("/api/flows/echo/runs", json=body, headers={"Sec-Fetch-Site": "same-origin"})
        assert same.status_code == 201
        token = client.get("/api/me").json()["csrf"]
        assert client.post("/api/flows/echo/runs", json=body, headers={"X-CSRF-Token": token}).status_code == 201


def test_guessing_passwords_is_slowed_down(tmp_path: Path) -> None:
    accounts, _ = people()
    with client_of(create_app(desk=make_desk(write_flows(tmp_path), accounts=accounts))) as client:
        codes = [client.post("/api/session", json={"name": "viewer", "password": "x"}).status_code for _ in range(12)]
        assert codes[:10] == [401] * 10 and codes[10:] == [429, 429]


def test_a_disabled_user_is_out_at_once(tmp_path: Path) -> None:
    accounts, sign = people()
    with client_of(create_app(desk=make_desk(write_flows(tmp_path), accounts=accounts)), **sign("operator")) as client:
        assert client.get("/api/flows", headers=sign("viewer")).status_code == 200
        assert client.patch("/api/users/viewer", json={"is_disabled": True}).status_code == 200
        assert client.get("/api/flows", headers=sign("viewer")).status_code == 401


def test_users_and_keys_are_managed_over_rest(tmp_path: Path) -> None:
    accounts, sign = people()
    with client_of(create_app(desk=make_desk(write_flows(tmp_path), accounts=accounts)), **sign("operator")) as client:
        made = client.post("/api/users", json={"name": "mia", "roles": ["viewer"], "groups": ["editors"]})
        assert made.status_code == 201 and made.json()["groups"] == ["editors"]
        assert client.post("/api/users", json={"name": "mia"}).status_code == 409
        assert client.post("/api/users", json={"name": "bad name"}).status_code == 422
        assert client.post("/api/users", json={"name": "x", "roles": ["king"]}).json()["code"] == "role.unknown"
        key = client.post("/api/keys", json={"user": "mia", "label": "ci"}).json()
        assert client.get("/api/flows", headers={"Authorization": f"Bearer {key['key']}"}).status_code == 200
        assert key["key"] not in client.get("/api/keys").text
        assert client.delete(f"/api/keys/{key['id']}").status_code == 204
        assert client.get("/api/flows", headers={"Authorization": f"Bearer {key['key']}"}).status_code == 401
        assert client.delete("/api/users/mia").status_code == 204 and client.delete("/api/users/mia").status_code == 404


def test_an_approver_sees_only_the_requests_that_concern_them(tmp_path: Path) -> None:
    accounts, sign = people()
    with client_of(create_app(desk=make_desk(write_flows(tmp_path), accounts=accounts)), **sign("operator")) as client:
        run_id = start(client, "review", title="T", body="B")
        wait_for(client, run_id, "waiting")
        seen = {
            who: len(client.get("/api/requests", headers=sign(who)).json()["requests"])
            for who in ("kim", "noa", "viewer")
        }
        assert seen == {"kim": 1, "noa": 0, "viewer": 1}
        request = client.get("/api/requests", headers=sign("kim")).json()["requests"][0]
        assert client.get(f"/api/requests/{request['id']}", headers=sign("noa")).status_code == 404
        assert client.get(f"/api/runs/{run_id}", headers=sign("kim")).status_code == 403


def test_nobody_answers_in_another_name_where_there_are_accounts(tmp_path: Path) -> None:
    accounts, sign = people()
    with client_of(create_app(desk=make_desk(write_flows(tmp_path), accounts=accounts)), **sign("operator")) as client:
        run_id = start(client, "review", title="T", body="B")
        wait_for(client, run_id, "waiting")
        request = client.get("/api/requests").json()["requests"][0]
        body = {"verdict": "approve", "revision": 1, "as": "kim"}
        assert client.post(f"/api/requests/{request['id']}", json=body, headers=sign("lee")).json()["code"] == "auth.as"
        mine = client.post(f"/api/requests/{request['id']}", json={"verdict": "approve", "revision": 1})
        assert mine.status_code == 403 and mine.json()["code"] == "request.not_entitled"
        done = client.post(
            f"/api/requests/{request['id']}", json={"verdict": "approve", "revision": 1}, headers=sign("lee")
        )
        assert done.status_code == 200


def test_an_open_server_refuses_clients_from_elsewhere(tmp_path: Path) -> None:
    app = create_app(desk=make_desk(write_flows(tmp_path)))
    with TestClient(app, base_url="http://127.0.0.1", client=("203.0.113.9", 4000)) as client:
        assert client.get("/api/flows").status_code == 401
        assert client.get("/api/health").status_code == 200
