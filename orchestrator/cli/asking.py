"""Where answers to a run's requests come from: `--answer`, `--answers FILE`, or a person on the terminal. In this order."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import Any

import click
import yaml

from orchestrator.runtime.actor import Actor
from orchestrator.runtime.answering import AnswerRefused, answer_request
from orchestrator.runtime.people import Request


class Answers:
    """Answers given beforehand, per step, in order."""

    def __init__(self, per_step: dict[str, list[dict[str, Any]]], groups_of: dict[str, list[str]] | None) -> None:
        self._per_step = {step: deque(items) for step, items in per_step.items()}
        self._groups_of = groups_of

    @classmethod
    def parse(cls, options: tuple[str, ...], file: Path | None, groups_of: dict[str, list[str]] | None) -> Answers:
        """From `--answer STEP=JSON` and `--answers FILE`.

        Raises: click.UsageError.
        """
        per_step: dict[str, list[dict[str, Any]]] = {}
        if file is not None:
            try:
                data = yaml.safe_load(file.read_text("utf-8"))
            except (OSError, yaml.YAMLError) as error:
                raise click.UsageError(f"--answers {file}: {error}") from error
            for step, items in (data or {}).items():
                per_step.setdefault(str(step), []).extend(items if isinstance(items, list) else [items])
        for option in options:
            step, mark, text = option.partition("=")
            try:
                answer = json.loads(text)
            except ValueError as error:
                raise click.UsageError(f"--answer {option}: what follows `=` is no JSON: {error}") from error
            if not mark or not isinstance(answer, dict):
                raise click.UsageError(f'--answer {option}: write STEP=\'{{"as": "kim", "verdict": "approve"}}\'')
            per_step.setdefault(step, []).append(answer)
        return cls(per_step, groups_of)

    def groups(self, user: str, request: Request) -> list[str]:
        """The groups of a person: those of the project, or without `[people]` whatever the request asks for."""
        if self._groups_of is not None:
            return self._groups_of.get(user, [])
        audience = request.data.get("to") or {}
        escalated = (request.data.get("escalate") or {}).get("to") or {}
        return [*audience.get("groups", ()), *escalated.get("groups", ())]

    def give(self, run: Actor, request: Request) -> bool:
        """Answer a request with the next given answer of its step. A refused one is shown and used up."""
        queue = self._per_step.get(request.step)
        if not queue:
            return False
        answer = dict(queue.popleft())
        user = str(answer.pop("as", "") or "")
        groups = answer.pop("groups", None)
        try:
            answer_request(
                run,
                request.id,
                user=user,
                groups=groups if groups is not None else self.groups(user, request),
                form=answer,
            )
        except AnswerRefused as error:
            click.echo(f"answer of {user or 'nobody'} to `{request.step}` was refused: {error}", err=True)
            if not queue:
                raise
        return True

    def ask_on_terminal(self, run: Actor, request: Request, user: str | None) -> None:
        """Show a request and ask the person at the terminal, until an answer is taken."""
        data = request.data
        click.echo(f"\n  {data['title']}", err=True)
        for name, value in data["show"].items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
            click.echo(f"\n{_indent(text)}" if name == "body" else f"\n  {name}: {text}", err=True)
        while True:
            who = user or click.prompt("  Your name", err=True)
            form = {}
            fields: dict[str, Any] = data["form"].get("properties", {})
            for name, schema in fields.items():
                form_value = _prompt(name, schema, name in data["form"].get("required", ()))
                if form_value is not None:
                    form[name] = form_value
            try:
                answer_request(run, request.id, user=who, groups=self.groups(who, request), form=form)
                return
            except AnswerRefused as error:
                click.echo(f"  {error}", err=True)
                if error.kind == "conflict" and request.id not in run.state.requests:
                    return


def _prompt(name: str, schema: Any, is_required: bool) -> Any:  # a value of the field's type
    choices = schema.get("enum") if isinstance(schema, dict) else None
    if choices:
        plain = [str(c) for c in choices if c is not None]
        return click.prompt(f"  {name}", type=click.Choice(plain), err=True)
    text: str = click.prompt(f"  {name}", default="" if not is_required else None, show_default=False, err=True)
    if text == "":
        return None
    kinds = schema.get("type") if isinstance(schema, dict) else None
    if kinds in ("integer", "number", "boolean", "object", "array") or (
        isinstance(kinds, list) and "string" not in kinds
    ):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _indent(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
