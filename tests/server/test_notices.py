"""People are told of requests by the callables of `[people] notify`: by mail, by Slack, and by a plugin of the project."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from orchestrator.authoring.project import Project
from orchestrator.errors import UsageError
from orchestrator.runtime.clock import VirtualClock
from orchestrator.server.access import Role
from orchestrator.server.accounts import Accounts
from orchestrator.server.book import Reply
from orchestrator.server.desk import ServerSettings
from orchestrator.server.links import decide, read_link
from orchestrator.server.opening import open_desk
from orchestrator.server.operations import StartOrder, start_run
from orchestrator.testing.loopback import LoopbackServer
from tests.cli.support import cli, write
from tests.support.smtp import MailServer, mail_server

pytestmark = pytest.mark.anyio
FLOW = """\
flow: review
inputs: {title: str}
outputs: {verdict: str}
steps:
  look:
    on: Start
    ask:
      title: "Publish ${{ inputs.title }}?"
      form: {verdict: approve | reject}
      to: {users: [kim], groups: [legal], not: [ada]}
      remind: [1h]
      escalate: {after: 2h, to: {users: [boss]}}
      deadline: 3h
      delegate: true
    emit: {approve: publish, reject: drop, timeout: late}
  publish:
    emit: {event: Stop, with: {verdict: approved}}
  drop:
    emit: {event: Stop, with: {verdict: rejected}}
  late:
    emit: {event: Stop, with: {verdict: late}}
"""
PEOPLE = """\
[people.users]
kim = "kim@example.org"
lee = "lee@example.org"
ada = "ada@example.org"
boss = {}
[people.groups]
legal = ["lee", "ada"]
[plugins]
folder = "plugins"
"""
PLUGIN = '''\
import json
from pathlib import Path

from orchestrator.plugin import Context, Notice, Plugin, StepError

pager = Plugin("pager")
FILE = Path(__file__).with_name("told.jsonl")


@pager.step(errors=["pager.busy"])
def page(ctx: Context, notice: Notice) -> None:
    """Note whom to tell."""
    before = FILE.read_text() if FILE.exists() else ""
    FILE.write_text(before + json.dumps([ctx.idempotency_key, notice]) + chr(10))
    if before.count(chr(10)) < 2 and notice["title"].startswith("Publish busy"):
        raise StepError("pager.busy", "all lines are busy")


@pager.step
def wrong(text: str) -> None:
    """No notifier."""
'''


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Sleeper:
    """The clock of the tests for those who sleep."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock

    def now(self) -> float:
        return self._clock.now()

    async def sleep(self, seconds: float) -> None:
        done = asyncio.Event()
        self._clock.call_at(self.now() + seconds, done.set)
        await done.wait()


class Office:
    """A desk whose people are told."""

    def __init__(self, folder: Path, config: str, **options: Any) -> None:
        write(folder, "orchestrator.toml", config)
        write(folder, "plugins/pager.py", PLUGIN)
        write(folder, "review.flow.yaml", FLOW)
        self.folder = folder
        self.clock = VirtualClock()
        settings = ServerSettings(url="https://flows.example")
        project = Project.open(folder)
        self.desk = open_desk(project, clock=self.clock, settings=settings, **options)
        project.hub.clock = Sleeper(self.clock)

    async def ask(self, title: str = "trees") -> str:
        """Start a run that asks."""
        await self.desk.start()
        begun = await start_run(self.desk, self.desk.shelf.find("review"), StartOrder({"title": title}, by="test"))
        return begun.run_id

    def told(self) -> list[Any]:
        """What the project's notifier was given."""
        file = self.folder / "plugins" / "told.jsonl"
        return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []

    async def until(self, count: int) -> list[Any]:
        """What it was given, once that are so many."""
        for _ in range(200):
            if len(self.told()) >= count:
                break
            await asyncio.sleep(0.01)
        return self.told()


@pytest.fixture
async def office(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Office]:
    made = Office(tmp_path, PEOPLE + '[people]\nnotify = ["pager.page"]\n')
    yield made
    await made.desk.stop()


async def test_a_notifier_of_the_project_is_told_who_may_answer(office: Office) -> None:
    run_id = await office.ask()
    ((key, notice),) = await office.until(1)
    assert (notice["what"], notice["title"], notice["flow"], notice["groups"]) == (
        "opened",
        "Publish trees?",
        "review",
        ["legal"],
    )
    assert {(p["name"], p["email"]) for p in notice["to"]} == {("kim", "kim@example.org"), ("lee", "lee@example.org")}
    assert notice["url"] == f"https://flows.example/inbox/{run_id}~{notice['request_id']}"
    assert notice["due_at"] is not None and key.startswith(f"{run_id}/")


async def test_the_link_of_a_notice_lets_its_person_decide(office: Office) -> None:
    run_id = await office.ask()
    ((_, notice),) = await office.until(1)
    link = next(p["link"] for p in notice["to"] if p["name"] == "kim")
    token = link.removeprefix("https://flows.example/d/")
    await decide(office.desk, read_link(office.desk, token), {}, "approve")
    for _ in range(200):
        if (found := await office.desk.run(run_id)).outputs is not None:
            break
        await asyncio.sleep(0.01)
    assert found.outputs == {"verdict": "approved"}


