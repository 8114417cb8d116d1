"""Which store a command uses: `--store`, the project's `[store] url`, or a file in the project's folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import click

from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.errors import StoreError

if TYPE_CHECKING:  # loads sqlite
    from click.shell_completion import CompletionItem

    from orchestrator.authoring.project import Project
    from orchestrator.journal.memory import MemoryJournal
    from orchestrator.journal.postgres import PostgresJournal
    from orchestrator.journal.sqlite import SqliteJournal

FOLDER = ".orchestrator"
MEMORY = "memory:"

store_option = click.option(
    "--store",
    metavar="URL",
    help="Where runs are kept: sqlite:///FILE, postgresql://… or memory:; the project's store by default.",
)


def store_url(project: Project, option: str | None) -> str:
    """The URL of the store that holds for a project."""
    if option:
        return option
    configured = project.config.store_url
    if configured:
        return _beside_config(configured, project.root)
    return f"sqlite:///{quote(str(default_file(project)))}"


def default_file(project: Project) -> Path:
    """The file that keeps the runs of a project without a store of its own."""
    return project.root.resolve() / FOLDER / "runs.db"


def sqlite_file(project: Project, option: str | None = None) -> Path | None:
    """The file of the project's store, None if it is of another kind. Loads no driver."""
    head, url = "sqlite:///", store_url(project, option)
    return Path(unquote(url.removeprefix(head).partition("?")[0])) if url.startswith(head) else None


def open_store(
    project: Project, option: str | None, *, must_exist: bool = False
) -> SqliteJournal | MemoryJournal | PostgresJournal:
    """The project's store, made if it is not there.

    Raises: CommandFailed, with `must_exist` for a store that nobody has made yet; UsageError for a wrong URL.
    """
    from orchestrator.journal.open import open_journal, parse_store_url

    url = store_url(project, option)
    parsed = parse_store_url(url)
    if must_exist and parsed.path is not None and not parsed.path.exists():
        raise CommandFailed(f"there are no runs here: {parsed.path} does not exist", Exit.NOT_FOUND)
    make_folder(url)
    try:
        return open_journal(url)
    except StoreError as error:
        raise CommandFailed(f"{error}; `--store memory:` keeps nothing", Exit.ENVIRONMENT) from error


def make_folder(url: str) -> None:
    """Make the folder of a store's file, if it is not there; one of ours is kept out of version control."""
    from orchestrator.journal.open import parse_store_url

    path = parse_store_url(url).path
    try:
        if path is not None:
            hide_folder(path.parent)
    except OSError as error:
        raise CommandFailed(
            f"{path}: {error.strerror or error}; `--store memory:` keeps nothing", Exit.ENVIRONMENT
        ) from error


def hide_folder(folder: Path) -> None:
    """Make a folder if it is not there, by one of several processes at once; ours is kept out of version control."""
    if folder.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    if folder.name == FOLDER:
        (folder / ".gitignore").write_text("*\n", "utf-8")


def _beside_config(url: str, root: Path) -> str:
    """A relative file of the config is meant beside the config, wherever the command is run."""
    head = "sqlite:///"
    if url.startswith(head) and not url.startswith(head + "/"):
        return head + quote(str(root.resolve())) + "/" + url[len(head) :]
    return url


def complete_runs(ctx: Any, param: Any, incomplete: str) -> list[CompletionItem]:  # click's own types
    """Runs of the project's file that begin like this, for the shell; `runs` and `retry` know ended ones too."""
    from click.shell_completion import CompletionItem

    from orchestrator.cli.files import open_project
    from orchestrator.journal.peek import run_ids

    file = sqlite_file(open_project())
    only_open = ctx.command_path.split()[1] in ("resume", "send", "decide", "cancel")
    found = [] if file is None or not file.exists() else run_ids(file, incomplete, only_open=only_open)
    return [CompletionItem(run, help=what) for run, what in found]
