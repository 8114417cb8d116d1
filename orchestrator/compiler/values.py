"""Values and times of a flow file as values of FlowIR: expressions marked, places dropped."""

from __future__ import annotations

from typing import assert_never

from orchestrator.ir.model import Origin, Value
from orchestrator.language.nodes import Node
from orchestrator.language.spec import TimeSpec
from orchestrator.language.template_text import ExprSource, ListValue, Literal, MapValue, Template
from orchestrator.language.template_text import Value as SpecValue


def value_to_ir(value: SpecValue | None) -> Value:
    """A value with `$expr`, `$text` and `$lit` marks; None for a key that is not there."""
    match value:
        case None:
            return None
        case Literal(value=plain):
            return plain
        case ExprSource(text=text):
            return {"$expr": text}
        case Template(parts=parts):
            return {"$text": [part if isinstance(part, str) else {"$expr": part.text} for part in parts]}
        case ListValue(items=items):
            return [value_to_ir(item) for item in items]
        case MapValue():
            entries = map_to_ir(value)
            return {"$lit": entries} if any(key.startswith("$") for key in entries) else entries
        case _:
            assert_never(value)


def map_to_ir(value: MapValue | None) -> dict[str, Value]:
    """The entries of a mapping; none for a key that is not there."""
    if value is None:
        return {}
    return {key: value_to_ir(item) for key, item in value.entries.items()}


def time_to_ir(time: TimeSpec | None) -> Value:
    """A `When`: the text of a duration or moment as written, or an expression."""
    if time is None:
        return None
    if isinstance(time, ExprSource):
        return {"$expr": time.text}
    return time.value.text


def origin_of(node: Node) -> Origin:
    """The place of a node as an origin."""
    source, start, end = node.source, node.start, node.end
    line, column = source.position(start)
    end_line, end_column = source.end_position(line, column, start, end)
    return Origin(source.file, line, column, end_line, end_column)
