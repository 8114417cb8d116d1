"""Triggers and flow concurrency over real processes on one SQLite file: servers, workers and commands that race and are killed."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from orchestrator.server.triggers import signature_of
from tests.durable.processes import ROOT, Office, until

ROUNDS = 200
SECRET = "whsec_" + base64.b64encode(b"a shared secret").decode()
TRIGGERED = """
flow: {name}
inputs: {{key: str}}
{more}
triggers:
{triggers}
steps:
  one:
    on: Start
    emit: Stop
"""


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    made.close()


class Racers:
    """Two processes that start runs of one flow in the same instant."""

    def __init__(self, root: Path, flow: str) -> None:
        env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
        command = [sys.executable, str(ROOT / "tests/durable/racer.py"), str(root), flow]
        self.processes = [
            subprocess.Popen(command, env=env, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        assert self._read() == ["up", "up"]

    def _read(self) -> list[str]:
        return [p.stdout.readline().strip() for p in self.processes if p.stdout is not None]

    def race(self, name: str) -> list[str]:
        moment = time.monotonic() + 0.003
        for number, process in enumerate(self.processes):
            assert process.stdin is not None
            process.stdin.write(f"{moment} {name}-{number} {name}\n")
            process.stdin.flush()
        return self._read()

    def close(self) -> None:
        for process in self.processes:
            process.communicate(timeout=30)


def test_of_two_processes_that_start_a_single_flow_in_one_instant_one_starts(tmp_path: Path) -> None:
    text = "flow: one\ninputs: {key: str}\nconcurrency: {mode: single, key: '${{ inputs.key }}'}\n"
    text += "steps:\n  wait:\n    on: Start\n    wait: 1h\n    emit: Stop\n"
    (tmp_path / "one.flow.yaml").write_text(text, "utf-8")
    racers = Racers(tmp_path, "one")
    rounds = [racers.race(f"r{number}") for number in range(ROUNDS)]
    racers.close()
    assert [sorted(answers) for answers in rounds] == [["refused", "started"]] * ROUNDS
    assert len({tuple(answers) for answers in rounds}) == 2, "each of the two was faster at times"


def test_a_queue_keeps_its_order_over_processes_that_are_killed(office: Office) -> None:
    for _ in range(3):
        office.start("worker")
    _, url = office.serve()
    for key in "abcde":
        post(f"{url}/api/flows/queue/runs", {"inputs": {"key": key}, "run_id": key})
    for number, key in enumerate("abcde"):
        until(lambda key=key: key in [k for k, _ in office.calls()])  # type: ignore[misc]
        if number < 3:  # whoever holds the run that is in dies; another takes it over, and nobody else gets in
            office.kill(office.calls()[-1][1])
            until(lambda key=key: [k for k, _ in office.calls()].count(key) == 2)  # type: ignore[misc]
        office.open_door(key)
    until(lambda: set(office.statuses().values()) == {"done"})
    assert [key for key, _ in office.calls()] == list("aabbccde")


def test_restart_cancels_the_older_run_in_another_process(office: Office) -> None:
    _, url = office.serve()
    post(f"{url}/api/flows/restart/runs", {"inputs": {"key": "old"}, "run_id": "old"})
    until(lambda: office.calls())
    office.open_door("new")
    code, said = office.run("run", "restart.flow.yaml", "-i", "key=new", "--run-id", "new")
    assert code == 0, said
    assert office.statuses() == {"old": "cancelled", "new": "done"}


def test_restart_cancels_an_older_run_that_waits_and_that_nobody_serves(office: Office) -> None:
    office.write("asks", ASKS)
    assert office.run("run", "asks.flow.yaml", "--run-id", "old")[0] == 4
    assert office.run("run", "asks.flow.yaml", "--run-id", "new")[0] == 4
    assert office.statuses() == {"old": "cancelled", "new": "waiting"}
    assert "old" not in office.run("inbox")[1]


ASKS = """
flow: asks
concurrency: {mode: restart}
steps:
  ask:
    on: Start
    ask:
      title: Shall it?
      to: {users: [kim]}
      form: {verdict: ja | nein}
    emit: Stop
