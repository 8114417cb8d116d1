"""Which events a flow takes from outside, and with which fields. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from orchestrator.errors import UsageError
from orchestrator.ir.model import FlowIR, Json


def check_outside_event(flow: FlowIR, name: str, fields: Mapping[str, Json]) -> None:
    """Whether a flow file takes this event from outside.

    Raises: UsageError that names those it takes, or the fields that do not fit.
    """
    event = flow.events.get(name)
    if event is None or not event.external:
        known = sorted(n for n, e in flow.events.items() if e.external)
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean `{near[0]}`?" if near else f"it takes {', '.join(known) or 'none'}"
        what = "may not come from outside (`external: true` allows it)" if event is not None else "is not declared"
        raise UsageError(f"flow `{flow.name}`: event `{name[:100]}` {what}; {hint}", code="event.unknown")
    schema = event.schema
    if schema is True or not schema:
        return
    from orchestrator.plugin.schema_check import compile_schema

    problems = compile_schema(schema).problems(dict(fields))
    if problems:
        shown = "; ".join(f"{p.path}: {p.message}" if p.path else p.message for p in problems[:8])
        raise UsageError(f"event `{name}` does not fit: {shown}", code="type.payload")
