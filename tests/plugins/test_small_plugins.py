"""`text`, `data`, `files`, `notify` and `process` beyond their examples."""

from __future__ import annotations

import asyncio
import hmac
import os
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import StepError
from orchestrator.plugin.config import SecretsConfig, SmtpConfig
from orchestrator.plugin.llm_fake import FakeModel
from orchestrator.testing.loopback import Failure, LoopbackServer, PostService
from tests.support.calling import Caller
from tests.support.smtp import MailServer, mail_server

pytestmark = pytest.mark.anyio


@pytest.fixture
def project(tmp_path: Path) -> Caller:
    return Caller(root=tmp_path)


@pytest.fixture
async def mail(anyio_backend: str) -> AsyncIterator[MailServer]:
    async with mail_server() as server:
        yield server


async def test_a_template_never_reads_its_values_as_templates(call: Caller) -> None:
    filled = await call("text.template", template="{a} {b.0}", values={"a": "{b.0}", "b": ["x"]})
    assert filled == "{b.0} x"


async def test_a_template_names_what_is_missing(call: Caller) -> None:
    error = await call.error("text.template", template="{who.name}", values={"who": {}})
    assert (error.code, "who.name" in error.message) == ("text.missing", True)


@pytest.mark.parametrize("verb", ["slug", "words", "truncate"])
async def test_long_hostile_text_is_handled_in_linear_time(call: Caller, verb: str) -> None:
    began = time.process_time()
    for text in (" " * 500_000, "a-" * 250_000, "." * 500_000):
        await call(f"text.{verb}", text=text, **({"length": 100} if verb == "truncate" else {}))
    assert time.process_time() - began < 3


async def test_many_texts_are_replaced_at_once_the_longest_first(call: Caller) -> None:
    found = await call("text.replace", text="aabab", replacements={"a": "1", "ab": "2", "": "x", "z": "a"})
    assert found == "122"
    began = time.process_time()
    many = {"a" * n + "b": "x" for n in range(1, 500)}
    assert await call("text.replace", text="a" * 200_000, replacements=many) == "a" * 200_000
    assert time.process_time() - began < 3


@pytest.mark.parametrize("part", ["²", "9" * 5_000, "-1", "1.5"])
async def test_what_is_no_place_of_a_list_is_missing(call: Caller, part: str) -> None:
    assert (await call.error("data.pick", value=[[1]], fields={"x": part})).code == "data.missing"


async def test_csv_goes_there_and_back(call: Caller) -> None:
    rows = [{"a": "1", "b": 'x,"y"\nz'}, {"a": "", "b": "ü"}]
    assert await call("data.csv", text=await call("data.to_csv", rows=rows)) == rows


async def test_a_cell_that_would_be_a_formula_is_made_harmless(call: Caller) -> None:
    text = await call("data.to_csv", rows=[{"a": "=HYPERLINK(1)", "b": -5}])
    assert text == "a,b\r\n'=HYPERLINK(1),-5\r\n"


@pytest.mark.parametrize("text", ["a,b\n1,2,3\n", 'a\n"x'])
async def test_broken_csv_is_an_error_or_kept_whole(call: Caller, text: str) -> None:
    if text.startswith("a,b"):
        assert (await call.error("data.csv", text=text)).code == "data.invalid"
    else:
        assert await call("data.csv", text=text) == [{"a": "x"}]


@pytest.mark.parametrize("text", ["{", '{"a": NaN}', '{"a": 1, "a": 2}', '"\\ud800"', "[" * 5000])
async def test_bad_json_is_one_kind_of_error(call: Caller, text: str) -> None:
    assert (await call.error("data.json", text=text)).code == "data.invalid"


async def test_select_does_not_take_true_for_one(call: Caller) -> None:
    items = [{"n": 1}, {"n": True}, {"n": "1"}]
    assert await call("data.select", items=items, where={"n": 1}) == [{"n": 1}]
    assert await call("data.select", items=items, where={"n": [True, "1"]}) == [{"n": True}, {"n": "1"}]


async def test_select_sorts_mixed_values_and_drops_doubles(call: Caller) -> None:
    items = [{"k": "b"}, {"k": 2}, {}, {"k": 10}, {"k": "b"}]
    assert await call("data.select", items=items, sort="-k", unique="k", limit=3) == [{}, {"k": "b"}, {"k": 10}]


async def test_pick_says_which_field_is_missing(call: Caller) -> None:
    error = await call.error("data.pick", value={"a": 1}, fields=["a", "b.c"])
    assert (error.code, "b.c" in error.message) == ("data.missing", True)


async def test_check_names_every_place(call: Caller) -> None:
    error = await call.error("data.check", value={"n": "x", "m": 1}, schema={"n": "int", "ok": "bool"})
    assert error.details == ["'ok' is missing", "unknown field m", ".n: must be integer, not string"]


