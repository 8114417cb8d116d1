"""`http.*` against real servers that behave well and badly."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from orchestrator.plugin.config import SecretsConfig
from orchestrator.testing.loopback import Failure, LoopbackServer, PostService
from tests.support.calling import Caller
from tests.support.hostile_http import HostileServer

pytestmark = pytest.mark.anyio


async def test_post_sends_json_and_gives_the_parsed_answer(call: Caller) -> None:
    service = PostService()
    with LoopbackServer(service.app) as server:
        answer = await call("http.post", url=f"{server.url}/posts", json={"title": "Autumn"})
    assert answer["status"] == 201
    assert answer["json"]["title"] == "Autumn"
    assert answer["json"] == service.posts["1"]


async def test_all_attempts_of_a_post_carry_one_idempotency_key(call: Caller) -> None:
    service = PostService()
    service.fail_next(Failure(503))
    with LoopbackServer(service.app) as server:
        error = await call.error("http.post", url=f"{server.url}/posts", json={"title": "a"})
        await call("http.post", url=f"{server.url}/posts", json={"title": "a"})
        await call("http.post", url=f"{server.url}/posts", json={"title": "a"})
    assert error.code == "http.503"
    assert {r.headers["idempotency-key"] for r in service.received} == {"run-1/step/1"}
    assert len(service.posts) == 1


async def test_a_get_has_no_idempotency_key_and_takes_a_query(call: Caller, hostile: HostileServer) -> None:
    answer = await call("http.get", url=f"{hostile.url}/echo?a=1", query={"q": "x y&z", "n": None, "l": [1, True]})
    assert answer["json"]["head"].startswith("GET /echo?a=1&q=x+y%26z&l=1&l=true HTTP/1.1")
    assert "idempotency-key" not in answer["json"]["head"].lower()


async def test_put_delete_and_head_reach_the_service(call: Caller) -> None:
    service = PostService()
    with LoopbackServer(service.app) as server:
        await call("http.post", url=f"{server.url}/posts", json={"title": "a"})
        changed = await call("http.put", url=f"{server.url}/posts/1", json={"title": "b"})
        gone = await call("http.delete", url=f"{server.url}/posts/1")
        head = await call("http.head", url=f"{server.url}/health")
    assert changed["json"]["title"] == "b"
    assert (gone["status"], gone["json"], head["status"], head["json"]) == (204, None, 200, None)


async def test_form_body_auth_and_headers_are_sent(call: Caller, hostile: HostileServer) -> None:
    url = f"{hostile.url}/echo"
    form = (await call("http.post", url=url, form={"a": "1 2", "b": [3, 4]}))["json"]
    basic = (await call("http.patch", url=url, body="hi", auth={"basic": {"user": "u", "password": "p"}}))["json"]
    bearer = (await call("http.request", method="options", url=url, auth={"bearer": "t"}, headers={"X-A": "b"}))["json"]
    assert form["body"] == "a=1+2&b=3&b=4"
    assert basic["body"] == "hi"
    assert "authorization: basic dtpw" in basic["head"].lower()
    assert bearer["head"].startswith("OPTIONS")
    assert "Bearer t" in bearer["head"]


@pytest.mark.parametrize("given", [{"json": 1, "form": {}}, {"json": None, "body": "x"}])
async def test_two_bodies_are_refused(call: Caller, given: dict[str, object]) -> None:
    error = await call.error("http.post", url="http://127.0.0.1:9/", **given)
    assert error.code == "type.payload"
    assert "only one" in error.message


async def test_429_fails_with_the_time_to_wait(call: Caller, hostile: HostileServer) -> None:
    error = await call.error("http.get", url=f"{hostile.url}/429")
    assert (error.code, error.retry_after) == ("http.429", 7.0)


async def test_500_fails_with_the_start_of_the_body(call: Caller, hostile: HostileServer) -> None:
    error = await call.error("http.get", url=f"{hostile.url}/500")
    assert error.code == "http.500"
    assert error.message.endswith("answered 500: it broke")
    assert error.details["body"] == "it broke\nwith details"


@pytest.mark.parametrize("accept", [404, [404], ["4xx"], [400, 404]])
async def test_an_accepted_status_is_a_result(call: Caller, hostile: HostileServer, accept: object) -> None:
    answer = await call("http.get", url=f"{hostile.url}/none", accept=accept)
    assert (answer["status"], answer["text"]) == (404, "nothing here")


@pytest.mark.parametrize("path", ["silence", "trickle"])
async def test_the_deadline_bounds_the_whole_exchange(call: Caller, hostile: HostileServer, path: str) -> None:
    began = time.monotonic()
    error = await call.error("http.get", url=f"{hostile.url}/{path}", timeout="300ms")
    assert error.code == "timeout"
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("garbage", "http.protocol"),
        ("hang-up", "http.connect"),
        ("cut-off", "http.connect"),
        ("gzip-lie", "http.protocol"),
        ("gzip-cut", "http.protocol"),
        ("brotli", "http.protocol"),
        ("bad-json", "http.bad_json"),
        ("nan-json", "http.bad_json"),
        ("deep-json", "http.bad_json"),
        ("loop", "http.redirect"),
        ("endless", "limit.http_body"),
        ("gzip-bomb", "limit.http_body"),
        ("to-private", "http.blocked"),
        ("to-metadata", "http.blocked"),
        ("to-file", "http.blocked"),
        ("to-nothing", "http.blocked"),
        ("to-localhost", "http.blocked"),
    ],
)
async def test_a_bad_answer_has_its_own_code(call: Caller, hostile: HostileServer, path: str, code: str) -> None:
    error = await call.error("http.get", url=f"{hostile.url}/{path}", timeout="20s")
    assert error.code == code, error.message


async def test_a_bomb_is_not_unpacked(call: Caller, hostile: HostileServer) -> None:
    import tracemalloc

    tracemalloc.start()
    await call.error("http.get", url=f"{hostile.url}/gzip-bomb")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30_000_000


async def test_gzip_is_read(call: Caller, hostile: HostileServer) -> None:
    assert (await call("http.get", url=f"{hostile.url}/gzip-fine"))["json"] == {"ok": True}


async def test_see_other_turns_a_post_into_a_get_without_its_body(call: Caller, hostile: HostileServer) -> None:
    answer = await call("http.post", url=f"{hostile.url}/see-other", json={"a": 1})
    assert answer["json"]["head"].startswith("GET /echo")
    assert answer["json"]["body"] == ""
    assert "content-" not in answer["json"]["head"].lower()


async def test_a_redirect_to_another_host_loses_the_credentials(hostile: HostileServer) -> None:
    call = Caller(allow_hosts=("127.0.0.1", "localhost"))
    url = f"{hostile.url}/to-localhost"
    answer = await call("http.put", url=url, json=1, auth={"bearer": "token"}, headers={"Cookie": "a=b", "X-Kept": "1"})
    await call.hub.aclose()
    head = answer["json"]["head"].lower()
    assert "x-kept: 1" in head
    assert "authorization" not in head
    assert "cookie" not in head


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.com/",
        "gopher://127.0.0.1/",
        "http:///nohost",
        "http://user:pw@127.0.0.1/",
        "http://127.0.0.1:99999/",
        "//example.com",
        "http://[::1",
    ],
)
async def test_what_is_no_plain_http_address_is_refused(call: Caller, url: str) -> None:
    assert (await call.error("http.get", url=url)).code == "http.blocked"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "[::1]", "localhost", "0.0.0.0"])
async def test_this_machine_cannot_be_reached_by_any_spelling(hostile: HostileServer, host: str) -> None:
    call = Caller(allow_hosts=())
    error = await call.error("http.get", url=f"http://{host}:{hostile.port}/echo")
    await call.hub.aclose()
    assert error.code in ("http.blocked", "http.connect")
    assert hostile.heads == []


async def test_a_blocked_host_says_how_to_allow_it() -> None:
    call = Caller(allow_hosts=())
    error = await call.error("http.get", url="http://127.0.0.1:1/")
    assert 'allow_hosts = ["127.0.0.1"]' in error.message


async def test_nobody_listening_is_a_connect_error(call: Caller) -> None:
    assert (await call.error("http.get", url="http://127.0.0.1:1/")).code == "http.connect"


async def test_proxies_of_the_environment_are_not_used(
    call: Caller, hostile: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert (await call("http.get", url=f"{hostile.url}/echo"))["status"] == 200


@pytest.mark.parametrize("headers", [{"X": "a\r\nEvil: 1"}, {"X\r\nEvil": "1"}, {"X": "é"}, {"": "x"}])
async def test_a_header_cannot_smuggle_another(call: Caller, hostile: HostileServer, headers: dict[str, str]) -> None:
    error = await call.error("http.get", url=f"{hostile.url}/echo", headers=headers)
    assert error.code == "type.payload"
    assert hostile.heads == []


async def test_a_missing_field_and_an_unknown_one_are_named(call: Caller) -> None:
    error = await call.error("http.get", ulr="x")
    assert error.code == "type.payload"
    assert {f["path"] for f in error.details} == {"url", "ulr"}


@pytest.mark.parametrize("where", ["headers", "url", "json", "auth"])
async def test_a_secret_is_not_sent_to_a_host_it_was_not_granted_for(hostile: HostileServer, where: str) -> None:
    call = Caller(secrets={"TOKEN": "s3cr3t-value"}, secrets_to_resolve=("TOKEN",))
    url = f"{hostile.url}/echo" + ("?k=s3cr3t-value" if where == "url" else "")
    given = {"headers": {"X": "s3cr3t-value"}, "json": {"k": "s3cr3t-value"}, "auth": {"bearer": "s3cr3t-value"}}
    error = await call.error("http.post", url=url, **({where: given[where]} if where in given else {}))
    await call.hub.aclose()
    assert error.code == "http.blocked"
    assert "TOKEN" in error.message
    assert "s3cr3t" not in f"{error.message} {error.details}"
    assert hostile.heads == []


async def test_a_secret_reaches_its_host_and_no_error_shows_it(hostile: HostileServer) -> None:
    granted = SecretsConfig(hosts={"TOKEN": ("127.0.0.1",)})
    call = Caller(secrets={"TOKEN": "s3cr3t-value"}, secrets_to_resolve=("TOKEN",), secrets_config=granted)
    answer = await call("http.get", url=f"{hostile.url}/echo", auth={"bearer": "s3cr3t-value"})
    error = await call.error("http.get", url=f"{hostile.url}/none/s3cr3t-value")
    await call.hub.aclose()
    assert "Bearer s3cr3t-value" in hostile.heads[0]
    assert "Authorization: Bearer ***" in answer["json"]["head"]
    assert "s3cr3t" not in f"{error.message} {error.details}"


async def test_all_pages_are_fetched_by_link_header_and_by_cursor(call: Caller) -> None:
    service = PostService()
    service.posts = {str(n): {"id": str(n)} for n in range(25)}
    with LoopbackServer(service.app) as server:
        url = f"{server.url}/posts"
        by_link = await call("http.pages", url=url, items="items")
        by_cursor = await call("http.pages", url=url, items="items", next="next", cursor="page")
        cut = await call("http.pages", url=url, items="items", max_pages=2)
    assert [i["id"] for i in by_link["items"]] == list(service.posts)
    assert by_cursor == by_link
    assert (by_link["pages"], by_link["complete"], cut["pages"], cut["complete"]) == (3, True, 2, False)


async def test_a_page_without_the_list_and_a_foreign_next_page_are_errors(call: Caller) -> None:
    service = PostService()
    service.fail_next(Failure(200, {"a": 1}), Failure(200, {"items": [], "next": "http://other.example/"}))
    with LoopbackServer(service.app) as server:
        missing = await call.error("http.pages", url=f"{server.url}/posts", items="items")
        foreign = await call.error("http.pages", url=f"{server.url}/posts", items="items", next="next")
    assert (missing.code, foreign.code) == ("http.paging", "http.blocked")


async def test_a_download_is_written_whole_or_not_at_all(hostile: HostileServer, tmp_path: Path) -> None:
    call = Caller(root=tmp_path)
    done = await call("http.download", url=f"{hostile.url}/gzip-fine", path="got/a.json")
    errors = [
        await call.error("http.download", url=f"{hostile.url}/{path}", path="got/b", **more)
        for path, more in (
            ("cut-off", {}),
            ("endless", {"max_bytes": 100_000}),
            ("echo", {"sha256": "0" * 64}),
            ("500", {}),
        )
    ]
    await call.hub.aclose()
    assert (tmp_path / "got/a.json").read_text() == '{"ok": true}'
    assert done["size"] == 12
    assert [e.code for e in errors] == ["http.connect", "limit.http_body", "http.checksum", "http.500"]
    assert [f.name for f in (tmp_path / "got").iterdir()] == ["a.json"]


OPENAPI = """
openapi: 3.1.0
servers: [{url: "http://127.0.0.1:PORT"}]
paths:
  /posts:
    post: {operationId: createPost, requestBody: {required: true, content: {}}}
  /posts/{id}:
    parameters: [{$ref: "#/components/parameters/Id"}]
    get:
      operationId: getPost
      parameters:
        - {name: fields, in: query, explode: false, schema: {type: array}}
        - {name: X-Trace, in: header}
