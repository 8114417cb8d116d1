"""Everything that the routes and pages of one server work with: workflows, runs, requests, accounts, changes.

The REST routes and the pages call the same methods here; they return plain data. Started at the first request if the app's
lifespan did not start it, so that it works mounted in any other app.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.authoring.project import Project
from orchestrator.authoring.run_service import RunService
from orchestrator.errors import OrchestratorError, UnknownRun, UsageError
from orchestrator.ir.codec import flow_hash
from orchestrator.ir.model import FlowIR
from orchestrator.runtime import ticks as t
from orchestrator.runtime.clock import Clock
from orchestrator.runtime.engine import adopt_engine
from orchestrator.runtime.plan import FlowPlan
from orchestrator.server.access import Identity
from orchestrator.server.accounts import Accounts
from orchestrator.server.book import RequestRow, RunBook, RunDetail, RunQuery, RunRow
from orchestrator.server.bus import Bus
from orchestrator.server.changes import ChangeNotes
from orchestrator.server.class_questions import ClassQuestions
from orchestrator.server.costs import Costs
from orchestrator.server.gate import Gate
from orchestrator.server.limits import RateLimiter
from orchestrator.server.membership import LivePeople
from orchestrator.server.memory_book import MemoryBook, MemoryEngine
from orchestrator.server.metrics import Metrics
from orchestrator.server.noticing import notices_of
from orchestrator.server.operations import check_flow_event, drained
from orchestrator.server.problems import Refused
from orchestrator.server.questions import open_questions
from orchestrator.server.scheduler import Scheduler
from orchestrator.server.shelf import Served, Shelf
from orchestrator.server.store_book import StoreBook
from orchestrator.server.upkeep import keep_pruned

if TYPE_CHECKING:  # loaded where a project names a provider
    from orchestrator.server.oidc import OidcSignIn

Json = Any  # plain JSON


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How a server behaves. `is_open`: clients on this machine need no account; `url` is how people reach it, for links."""

    is_open: bool = True
    is_dev: bool = False
    allows_edit: bool = False
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    url: str = ""
    max_streams: int = 2_000
    is_secure: bool = False  # cookies only over https


