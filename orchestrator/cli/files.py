"""Which project and which flow files a command line means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.cli.exits import CommandFailed, Exit

if TYPE_CHECKING:  # loads the compiler, which `--help` and completion do not need
    from click.shell_completion import CompletionItem

    from orchestrator.authoring.project import Project


def open_project(paths: tuple[Path, ...] = (), *, fake_llm: bool = False) -> Project:
    """The project around the first of these paths, or around the working directory.

    Raises: CommandFailed if the path does not exist; CompileFailed if the config has errors.
    """
    from orchestrator.authoring.project import Project

    start = paths[0] if paths else Path(".")
    if not exists(start):
        raise CommandFailed(f"{start} does not exist", Exit.NOT_FOUND)
    return Project.open(start, fake_llm=fake_llm)


def flow_files(project: Project, paths: tuple[Path, ...]) -> list[Path]:
    """The flow files that paths name, the project's by default, each once.

    Raises: CommandFailed if a path does not exist, or if there is no flow file at all.
    """
    from orchestrator.authoring.project import find_flows

    found: dict[Path, None] = {}
    for path in paths or (_from_here(project.root),):
        if path.is_dir():
            found.update(dict.fromkeys(find_flows(path)))
        elif exists(path):
            found[path] = None
        else:
            raise CommandFailed(f"{path} does not exist", Exit.NOT_FOUND)
    if not found:
        where = ", ".join(str(p) for p in paths) or str(project.root)
        raise CommandFailed(f"there is no flow file in {where}; flow files end in .flow.yaml", Exit.NOT_FOUND)
    return list(found)


def _from_here(folder: Path) -> Path:
    """A folder as seen from the working directory, where it is below it: short names, and those that CI expects."""
    try:
        return folder.resolve().relative_to(Path.cwd())
    except ValueError:
        return folder


def one_flow(path: Path) -> Path:
    """A flow file that must be there.

    Raises: CommandFailed for a missing one, with the flows that are near it, and for a folder.
    """
    if path.is_dir():
        raise CommandFailed(f"{path} is a folder; name one of its flow files", Exit.USAGE)
    if exists(path):
        return path
    near = _near(path)
    hint = f"; did you mean {near}?" if near is not None else ""
    raise CommandFailed(f"{path} does not exist{hint}", Exit.NOT_FOUND)


def flows_here() -> list[Path]:
    """The flow files of the project around the working directory; none outside of one, where a search has no end."""
    from orchestrator.authoring.project import find_flows
    from orchestrator.plugin.config import find_config

    config = find_config(Path("."))
    return [] if config is None else [_from_here(flow) for flow in find_flows(config.parent)]


def exists(path: Path) -> bool:
    """Whether a path is there; one that no file system can hold is not."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def complete_flows(ctx: Any, param: Any, incomplete: str) -> list[CompletionItem]:  # click's own types
    """Flow files and folders that begin like this, for the shell."""
    from click.shell_completion import CompletionItem

    head, _, tail = incomplete.rpartition("/")
    folder = Path(head + "/" if head or incomplete.startswith("/") else ".")
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return []
    prefix = f"{head}/" if "/" in incomplete else ""
    found = []
    for entry in entries:
        if not entry.name.startswith(tail) or (entry.name.startswith(".") and not tail.startswith(".")):
            continue
        if entry.is_dir():
            found.append(CompletionItem(f"{prefix}{entry.name}/"))
        elif entry.name.endswith((".flow.yaml", ".flow.yml")):
            found.append(CompletionItem(f"{prefix}{entry.name}"))
    return found


def _near(path: Path) -> Path | None:
    from orchestrator.authoring.project import SUFFIXES
    from orchestrator.expr.suggest import nearest

    for suffix in SUFFIXES:
        written = path.with_name(path.name + suffix)
        if exists(written):
            return written
    for flow in flows_here():
        if flow.name in (path.name, *(path.name + suffix for suffix in SUFFIXES)):
            return flow
    try:
        names = [p.name for p in path.parent.iterdir() if p.name.endswith(SUFFIXES)]
    except OSError:
        return None
    guess = nearest(path.name, names)
    return path.with_name(guess) if guess else None