async def test_a_file_is_written_read_listed_and_removed(project: Caller) -> None:
    await project("files.write", path="a/b.txt", text="é")
    await project("files.append", path="a/b.txt", text="!")
    assert await project("files.read", path="a/b.txt") == "é!"
    assert await project("files.list", pattern="**/*.txt") == ["a/b.txt"]
    assert (await project("files.delete", path="a/b.txt"))["deleted"] is True
    assert (await project.error("files.read", path="a/b.txt")).code == "files.not_found"


@pytest.mark.parametrize(
    "path",
    ["../x", "/etc/passwd", "a/../../x", ".env", ".ENV.local", ".git/config", "link/x", "Orchestrator.toml", "a\0b"],
)
async def test_no_path_leads_out_of_the_project_or_to_its_secrets(project: Caller, tmp_path: Path, path: str) -> None:
    (tmp_path / "link").symlink_to("/tmp")
    for call in (project.error("files.read", path=path), project.error("files.write", path=path, text="")):
        assert (await call).code == "files.denied"


@pytest.mark.parametrize("path", ["plugins/x.py", "x.flow.yaml", "pyproject.toml", "a.PTH", "run.sh", ".github/x"])
async def test_a_flow_cannot_write_code_or_config(project: Caller, path: str) -> None:
    assert (await project.error("files.write", path=path, text="")).code == "files.denied"


