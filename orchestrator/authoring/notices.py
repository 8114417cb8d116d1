"""Tells people of requests through the callables of `[people] notify`: when one opens, is reminded, escalated or delegated.

A notice is sent by the process that committed what happened, after the commit, and tried again a few times; a process that is
killed between the two leaves it unsent, and the next reminder is the one that comes. A notifier that fails never harms a run.
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
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.engine import Engine
from orchestrator.runtime.people import Request

Json = Any  # plain JSON
LOG = logging.getLogger("orchestrator.notices")
TOLD = ("opened", "reminded", "escalated", "delegated")
DELAYS_S = (1.0, 10.0, 60.0)
GRACE_S = 5.0
TRY_S = 20.0


class Notices:
    """The notices of one process.

    `mail_of` knows addresses beside those of `[people] users`; `page_of` gives the page of a request (run, request), and
    `link_of` a person's own link to it (actor, request, person); both give "" where there is none.
    """

    def __init__(
        self,
        project: Callable[[], Project | None],
        *,
        mail_of: Callable[[str], str] = lambda name: "",
        page_of: Callable[[str, str], str] = lambda run_id, request: "",
        link_of: Callable[[Actor, Request, str], str] = lambda run, request, person: "",
    ) -> None:
        self._project = project
        self._mail_of = mail_of
        self._page_of = page_of
        self._link_of = link_of
        self._tasks: set[asyncio.Task[None]] = set()

    def attach(self, engine: Engine) -> None:
        """Listen to an engine. Raises: UsageError for a notifier that cannot be one."""
        project = self._project()
        if project is not None:
            check_notifiers(project)
        engine.listeners.append(self._happened)

    async def aclose(self) -> None:
        """Let notices that are under way be sent for a moment; then give them up."""
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

    def _happened(self, run: Actor, request_id: str, what: str) -> None:
        project = self._project()
        request = run.state.requests.get(request_id)
        if project is None or not project.config.people.notify or request is None or what not in TOLD:
            return
        notice = self._notice(project, run, request, what)
        number = len(request.history)
        for name in project.config.people.notify:
            key = f"{run.run_id}/{request_id}/{what}/{number}/{name}"
            task = asyncio.get_running_loop().create_task(self._tell(project, name, notice, key))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _notice(self, project: Project, run: Actor, request: Request, what: str) -> Notice:
        known: Mapping[str, Json] = project.binding.people or {}
        audience = request.data.get("to") or {}
        if what == "escalated":
            audience = (request.data.get("escalate") or {}).get("to") or {}
        groups = list(audience.get("groups") or ())
        names = [*(audience.get("users") or ()), *(user for group in groups for user in known.get(group, ()))]
        if what == "delegated":
            names, groups = request.delegates[-1:], []
        done = {answer["by"] for ballot in request.ballots for answer in ballot.answers}
        gone = {*(request.data.get("to") or {}).get("not", ()), *(done if len(request.ballots) == 1 else ())}
        due = request.data.get("deadline")
        return Notice(
            what=cast("Any", what),
            title=str(request.data.get("title") or request.step),
            flow=run.plan.ir.name,
            run_id=run.run_id,
            step=request.step,
            request_id=request.id,
            due_at=None if due is None else iso_utc(due),
            url=self._page_of(run.run_id, request.id),
            to=[self._receiver(project, run, request, name) for name in dict.fromkeys(names) if name not in gone],
            groups=groups,
        )

    def _receiver(self, project: Project, run: Actor, request: Request, name: str) -> Receiver:
        email = project.config.people.users.get(name, {}).get("email", "") or self._mail_of(name)
        return Receiver(
            name=name,
            email=email or (name if is_address(name) else ""),
            link=self._link_of(run, request, name),
        )

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
