"""The audit log after somebody has changed it with SQL: every column of every kind of line, lines that are gone, moved, added."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.cli.support import cli
from tests.cli_ops.test_people import Desk

CHANGES = {
    "at": "at = at + 1",
    "run": "run = run || 'x'",
    "actor": "actor = actor || 'x'",
    "action": "action = action || 'x'",
    "data": """data = '{"verdict": "approve"}'""",
    "hash": "hash = replace(hash, substr(hash, 1, 1), 'g')",
    "no time": "at = 'yesterday'",
    "no json": "data = '{'",
    "nothing": "data = NULL",
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a line of every kind that people and operators make."""
    desk = Desk(tmp_path_factory.mktemp("audited"))
    desk.begin()
    (desk.folder / "new.txt").write_text("Coffee.", "utf-8")
    for words in (["--claim"], ["--release"], ["--delegate", "dora"], ["--edit", "new.txt"]):
        desk.decide("r", "--as", "lee", *words)
    desk.decide("r", "approve", "--as", "kim", "--revision", "2")
    desk.decide("r", "approve", "--as", "noa", "--revision", "2")
    desk.decide("r", "reject", "--as", "lee", "--revision", "2")
    desk.begin("post", "gone")
    desk.do("cancel", "gone", "--reason", "too late")
    assert desk.do("runs", "verify").code == 0
    return desk.folder / ".orchestrator" / "runs.db"


def copy(file: Path, folder: Path) -> sqlite3.Connection:
    made = sqlite3.connect(folder / "runs.db")
    with sqlite3.connect(file) as source:
        source.backup(made)
    source.close()
    return made


def verify(folder: Path, *more: str) -> tuple[int, str]:
    done = cli("runs", "verify", *more, "--store", "sqlite:///runs.db", cwd=folder)
    assert "Traceback" not in done.err
    return done.code, done.out + done.err


def test_the_story_has_a_line_of_every_kind(file: Path) -> None:
    with sqlite3.connect(file) as db:
        kinds = {row[0] for row in db.execute("SELECT action FROM audit")}
    db.close()
    assert kinds >= {
        *("request.opened", "request.delegated", "request.edited", "request.decided", "request.cancelled"),
        *("answer.claim", "answer.release", "answer.delegate", "answer.edit", "answer.answer"),
        *("refused.answer", "run.cancel"),
    }


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_change_of_any_line_is_found(file: Path, tmp_path: Path, change: str) -> None:
    db = copy(file, tmp_path)
    lines = [row[0] for row in db.execute("SELECT id FROM audit ORDER BY id")]
    for line in lines:
        db.execute("SAVEPOINT one")
        db.execute("CREATE TEMP TABLE IF NOT EXISTS kept AS SELECT * FROM audit")
        db.execute(f"UPDATE audit SET {CHANGES[change]} WHERE id = ?", (line,))
        db.commit()
        code, said = verify(tmp_path)
        assert code == 9 and f"at line {line};" in said, (line, said)
        db.execute("DELETE FROM audit WHERE id = ?", (line,))
        db.execute("INSERT INTO audit SELECT * FROM temp.kept WHERE id = ?", (line,))
        db.commit()
    assert verify(tmp_path)[0] == 0
    db.close()


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM audit WHERE id = 1",
        "DELETE FROM audit WHERE id = 5",
        "DELETE FROM audit WHERE id = (SELECT max(id) FROM audit)",
        "DELETE FROM audit WHERE id > 3",
        "DELETE FROM audit",
        "UPDATE audit SET id = CASE id WHEN 3 THEN -4 WHEN 4 THEN -3 END WHERE id IN (3, 4)",
        "INSERT INTO audit (at, run, actor, action, data, hash) SELECT at, run, actor, action, data, hash FROM audit LIMIT 1",
    ],
)
def test_lines_that_are_gone_moved_or_added_are_found(file: Path, tmp_path: Path, sql: str) -> None:
    db = copy(file, tmp_path)
    db.execute(sql)
    db.execute("UPDATE audit SET id = -id WHERE id < 0")
    db.commit()
    db.close()
    assert verify(tmp_path)[0] == 9


def test_a_log_that_was_written_anew_lacks_the_hash_that_was_kept(file: Path, tmp_path: Path) -> None:
    db = copy(file, tmp_path)
    ((head, first),) = db.execute("SELECT (SELECT hash FROM audit ORDER BY id DESC LIMIT 1), hash FROM audit LIMIT 1")
    assert [verify(tmp_path, "--head", kept)[0] for kept in (head, first, "0" * 64)] == [0, 0, 0]
    db.execute("DELETE FROM audit WHERE id > 3")
    db.execute("UPDATE sqlite_sequence SET seq = 3 WHERE name = 'audit'")
    db.commit()
    db.close()
    assert verify(tmp_path)[0] == 0, "whoever may write the file may write a chain"
    code, said = verify(tmp_path, "--head", head)
    assert code == 9 and "cut off" in said
