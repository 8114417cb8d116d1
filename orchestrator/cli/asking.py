"""Where answers to a run's requests come from: `--answer`, `--answers FILE`, or a person on the terminal. In this order."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from orchestrator.authoring.run_service import RunService
from orchestrator.cli.data_files import read_mapping
from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.progress import audience_text
from orchestrator.cli.screen import Screen, inert, one_line, styled
from orchestrator.cli.typing_line import LineTyping
from orchestrator.cli.when import in_words
from orchestrator.errors import RunFinished
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.answering import AnswerRefused
from orchestrator.runtime.people import Request
from orchestrator.runtime.questions import open_asks

Json = Any  # plain JSON
GroupsOf = dict[str, list[str]] | None  # user -> groups; None where the project names no people


def groups_for(user: str, request: Request, groups_of: GroupsOf) -> list[str]:
    """The groups of a person: those of the project, or without `[people]` whatever the request asks for."""
    if groups_of is not None:
        return groups_of.get(user, [])
    audience = request.data.get("to") or {}
    escalated = (request.data.get("escalate") or {}).get("to") or {}
    return [*audience.get("groups", ()), *escalated.get("groups", ())]


def check_groups(user: str, given: Iterable[str], groups_of: dict[str, list[str]]) -> None:
    """Whether the project puts a person into all of these groups. Raises: CommandFailed."""
    wrong = [group for group in given if group not in groups_of.get(user, ())]
    if wrong:
        raise CommandFailed(
            f"{user} is not in the group {wrong[0]!r}: [people] of orchestrator.toml says who is", Exit.AUTH
        )


class Answers:
    """Answers given beforehand, per step, in order."""

    def __init__(self, per_step: dict[str, list[dict[str, Json]]], groups_of: GroupsOf) -> None:
        self._per_step = {step: deque(items) for step, items in per_step.items()}
        self._groups_of = groups_of

    @classmethod
    def parse(cls, options: tuple[str, ...], file: Path | None, groups_of: GroupsOf, steps: set[str]) -> Answers:
        """From `--answer STEP=JSON` and `--answers FILE`.

        Raises: click.UsageError; UsageError or CompileFailed for the file.
        """
        per_step: dict[str, list[dict[str, Json]]] = {}
        if file is not None:
            for step, items in read_mapping(file, "steps to their answers").items():
                for answer in items if isinstance(items, list) else [items]:
                    _add(per_step, step, answer, f"--answers {file}", steps)
        for option in options:
            step, mark, text = option.partition("=")
            try:
                answer = json.loads(text) if mark else None
            except (ValueError, RecursionError) as error:
                raise click.UsageError(f"--answer {option}: what follows `=` is no JSON: {error}") from error
            _add(per_step, step, answer, f"--answer {option}", steps)
        return cls(per_step, groups_of)

    def has_for(self, step: str) -> bool:
        """Whether an answer is left for a step."""
        return bool(self._per_step.get(step))

    async def give(self, service: RunService, run: Actor, request: Request, step: str, screen: Screen) -> None:
        """Answer a request with the next answer of a step. A refused one is told and used up.

        Raises: AnswerRefused when it was the last one of the step.
        """
        queue = self._per_step[step]
        answer = dict(queue.popleft())
        user = str(answer.pop("as", "") or "")
        groups = answer.pop("groups", None)
        item = answer.pop("item", None)
        if self._groups_of is not None and isinstance(groups, list):
            check_groups(user, groups, self._groups_of)
        if not isinstance(groups, list):
            groups = groups_for(user, request, self._groups_of)
        try:
            await service.answer(run.run_id, request.id, user=user, groups=groups, form=answer, item=item)
        except AnswerRefused as error:
            if not queue:
                raise
            screen.line(f"answer of {one_line(user) or 'nobody'} to `{step}` was refused: {one_line(str(error))}")


def _add(per_step: dict[str, list[dict[str, Json]]], step: str, answer: Json, where: str, steps: set[str]) -> None:
    from orchestrator.expr.suggest import nearest

    if not isinstance(answer, dict):
        raise click.UsageError(f'{where}: write STEP=\'{{"as": "kim", "verdict": "approve"}}\'')
    if step not in steps:
        guess = nearest(step, steps)
        hint = f"did you mean `{guess}`?" if guess else f"there are {', '.join(sorted(steps))}"
        raise click.UsageError(f"{where}: the flow has no step `{step}`; {hint}")
    per_step.setdefault(step, []).append(answer)


class RequestGone(Exception):
    """The request that is on the screen was decided or closed meanwhile."""


class TerminalAsker:
    """Asks the person at the terminal, while everything else goes on."""

    def __init__(self, service: RunService, screen: Screen, user: str | None, groups_of: GroupsOf) -> None:
        self._service = service
        self._screen = screen
        self._user = user
        self._is_fixed = user is not None
        self._groups_of = groups_of
        self._typing = LineTyping(screen.ask)

    @property
    def is_there(self) -> bool:
        """Whether somebody still answers; Ctrl-D says no."""
        return not self._typing.has_ended

    def close(self) -> None:
        """Give the keyboard back."""
        self._typing.close()

    async def ask(self, run: Actor, request: Request) -> None:
        """Show a request and ask until an answer is taken, the request is gone, or nobody is there."""
        self._show(run, request)
        items: list[Json] | None = request.data.get("items")
        try:
            while request.id in open_asks(run) and self.is_there:
                if items is None or await self._same_for_all(run, request, items):
                    await self._answer(run, request, None)
                    continue
                for index, item in enumerate(items):
                    if request.ballots[index].outcome is None:
                        self._say(f"\n  {index + 1}. {_text_of(item)}")
                        self._show_parts(request.data["shows"][index] if "shows" in request.data else {})
                        await self._answer(run, request, index)
        except RequestGone:
            self._say(styled("  this request is closed now", dim=True))

    async def _answer(self, run: Actor, request: Request, item: int | None) -> None:
        """One answer; what is refused is told, and asked again by the caller."""
        user = await self._name(run, request)
        form: dict[str, Json] = {}
        fields: dict[str, Json] = request.data["form"].get("properties", {})
        for name, schema in fields.items():
            value = await self._field(run, request, name, schema)
            if value is not None:
                form[name] = value
        groups = groups_for(user, request, self._groups_of)
        try:
            await self._service.answer(run.run_id, request.id, user=user, groups=groups, form=form, item=item)
        except AnswerRefused as error:
            self._say(f"  {one_line(str(error))}")
            if error.kind != "invalid" and not self._is_fixed:
                self._user = None
            if error.kind != "invalid" and self._is_fixed:
                raise
        except RunFinished:
            raise RequestGone from None
        else:
            if not self._is_fixed and request.id in open_asks(run) and item is None:
                self._user = None  # it takes more people; the next answer is somebody else's

    async def _name(self, run: Actor, request: Request) -> str:
        while not self._user:
            self._user = (await self._read(run, request, "  your name: ")).strip() or None
        return self._user

    async def _same_for_all(self, run: Actor, request: Request, items: list[Json]) -> bool:
        if len(items) < 2 or all(ballot.outcome is None for ballot in request.ballots) is False:
            return False
        for index, item in enumerate(items):
            self._say(f"  {index + 1}. {_text_of(item)}")
        reply = await self._read(run, request, f"  the same answer for all {len(items)}? [y/n] ")
        return reply.strip().lower() in ("y", "yes")

    async def _field(self, run: Actor, request: Request, name: str, schema: Json) -> Json:
        """A value for a field of the form; None for one that may be left out and is."""
        is_required = name in request.data["form"].get("required", ())
        while True:
            text = (await self._read(run, request, f"  {question_for(name, schema, is_required)}")).strip()
            if not text:
                if not is_required:
                    return None
                continue
            try:
                return value_of(text, schema)
            except ValueError as error:
                self._say(f"  {error}")

    async def _read(self, run: Actor, request: Request, question: str) -> str:
        """A typed line. Raises: RequestGone when the request closes meanwhile or the person leaves."""
        typing = asyncio.ensure_future(self._typing.read(question))
        try:
            while not typing.done():
                if run.is_over or request.id not in open_asks(run):
                    raise RequestGone
                more = run.wait_for_more()
                waits: set[asyncio.Future[Any]] = {typing, more}
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                more.cancel()
        finally:
            if not typing.done():
                typing.cancel()
                await asyncio.gather(typing, return_exceptions=True)
        text = typing.result()
        if text is None:
            raise RequestGone
        self._say(f"{question}{inert(text)}")
        return text

    def _show(self, run: Actor, request: Request) -> None:
        data = request.data
        self._say(f"\n  {styled(inert(str(data['title'])), bold=True)}")
        self._show_parts(data["show"])
        due = data.get("deadline")
        until = f", until {in_words(due, run.now())}" if due else ""
        self._say(styled(f"  for {audience_text(data.get('to'))}{until}; Ctrl-D leaves it open", dim=True))

    def _show_parts(self, parts: dict[str, Json]) -> None:
        for name, value in parts.items():
            text = inert(value) if isinstance(value, str) else inert(json.dumps(value, ensure_ascii=False, indent=2))
            if name != "body" and "\n" not in text:
                self._say(f"  {name}: {text}")
                continue
            if name != "body":
                self._say(f"  {name}:")
            for line in text.splitlines():
                self._say(f"    {line}")

    def _say(self, text: str) -> None:
        for line in text.split("\n"):
            self._screen.line(line)


def question_for(name: str, schema: Json, is_required: bool) -> str:
    """What is asked for a field of a form."""
    choices = _choices(schema)
    if choices:
        return f"{name} [{'/'.join(choices)}]: "
    if isinstance(schema, dict) and schema.get("type") == "boolean":
        return f"{name} [y/n]: "
    return f"{name}: " if is_required else f"{name} (may be empty): "


def value_of(text: str, schema: Json) -> Json:
    """A typed text as a value of a field. Raises: ValueError that says what may be typed."""
    choices = _choices(schema)
    if choices:
        hits = [c for c in choices if c.lower() == text.lower()] or [
            c for c in choices if c.lower().startswith(text.lower())
        ]
        if len(hits) != 1:
            raise ValueError(f"type one of {', '.join(choices)}")
        return next(c for c in schema["enum"] if str(c) == hits[0])
    kinds = schema.get("type") if isinstance(schema, dict) else None
    if kinds == "boolean":
        if text.lower() not in ("y", "yes", "true", "n", "no", "false"):
            raise ValueError("type y or n")
        return text.lower() in ("y", "yes", "true")
    from orchestrator.cli.values import typed

    return typed(text, schema)


def _choices(schema: Json) -> list[str]:
    found = schema.get("enum") if isinstance(schema, dict) else None
    return [str(c) for c in found if c is not None] if isinstance(found, list) else []


def _text_of(item: Json) -> str:
    return one_line(item if isinstance(item, str) else json.dumps(item, ensure_ascii=False))
