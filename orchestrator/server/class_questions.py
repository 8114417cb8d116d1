"""What runs of workflow classes ask people, as requests in the inbox: read from their logs, and from then on what was added.

Theory. A class asks with an event that asks (`InputRequiredEvent`): a step emits it, shows it on the stream, or waits with it.
An event that answers (`HumanResponseEvent`) comes from outside and names no question, so answers close questions in the order
in which they were asked; one that a wait is for closes that wait.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.authoring.names import kind_of
from orchestrator.errors import OrchestratorError
from orchestrator.runtime.answering import AnswerRefused
from orchestrator.runtime.questions import question_data
from orchestrator.server.book import ENDED, STATUSES, Reply, RequestRow, RunQuery, RunRow

if TYPE_CHECKING:  # the desk owns this
    from orchestrator.server.desk import Desk
    from orchestrator.server.shelf import Served

Json = Any  # plain JSON
KEEP = 5_000
MOST_RUNS = 1_000
CHUNK = 1_000
OPEN = tuple(status for status in STATUSES if status not in ENDED)
EVENT, FIELDS = "event", "fields"
SETTLED = ("step.ended", "step.failed", "step.retried")


@dataclass(slots=True)
class _Question:
    """One question: the event that asks, and what may answer it. `wait` is (activation, path) of a wait."""

    seq: int
    at: float
    step: str
    value: Json
    answers: tuple[str, ...]
    act: int | None = None
    wait: tuple[int, str] | None = None
    match: Mapping[str, Json] = field(default_factory=dict)

    def takes(self, event: str, value: Json) -> bool:
        """Whether an event from outside answers it."""
        fields = value if isinstance(value, dict) else {}
        return event in self.answers and all(fields.get(name) == wanted for name, wanted in self.match.items())


@dataclass(slots=True)
class Asked:
    """The open questions of one run, oldest first, as far as its log was read."""

    served: Served
    place: int = -1
    open: list[_Question] = field(default_factory=list)
    shown: dict[int, Json] = field(default_factory=dict)  # what an activation under way has shown on the stream

    def read(self, entries: list[Json]) -> None:
        """Take in entries of the log."""
        for entry in entries:
            self.place, data = entry["seq"], entry["data"]
            match entry["type"]:
                case "wait.opened":
                    self._waits(entry)
                case "wait.closed":
                    self._drop((entry["act"], str(data.get("path"))))
                case "event.received":
                    self._answered(str(data.get("event")), data.get("value"))
                case "stream" if self._asks(data.get("event")):
                    self.shown[entry["act"]] = data.get("value")
                    self._ask(entry, data.get("value"))
            if entry["type"] in SETTLED:
                self.shown.pop(entry["act"], None)
                self.open = [one for one in self.open if one.wait is None or one.wait[0] != entry["act"]]
            for emitted in data.get("emitted") or ():
                if self._asks(emitted["event"]):
                    self._ask(entry, emitted["value"])

    def _asks(self, event: Any) -> bool:
        return _kind(self.served, str(event)) == "ask"

    def _ask(self, entry: Json, value: Json) -> None:
        answers = tuple(_answers(self.served))
        if answers:
            self.open.append(
                _Question(entry["seq"], entry["at"] or 0.0, entry["step"] or "", value, answers, entry["act"])
            )

    def _waits(self, entry: Json) -> None:
        """A wait for an event that answers, or with an event that asks; what was shown before it is its question."""
        data, place = entry["data"], (entry["act"], str(entry["data"].get("path")))
        announced = data.get("announced")
        if announced is None and _kind(self.served, str(data["event"])) != "answer":
            return
        value = announced["value"] if announced is not None else self.shown.get(entry["act"], {})
        self._drop(place)
        self.open = [one for one in self.open if one.act != entry["act"] or one.wait is not None]
        answers = (str(data["event"]),)
        match = data.get("match") or {}
        self.open.append(
            _Question(entry["seq"], entry["at"] or 0.0, entry["step"] or "", value, answers, entry["act"], place, match)
        )

    def _drop(self, wait: tuple[int, str]) -> None:
        self.open = [one for one in self.open if one.wait != wait]

    def _answered(self, event: str, value: Json) -> None:
        found = next((one for one in self.open if one.takes(event, value)), None)
        if found is not None:
            self.open.remove(found)


def _kind(served: Served, event: str) -> str:
    """What kind of event a class is; also of one that only the bodies of steps name."""
    found = served.target.flow.names.find(event)
    return "plain" if found is None else kind_of(found)


def _answers(served: Served) -> Iterator[str]:
    """The events that answer and that a step takes."""
    steps = served.ir.steps.values() if served.ir is not None else ()
    taken = dict.fromkeys(event for step in steps for event in step.accepts)
    return (event for event in taken if _kind(served, event) == "answer")


class ClassQuestions:
    """The open questions of runs of workflow classes. Cost: each log is read once; then one look at each open run."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._known: OrderedDict[str, Asked] = OrderedDict()
        self._taken: OrderedDict[tuple[str, str], None] = OrderedDict()

    def asks(self, flow: str) -> bool:
        """Whether the workflow of this name is a class, whose steps may ask at any time."""
        return any(served.name == flow and served.kind == "class" for served in self._desk.shelf)

    async def open(self, run_id: str | None = None) -> list[RequestRow]:
        """What all runs ask now, or one of them."""
        names = tuple(served.name for served in self._desk.shelf if self.asks(served.name))
        if not names:
            return []
        if run_id is not None:
            row = (await self._desk.run(run_id)).row
            return await self._of(row) if row.flow in names and row.status in OPEN else []
        found: list[RequestRow] = []
        query, seen = RunQuery(flows=names, statuses=OPEN, limit=500), 0
        while True:
            rows, following = await self._desk.runs(query)
            for row in rows:
                found += await self._of(row)
            seen += len(rows)
            if following is None or seen >= MOST_RUNS:
                return found
            query = RunQuery(flows=names, statuses=OPEN, limit=500, before=following)

    async def _of(self, row: RunRow) -> list[RequestRow]:
        if row.status == "queued":
            return []
        asked = self._known.setdefault(row.run_id, Asked(self._desk.shelf.find(row.flow)))
        self._known.move_to_end(row.run_id)
        if len(self._known) > KEEP:
            self._known.popitem(last=False)
        try:
            book = await self._desk.book_of(row.run_id)
            while entries := await book.log(row.run_id, asked.place, CHUNK):
                asked.read([entry for entry in entries if entry["seq"] > asked.place])
                if len(entries) < CHUNK:
                    break
        except OrchestratorError:
            return []  # it was removed meanwhile
        rows = [_row(row, asked.served, one) for one in asked.open]
        return [one for one in rows if (one.run_id, one.request_id) not in self._taken]

    async def answer(self, row: RequestRow, reply: Reply) -> None:
        """Send the event that answers a question into its run. Raises: AnswerRefused, UsageError, RunFinished."""
        from orchestrator.server.operations import send_event

        if reply.action != "answer":
            raise AnswerRefused("forbidden", "request.question", "a question of a Python workflow can only be answered")
        place = (row.run_id, row.request_id)
        if place in self._taken or not any(one.id == row.id for one in await self.open(row.run_id)):
            raise AnswerRefused("conflict", "request.closed", "this question has been answered")
        events: list[str] = row.data["events"]
        event, fields = (events[0], dict(reply.form)) if len(events) == 1 else _chosen(events, reply.form)
        self._taken[place] = None
        if len(self._taken) > KEEP:
            self._taken.popitem(last=False)
        try:
            await send_event(self._desk, row.run_id, event, {**row.data["match"], **fields})
        except OrchestratorError:
            self._taken.pop(place, None)
            raise
        self._desk.bus.publish("request", note_of(row.run_id, row.flow))


