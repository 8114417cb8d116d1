"""`MODULE:NAME` on the command line: a workflow class or function of a module that the project allows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.files import exists
from orchestrator.errors import UsageError

if TYPE_CHECKING:  # loaded when a flow is run
    from orchestrator.authoring.project import Project
    from orchestrator.runtime.plan import FlowPlan

_TARGET = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def python_target(path: Path | None) -> str | None:
    """`MODULE:NAME`, if that is what was given and no file is called so."""
    text = str(path)
    return text if path is not None and _TARGET.fullmatch(text) and not exists(path) else None


def python_plan(project: Project, target: str) -> FlowPlan:
    """The workflow, imported and ready to run.

    Raises: CommandFailed where the project does not allow the module, or there is no such workflow.
    """
    from orchestrator.authoring.python_import import allows

    if not allows(project.config, target):
        package = target.partition(":")[0].partition(".")[0]
        raise CommandFailed(
            f"the project does not allow Python from `{target.partition(':')[0]}`; "
            f'add it to orchestrator.toml: [python] allow = ["{package}"]',
            Exit.USAGE,
        )
    try:
        return project.python_plan(target)
    except UsageError as error:
        raise CommandFailed(error.message, Exit.USAGE) from error
