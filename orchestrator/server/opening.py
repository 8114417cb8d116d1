"""Makes the desk of a project: its store by URL, its engine, its accounts, the people who may answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.authoring.project import Project
from orchestrator.runtime.clock import Clock
from orchestrator.server.accounts import Accounts
from orchestrator.server.desk import Desk, ServerSettings

if TYPE_CHECKING:  # loaded with the store
    from orchestrator.ir.model import FlowIR
    from orchestrator.journal.store import Store
    from orchestrator.runtime.durable import DurableEngine
    from orchestrator.runtime.plan import FlowPlan

HELD = 10_000  # runs that a server holds at a time: one that waits for people is not held


def open_desk(
    project: Project | None,
    store_url: str | None = None,
    *,
    accounts: Accounts | None = None,
    settings: ServerSettings | None = None,
    clock: Clock | None = None,
    serves_runs: bool = True,
) -> Desk:
    """The desk of a project over a store (in the memory of this process without one).

    With `serves_runs` off, runs that are due are left to workers; starting and answering work all the same.

    Raises: UsageError for a URL that names no store; StoreError for one that cannot be used.
    """
    if store_url is None:
        return Desk(project=project, accounts=accounts, settings=settings, clock=clock)
    from orchestrator.journal.open import open_journal, parse_store_url
    from orchestrator.server.store_book import StoreBook

    parsed = parse_store_url(store_url)
    journal = open_journal(store_url)
    holder: list[Desk] = []
    engine = _engine(journal, holder, serves_runs, clock=clock, is_strict=parsed.is_strict)
    book = StoreBook(engine, journal, serves=serves_runs)
    desk = Desk(project=project, accounts=accounts, settings=settings, store=book, clock=clock)
    holder.append(desk)
    return desk


def _engine(journal: Store, holder: list[Desk], serves_runs: bool, **options: Any) -> DurableEngine:
    """What starts runs and answers; it works runs off as a worker does, which takes only those whose steps are here."""
    from orchestrator.dispatch.capability import lack_of
    from orchestrator.dispatch.worker import Worker
    from orchestrator.runtime.durable import DurableEngine

    def bind(flow: FlowIR) -> FlowPlan:
        return holder[0].bind(flow)

    def lack(flow: FlowIR) -> str | None:
        project = holder[0].project
        return None if project is None else lack_of(flow, project.catalog, project.has_secret)

    def learn(flow: FlowIR) -> None:
        if holder[0].project is not None:
            holder[0].project.know(flow)

    if not serves_runs:
        return DurableEngine(journal, bind, **options)
    return Worker(journal, bind, can_run=lack, learn=learn, concurrency=HELD, **options)