async def test_reminders_escalation_and_delegation_are_told_to_those_they_are_for(office: Office) -> None:
    run_id = await office.ask()
    ((_, opened),) = await office.until(1)
    for hours, count in ((1.1, 2), (1.0, 3)):
        office.clock.advance(hours * 3600)
        await office.until(count)
    book = await office.desk.book_of(run_id)
    reply = Reply(opened["request_id"], "kim", ("legal",), "delegate", {"to": "noa@example.org"})
    await book.reply(run_id, reply)
    told = [notice for _, notice in await office.until(4)]
    assert [n["what"] for n in told] == ["opened", "reminded", "escalated", "delegated"]
    assert [[p["name"] for p in n["to"]] for n in told[1:]] == [["kim", "lee"], ["boss"], ["noa@example.org"]]
    assert told[3]["to"][0]["email"] == "noa@example.org"


async def test_a_notifier_that_fails_is_tried_again_with_the_same_key(office: Office) -> None:
    await office.ask("busy lines")
    await office.until(1)
    for count in (2, 3):
        office.clock.advance(120)
        await office.until(count)
    keys = [key for key, _ in office.told()]
    assert len(keys) == 3 and len(set(keys)) == 1


async def test_a_notifier_that_cannot_be_one_stops_the_server_with_a_reason(tmp_path: Path) -> None:
    for name, said in (
        ("pager.wrong", "is no notifier"),
        ("pager.pge", "did you mean pager.page"),
        ("http.get", "is no notifier"),
    ):
        config = PEOPLE + f'[people]\nnotify = ["{name}"]\n'
        with pytest.raises(UsageError, match=re.escape(said)):
            Office(tmp_path, config)
        done = await asyncio.to_thread(cli, "doctor", cwd=tmp_path)
        assert said in done.out


async def test_people_are_told_by_mail_each_with_their_own_link(tmp_path: Path) -> None:
    async with mail_server() as mail:
        smtp = f'[smtp]\nhost = "127.0.0.1"\nport = {mail.port}\nsender = "flows@example.org"\ntls = "none"\n'
        accounts = Accounts()
        accounts.add_user("boss", roles=[Role.APPROVER], email="boss@example.org")
        office = Office(tmp_path, PEOPLE + '[people]\nnotify = ["notify.people_by_mail"]\n' + smtp, accounts=accounts)
        await office.ask()
        await mails(mail, 2)
        assert sorted(m.receivers[0] for m in mail.messages) == ["kim@example.org", "lee@example.org"]
        assert "Subject: Please decide: Publish trees?" in mail.messages[0].data
        assert (
            len({re.search(r"flows\.example/d/([\w.=\s-]+?)(?=\n\n|\Z|\r\n\.)", m.data)[1] for m in mail.messages}) == 2
        )  # type: ignore[index]
        office.clock.advance(2.1 * 3600)
        await mails(mail, 5)
        assert ["boss@example.org"] in [m.receivers for m in mail.messages]
        await office.desk.stop()


async def mails(mail: MailServer, count: int) -> None:
    for _ in range(300):
        if len(mail.messages) >= count:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{len(mail.messages)} mails came, not {count}")


async def test_a_slack_channel_is_told_without_personal_links_and_the_hook_stays_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    posted: list[Any] = []

    async def hook(request: Request) -> Response:
        posted.append((request.url.path, await request.json()))
        return PlainTextResponse("ok")

    with LoopbackServer(Starlette(routes=[Route("/hook/s3cr3t", hook, methods=["POST"])])) as slack:
        monkeypatch.setenv("SLACK_WEBHOOK_URL", f"{slack.url}/hook/s3cr3t")
        more = '[http]\nallow_hosts = ["127.0.0.1"]\n[secrets.hosts]\nSLACK_WEBHOOK_URL = ["127.0.0.1"]\n'
        office = Office(tmp_path, PEOPLE + '[people]\nnotify = ["notify.people_by_slack"]\n' + more)
        await office.ask("<!channel> & co")
        for _ in range(200):
            if posted:
                break
            await asyncio.sleep(0.01)
        await office.desk.stop()
    ((path, message),) = posted
    assert path == "/hook/s3cr3t" and "/d/" not in message["text"] and "/inbox/" in message["text"]
    assert "&lt;!channel&gt; &amp; co" in message["text"] and "kim, lee" in message["text"]


async def test_a_run_of_the_command_line_tells_people_when_it_waits(tmp_path: Path) -> None:
    office = Office(tmp_path, PEOPLE + '[people]\nnotify = ["pager.page"]\n')
    done = await asyncio.to_thread(cli, "run", "review.flow.yaml", "-i", "title=trees", cwd=tmp_path)
    assert done.code == 4
    ((_, notice),) = office.told()
    assert (notice["what"], notice["url"]) == ("opened", "")
    await office.desk.stop()