"""


def test_a_run_whose_process_was_killed_keeps_its_place_until_it_is_ended(office: Office) -> None:
    first = office.start("run", "single.flow.yaml", "-i", "key=a", "--run-id", "a")
    until(lambda: office.calls())
    office.kill(first.pid)
    code, said = office.run("run", "single.flow.yaml", "-i", "key=b")
    assert code == 7 and "run a is under way" in said
    office.open_door("a")
    assert office.run("resume", "a")[0] == 0
    office.open_door("b")
    assert office.run("run", "single.flow.yaml", "-i", "key=b")[0] == 0


def test_two_servers_start_one_run_of_every_time_that_was_due(office: Office) -> None:
    names = [f"n{number}" for number in range(8)]
    cron = "  - cron: 0 3 * * *\n    inputs: {key: '${{ now }}'}"
    for name in names:
        office.write(name, TRIGGERED.format(name=name, more="", triggers=cron))
    server, url = office.serve()
    assert len(get(f"{url}/api/schedules")["schedules"]) == len(names)
    server.terminate()
    server.wait(20)
    due = change(office.file, "UPDATE triggers SET next_at = next_at - 86400 * 2 RETURNING next_at")[0][0]
    ups = [office.start("serve", "--port", "0") for _ in range(2)]
    until(lambda: list(office.statuses().values()).count("done") == len(names))
    ups[0].kill()  # as if it had died between starting the runs and setting the next time
    change(office.file, "UPDATE triggers SET next_at = ? RETURNING id", due)
    _, url = office.serve()
    until(lambda: all(row["next_at"] > time.time() for row in get(f"{url}/api/schedules")["schedules"]))
    flows = change(office.file, "SELECT flow FROM runs ORDER BY flow")
    assert [row[0] for row in flows] == names


def test_a_webhook_that_comes_to_two_servers_at_once_starts_one_run(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.environment["SHOP"] = SECRET
    with (office.root / "orchestrator.toml").open("a") as config:
        config.write('[secrets.grant]\nhook = ["SHOP"]\n')
    hook = "  - webhook: {path: /orders, verify: {hmac: SHOP, header: X-Signature}}\n    inputs: {key: '${{ ev.key }}'}"
    office.write("hook", TRIGGERED.format(name="hook", more="secrets: [SHOP]", triggers=hook))
    event = "  - event: Paid\n    inputs: {key: '${{ ev.key }}'}"
    paid = TRIGGERED.format(name="paid", more="events:\n  Paid: {external: true, fields: {key: str}}", triggers=event)
    office.write("paid", paid)
    urls = [office.serve()[1] for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        for number in range(10):
            asked = list(pool.map(lambda url, n=number: send_hook(url, f"m{n}"), urls))
            assert asked[0] == asked[1] and len(asked[0]["run_ids"]) == 1
            told = list(pool.map(lambda url, n=number: send_event(url, f"e{n}"), urls))
            assert told[0] == told[1] and len(told[0]["run_ids"]) == 1
    until(lambda: list(office.statuses().values()) == ["done"] * 20)


def send_hook(url: str, message_id: str) -> Any:
    body, at = json.dumps({"key": message_id}).encode(), str(int(time.time()))
    digest = base64.b64encode(signature_of(SECRET, message_id, at, body)).decode()
    headers = {"webhook-id": message_id, "webhook-timestamp": at, "X-Signature": f"v1,{digest}"}
    return post(f"{url}/hooks/orders", body, headers)


def send_event(url: str, key: str) -> Any:
    return post(f"{url}/api/events", {"event": "Paid", "data": {"key": key}}, {"Idempotency-Key": key})


def post(url: str, body: Any, headers: dict[str, str] | None = None) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **(headers or {})})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return json.loads(answer.read())


def change(file: Path, sql: str, *values: object) -> list[Any]:
    with sqlite3.connect(file) as db:
        rows = db.execute(sql, values).fetchall()
    db.close()
    return rows


NOTIFIED = """
[people.users]
kim = {}
[people]
notify = ["pager.page"]
[plugins]
folder = "plugins"
"""
PAGER = '''
import os
import signal
from pathlib import Path

from orchestrator.plugin import Context, Notice, Plugin

pager = Plugin("pager")


@pager.step
def page(ctx: Context, notice: Notice) -> None:
    """Write down whom to tell of what; die while doing so, if there is a file that says so."""
    if Path("die").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    with open("told", "a") as log:
        print(ctx.idempotency_key, *(person["name"] for person in notice["to"]), file=log)
'''


def test_a_notice_whose_process_was_killed_is_sent_by_the_next_one(office: Office) -> None:
    (office.root / "orchestrator.toml").write_text(NOTIFIED, "utf-8")
    (office.root / "plugins" / "pager.py").write_text(PAGER, "utf-8")
    office.write("asks", ASKS)
    (office.root / "die").touch()
    assert office.start("run", "asks.flow.yaml", "--run-id", "r").wait(30) == -9
    assert office.statuses() == {"r": "waiting"} or office.statuses() == {"r": "running"}
    (office.root / "die").unlink()
    told = office.root / "told"
    _, _ = office.serve()
    change(office.file, "UPDATE notices SET due_at = 0 RETURNING rk")  # its two minutes are over
    until(told.exists)
    until(lambda: change(office.file, "SELECT * FROM notices") == [])
    assert told.read_text() == "r/ask-2/opened/0/pager.page kim\n"


FAN = """
flow: fan
imports: {single: ./part.flow.yaml}
steps:
  each:
    on: Start
    for_each: "${{ ['a', 'b'] }}"
    call: flow.single
    with: {key: "${{ item }}"}
    emit: Stop
