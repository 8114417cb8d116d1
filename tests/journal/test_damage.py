"""Files that are damaged, cut, full or locked, as commands meet them: a clear error, no crash, and nothing acknowledged is lost."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.journal import db_threads
from tests.cli.support import ENV, cli
from tests.cli_ops.test_operating import Shop

COMMANDS = (
    ["runs", "ls"],
    ["check", "saga.flow.yaml"],
    ["runs", "verify"],
    ["runs", "show", "saga"],
    ["runs", "export", "-o", "x.jsonl"],
    ["send", "loop", "Go"],
    ["decide", "saga", "nein", "--as", "kim"],
    ["resume"],
    ["cancel", "fan"],
)
CODES = {0, 1, 4, 6, 7, 9, 10}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    made = Shop(tmp_path)
    for flow in ("fan", "loop", "saga"):
        made.begin(flow)
    return made


def file_of(shop: Shop) -> Path:
    return shop.folder / ".orchestrator" / "runs.db"


def try_all(shop: Shop, what: str) -> list[int]:
    codes = []
    for words in COMMANDS:
        done = cli(*words, cwd=shop.folder)
        assert done.code in CODES and "internal error" not in done.err, (what, words, done)
        codes.append(done.code)
    return codes


@pytest.mark.timeout(120)
def test_bytes_that_are_flipped_in_any_page_crash_no_command(shop: Shop) -> None:
    file, dice = file_of(shop), random.Random(4)
    whole = file.read_bytes()
    size = int.from_bytes(whole[16:18], "big")
    seen: set[int] = set()
    for page in range(0, len(whole) // size, 12):
        data = bytearray(whole)
        used = [place for place in range(page * size, (page + 1) * size) if data[place]] or [page * size]
        for place in dice.choices(used, k=6):
            data[place] = (data[place] + dice.randrange(1, 256)) % 256
        for old in file.parent.iterdir():
            old.unlink()
        file.write_bytes(bytes(data))
        seen.update(try_all(shop, f"page {page}"))
    assert {0, 10} <= seen


def test_a_log_that_was_cut_or_damaged_leaves_whole_commits(shop: Shop) -> None:
    file, dice = file_of(shop), random.Random(4)
    log = file.with_name("runs.db-wal")
    reader = sqlite3.connect(file)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM runs").fetchone()  # keeps the log from being written back
    shop.do("cancel", "saga")
    base, kept = file.read_bytes(), log.read_bytes()
    reader.close()
    for number in range(3):
        data = bytearray(kept[: dice.randrange(len(kept))] if number % 2 else kept)
        data[dice.randrange(len(data))] ^= 0x55
        for old in file.parent.iterdir():
            old.unlink()
        file.write_bytes(base)
        log.write_bytes(bytes(data))
        assert shop.statuses()["saga"] in ("waiting", "cleaning", "cancelled")
        with sqlite3.connect(file) as db:
            assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        db.close()
        try_all(shop, f"log {number}")


def test_a_locked_file_makes_a_command_fail_and_not_say_that_it_was_done(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db_threads, "BUSY_MS", 20)
    with sqlite3.connect(file_of(shop)) as other:
        other.execute("BEGIN IMMEDIATE")
        for words in (["decide", "saga", "nein", "--as", "kim"], ["send", "loop", "Go"], ["resume", "loop"]):
            done = shop.do(*words)
            assert done.code == 10 and "is locked by another process" in done.err, (words, done)
        assert shop.do("runs", "ls").code == 0
        other.rollback()
    other.close()
    assert shop.do("decide", "saga", "nein", "--as", "kim").code == 1, "it had not been decided"


def test_a_command_that_may_write_no_more_says_so_and_its_run_goes_on_later(shop: Shop) -> None:
    size = file_of(shop).stat().st_size + 40_000
    text = (
        "import resource, runpy, sys\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))\n"
        "sys.argv = ['orchestrator', *sys.argv[1:]]\n"
        "runpy.run_module('orchestrator', run_name='__main__')\n"
    )
    shop.write("many", MANY)
    command = [sys.executable, "-c", text, "run", "many.flow.yaml", "--run-id", "many", "-q"]
    done = subprocess.run(command, cwd=shop.folder, env=ENV, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 10 and "runs.db" in done.stderr and "Traceback" not in done.stderr
    assert shop.do("runs", "verify").code == 0
    again = shop.do("resume", "many", "--json")
    assert (again.code, again.json["data"]["outputs"]) == (0, {"n": 300})


MANY = """
flow: many
outputs: {n: int}
state: {n: {type: int, default: 0}, log: {type: [str], default: []}}
steps:
  work:
    on: Start
    max_visits: unlimited
    set:
      n: ${{ state.n + 1 }}
      log: ${{ state.log + ['something that takes some room in the log'] }}
    emit:
      - when: state.n < 300
        event: work
      - event: Stop
        with: {n: "${{ state.n }}"}
"""
