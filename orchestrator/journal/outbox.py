"""The outbox of notices: what people are to be told of a request, written with what happened, removed when they were told.

The statements are those of both databases; `execute` takes one with its values and gives its cursor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from orchestrator.runtime.journal import Untold

Execute = Callable[[str, tuple[Any, ...]], Any]  # Any: a cursor of either database
_OF_RUN = "rk = (SELECT rk FROM runs WHERE id = ?) AND request = ? AND number = ?"


def put_untold(execute: Execute, rk: int, item: Untold) -> None:
    """Have it told, by this process or from its time on by another."""
    sql = "INSERT INTO notices (rk, request, number, what, due_at) VALUES (?,?,?,?,?) ON CONFLICT DO NOTHING"
    execute(sql, (rk, item.request_id, item.number, item.what, item.due_at))


def forget_untold(execute: Execute, rk: int, request_id: str) -> None:
    """A request is closed: nobody needs to be told any more."""
    execute("DELETE FROM notices WHERE rk = ? AND request = ?", (rk, request_id))


def has_untold(execute: Execute, now: float) -> bool:
    """Whether something should have been told by now."""
    return execute("SELECT 1 FROM notices WHERE due_at <= ? LIMIT 1", (now,)).fetchone() is not None


def take_untold(execute: Execute, now: float, again_at: float, limit: int) -> list[Untold]:
    """What should have been told by now, the longest due first; nobody else gets it before `again_at`."""
    open_request = (
        "SELECT 1 FROM requests q WHERE q.rk = notices.rk AND q.request = notices.request AND q.state = 'open'"
    )
    execute(f"DELETE FROM notices WHERE due_at <= ? AND NOT EXISTS ({open_request})", (now,))
    rows = execute(
        "SELECT r.id, n.request, n.number, n.what, n.due_at FROM notices n JOIN runs r ON r.rk = n.rk"
        " WHERE n.due_at <= ? ORDER BY n.due_at, n.rk, n.number LIMIT ?",
        (now, limit),
    ).fetchall()
    taken = []
    for run_id, request_id, number, what, due_at in rows:
        sql = f"UPDATE notices SET due_at = ? WHERE {_OF_RUN} AND due_at = ? RETURNING number"
        if execute(sql, (again_at, run_id, request_id, number, due_at)).fetchone() is not None:
            taken.append(Untold(run_id, request_id, number, what, again_at))
    return taken


def put_told(execute: Execute, items: Sequence[Untold]) -> None:
    """People have been told."""
    for item in items:
        execute(f"DELETE FROM notices WHERE {_OF_RUN}", (item.run_id, item.request_id, item.number))
