"""Bodies of the REST interface, as pydantic models: requests are read into them, answers are described by them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Json = Any  # plain JSON
RunId = Field(description="The run's id")


class Body(BaseModel):
    """What a client sends: unknown fields are refused, so that a misspelt one is not lost."""

    model_config = ConfigDict(extra="forbid")


class Answer(BaseModel):
    """What a client gets."""

    model_config = ConfigDict(extra="allow")


class Problem(BaseModel):
    """Why a request was not carried out."""

    code: str
    message: str
    help: str | None = None
    details: Json = None


class StartRun(Body):
    """Start a run of a workflow that is served here."""

    inputs: dict[str, Json] = Field(default_factory=dict)
    run_id: str | None = Field(None, description="An id of your own; one is made otherwise")
    tags: list[str] = Field(default_factory=list, description="Words to find the run by; at most 20")


class RunAnswer(Answer):
    """A run in a list. Times are seconds since 1970."""

    run_id: str
    flow: str
    kind: Literal["yaml", "class", "function"]
    version: str
    status: str
    created_at: float
    ended_at: float | None
    parent: str | None
    started_by: str
    waiting: list[str]
    error: Json
    tags: list[str]


class RunDetailAnswer(RunAnswer):
    """One run."""

    inputs: Json
    outputs: Json
    children: list[str]


class RunsAnswer(Answer):
    """A page of runs; `next` is the `cursor` of the page after it."""

    runs: list[RunAnswer]
    next: str | None


class StartedAnswer(Answer):
    """A run that was started."""

    run_id: str
    flow: str
    is_new: bool = Field(description="False if an earlier request with the same Idempotency-Key started it")


class EventAnswer(Answer):
    """One entry of a run's log."""

    seq: int
    at: float | None
    cause: int
    type: str
    step: str | None
    act: int | None
    attempt: int | None
    data: dict[str, Json]


class EventsAnswer(Answer):
    """A stretch of a run's log; `is_over` says that nothing will follow."""

    events: list[EventAnswer]
    is_over: bool


class SendEvent(Body):
    """Send an event into a run."""

    event: str
    data: dict[str, Json] = Field(default_factory=dict)
    step: str | None = Field(None, description="Deliver to this step only")


class Reason(Body):
    """Why, for the log."""

    reason: str = ""


class Retry(Body):
    """Run a failed run again, from a step or from where it failed."""

    step: str | None = None


class Fork(Body):
    """A new run that goes on from a point of this one."""

    at: int = Field(description="The sequence number to go on after")
    set: dict[str, Json] = Field(default_factory=dict, description="State to change first")
    event: dict[str, dict[str, Json]] | None = Field(
        None, description="Events that the entry sends, by type, with the fields that change"
    )


class NewRunAnswer(Answer):
    """A run that was made of another."""

    run_id: str


class Replay(Body):
    """Check a run's record."""

    current: bool = Field(False, description="Against the flow as it is served now, not the version the run began with")


class ReplayAnswer(Answer):
    """Whether every decision comes out as recorded; `divergences` are those that do not, at most 100."""

    is_same: bool
    ticks: int
    decisions: int
    divergences: list[Json]


class Accepted(Answer):
    """It was done, or (`kept`, with a `message`) it will be when a run that is set aside goes on."""

    status: str
    message: str | None = None


class RequestAnswer(Answer):
    """A request to people."""

    id: str
    run_id: str
    request_id: str
    kind: Literal["ask", "question"]
    flow: str
    step: str
    title: str
    state: str
    opened_at: float
    due_at: float | None
    closed_at: float | None
    is_overdue: bool
    claimed_by: str | None
    revision: int
    can_answer: bool = Field(description="Whether you may answer it now")


