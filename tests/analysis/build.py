"""Small FlowIR graphs for tests: steps from one line each."""

from __future__ import annotations

from orchestrator.ir.model import EmitEntryIR, EmitIR, EventIR, FlowIR, JoinIR, StepIR


def step(
    name: str, on: str, emits: str, *, join: JoinIR | None = None, fans: str = "", all_list: bool = False
) -> StepIR:
    """`on` and `emits` are names in one text; events named in `fans` are emitted by a for_each."""
    events = emits.split()
    fanned = fans.split()
    entries = tuple(
        EmitEntryIR(event, for_each="items" if event in fanned else None, site=_site(name, fanned, event))
        for event in events
    )
    emit = EmitIR(entries, all_list, f"{name}#all" if all_list else "")
    return StepIR(name, tuple(on.split()), tuple(events), emit=emit, join=join)


def _site(name: str, fanned: list[str], event: str) -> str:
    if event not in fanned:
        return ""
    return name if len(fanned) == 1 else f"{name}#{fanned.index(event) + 1}"


def flow(*steps: StepIR, external: str = "") -> FlowIR:
    """A flow of these steps; every name that is used is an event."""
    kinds = {"Start": "start", "Stop": "stop", "Failed": "failed"}
    names = dict.fromkeys(["Start", "Stop", "Failed", *external.split()])
    for item in steps:
        names.update(dict.fromkeys((*item.accepts, *item.emits)))
    events = {n: EventIR(n, kind=kinds.get(n, "plain"), external=n in external.split()) for n in names}
    return FlowIR("test", events=events, steps={item.name: item for item in steps})