"""


def test_resume_goes_on_with_the_runs_that_a_killed_process_had_started(office: Office) -> None:
    office.write("part", PART)
    office.write("fan", FAN)
    first = office.start("run", "fan.flow.yaml", "--run-id", "fan")
    until(lambda: len(office.calls()) == 2)
    office.kill(first.pid)
    office.open_door("a")
    office.open_door("b")
    code, said = office.run("resume", "fan")
    assert code == 0, said
    assert set(office.statuses().values()) == {"done"} and len(office.calls()) == 4


PART = """
flow: part
inputs: {key: str}
steps:
  hold:
    on: Start
    call: door.hold
    with: {key: "${{ inputs.key }}"}
    emit: Stop
"""


def test_a_worker_that_is_asked_to_end_lets_its_call_end_and_gives_the_rest_back(office: Office) -> None:
    worker = office.start("worker", "--grace", "10")
    first = office.start("run", "queue.flow.yaml", "-i", "key=a", "--run-id", "a")
    until(lambda: office.calls())
    first.terminate()
    assert first.wait(20) == 130
    until(lambda: len(office.calls()) == 2)  # the worker has it now
    worker.terminate()
    time.sleep(0.2)
    office.open_door("a")
    assert worker.wait(20) == 0
    assert office.statuses() == {"a": "done"} and len(office.calls()) == 2


def test_a_worker_that_is_started_again_under_its_name_runs_nothing_twice(office: Office) -> None:
    first = office.start("worker", "--name", "w")
    _, url = office.serve("--no-workers")
    post(f"{url}/api/flows/queue/runs", {"inputs": {"key": "a"}, "run_id": "a"})
    until(lambda: office.calls() == [("a", first.pid)])
    office.kill(first.pid)
    second, third = office.start("worker", "--name", "w"), office.start("worker", "--name", "w")
    until(lambda: len(office.calls()) == 2)
    assert office.calls()[1][1] in (second.pid, third.pid)
    office.open_door("a")
    until(lambda: office.statuses()["a"] == "done")
    assert len(office.calls()) == 2
    with sqlite3.connect(f"file:{office.file}?mode=ro", uri=True) as db:
        names = [name for (name,) in db.execute("SELECT name FROM workers")]
    db.close()
    assert len({name for name in names if name.startswith("w:")}) >= 2