class Desk:
    """One server's insides."""

    def __init__(
        self,
        *,
        project: Project | None = None,
        accounts: Accounts | None = None,
        settings: ServerSettings | None = None,
        store: StoreBook | None = None,
        clock: Clock | None = None,
        limiter: RateLimiter | None = None,
    ) -> None:
        self.project = project
        self.settings = settings or ServerSettings()
        self.accounts = accounts or Accounts()
        self.gate = Gate(
            self.accounts,
            is_open=self.settings.is_open,
            is_secure=self.settings.is_secure,
            limiter=limiter,
            groups_of=self._config_groups,
        )
        self.bus = Bus()
        self.metrics = Metrics()
        self.shelf = Shelf(project)
        self.memory = MemoryBook(MemoryEngine(clock=clock))
        self.store = store
        self.clock: Clock = self.memory.engine.clock
        self.costs = Costs(self)
        self.class_questions = ClassQuestions(self)
        self.scheduler = Scheduler(self, store.store if store is not None else None)
        self.streams = 0
        self.oidc = self._sign_in()
        self.notices = notices_of(self)
        self.on_start: list[Callable[[], Awaitable[None]]] = []
        self.on_stop: list[Callable[[], Awaitable[None]]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._old_projects: list[Project] = []
        notes = ChangeNotes(self)
        self.memory.engine.on_change.append(notes.run_created)
        self.memory.on_request.append(notes.request_changed)
        if store is not None:
            store.served_name = self.shelf.served_name
            store.has_classes = lambda: any(served.kind == "class" for served in self.shelf)
            store.on_run.append(notes.stored_run_changed)
            store.on_request.append(notes.request_changed)
            store.on_elsewhere.append(notes.changed_elsewhere)

    # Life.

    @property
    def is_started(self) -> bool:
        """Whether it runs in the current loop."""
        return self._loop is not None

    @property
    def root(self) -> Path | None:
        """The project's folder."""
        return self.project.root if self.project is not None else None

    async def start(self) -> None:
        """Get ready in the running loop; doing so twice is harmless."""
        if self._loop is not None:
            return
        if self.bus.is_closed:
            raise Refused(503, "stopping", "this server is stopping", headers={"Retry-After": "5"})
        self._loop = asyncio.get_running_loop()
        adopt_engine(self.memory.engine)
        self.shelf.scan()
        self.people_changed()
        if self.store is not None:
            self._host_workflows()
            await self.store.open()
        await self.scheduler.register()
        self.spawn(self.scheduler.run())
        if self.store is not None:
            self.spawn(keep_pruned(self))
        for hook in self.on_start:
            await hook()

    async def stop(self) -> None:
        """Let readers go, stop what runs in memory, give up what is in the store."""
        if self._loop is None:
            return
        self._loop = None
        self.bus.close()
        for hook in reversed(self.on_stop):
            await hook()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for record in list(self.memory.engine.records.values()):
            if not record.actor.is_over and not record.is_released:
                record.actor.discard()
        if self.store is not None:
            await self.store.close()
        await self.notices.aclose()
        if self.oidc is not None:
            await self.oidc.aclose()
        for project in (*self._old_projects, *([self.project] if self.project is not None else [])):
            await project.hub.aclose()

    def _host_workflows(self) -> None:
        """Let the store's engine give runs of Python workflows their live side."""
        workflows = [served.target for served in self.shelf if served.kind in ("class", "function")]
        if workflows and self.store is not None:
            from orchestrator.authoring.engines import host_of

            host = host_of(self.store.engine)
            for workflow in workflows:
                host.add(workflow)

    def end_streams_soon(self) -> None:
        """Let open streams end; may be called from a signal handler."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.bus.close)

    async def rescan(self) -> list[str]:
        """Look at the flow files again, and tell open pages what has changed."""
        names = self.shelf.scan()
        if names:
            await self.scheduler.register()
            self.bus.publish("flows", {"names": names})
        return names

    async def use_project(self, project: Project) -> None:
        """Go on with the project as it was loaded anew; runs that are under way keep their flow, and call what is there now."""
        if self.project is not None:
            self._old_projects.append(self.project)
        self.project = self.shelf.project = project
        for old in self._old_projects:
            old.follow(project)
        if self.store is not None:
            self.store.rebind()
        self.shelf.scan(is_forced=True)
        self.people_changed()
        await self.scheduler.register()
        self.bus.publish("flows", {"names": [served.name for served in self.shelf]})

    async def checks(self) -> dict[str, str]:
        """What must be well for requests to be served: each `ok` or what is wrong."""
        found = {"server": "stopping" if self.bus.is_closed else "ok"}
        if self.store is not None:
            found["store"] = await self.store.check()
        return found

    def live_runs(self) -> int:
        """How many runs this process holds."""
        return sum(book.live_count() for book in self.books)

    def spawn(self, work: Any) -> asyncio.Task[Any]:
        """Run a coroutine that ends with the server at the latest."""
        task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # looked at; it is in the record of the run

    async def drain(self, stream: Any) -> None:
        """Begin to read the stream of a functional run, and go on by itself. Raises: what refuses the run to begin."""
        try:
            await anext(stream)
        except StopAsyncIteration:
            return
        self.spawn(drained(stream))

    # Runs.

    @property
    def books(self) -> list[RunBook]:
        """Where runs are."""
        return [self.memory] if self.store is None else [self.memory, self.store]

    async def book_of(self, run_id: str) -> RunBook:
        """Where a run is. Raises: UnknownRun."""
        if self.store is None or run_id in self.memory.engine.records or run_id in self.memory.expected:
            return self.memory
        await self.store.run(run_id)
        return self.store

    async def runs(self, query: RunQuery) -> tuple[list[RunRow], tuple[int | None, ...] | None]:
        """Runs, newest first, and where the next page begins."""
        before = [*query.before, *([None] * len(self.books))][: len(self.books)]
        lists = [await book.runs(query, place, query.limit + 1) for book, place in zip(self.books, before, strict=True)]
        page: list[RunRow] = []
        heads = [0] * len(lists)
        while len(page) < query.limit:
            nonempty = [n for n, rows in enumerate(lists) if heads[n] < len(rows)]
            if not nonempty:
                return page, None
            newest = max(nonempty, key=lambda n: lists[n][heads[n]].created_at)
            row = lists[newest][heads[newest]]
            heads[newest] += 1
            before[newest] = row.place or None
            page.append(row)
        is_more = any(heads[n] < len(rows) for n, rows in enumerate(lists))
        return page, tuple(before) if is_more else None

    async def run(self, run_id: str) -> RunDetail:
        """One run. Raises: UnknownRun."""
        for book in self.books:
            try:
                return await book.run(run_id)
            except UnknownRun:
                continue
        raise UnknownRun(f"there is no run {run_id[:120]!r}")

    async def start_flow(self, served: Served, inputs: Mapping[str, Json], run_id: str, meta: dict[str, Any]) -> None:
        """Start a YAML flow. Raises: UsageError for wrong inputs, JournalConflict for a run id that exists."""
        assert served.ir is not None
        plan = served.target if served.target is not None else self._project().plan(served.ir)
        if self.store is not None:
            await self.store.start(plan, inputs, run_id, meta)
            return
        await RunService(self.memory.engine).start(plan, inputs, run_id=run_id, meta=meta)

    def bind(self, ir: FlowIR) -> FlowPlan:
        """A stored version of a flow, ready to run here. Raises: UsageError `run.unbound`, PluginError."""
        if ir.kind == "class" and (of_class := self.shelf.class_of(ir.name)) is not None:
            return of_class.target.plan_of(ir)  # type: ignore[no-any-return]  # a Workflow's
        for served in self.shelf:
            if (
                served.target is not None
                and served.kind == "yaml"
                and served.ir is not None
                and served.ir.name == ir.name
            ):
                plan: FlowPlan = served.target
                if plan.hash == flow_hash(ir):
                    return plan
        if self.project is None:
            raise UsageError(f"nothing here can run flow `{ir.name}` ({ir.kind})", code="run.unbound")
        return self.project.plan(ir)

    async def send_flow_event(self, run_id: str, event: str, data: Mapping[str, Json], step: str | None) -> None:
        """Send an event into a run of a YAML flow."""
        if self.store is not None and run_id not in self.memory.engine.records:
            plan = await self.store.plan_of(run_id)
            check_flow_event(plan.ir, event, data, step)
            await self.store.send(run_id, event, data, step)
            return
        actor = self.memory.live(run_id)
        check_flow_event(actor.plan.ir, event, data, step)
        actor.apply(t.EventIn(0, 0.0, -1, event, dict(data), step))

    def _project(self) -> Project:
        if self.project is None:
            raise OrchestratorError("this server has no project")
        return self.project

    async def drop_run(self, run_id: str) -> None:
        """Forget a run that has ended."""
        if run_id in self.memory.engine.records:
            self.memory.engine.drop(run_id)
        elif self.store is not None:
            await self.store.store.delete([run_id])

    # Requests.

    async def requests(self, state: str | None = "open", limit: int = 1_000) -> list[RequestRow]:
        """Requests of a state (None: closed ones), the newest first; questions of Python runs among the open ones."""
        rows = [row for book in self.books for row in await book.requests(state, limit)]
        if state == "open":
            rows += [*open_questions(self.memory), *await self.class_questions.open()]
        rows.sort(key=lambda row: row.closed_at or row.opened_at, reverse=True)
        return rows[:limit]

    async def request(self, run_id: str, request_id: str) -> RequestRow:
        """One request. Raises: UnknownRun, Refused 404."""
        book = await self.book_of(run_id)
        if book is self.memory and self.is_function(run_id):
            for row in open_questions(self.memory, run_id):
                if row.request_id == request_id:
                    return row
        for row in await self.class_questions.open(run_id):
            if row.request_id == request_id:
                return row
        return await book.request(run_id, request_id)

    def is_function(self, run_id: str) -> bool:
        """Whether a run is one of a functional workflow here."""
        record = self.memory.engine.records.get(run_id)
        return record is not None and record.actor.plan.ir.kind == "function"

    # People.

    def _sign_in(self) -> OidcSignIn | None:
        """The provider that signs people in, if the project names one. Raises: UsageError if it cannot."""
        if self.project is None or not self.project.config.oidc.is_set:
            return None
        from orchestrator.plugin.providers import configured_provider
        from orchestrator.server.oidc import OidcSignIn

        config, accounts = self.project.config, self.accounts
        secret_of = configured_provider(config)
        return OidcSignIn(config.oidc, key=accounts.secret, secret_of=secret_of, take=accounts.use_link)

    def _config_groups(self, name: str) -> tuple[str, ...]:
        if self.project is None:
            return ()
        return tuple(group for group, users in self.project.config.people.groups.items() if name in users)

    def knows_people(self) -> bool:
        """Whether membership is strict: the project or the accounts name people."""
        has_config = self.project is not None and self.project.config.people.is_strict
        return has_config or self.oidc is not None or not self.accounts.is_empty()

    def people(self) -> dict[str, list[str]]:
        """Every group with its members, from the config and the accounts."""
        found: dict[str, list[str]] = {}
        if self.project is not None:
            for group, users in self.project.config.people.groups.items():
                found.setdefault(group, []).extend(users)
        for group, members in self.accounts.groups().items():
            known = found.setdefault(group, [])
            known.extend(m for m in members if m not in known)
        return found

    def people_changed(self) -> None:
        """Accounts were changed here: look them up anew, and let new requests know who may answer."""
        self.gate.forget()
        if self.project is not None and self.knows_people():
            self.project.binding.people = LivePeople(self.people, self.clock)

    def groups_for(self, person: Identity, row: RequestRow) -> tuple[str, ...]:
        """The groups that count for somebody on a request; without known people, those that it asks for."""
        if self.knows_people():
            return person.groups
        audiences = [row.data.get("to") or {}, (row.data.get("escalate") or {}).get("to") or {}]
        return tuple(dict.fromkeys(group for audience in audiences for group in audience.get("groups", ())))
