"""Grants of secrets: a flow asks, the operator grants. At a terminal the operator is asked, and the grant is written down."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.output import say

if TYPE_CHECKING:  # only named
    from orchestrator.authoring.project import Project
    from orchestrator.ir.model import FlowIR


def missing_grants(project: Project, flow: FlowIR) -> list[str]:
    """The secrets that a flow asks for and was not granted. Without a config nothing needs to be."""
    if project.config.file is None:
        return []
    granted = project.config.secrets.grant.get(flow.name, ())
    return [name for name in flow.secrets if name not in granted]


def ask_for_grants(project: Project, flow: FlowIR) -> bool:
    """Ask the person at the terminal for the grants that a flow lacks; tells whether some were written.

    Without a terminal it says what is lacking, and the run will fail at the step that needs it.
    """
    names, file = missing_grants(project, flow), project.config.file
    if not names or file is None:
        return False
    shown = ", ".join(names)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        say(
            f"flow `{flow.name}` was not granted {shown}: add `{grant_line(flow.name, names)}` to [secrets.grant] of {file}"
        )
        return False
    question = f"flow `{flow.name}` asks for {shown}; grant {'it' if len(names) == 1 else 'them'} in {file}?"
    if not click.confirm(question, default=False, err=True):
        return False
    write_grants(file, flow.name, [*project.config.secrets.grant.get(flow.name, ()), *names])
    return True


def grant_line(flow: str, names: list[str]) -> str:
    """A grant as it stands in a config."""
    return f"{flow} = {json.dumps(names)}"


def write_grants(file: Path, flow: str, names: list[str]) -> None:
    """Put a grant into a config; everything else in it stays as it is.

    Raises: CommandFailed, with the line to write by hand, where that cannot be done safely.
    """
    prefix = "tool.orchestrator." if file.name == "pyproject.toml" else ""
    try:
        before = file.read_text("utf-8")
        after = with_grant(before, f"{prefix}secrets.grant", flow, names)
        wanted = tomllib.loads(before)
        table: dict[str, Any] = wanted  # TOML's own
        for part in f"{prefix}secrets.grant".split("."):
            table = table.setdefault(part, {})
        table[flow] = names
        if tomllib.loads(after) != wanted:
            raise ValueError("the table has an unusual form")
        file.write_text(after, "utf-8")
    except (OSError, ValueError, AttributeError, TypeError) as error:
        line = grant_line(flow, names)
        raise CommandFailed(
            f"{file} could not be changed ({error}); write `{line}` into its [{prefix}secrets.grant]", Exit.ENVIRONMENT
        ) from error


def with_grant(text: str, table: str, flow: str, names: list[str]) -> str:
    """A TOML text with the grant in its table, which is made at the end if it is not there."""
    line = grant_line(flow, names)
    header = re.search(rf"^[ \t]*\[[ \t]*{re.escape(table)}[ \t]*\][ \t]*(?:#.*)?$", text, re.MULTILINE)
    if header is None:
        gap = "" if not text or text.endswith("\n\n") else "\n" if text.endswith("\n") else "\n\n"
        return f"{text}{gap}[{table}]\n{line}\n"
    following = re.compile(r"^[ \t]*\[", re.MULTILINE).search(text, header.end())
    end = following.start() if following else len(text)
    body = text[header.end() : end]
    old = re.search(rf"^[ \t]*\"?{re.escape(flow)}\"?[ \t]*=[^\n]*$", body, re.MULTILINE)
    if old is not None:
        body = body[: old.start()] + line + body[old.end() :]
    else:
        body = f"\n{line}{body}"
    return text[: header.end()] + body + text[end:]
