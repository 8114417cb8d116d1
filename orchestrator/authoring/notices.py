"""Tells people of requests through the callables of `[people] notify`: when one opens, is reminded, escalated or delegated.

What is to be told is written to the store's outbox with what happened. The process that committed it tells people at once, tries
again a few times, and takes it out; if it dies in between, another process finds it there after `AFTER_S` and tells them, with
the same idempotency key. A notifier that fails never harms a run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from orchestrator.authoring.project import Project
from orchestrator.errors import OrchestratorError, UsageError
from orchestrator.ir.durations import iso_utc
from orchestrator.plugin.mail import is_address
from orchestrator.plugin.notice import Notice, Receiver
from orchestrator.plugin.services import PlainContext
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.durable import DurableEngine
from orchestrator.runtime.engine import Engine
from orchestrator.runtime.journal import RequestRow, Untold
from orchestrator.runtime.rows import request_row
from orchestrator.runtime.sink import TOLD

Json = Any  # plain JSON
LOG = logging.getLogger("orchestrator.notices")
DELAYS_S = (1.0, 10.0, 60.0)
GRACE_S = 5.0
TRY_S = 20.0
AFTER_S = 120.0  # longer than the process that committed it goes on trying
LOOK_S = 5.0


class Notices:
    """The notices of one process.

    `mail_of` knows addresses beside those of `[people] users`; `page_of` gives the page of a request (run, request), and
    `link_of` a person's own link to it (request, person); both give "" where there is none.
    """

    def __init__(
        self,
        project: Callable[[], Project | None],
        *,
        mail_of: Callable[[str], str] = lambda name: "",
        page_of: Callable[[str, str], str] = lambda run_id, request: "",
        link_of: Callable[[RequestRow, str], str] = lambda request, person: "",
    ) -> None:
        self._project = project
        self._mail_of = mail_of
        self._page_of = page_of
        self._link_of = link_of
        self._tasks: set[asyncio.Task[None]] = set()
        self._looking: asyncio.Task[None] | None = None
        self._durable: DurableEngine | None = None
        self._is_closed = False

    def attach(self, engine: Engine) -> None:
        """Listen to an engine. Raises: UsageError for a notifier that cannot be one."""
        project = self._project()
        if project is not None:
            check_notifiers(project)
        engine.listeners.append(self._happened)
        if isinstance(engine, DurableEngine) and project is not None and project.config.people.notify:
            self._durable = engine
            engine.tells_after_s = AFTER_S

    def look(self) -> None:
        """Tell people what other processes left untold: now, and as long as the engine serves the store again and again."""
        if self._durable is not None and self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._look(self._durable))

    async def aclose(self) -> None:
        """Let notices that are under way be sent for a moment; then leave them to others. To be called before the store is
        closed."""
        self._is_closed = True
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=GRACE_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def try_out(self, name: str, url: str) -> dict[str, str]:
        """Send somebody a notice that says it is a test; gives what went wrong by notifier, "" where nothing did."""
        project = self._project()
        if project is None:
            return {}
        email = project.config.people.users.get(name, {}).get("email", "") or self._mail_of(name)
        receiver = Receiver(name=name, email=email or (name if is_address(name) else ""), link="")
        notice = Notice(
            what="opened",
            title="A test: nothing needs to be decided",
            flow="test",
            run_id="test",
            step="test",
            request_id="test",
            due_at=None,
            url=url,
            to=[receiver],
            groups=[],
        )
        found = dict.fromkeys(project.config.people.notify, "")
        for notifier in found:
            try:
                async with asyncio.timeout(TRY_S):
                    await self._call(project, notifier, notice, f"test/{notifier}/{project.hub.clock.now()}")
            except OrchestratorError as error:
                found[notifier] = f"{error.code}: {error}"
            except TimeoutError:
                found[notifier] = f"no answer within {TRY_S:g} s"
        return found

    async def _look(self, engine: DurableEngine) -> None:
        while True:
            try:
                now = engine.clock.now()
                for item, request in await engine.journal.untold(now=now, again_at=now + AFTER_S):
                    self._send(request, item.what, item.number)
            except OrchestratorError as error:
                LOG.warning("the outbox of notices cannot be read now: %s", error)
            if not engine.serves:
                return
            await asyncio.sleep(LOOK_S)

    def _happened(self, run: Actor, command: t.Notify) -> None:
        request = run.state.requests.get(command.request)
        if request is not None and command.what in TOLD:
            row = request_row(run.run_id, run.plan.ir.name, request)
            self._send(row, command.what, command.number, is_stored=run.sink is not None)

    def _send(self, request: RequestRow, what: str, number: int, *, is_stored: bool = True) -> None:
        project = self._project()
        if project is None or not project.config.people.notify or self._is_closed:
            return
        notice = self._notice(project, request, what, number)
        item = Untold(request.run_id, request.request_id, number, what, 0.0) if is_stored else None
        task = asyncio.get_running_loop().create_task(self._tell_all(project, notice, number, item))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _notice(self, project: Project, request: RequestRow, what: str, number: int) -> Notice:
        known: Mapping[str, Json] = project.binding.people or {}
        data: dict[str, Json] = request.data
        audience = data.get("to") or {}
        delegates: Iterable[str] = data["delegates"]
        if what == "escalated":
            audience, delegates = (data.get("escalate") or {}).get("to") or {}, ()
        groups = list(audience.get("groups") or ())
        names = [
            *(audience.get("users") or ()),
            *(user for group in groups for user in known.get(group, ())),
            *delegates,
        ]
        if what == "delegated":
            names, groups = [str(data["history"][number - 1]["form"]["to"])], []
        done = {answer["by"] for answer in data["answers"]}
        gone = {*(data.get("to") or {}).get("not", ()), *(done if len(data["outcomes"]) == 1 else ())}
        due = data.get("deadline")
        return Notice(
            what=cast("Any", what),
            title=str(data.get("title") or request.step),
            flow=request.flow,
            run_id=request.run_id,
            step=request.step,
            request_id=request.request_id,
            due_at=None if due is None else iso_utc(due),
            url=self._page_of(request.run_id, request.request_id),
            to=[self._receiver(project, request, name) for name in dict.fromkeys(names) if name not in gone],
            groups=groups,
        )

    def _receiver(self, project: Project, request: RequestRow, name: str) -> Receiver:
        email = project.config.people.users.get(name, {}).get("email", "") or self._mail_of(name)
        return Receiver(
            name=name,
            email=email or (name if is_address(name) else ""),
            link=self._link_of(request, name),
        )

    async def _tell_all(self, project: Project, notice: Notice, number: int, item: Untold | None) -> None:
        key = f"{notice['run_id']}/{notice['request_id']}/{notice['what']}/{number}"
        names = project.config.people.notify
        await asyncio.gather(*(self._tell(project, name, notice, f"{key}/{name}") for name in names))
        if item is None or self._durable is None:
            return
        try:
            await self._durable.journal.told([item])
        except OrchestratorError as error:
            LOG.warning("people may be told twice of %s: %s", key, error)

    async def _tell(self, project: Project, name: str, notice: Notice, key: str) -> None:
        fields = {"run_id": notice["run_id"], "step": notice["step"], "notifier": name}
        for number, delay_s in enumerate((*DELAYS_S, 0.0)):
            try:
                await self._call(project, name, notice, key)
                return
            except OrchestratorError as error:  # a run never fails for a message
                if number == len(DELAYS_S):
                    LOG.error("%s could not tell anybody: %s: %s", name, error.code, error, extra=fields)
                    return
                LOG.warning("%s failed, and is tried again: %s: %s", name, error.code, error, extra=fields)
                await project.hub.clock.sleep(delay_s)

    async def _call(self, project: Project, name: str, notice: Notice, key: str) -> None:
        context = PlainContext(notice["run_id"], notice["flow"], notice["step"], idempotency_key=key)
        info = project.catalog.get(name)
        if info is None:
            raise UsageError(f"nothing provides {name}")
        await project.hub.call(info, {"notice": notice}, context)


def check_notifiers(project: Project) -> None:
    """Whether every callable of `[people] notify` can be a notifier. Raises: UsageError."""
    for problem in notifier_problems(project):
        raise UsageError(f"[people] notify: {problem}", code="people.notify")


def notifier_problems(project: Project) -> Iterable[str]:
    """What is wrong with the callables of `[people] notify`."""
    for name in project.config.people.notify:
        info = project.catalog.get(name)
        if info is None:
            problem = project.catalog.problem(name)
            guess = project.catalog.suggest(name)
            hint = f"; did you mean {guess}?" if guess else ""
            yield problem.message if problem is not None else f"nothing provides {name}{hint}"
        elif "notice" not in info.fields or set(info.required) - {"notice"}:
            yield f"{name} is no notifier: it must take `notice: Notice`, and need nothing else"
