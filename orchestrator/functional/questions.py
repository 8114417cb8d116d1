"""Questions to somebody outside: asking once, finding the answer again, and what counts as an answer."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from orchestrator.functional.calls import call_text
from orchestrator.functional.errors import InvalidResponse
from orchestrator.functional.events import WorkflowEvent, WorkflowRunState, framework_event, status_event
from orchestrator.functional.frames import Frame
from orchestrator.functional.state import commit_stage
from orchestrator.functional.values import Encoded, Value, adapter, copy_value, decode, encode, shown

_ASK = "!ask"


@dataclass(slots=True)
class Question:
    """A question of a run. `response_type` is known in the process that asked, `schema` everywhere."""

    path: str
    request_id: str
    data: Value
    text: str
    source: str
    response_type: Any = None  # an annotation
    schema: Any = None  # JSON Schema

    def show(self) -> str:
        """The question as a call, for messages."""
        return f"request_info({self.text}, request_id={self.request_id!r})"


def question_of(path: str, request_id: str, asked: dict[str, Value]) -> Question:
    """A question as it was recorded; the type of its answer is known when the code asks again."""
    question = Question(path, request_id, shown(asked["data"]), asked["text"], asked["source"])
    question.schema = asked["schema"]
    return question


def ask(frame: Frame, data: Value, response_type: Any, request_id: str | None) -> Coroutine[Any, Any, Any]:
    """The answer to a question, now if it is known, else when it comes; its place is taken now, not when it is awaited."""
    number = frame.next(_ASK)
    source = frame.step.path.rstrip("/").rpartition("/")[2].partition("#")[0] if frame.step is not None else ""
    if request_id is None:
        request_id = f"auto::{frame.path}{number}"
    question = Question(
        f"{frame.path}{_ASK}#{number}",
        request_id,
        copy_value(data, f"workflow `{frame.run.session.workflow.name}`: the data of request {request_id!r}"),
        call_text((data,), {}, ("request_data",)),
        source or frame.run.session.workflow.name,
        response_type,
    )
    return _ask(frame, question)


async def _ask(frame: Frame, question: Question) -> Any:
    run, path = frame.run, question.path
    if run.is_released:
        await run.refuse()
    entry = (run.act.record or {}).get(path)
    is_open = path in run.actor.state.open_waits.get(run.act.id, {})
    if entry is not None and not is_open:
        before = run.session.question_at(path)
        is_same = before is None or (before.request_id == question.request_id and before.text == question.text)
        if not is_same and before is not None:
            await run.diverge(question.source, path, before.show(), question.show(), what="a question")
        else:
            run.session.add_question(question)
            run.visited.add(path)
            if len(run.tasks) > 1:
                await run.take_turn(path)
            return await _answer_of(frame, question, entry[1].value)
    return await _open(frame, question)


QUESTION_CODE = _ask.__code__


async def _open(frame: Frame, question: Question) -> Any:
    run, session = frame.run, frame.run.session
    commit_stage(frame.step)
    if question.path not in run.actor.state.open_waits.get(run.act.id, {}):
        question.schema = schema_of(question.response_type)
        run.open_question(
            question.path, question.request_id, _shown(run.session.workflow.name, question, run.is_durable)
        )
    session.add_question(question)
    run.announce(request_event(question))
    run.announce(status_event(WorkflowRunState.IN_PROGRESS_PENDING_REQUESTS))
    await run.commit()
    await run.wait_for_answer(question.path)
    return await _answer_of(frame, question, (run.act.record or {})[question.path][1].value)


def request_event(question: Question) -> WorkflowEvent:
    """The event that shows a question."""
    event = framework_event(
        "request_info",
        question.data,
        request_id=question.request_id,
        source_executor_id=question.source,
        request_type=type(question.data),
        response_type=question.response_type,
    )
    event.call_path = question.path
    return event


async def _answer_of(frame: Frame, question: Question, raw: Value) -> Any:
    """The answer as its type; one that was accepted by its schema and yet is none puts the question back."""
    try:
        return _typed(question, raw)
    except InvalidResponse as error:
        frame.run.session.invalid.append(error)
        return await _open(frame, question)


def _typed(question: Question, raw: Value) -> Value:
    hint = question.response_type
    if type(raw) is Encoded and type(raw.json) is dict and raw.json.get("$t") == "typed":
        raw = raw.json["v"]
    return check_answer(question, decode(raw, None)) if hint is not None else decode(raw, None)


def check_answer(question: Question, value: Value) -> Value:
    """The value as the type that was asked for. Raises: InvalidResponse."""
    hint = question.response_type
    if hint is None:
        if question.schema is not None:
            _check_schema(question, value)
        return value
    try:
        return copy_value(adapter(hint).validate_python(value))
    except ValueError as error:
        raise InvalidResponse(
            f"the answer to {question.request_id!r} must be {_type_name(hint)}: {_problems(error)}; the question stays open",
            request_id=question.request_id,
        ) from error


def encode_answer(question: Question, value: Value) -> Encoded:
    """An accepted answer as a storage keeps it. Raises: NotSerializable."""
    what = f"the answer to {question.request_id!r}"
    return Encoded(encode(value, question.response_type if question.response_type is not None else type(value), what))


def schema_of(hint: Any) -> Any:
    """The JSON Schema of an annotation; None if it has none."""
    plain = _PLAIN.get(hint) if isinstance(hint, type) else None
    if plain is not None:
        return plain
    try:
        return adapter(hint).json_schema()
    except Exception:  # a type that pydantic cannot describe is checked in the process that asks
        return None


_PLAIN: dict[Any, Any] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    dict: {"type": "object"},
    list: {"type": "array"},
}


def _shown(workflow: str, question: Question, is_durable: bool) -> dict[str, Any]:
    data = question.data
    if is_durable:
        what = f"workflow `{workflow}`: the data of request {question.request_id!r}"
        data = Encoded(encode(data, type(data), what), data)
    return {"data": data, "text": question.text, "source": question.source, "schema": question.schema}


def _check_schema(question: Question, value: Value) -> None:
    import jsonschema

    try:
        jsonschema.validate(encode(value, type(value), f"the answer to {question.request_id!r}"), question.schema)
    except jsonschema.ValidationError as error:
        raise InvalidResponse(
            f"the answer to {question.request_id!r} is not what was asked for: {error.message}; the question stays open",
            request_id=question.request_id,
        ) from error


def _type_name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")


def _problems(error: ValueError) -> str:
    found = getattr(error, "errors", None)
    if found is None:
        return str(error)
    parts = []
    for item in found():
        place = ".".join(str(part) for part in item["loc"])
        got = type(item["input"]).__name__
        parts.append(f"{place + ': ' if place else ''}{item['msg']} (got {got})")
    return "; ".join(parts)


def several_runs(workflow: str, wanted: Iterable[str], runs: Iterable[str]) -> str:
    """What to say when answers fit more than one run."""
    names = list(runs)
    asked = ", ".join(sorted(wanted))
    return f"workflow `{workflow}`: {len(names)} runs wait for {asked}; name one by run_id: {', '.join(names)}"


def unknown_request(request_id: str, pending: list[str], run_id: str = "") -> str:
    """What to say about an id that nobody asked under."""
    where = f" in run {run_id}" if run_id else ""
    open_ones = ", ".join(repr(name) for name in pending) or "none"
    return f"no request {request_id!r} is open{where}; open: {open_ones}"
