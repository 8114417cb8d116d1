"""Looks for changed flow files, plugins and config by their times, and has the desk go on with what is new. For `dev`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from orchestrator.authoring.project import SKIPPED_FOLDERS, Project
from orchestrator.errors import OrchestratorError
from orchestrator.server.desk import Desk

EVERY_S = 0.5
Stamp = tuple[int, int]


class Reloader:
    """Watches one project. `reopen` loads it anew; `tell` says to people what happened."""

    def __init__(self, desk: Desk, reopen: Callable[[], Project], tell: Callable[[str], None]) -> None:
        self._desk = desk
        self._reopen = reopen
        self._tell = tell
        self._stamps: dict[Path, Stamp] = {}
        self._lacking: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Look every `EVERY_S`, until cancelled."""
        self._stamps = await asyncio.to_thread(self._look)
        self._lacking = self._look_for_libraries()
        while True:
            await asyncio.sleep(EVERY_S)
            await self.look_once()

    async def look_once(self) -> bool:
        """Take in what has changed since the last look; tells whether anything has."""
        stamps = await asyncio.to_thread(self._look)
        if stamps != self._stamps or (self._lacking and self._look_for_libraries() != self._lacking):
            self._stamps = stamps
            return await self._reload()
        names = await self._desk.rescan()
        if names:
            self._tell(f"reloaded {', '.join(names)}{self._trouble(names)}")
        return bool(names)

    async def _reload(self) -> bool:
        project = self._desk.project
        if project is not None:
            project.catalog.refresh()  # forgets loaded plugin modules, which the new project reads again
        try:
            fresh = self._reopen()
        except OrchestratorError as error:
            self._tell(f"the project cannot be loaded, so what was loaded before stays: {error}")
            return False
        await self._desk.use_project(fresh)
        self._lacking = self._look_for_libraries()
        names = [served.name for served in self._desk.shelf]
        self._tell(f"reloaded the project{self._trouble(names)}")
        return True

    def _trouble(self, names: list[str]) -> str:
        broken = [served.name for served in self._desk.shelf if served.name in names and not served.is_ok]
        return f"; with errors: {', '.join(broken)}" if broken else ""

    def _look_for_libraries(self) -> frozenset[str]:
        """What plugins import and is not there: installing it changes no file that is watched."""
        project = self._desk.project
        problems = () if project is None else project.catalog.problems()
        return frozenset(problem.message for problem in problems if problem.code == "PLG006")

    def _look(self) -> dict[Path, Stamp]:
        """The times of everything but flow files: config, plugins, pinned tools, .env."""
        project = self._desk.project
        if project is None:
            return {}
        folder = project.config.plugins_path
        files = [project.config.file, project.root / "orchestrator.toml", project.root / ".env"]
        if folder is not None:
            files += _sources(folder)
        files += sorted(project.config.mcp_path.glob("*.plugin.json"))
        found: dict[Path, Stamp] = {}
        for file in files:
            try:
                stat = file.stat() if file is not None else None
            except OSError:
                continue
            if file is not None and stat is not None:
                found[file] = (stat.st_mtime_ns, stat.st_size)
        return found


def _sources(folder: Path) -> list[Path]:
    """The Python files under a folder; what tools keep for themselves (`.venv`, `.git`) is left out."""
    found: list[Path] = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in SKIPPED_FOLDERS]
        found += [Path(parent, name) for name in files if name.endswith(".py")]
    return sorted(found)
