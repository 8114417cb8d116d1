"""Makes the desk of a project: its store by URL, its engine, its accounts, the people who may answer."""

from __future__ import annotations

from orchestrator.authoring.project import Project
from orchestrator.runtime.clock import Clock
from orchestrator.server.accounts import Accounts
from orchestrator.server.desk import Desk, ServerSettings


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
    from orchestrator.runtime.durable import DurableEngine
    from orchestrator.server.store_book import StoreBook

    parsed = parse_store_url(store_url)
    journal = open_journal(store_url)
    holder: list[Desk] = []
    engine = DurableEngine(journal, lambda ir: holder[0].bind(ir), clock=clock, is_strict=parsed.is_strict)
    book = StoreBook(engine, journal, serves=serves_runs)
    desk = Desk(project=project, accounts=accounts, settings=settings, store=book, clock=clock)
    holder.append(desk)
    return desk
