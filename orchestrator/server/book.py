"""What the server asks of the place where runs are: the records it shows and the protocol. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # only named
    from orchestrator.draw.overlay import RunPath
    from orchestrator.ir.model import FlowIR

Json = Any  # plain JSON
ENDED = frozenset({"done", "failed", "cancelled", "timeout"})
STATUSES = ("new", "queued", "running", "waiting", "stopping", "cleaning", "parked", *sorted(ENDED))


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run in a list. Times are epoch seconds; `waiting` are the steps that wait for somebody outside.

    `place` is its number in its book: a later run has a higher one.
    """

    run_id: str
    flow: str
    kind: str
    version: str
    status: str
    created_at: float
    ended_at: float | None = None
    parent: str | None = None
    started_by: str = ""
    waiting: tuple[str, ...] = ()
    error: Json = None
    place: int = 0
    tags: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """The row as clients get it."""
        return {
            "run_id": self.run_id,
            "flow": self.flow,
            "kind": self.kind,
            "version": self.version,
            "status": self.status,
            "created_at": self.created_at,
            "ended_at": self.ended_at,
            "parent": self.parent,
            "started_by": self.started_by,
            "waiting": list(self.waiting),
            "error": self.error,
            "tags": list(self.tags),
        }


@dataclass(frozen=True, slots=True)
class RunDetail:
    """All of a run but its log."""

    row: RunRow
    inputs: Json = None
    outputs: Json = None
    children: tuple[str, ...] = ()
    idem: str = ""

    def to_json(self) -> dict[str, Json]:
        """The run as clients get it."""
        return self.row.to_json() | {
            "inputs": self.inputs,
            "outputs": self.outputs,
            "children": list(self.children),
        }


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which runs to list, newest first. `before` is the place in each book of the last run already shown, in their order."""

    flows: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    started_by: str = ""
    parent: str | None = None
    since: float | None = None
    until: float | None = None
    text: str = ""
    tag: str = ""
    before: tuple[int | None, ...] = ()
    limit: int = 50

    def takes(self, row: RunRow) -> bool:
        """Whether a run belongs into the list."""
        return (
            (not self.flows or row.flow in self.flows)
            and (not self.statuses or row.status in self.statuses)
            and (not self.started_by or row.started_by == self.started_by)
            and (self.parent is None or row.parent == self.parent)
            and (self.since is None or row.created_at >= self.since)
            and (self.until is None or row.created_at <= self.until)
            and (not self.tag or self.tag in row.tags)
            and (not self.text or self.text in row.run_id or self.text in row.flow)
        )


@dataclass(frozen=True, slots=True)
class RequestRow:
    """A request to people. `data` is what the flow rendered (see runtime.people); state: open, decided, timeout, ….

    `answers` are the votes so far, `history` all that happened to it.
    """

    run_id: str
    request_id: str
    flow: str
    step: str
    state: str
    opened_at: float
    data: Mapping[str, Json]
    revision: int = 1
    text: Json = None
    claimed_by: str | None = None
    delegates: tuple[str, ...] = ()
    is_escalated: bool = False
    closed_at: float | None = None
    outcome: str | None = None
    answers: tuple[Json, ...] = ()
    history: tuple[Json, ...] = ()
    kind: str = "ask"

    @property
    def id(self) -> str:
        """How clients name it."""
        return public_id(self.run_id, self.request_id)

    @property
    def due_at(self) -> float | None:
        """When it expires."""
        return self.data.get("deadline")


@dataclass(frozen=True, slots=True)
class Reply:
    """What somebody does to a request."""

    request_id: str
    user: str
    groups: tuple[str, ...] = ()
    action: str = "answer"
    form: Mapping[str, Json] = field(default_factory=dict)
    revision: int | None = None
    item: int | None = None


class RunBook(Protocol):
    """Runs of one place: the memory of this process, or a store."""

    is_durable: bool

    async def runs(self, query: RunQuery, before: int | None, limit: int) -> list[RunRow]:
        """At most `limit` runs with a place lower than `before`, the highest first."""
        ...

    async def run(self, run_id: str) -> RunDetail:
        """One run. Raises: UnknownRun."""
        ...

    async def status(self, run_id: str) -> str:
        """A run's status. Raises: UnknownRun."""
        ...

    async def started_by(self, run_id: str) -> str:
        """Who started a run; empty where nobody is known. Raises: UnknownRun."""
        ...

    async def log(self, run_id: str, after: int, limit: int, *, is_whole: bool = False) -> list[Json]:
        """What happened in a run after a sequence number, oldest first. Raises: UnknownRun."""
        ...

    def grown(self, run_id: str, after: int) -> Awaitable[None]:
        """Done when the log may hold more than `after`, or the run has ended."""
        ...

    async def path(self, run_id: str, at: int | None) -> tuple[FlowIR, RunPath]:
        """A run's flow and the path it took through it, until now or an entry of its log. Raises: UnknownRun."""
        ...

    async def state(self, run_id: str, at: int | None) -> Json:
        """The state of a run, now or after the tick of a sequence number. Raises: UnknownRun."""
        ...

    async def requests(self, state: str | None, limit: int) -> list[RequestRow]:
        """Requests, open ones or those of another state (None: closed ones), the newest first."""
        ...

    async def request(self, run_id: str, request_id: str) -> RequestRow:
        """One request. Raises: UnknownRun, Refused 404."""
        ...

    async def reply(self, run_id: str, reply: Reply) -> None:
        """Act on a request; done when it is kept. Raises: AnswerRefused, UnknownRun, RunFinished."""
        ...

    async def cancel(self, run_id: str, reason: str) -> None:
        """Cancel a run. Raises: UnknownRun, RunFinished."""
        ...

    async def check(self) -> str:
        """`ok`, or what is wrong with the place."""
        ...

    def live_count(self) -> int:
        """How many runs this process holds."""
        ...


def public_id(run_id: str, request_id: str) -> str:
    """One id for a request of a run, safe in a path."""
    if all(c.isalnum() or c in "-_." for c in request_id) and not request_id.startswith("="):
        return f"{run_id}~{request_id}"
    import base64

    return f"{run_id}~=" + base64.urlsafe_b64encode(request_id.encode()).decode().rstrip("=")


def parse_public_id(text: str) -> tuple[str, str] | None:
    """The run and request that a public id names; None for something else."""
    run_id, mark, request_id = text.rpartition("~")
    if not mark or not run_id or not request_id:
        return None
    if not request_id.startswith("="):
        return run_id, request_id
    import base64

    coded = request_id[1:]
    try:
        return run_id, base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4)).decode()
    except ValueError:
        return None