components:
  parameters:
    Id: {name: id, in: path, required: true}
"""


async def test_an_operation_is_called_by_its_id(tmp_path: Path) -> None:
    service, call = PostService(), Caller(root=tmp_path)
    with LoopbackServer(service.app) as server:
        (tmp_path / "api.yaml").write_text(OPENAPI.replace("PORT", str(server.port)))
        await call("http.operation", document="api.yaml", operation="createPost", json={"title": "a"})
        given = {"id": "1", "fields": ["id", "title"], "X-Trace": True}
        got = await call("http.operation", document="api.yaml", operation="getPost", parameters=given)
        odd = {"document": "api.yaml", "operation": "getPost", "parameters": {"id": "1/../2"}, "accept": 404}
        kept = await call("http.operation", **odd)
        await call.hub.aclose()
    assert got["json"]["title"] == "a"
    assert got["url"].endswith("/posts/1?fields=id%2Ctitle")
    assert service.received[1].headers["x-trace"] == "true"
    assert kept["url"].endswith("/posts/1%2F..%2F2")


@pytest.mark.parametrize(
    ("operation", "inputs", "words"),
    [
        ("getPots", {}, 'did you mean "getPost"?'),
        ("getPost", {}, "needs id"),
        ("getPost", {"parameters": {"id": 1, "feilds": 2}}, 'did you mean "fields"?'),
        ("getPost", {"parameters": {"id": {"a": 1}}}, "an object cannot stand in a URL"),
        ("createPost", {}, "needs `json`"),
        ("getPost", {"parameters": {"id": 1}, "json": 1}, "takes no body"),
    ],
)
async def test_a_wrong_operation_call_sends_nothing(tmp_path: Path, operation: str, inputs: Any, words: str) -> None:
    (tmp_path / "api.yaml").write_text(OPENAPI.replace("PORT", "1"))
    error = await Caller(root=tmp_path).error("http.operation", document="api.yaml", operation=operation, **inputs)
    assert error.code == "http.operation"
    assert words in error.message


@pytest.mark.parametrize(
    "text", ["a: [", "- 1", "[" * 100_000, "a: &x [*x]", "{", "paths: {/a: {$ref: http://x/y}}", ""]
)
async def test_a_hostile_document_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "api").write_text(text)
    error = await Caller(root=tmp_path).error("http.operation", document="api", operation="x")
    assert error.code == "http.operation"


async def test_no_url_and_no_header_gets_into_the_logs(
    call: Caller, hostile: HostileServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await call("http.get", url=f"{hostile.url}/echo?key=s3cr3t", auth={"bearer": "s3cr3t"})
    assert "s3cr3t" not in caplog.text


async def test_a_key_with_letters_of_any_script_is_sent_quoted(hostile: HostileServer) -> None:
    from orchestrator.plugin.services import PlainContext

    call = Caller()
    call.context = PlainContext(idempotency_key="run/prüfen/1")
    answer = await call("http.post", url=f"{hostile.url}/echo", json=1)
    await call.hub.aclose()
    assert "idempotency-key: run/pr%C3%BCfen/1" in answer["json"]["head"].lower().replace("%c3%bc", "%C3%BC")