def note_of(run_id: str, flow: str) -> Json:
    """What open pages are told when the questions of a run may have changed."""
    return {"id": "", "run_id": run_id, "flow": flow, "step": "", "state": "open", "revision": 1}


def _chosen(events: list[str], form: Mapping[str, Json]) -> tuple[str, dict[str, Json]]:
    event, fields = form.get(EVENT), form.get(FIELDS) or {}
    if event not in events or not isinstance(fields, dict):
        raise AnswerRefused("invalid", "request.form", f"choose one of the events {', '.join(events)}, with its fields")
    return str(event), fields


def _row(run: RunRow, served: Served, asked: _Question) -> RequestRow:
    data = question_data({"data": asked.value})
    form = _form(served, asked)
    field_name, verdicts = _verdicts(form)
    data |= {"form": form, "verdict_field": field_name, "verdicts": verdicts}
    data |= {"events": list(asked.answers), "match": dict(asked.match)}
    opened = asked.at or run.created_at
    return RequestRow(run.run_id, f"ask-{asked.seq}", run.flow, asked.step, "open", opened, data, kind="question")


def _form(served: Served, asked: _Question) -> Json:
    """The fields of the event that answers; one field for an event that declares none."""
    if len(asked.answers) > 1:
        properties: Json = {EVENT: {"enum": list(asked.answers)}, FIELDS: {"type": "object"}}
        return {"type": "object", "properties": properties, "required": [EVENT]}
    found = served.target.flow.names.find(asked.answers[0])
    schema: Json = found.model_json_schema() if found is not None else {}
    properties = {name: part for name, part in (schema.get("properties") or {}).items() if name not in asked.match}
    if not properties:
        return {"type": "object", "properties": {"response": {"type": "string"}}, "required": ["response"]}
    required = [name for name in schema.get("required") or () if name in properties]
    form = {"type": "object", "properties": properties, "required": required}
    return form | ({"$defs": schema["$defs"]} if "$defs" in schema else {})


def _verdicts(form: Json) -> tuple[str | None, list[str]]:
    """The first field that must be one of a few words becomes the buttons."""
    for name in form.get("required") or ():
        choices = form["properties"][name].get("enum")
        if isinstance(choices, list) and 1 < len(choices) <= 8 and all(isinstance(one, str) for one in choices):
            return name, choices
    return None, []
