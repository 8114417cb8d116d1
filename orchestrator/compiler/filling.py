"""How the fields that an `emit` leaves out are filled: from the result, then from `ev` (LANGUAGE.md section 4, emit)."""

from __future__ import annotations

from orchestrator.compiler.schemas import (
    has_null,
    is_known,
    kinds_of,
    may_be_mapping,
    may_fit,
    members,
    properties_of,
    required_of,
)
from orchestrator.ir.complete import missing_fields
from orchestrator.ir.model import FillIR, Json
from orchestrator.ir.record import record


@record
class Supply:
    """What fields may be taken from. `result` None: there is none; `ev` is empty where a group was collected."""

    result: Json | None
    ev: tuple[Json, ...]
    has_error: bool = False


@record
class Filled:
    """The fills of one way out, fixed values for what may be left out, and fields that nothing gives.

    `near_misses` are fields of the same name whose type does not fit: field -> `result` or `ev`. `dropped_for` is the
    field that `ev` fills although the result, otherwise unused, would fit too.
    """

    fills: tuple[FillIR, ...]
    constants: dict[str, Json]
    missing: tuple[str, ...]
    near_misses: dict[str, str]
    dropped_for: str | None = None


def fill_fields(target: Json, given: frozenset[str], supply: Supply) -> Filled:
    """Fill what `with` leaves out. Cost: linear in the fields of event, result and `ev`."""
    properties = properties_of(target)
    required = required_of(target)
    fills: list[FillIR] = []
    left: list[str] = []
    near: dict[str, str] = {}
    for name in properties:
        if name in given:
            continue
        source = _source(name, properties[name], name in required, supply, near)
        if source is None:
            left.append(name)
        else:
            fills.append(FillIR(name, source))
    scalar = _scalar_field(left, properties, required, supply)
    if scalar is not None:
        fills.append(scalar)
        left.remove(scalar.field)
    dropped = None if scalar is not None or left else _dropped(fills, properties, supply)
    fixed = missing_fields(target)
    constants = {name: fixed[name] for name in left if name in fixed}
    missing = tuple(name for name in left if name in required)
    if missing and _is_open_result(supply):
        fills += [FillIR(name, "result") for name in missing]  # the result must be a mapping that has them
        missing = ()
    return Filled(tuple(fills), constants, missing, near, dropped)


def _source(name: str, wanted: Json, is_required: bool, supply: Supply, near: dict[str, str]) -> str | None:
    result = supply.result
    if supply.has_error and name in ("code", "message"):
        return "error"
    if result is not None and is_known(result):
        found = [properties_of(member)[name] for member in members(result) if name in properties_of(member)]
        if found and any(may_fit(schema, wanted) for schema in found):
            return "result"
        if found:
            near[name] = "result"
    in_ev = [properties_of(event)[name] for event in supply.ev if name in properties_of(event)]
    if not in_ev:
        return None
    if not any(may_fit(schema, wanted) for schema in in_ev):
        near[name] = "ev"
        return None
    if is_required and len(in_ev) < len(supply.ev):
        near[name] = "some"
        return None
    return "auto" if _is_open_result(supply) else "ev"


def _is_open_result(supply: Supply) -> bool:
    return supply.result is not None and not is_known(supply.result)


def _scalar_field(
    left: list[str], properties: dict[str, Json], required: frozenset[str], supply: Supply
) -> FillIR | None:
    """The field that takes the result itself: the only one left, or the only one left that must be given."""
    if supply.result is None or kinds_of(supply.result) == frozenset({"null"}):
        return None
    needed = [name for name in left if name in required]
    only = needed[0] if len(needed) == 1 else left[0] if len(left) == 1 else None
    if only is None:
        return None
    if _is_open_result(supply):
        return FillIR(only, "auto")
    if may_be_mapping(supply.result) or not may_fit(supply.result, properties[only]):
        return None
    return FillIR(only, "scalar")


def _dropped(fills: list[FillIR], properties: dict[str, Json], supply: Supply) -> str | None:
    result = supply.result
    if result is None or not is_known(result) or may_be_mapping(result) or has_null(result):
        return None
    from_ev = [fill.field for fill in fills if fill.source == "ev"]
    if len(from_ev) != 1 or not may_fit(result, properties[from_ev[0]]):
        return None
    return from_ev[0]
