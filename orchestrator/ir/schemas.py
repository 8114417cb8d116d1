"""Schemas made to be put into others: references to their own `$defs` written out. Checks no data."""

from __future__ import annotations

from orchestrator.ir.model import Json

MAX_PARTS = 5_000


def inline_refs(schema: Json) -> Json:
    """The schema without `$defs`: what it refers to stands in place; a reference to itself means any value.

    Cost: linear in the result, which is bounded: beyond it the rest means any value.
    """
    if not isinstance(schema, dict) or ("$defs" not in schema and "definitions" not in schema):
        return schema
    budget = [MAX_PARTS]
    plain = {key: part for key, part in schema.items() if key not in ("$defs", "definitions")}
    return _inline(plain, schema, frozenset(), budget)


def _inline(part: Json, root: Json, open_refs: frozenset[str], budget: list[int]) -> Json:
    budget[0] -= 1
    if budget[0] < 0:
        return {}
    if isinstance(part, list):
        return [_inline(item, root, open_refs, budget) for item in part]
    if not isinstance(part, dict):
        return part
    ref = part.get("$ref")
    if not isinstance(ref, str):
        return {key: _inline(item, root, open_refs, budget) for key, item in part.items()}
    if ref in open_refs or not ref.startswith("#/"):
        return {}
    found = root
    for name in ref[2:].split("/"):
        if not isinstance(found, dict) or name not in found:
            return {}
        found = found[name]
    inlined = _inline(found, root, open_refs | {ref}, budget)
    beside = {key: _inline(item, root, open_refs, budget) for key, item in part.items() if key != "$ref"}
    return {**inlined, **beside} if beside and isinstance(inlined, dict) else inlined