class RequestDetailAnswer(RequestAnswer):
    """One request with all that is shown to decide."""

    show: dict[str, Json]
    form: Json
    verdict_field: str | None
    verdicts: list[str]
    edit: str | None
    text: Json
    to: Json
    quorum: Json
    items: list[Json] | None
    shows: list[dict[str, Json]] | None
    may_delegate: bool
    delegates: list[str]
    is_escalated: bool
    outcome: str | None
    answers: list[Json]
    history: list[Json]


class RequestsAnswer(Answer):
    """Requests, the newest first."""

    requests: list[RequestAnswer]


class GiveAnswer(Body):
    """Answer a request. `verdict` is short for the form's field of verdicts."""

    form: dict[str, Json] = Field(default_factory=dict)
    verdict: str | None = None
    revision: int | None = Field(None, description="The revision you were shown; needed where the text may be edited")
    item: int | None = Field(None, description="Which row of a request over many; all open rows otherwise")
    as_: str | None = Field(None, alias="as", description="Who answers; only on a server without accounts")

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Acting(Body):
    """Who acts."""

    as_: str | None = Field(None, alias="as", description="Who acts; only on a server without accounts")

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Delegate(Acting):
    """Let somebody else answer too."""

    to: str


class EditText(Acting):
    """Correct the text that is asked about; earlier votes are cleared."""

    text: str
    revision: int | None = None


class MakeLink(Body):
    """A link by which one person can decide without signing in."""

    person: str
    verdicts: list[str] = Field(default_factory=list, description="The verdicts it allows; all of them if empty")
    lasts_s: float = Field(7 * 86_400, gt=0, le=90 * 86_400)


class DecideLink(Body):
    """Decide with a signed link."""

    form: dict[str, Json] = Field(default_factory=dict)
    verdict: str | None = None
    item: int | None = None


class LinkAnswer(Answer):
    """A signed link."""

    url: str
    token: str
    expires_at: float


class LinkShown(Answer):
    """What a signed link is about."""

    person: str
    expires_at: float
    verdicts: list[str]
    is_used: bool
    is_stale: bool = Field(description="The text has changed since the link was made")
    request: dict[str, Json]


class FlowAnswer(Answer):
    """A workflow that is served here."""

    name: str
    kind: Literal["yaml", "class", "function"]
    title: str
    description: str
    version: str
    file: str | None
    is_ok: bool
    errors: int
    warnings: int
    steps: int
    triggers: list[str]


class FlowDetailAnswer(FlowAnswer):
    """One workflow with its schemas and findings."""

    inputs: Json
    outputs: Json
    secrets: list[str]
    findings: list[Json]
    events: list[Json]


class FlowsAnswer(Answer):
    """The workflows that are served here."""

    flows: list[FlowAnswer]


class SchemaAnswer(Answer):
    """JSON Schemas of what starts a workflow, what it gives, and its events."""

    inputs: Json
    outputs: Json
    events: dict[str, Json]


class CheckText(Body):
    """Check the text of a flow file without saving or running it."""

    text: str
    file: str = Field("unsaved.flow.yaml", description="Where it would be saved, in the project")
    graph: bool = Field(False, description="Draw it too, as far as it can be read")


class CheckAnswer(Answer):
    """The findings."""

    is_ok: bool
    name: str | None
    diagnostics: list[Json]
    svg: str | None = None


class SourceAnswer(Answer):
    """The text of a flow file; `digest` is needed to save over it."""

    name: str
    file: str
    text: str
    digest: str


class SaveSource(Body):
    """Write a flow file. Refused if the file is not what it was when it was read."""

    text: str
    digest: str


class PluginsAnswer(Answer):
    """Every callable that flows can use, and what is broken."""

    callables: list[Json]
    problems: list[Json]


class SchedulesAnswer(Answer):
    """What starts runs by itself."""

    schedules: list[Json]


class EmitEvent(Body):
    """An event from outside that starts the flows which have it as a trigger."""

    event: str
    data: dict[str, Json] = Field(default_factory=dict)


class RunIdsAnswer(Answer):
    """Runs that were started."""

    run_ids: list[str]
