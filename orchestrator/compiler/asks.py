"""Lowers `ask`: form to JSON Schema, verdicts, audience, quorum, times."""

from __future__ import annotations

from orchestrator.compiler.shapes import Shapes, verdict_field, verdicts_of
from orchestrator.compiler.values import time_to_ir, value_to_ir
from orchestrator.ir.model import AskIR, AudienceIR, EscalateIR, Value
from orchestrator.language.spec import StepSpec
from orchestrator.language.spec_people import AskSpec, AudienceSpec, QuorumSpec
from orchestrator.language.template_text import Value as SpecValue


def ask_to_ir(step: StepSpec, ask: AskSpec, shapes: Shapes) -> AskIR:
    """The request of a step."""
    show: dict[str, Value] = {}
    if ask.show is not None:
        for name, value in (("body", ask.show.body), ("content", ask.show.content)):
            if value is not None:
                show[name] = value_to_ir(value)
        if ask.show.diff is not None:
            show["diff"] = ask.show.diff.value
    if ask.description is not None:
        show["description"] = value_to_ir(ask.description)
    verdict = verdict_field(ask)
    return AskIR(
        title=value_to_ir(ask.title) if ask.title is not None else title_of(step),
        show=show,
        form=shapes.fields(ask.form),
        verdict_field=None if verdict is None else verdict.name.value,
        verdicts=verdicts_of(ask),
        edit=None if ask.edit is None else ask.edit.value,
        to=audience_to_ir(ask.to),
        quorum={name: _quorum(quorum) for name, quorum in ask.quorum.items()},
        remind=tuple(time_to_ir(time) for time in ask.remind),
        escalate=None
        if ask.escalate is None
        else EscalateIR(time_to_ir(ask.escalate.after), audience_to_ir(ask.escalate.to) or AudienceIR()),
        deadline=time_to_ir(ask.deadline),
        may_delegate=ask.delegate,
        undecided_as_timeout=_folds_undecided(step),
    )


def title_of(step: StepSpec) -> Value:
    """The title of a request without one: the step's title, or its name as words."""
    if step.title is not None:
        return value_to_ir(step.title)
    words = step.name.value.replace("_", " ")
    return words[:1].upper() + words[1:]


def audience_to_ir(spec: AudienceSpec | None) -> AudienceIR | None:
    """Who may answer."""
    if spec is None:
        return None
    return AudienceIR(_people(spec.users), _people(spec.groups), _people(spec.exclude))


def _people(value: SpecValue | None) -> Value:
    found = value_to_ir(value)
    if found is None:
        return ()
    return found


def _quorum(quorum: QuorumSpec) -> Value:
    if quorum.count is not None:
        return quorum.count.value
    return {group: count.value for group, count in quorum.groups.items()}


def _folds_undecided(step: StepSpec) -> bool:
    """Whether `undecided` takes the `timeout` branch: there is one, and none for `undecided` itself."""
    entries = step.emit.entries if step.emit is not None else ()
    named = {entry.outcome.value for entry in entries if entry.outcome is not None}
    texts = [entry.when.text for entry in entries if entry.when is not None]
    has_timeout = "timeout" in named or any("timeout" in text for text in texts)
    return has_timeout and "undecided" not in named and not any("undecided" in text for text in texts)
