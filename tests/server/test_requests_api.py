"""Requests to people over REST, and signed links: who may answer, what counts, what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from orchestrator.runtime.clock import VirtualClock
from orchestrator.server.app import create_app
from orchestrator.server.links import make_link
from orchestrator.server.models import LinkShown, RequestDetailAnswer, RequestsAnswer
from orchestrator.server.opening import open_desk
from tests.server.kit import (
    client_of,
    desk_of,
    in_loop,
    make_desk,
    open_client,
    open_request,
    people,
    start,
    wait_for,
    write_flows,
)

QUORUM = """
flow: quorum
inputs: {title: str}
outputs: {by: [str]}
steps:
  look:
    on: Start
    ask:
      title: ${{ inputs.title }}
      form: {verdict: approve | reject}
      to: {groups: [editors], not: [noa]}
      quorum: {approve: 2}
      deadline: 2d
    emit:
      - when: outcome == "approve"
        event: Stop
        with: {by: "${{ voters }}"}
      - event: Stop
        with: {by: []}
"""


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with open_client(tmp_path) as client:
        yield client


def asked(client: TestClient, **inputs: Any) -> dict[str, Any]:
    return open_request(client, start(client, "review", **{"title": "T", "body": "B", **inputs}))


def answer(client: TestClient, request: dict[str, Any], **body: Any) -> tuple[int, Any]:
    given = client.post(f"/api/requests/{request['id']}", json={"revision": 1, **body})
    return given.status_code, given.json().get("status") or given.json()["code"]


def test_a_request_shows_what_is_needed_to_decide(client: TestClient) -> None:
    request = asked(client)
    RequestDetailAnswer.model_validate(request)
    RequestsAnswer.model_validate(client.get("/api/requests").json())
    assert (
        request["title"] == 'Publish "T"?'
        and request["show"] == {"body": "B"}
        and request["verdicts"] == ["approve", "reject"]
    )
    assert request["edit"] == "body" and request["form"]["properties"]["note"]


def test_an_answer_decides_and_its_repetition_changes_nothing(client: TestClient) -> None:
    request = asked(client)
    assert answer(client, request, verdict="approve", **{"as": "kim"}) == (200, "accepted")
    assert answer(client, request, verdict="approve", **{"as": "kim"}) == (200, "repeated")
    assert answer(client, request, verdict="reject", **{"as": "kim"}) == (409, "request.closed")
    assert answer(client, request, verdict="approve", **{"as": "lee"}) == (409, "request.closed")
    assert wait_for(client, request["run_id"], "done")["outputs"] == {"verdict": "approved"}
    shown = client.get(f"/api/requests/{request['id']}").json()
    assert shown["state"] == "decided" and shown["outcome"] == "approve" and shown["answers"][0]["as"] == "kim"
    done = client.get("/api/requests?scope=done").json()["requests"]
    assert [row["id"] for row in done] == [request["id"]]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"verdict": "maybe", "as": "kim"}, (422, "request.form")),
        ({"form": {"verdict": "approve", "odd": 1}, "as": "kim"}, (422, "request.form")),
        ({"form": {}, "as": "kim"}, (422, "request.form")),
        ({"verdict": "approve", "revision": 2, "as": "kim"}, (409, "request.revision")),
        ({"verdict": "approve", "revision": None, "as": "kim"}, (422, "request.revision")),
        ({"verdict": "approve", "as": "noa"}, (403, "request.not_entitled")),
        ({"verdict": "approve", "as": ""}, (403, "request.unknown_person")),
        ({"verdict": 7, "as": "kim"}, (422, "body.invalid")),
    ],
)
def test_a_wrong_answer_leaves_the_request_open(
    client: TestClient, body: dict[str, Any], expected: tuple[int, str]
) -> None:
    request = asked(client)
    assert answer(client, request, **body) == expected
    assert client.get(f"/api/requests/{request['id']}").json()["state"] == "open"


def test_an_edit_makes_a_new_revision_and_stale_answers_are_refused(client: TestClient) -> None:
    request = asked(client)
    edited = client.post(f"/api/requests/{request['id']}/edit", json={"text": "B2", "revision": 1, "as": "lee"})
    assert edited.status_code == 200
    assert client.get(f"/api/requests/{request['id']}").json()["show"] == {"body": "B2"}
    assert answer(client, request, verdict="approve", **{"as": "kim"}) == (409, "request.revision")
    assert answer(client, request, verdict="approve", revision=2, **{"as": "kim"}) == (200, "accepted")


def test_claims_and_delegation_are_shown_to_all(client: TestClient) -> None:
    request = asked(client)
    url = f"/api/requests/{request['id']}"
    assert client.post(f"{url}/claim", json={"as": "kim"}).status_code == 200
    assert client.get(url).json()["claimed_by"] == "kim"
    assert client.post(f"{url}/claim", json={"as": "lee"}).status_code == 409
    assert client.post(f"{url}/release", json={"as": "kim"}).status_code == 200
    assert client.post(f"{url}/delegate", json={"to": "noa", "as": "kim"}).status_code == 200
    assert client.get(f"{url}?as=noa").json()["can_answer"] is True
    assert answer(client, request, verdict="reject", **{"as": "noa"}) == (200, "accepted")


def test_requests_are_listed_for_me_for_my_groups_and_for_all(tmp_path: Path) -> None:
    from tests.server.kit import REVIEW

    accounts, sign = people()
    desk = make_desk(write_flows(tmp_path, quorum=QUORUM, review=REVIEW), accounts=accounts)
    with client_of(create_app(desk=desk), **sign("operator")) as client:
        start(client, "quorum", title="Q")
        request = asked(client)
        wait_for(client, request["run_id"], "waiting")

        def flows(who: str, scope: str) -> list[str]:
            rows = client.get(f"/api/requests?scope={scope}", headers=sign(who)).json()["requests"]
            return sorted(row["flow"] for row in rows)

        assert flows("kim", "me") == ["review"] and flows("kim", "groups") == ["quorum"]
        assert flows("kim", "all") == ["quorum", "review"] and flows("noa", "all") == []
        assert flows("viewer", "all") == ["quorum", "review"] and flows("viewer", "me") == []


def test_a_quorum_counts_members_of_the_group_once(tmp_path: Path) -> None:
    accounts, sign = people()
    with client_of(
        create_app(desk=make_desk(write_flows(tmp_path, quorum=QUORUM), accounts=accounts)), **sign("operator")
    ) as client:
        run_id = start(client, "quorum", title="Q")
        url = f"/api/requests/{open_request(client, run_id)['id']}"
        codes: list[int] = []
        for who in ("kim", "kim", "noa", "lee"):
            verdict = "approve" if (who, len(codes)) != ("kim", 1) else "reject"
            codes.append(client.post(url, json={"verdict": verdict}, headers=sign(who)).status_code)
        assert codes == [200, 409, 404, 200]
        assert wait_for(client, run_id, "done")["outputs"] == {"by": ["kim", "lee"]}


def test_a_deadline_closes_a_request_and_late_answers_are_refused(tmp_path: Path) -> None:
    clock = VirtualClock()
    accounts, sign = people()
    from orchestrator.authoring.project import Project
    from orchestrator.server.desk import ServerSettings

    project = Project.open(write_flows(tmp_path, quorum=QUORUM))
    desk = open_desk(project, accounts=accounts, settings=ServerSettings(is_open=False), clock=clock)
    with client_of(create_app(desk=desk), **sign("operator")) as client:
        run_id = start(client, "quorum", title="Q")
        request = open_request(client, run_id)
        in_loop(client, clock.advance, 3 * 86_400)
        assert wait_for(client, run_id, "done")["outputs"] == {"by": []}
        late = client.post(f"/api/requests/{request['id']}", json={"verdict": "approve"}, headers=sign("kim"))
        assert late.status_code == 409
        assert client.get(f"/api/requests/{request['id']}").json()["outcome"] == "timeout"


def link_for(client: TestClient, request: dict[str, Any], **body: Any) -> str:
    made = client.post(f"/api/requests/{request['id']}/links", json={"person": "kim", **body})
    assert made.status_code == 201, made.text
    assert made.json()["url"].endswith("/d/" + made.json()["token"])
    return str(made.json()["token"])


def test_a_link_shows_on_get_and_decides_once_on_post(client: TestClient) -> None:
    request = asked(client)
    url = f"/api/links/{link_for(client, request)}"
    for _ in range(3):
        shown = client.get(url).json()
        assert client.head(url).status_code == 200
    LinkShown.model_validate(shown)
    assert shown["is_used"] is False and shown["request"]["state"] == "open" and "history" not in shown["request"]
    assert client.post(url, json={"verdict": "approve"}).json() == {"status": "accepted"}
    assert client.post(url, json={"verdict": "reject"}).json()["code"] == "link.used"
    assert client.get(url).json()["is_used"] is True
    assert wait_for(client, request["run_id"], "done")["outputs"] == {"verdict": "approved"}


def test_a_forged_cut_or_foreign_link_is_not_valid(client: TestClient, tmp_path: Path) -> None:
    request = asked(client)
    token = link_for(client, request)
    other = make_desk(tmp_path)
    row = in_loop(client, desk_of(client).request, request["run_id"], request["request_id"])
    foreign, _ = make_link(other, row, "kim", (), 60.0)
    for bad in (
        token[:-9] + ("A" if token[-9] != "A" else "B") + token[-8:],
        token[3:],
        token + "x" * 3_000,
        "x.y",
        foreign,
    ):
        assert client.get(f"/api/links/{bad}").status_code == 404
        assert client.post(f"/api/links/{bad}", json={"verdict": "approve"}).status_code == 404
    assert client.get(f"/api/requests/{request['id']}").json()["state"] == "open"


def test_a_link_is_bound_to_its_verdicts_its_person_and_its_revision(client: TestClient) -> None:
    request = asked(client)
    only_reject = link_for(client, request, verdicts=["reject"])
    assert client.post(f"/api/links/{only_reject}", json={"verdict": "approve"}).json()["code"] == "link.verdicts"
    stranger = link_for(client, request, person="noa")
    assert client.post(f"/api/links/{stranger}", json={"verdict": "approve"}).json()["code"] == "request.not_entitled"
    client.post(f"/api/requests/{request['id']}/edit", json={"text": "B2", "revision": 1, "as": "lee"})
    assert client.get(f"/api/links/{only_reject}").json()["is_stale"] is True
    assert client.post(f"/api/links/{only_reject}", json={"verdict": "reject"}).json()["code"] == "request.revision"
    assert (
        client.post(f"/api/requests/{request['id']}/links", json={"person": "kim", "verdicts": ["odd"]}).status_code
        == 422
    )


def test_an_expired_link_is_gone(tmp_path: Path) -> None:
    from orchestrator.authoring.project import Project

    clock = VirtualClock()
    desk = open_desk(Project.open(write_flows(tmp_path)), clock=clock)
    with client_of(create_app(desk=desk)) as client:
        url = f"/api/links/{link_for(client, asked(client), lasts_s=60)}"
        clock.advance(61)
        assert client.get(url).status_code == 410 and client.post(url, json={"verdict": "approve"}).status_code == 410


def test_a_refused_answer_does_not_use_a_link_up(client: TestClient) -> None:
    request = asked(client)
    url = f"/api/links/{link_for(client, request)}"
    assert client.post(url, json={"verdict": "maybe"}).status_code == 422
    assert client.post(url, json={"verdict": "reject", "form": {"note": "no"}}).status_code == 200