async def test_odd_files_and_patterns_fail_the_step_and_hang_nobody(project: Caller, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert (await project.error("files.append", path="pipe", text="x")).code == "files.failed"
    assert (await project.error("files.read", path="pipe")).code == "files.not_found"
    assert (await project.error("files.read", path="a" * 5_000)).code == "files.failed"
    assert (await project.error("files.list", pattern="a**b")).code == "files.denied"


async def test_without_a_project_there_are_no_files() -> None:
    assert (await Caller().error("files.read", path="x")).code == "files.denied"


async def test_a_webhook_is_signed_over_time_and_body(call: Caller) -> None:
    service = PostService()
    with LoopbackServer(service.app) as server:
        await call("notify.webhook", url=f"{server.url}/posts", payload={"title": "é"}, secret="key")
    headers = service.received[0].headers
    at, given = (part.partition("=")[2] for part in headers["x-signature"].split(","))
    wanted = hmac.new(b"key", f'{at}.{{"title":"é"}}'.encode(), "sha256").hexdigest()
    assert given == wanted
    assert headers["x-event-id"] == headers["idempotency-key"] == "run-1/step/1"


async def test_slack_posts_text_and_refusals_fail(call: Caller) -> None:
    service = PostService()
    service.fail_next(Failure(200, "ok"), Failure(200, "no_text"), Failure(404, "no_service"))
    with LoopbackServer(service.app) as server:
        url = f"{server.url}/posts"
        sent = await call("notify.slack", webhook_url=url, text="hi", thread="1.2")
        refused = await call.error("notify.slack", webhook_url=url, text="hi")
        gone = await call.error("notify.slack", webhook_url=url, text="hi")
    assert sent["status"] == 200
    assert service.received[0].body == {"text": "hi", "thread_ts": "1.2"}
    assert (refused.code, gone.code) == ("slack.refused", "http.404")


def mailer(server: MailServer, **options: Any) -> Caller:
    smtp = SmtpConfig("127.0.0.1", server.port, sender="flows@example.com", tls="none")
    return Caller(smtp=smtp, **options)


async def test_a_mail_reaches_the_server_with_one_id_for_all_attempts(mail: MailServer) -> None:
    call = mailer(mail)
    first = await call(
        "notify.email", to=["kim@example.com", "Noa <noa@example.com>"], subject="Grüße", text="hi", html="<b>hi</b>"
    )
    again = await call("notify.email", to="kim@example.com", subject="x", text="hi")
    assert mail.messages[0].receivers == ["kim@example.com", "noa@example.com"]
    assert "Subject: =?utf-8?" in mail.messages[0].data
    assert first["id"] == again["id"]


@pytest.mark.parametrize("to", ["nobody", "a@b\r\nBcc: c@d", [], "a@b,c@d", "@x"])
async def test_what_is_no_address_is_refused(mail: MailServer, to: Any) -> None:
    error = await mailer(mail).error("notify.email", to=to, subject="x", text="y")
    assert error.code == "type.payload"
    assert mail.messages == []


async def test_a_subject_cannot_add_a_header(mail: MailServer) -> None:
    error = await mailer(mail).error("notify.email", to="a@example.com", subject="x\r\nBcc: b@c", text="y")
    assert error.code == "type.payload"


async def test_a_refused_receiver_and_a_dead_server_are_told_apart(mail: MailServer) -> None:
    refused = await mailer(mail).error("notify.email", to="refused@example.com", subject="x", text="y")
    dead = await Caller(smtp=SmtpConfig("127.0.0.1", 1, sender="a@b.c", tls="none")).error(
        "notify.email", to="a@b.c", subject="x", text="y"
    )
    none = await Caller().error("notify.email", to="a@b.c", subject="x", text="y")
    assert (refused.code, dead.code, none.code) == ("mail.refused", "mail.failed", "mail.not_configured")


def runner(tmp_path: Path, *allow: str) -> Caller:
    return Caller(root=tmp_path, process_allow=allow)


async def test_no_program_runs_unless_allowed(project: Caller) -> None:
    error = await project.error("process.run", command=["echo", "hi"])
    assert error.code == "process.denied"
    assert '[process] allow = ["echo"]' in error.message


async def test_arguments_reach_a_program_as_they_are(tmp_path: Path) -> None:
    done = await runner(tmp_path, "printf")("process.run", command=["printf", "%s|", "a b", "$HOME", "; ls"])
    assert done == {"exit_code": 0, "stdout": "a b|$HOME|; ls|", "stderr": ""}


async def test_a_program_sees_no_secret_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CMS_TOKEN", "s3cr3t")
    assert "s3cr3t" not in (await runner(tmp_path, "env")("process.run", command=["env"]))["stdout"]


async def test_an_exit_code_fails_unless_accepted(tmp_path: Path) -> None:
    call = runner(tmp_path, "ls")
    error = await call.error("process.run", command=["ls", "nothing-here"])
    assert error.code == "process.exit"
    assert "nothing-here" in error.message
    assert (await call("process.run", command=["ls", "nothing-here"], accept=[error.details["exit_code"]]))[
        "stdout"
    ] == ""


async def test_stdin_reaches_a_program_and_much_output_is_refused(tmp_path: Path) -> None:
    call = runner(tmp_path, "cat", "head")
    assert (await call("process.run", command=["cat"], stdin="é"))["stdout"] == "é"
    error = await call.error("process.run", command=["head", "-c", "3000000", "/dev/zero"])
    assert error.code == "limit.process_output"


async def test_time_over_ends_a_program_and_its_children(tmp_path: Path) -> None:
    call = runner(tmp_path, "sh")
    script = "sleep 30 & echo $! > pid; wait"
    error = await call.error("process.run", command=["sh", "-c", script], timeout="300ms")
    child = int((tmp_path / "pid").read_text())
    await asyncio.sleep(0.05)
    assert error.code == "timeout"
    assert not is_running(child)


def is_running(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be reaped does not."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.returncode == 0 and not done.stdout.startswith("Z")


async def test_a_secret_field_takes_a_granted_secret(call: Caller) -> None:
    granted = Caller(secrets={"KEY": "s3cr3t-key"}, secrets_to_resolve=("KEY",), secrets_config=SecretsConfig())
    service = PostService()
    with LoopbackServer(service.app) as server:
        await granted("notify.webhook", url=f"{server.url}/posts", payload={"title": "t"}, secret="s3cr3t-key")
    await granted.hub.aclose()
    assert "s3cr3t" not in str(service.received[0])


LEAKS: list[tuple[str, dict[str, Any]]] = [
    ("llm.chat", {"prompt": "My key is s3cr3t-key."}),
    ("files.write", {"path": "x.txt", "text": "s3cr3t-key"}),
    ("files.append", {"path": "x.txt", "text": "czNjcjN0LWtleQ=="}),
    ("notify.email", {"to": "a@example.com", "subject": "s3cr3t-key", "text": ""}),
    ("process.run", {"command": ["echo", "s3cr3t-key"]}),
]


@pytest.mark.parametrize(("name", "inputs"), LEAKS, ids=[leak[0] for leak in LEAKS])
async def test_a_secret_cannot_leave_by_a_way_that_has_no_granted_hosts(
    tmp_path: Path, mail: MailServer, name: str, inputs: dict[str, Any]
) -> None:
    call = mailer(
        mail,
        root=tmp_path,
        secrets={"KEY": "s3cr3t-key"},
        secrets_to_resolve=("KEY",),
        process_allow=("echo",),
        model=FakeModel(),
    )
    error = await call.error(name, **inputs)
    assert (error.code, "KEY" in error.message) == ("secret.denied", True)
    assert not os.listdir(tmp_path)
    assert mail.messages == []


async def test_no_result_stream_or_error_gives_a_secret_back() -> None:
    async def stream(text: str) -> AsyncIterator[str]:
        yield text

    def fail(text: str) -> None:
        raise StepError("a.b", text, details={"text": text})

    call = Caller(
        steps={"a.stream": stream, "a.fail": fail}, secrets={"KEY": "s3cr3t-key"}, secrets_to_resolve=("KEY",)
    )
    assert await call("text.join", items=["<", "s3cr3t-key", ">"], separator="") == "<***>"
    assert await call("a.stream", text="s3cr3t-key") == "***"
    error = await call.error("a.fail", text="s3cr3t-key")
    assert (error.code, error.message, error.details) == ("a.b", "***", {"text": "***"})
    assert call.written == [{"type": "chunk", "call": "a.stream", "value": "***"}]
