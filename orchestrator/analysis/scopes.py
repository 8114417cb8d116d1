"""Which roots an expression may read at each place of a step, and of what type they are (LANGUAGE.md section 3).

A scope is a mapping from root to type. Base types are made once per flow, those of `ev` once per step.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.analysis.facts import Facts
from orchestrator.analysis.results import (
    ERROR,
    CatalogLike,
    all_outcomes,
    answer_schema,
    call_result,
    plain_result,
    plain_type,
    result_schema,
)
from orchestrator.analysis.values import calls_of
from orchestrator.expr.errors import ExprSyntaxError
from orchestrator.expr.parser import parse
from orchestrator.expr.placing import check_iterable
from orchestrator.expr.schema_types import from_json_schema
from orchestrator.expr.types import ANY, DATETIME, INT, STR, EnumT, ListT, ObjectT, TypeT, union
from orchestrator.ir.model import AskIR, Json, StepIR

Scope = Mapping[str, TypeT]

RUN = ObjectT({"id": STR, "flow": STR, "started_at": DATETIME})
_STEP = {"step": STR, "event": STR}
META = ObjectT(_STEP)
BY = ObjectT({**_STEP, "by": EnumT(("call", "fallback"))})
STATUS = ObjectT({**BY.fields, "status": EnumT(("done", "failed", "cancelled", "timeout"))})
WEBHOOK = ObjectT({"headers": ObjectT({}, is_open=True), "query": ObjectT({}, is_open=True)})
ERROR_TYPE = from_json_schema(ERROR)


class Scopes:
    """The scopes of one flow."""

    def __init__(self, facts: Facts, catalog: CatalogLike) -> None:
        self._facts = facts
        self._catalog = catalog
        flow = facts.flow
        self._events: dict[str, TypeT] = {}
        self._schemas: dict[int, tuple[Json, TypeT]] = {}
        for name in {call.target for step in flow.steps.values() for call, _, _ in calls_of(step)}:
            info = catalog.get(name)
            if info is not None:  # worked out once for all flows
                result = plain_result(info)
                self._schemas[id(result)] = (result, plain_type(info))
        self.secrets = ObjectT(dict.fromkeys(flow.secrets, STR))
        self.base: dict[str, TypeT] = {"inputs": self.type_of(flow.inputs), "now": STR, "run": RUN}
        self.state = self.type_of(flow.state_schema) if flow.state_schema else ObjectT({})
        self.step_base: dict[str, TypeT] = {**self.base, "state": self.state, "meta": META}

    def type_of(self, schema: Json) -> TypeT:
        """A schema as a type; the same schema object is read once."""
        known = self._schemas.get(id(schema))
        if known is None:
            known = (schema, from_json_schema(schema, self._schemas))  # the schema is kept so that its id stays its own
            self._schemas[id(schema)] = known
        return known[1]

    def event(self, name: str) -> TypeT:
        """The fields of an event, and its `type`."""
        found = self._events.get(name)
        if found is None:
            ir = self._facts.flow.events.get(name)
            inner = ANY if ir is None else self.type_of(ir.schema)
            found = inner
            if isinstance(inner, ObjectT) and "type" not in inner.fields:
                found = ObjectT({"type": EnumT((name,)), **inner.fields}, inner.is_open, inner.optional)
            self._events[name] = found
        return found

    def trigger(self, kind: str, event: str) -> Scope:
        """What a trigger may read."""
        match kind:
            case "webhook":
                return {**self.base, "ev": ANY, "meta": WEBHOOK}
            case "event":
                known = event in self._facts.flow.events
                return {**self.base, "ev": self.event(event) if known else ANY}
            case _:
                return self.base

    def step(self, step: StepIR) -> StepScopes:
        """The scopes of one step."""
        return StepScopes(self, step, self._facts, self._catalog)


class StepScopes:
    """The scopes of one step, each made when first asked for."""

    def __init__(self, scopes: Scopes, step: StepIR, facts: Facts, catalog: CatalogLike) -> None:
        self._scopes = scopes
        self._step = step
        self._made: dict[tuple[str, int], Scope] = {}
        accepted = [scopes.event(name) for name in step.accepts]
        self.ev = union(*accepted) if accepted else ObjectT({})
        self.arriving: dict[str, TypeT] = {**scopes.step_base, "ev": self.ev}
        self.result = scopes.type_of(result_schema(step, facts.flow, catalog))
        self.results_by = self._results_by(catalog)
        self.body = self._body()
        self.item: TypeT | None = None
        if step.for_each is not None:
            self.item = item_of(step.for_each.items, self.body)

    def _results_by(self, catalog: CatalogLike) -> dict[str, TypeT]:
        """The result after the call and after the fallback, where these differ; else nothing."""
        call, fallback = self._step.body.call, self._step.fallback
        if call is None or fallback is None or self._step.for_each is not None:
            return {}
        found = {
            "call": self._scopes.type_of(call_result(call, catalog)),
            "fallback": self._scopes.type_of(call_result(fallback, catalog)),
        }
        return {} if found["call"] == found["fallback"] else found

    def _body(self) -> dict[str, TypeT]:
        join = self._step.join
        if join is None:
            return self.arriving
        body = dict(self.arriving)
        if join.mode == "all":
            del body["ev"]
        members = [self._scopes.event(name) for name in (join.events or self._step.accepts)]
        body["events"] = ListT(union(*members) if members else ANY)
        if join.mode == "each":
            body |= {f"events[{n}]": member for n, member in enumerate(members)}
            body |= {f"events[{n - len(members)}]": member for n, member in enumerate(members)}
        body["count"] = INT
        return body

    def at(self, site: str, entry: int = 0) -> Scope:
        """The scope of a place, named as in values.py."""
        key = (site, entry if site == "emit.item" else 0)
        found = self._made.get(key)
        if found is None:
            found = self._make(site, entry)
            self._made[key] = found
        return found

    def _make(self, site: str, entry: int) -> Scope:
        match site:
            case "when" | "key":
                return self.arriving
            case "until":
                return {**self.body, "ev": self.ev}
            case "set" | "for_each":
                return self.body
            case "within":
                return self._each_item()
            case "with":
                return {**self._each_item(), "secrets": self._scopes.secrets}
            case "match" | "id" | "ask":
                return self._each_item()
            case "retry":
                return {**self._each_item(), "error": ERROR_TYPE, "attempt": INT}
            case "repeat":
                return {**self._each_item(), "result": self._one_result(), "attempt": INT}
            case "fallback":
                return {**self._each_item(), "error": ERROR_TYPE, "secrets": self._scopes.secrets}
            case "finally":
                return {**self.body, "meta": STATUS, "secrets": self._scopes.secrets}
            case "undo":
                return {**self.body, "result": self.result, "meta": STATUS, "secrets": self._scopes.secrets}
            case "catch":
                return {**self.body, "error": ERROR_TYPE, "meta": BY}
            case "emit":
                return self._after()
            case "emit.item":
                return self._with_item(entry)
            case _:
                return self._scopes.base

    def _each_item(self) -> dict[str, TypeT]:
        return self.body if self.item is None else {**self.body, "item": self.item, "index": INT}

    def _one_result(self) -> TypeT:
        if self.item is not None and isinstance(self.result, ListT):
            return self.result.item
        return self.result

    def _after(self) -> dict[str, TypeT]:
        step = self._step
        scope = {**self.body, "result": self.result}
        if step.body.kind == "call":
            scope["meta"] = BY
        if step.body.ask is not None and step.for_each is None:
            scope |= ask_roots(step.body.ask)
        return scope

    def _with_item(self, entry: int) -> dict[str, TypeT]:
        scope = dict(self.at("emit"))
        rule = self._step.emit
        source = None if rule is None else rule.entries[entry].for_each
        scope |= {"item": ANY if source is None else item_of(source, scope), "index": INT}
        return scope


def ask_roots(ask: AskIR) -> dict[str, TypeT]:
    """What is in scope once a request is decided."""
    return {
        "outcome": EnumT(all_outcomes(ask)),
        "answers": ListT(from_json_schema(answer_schema(ask))),
        "voters": ListT(STR),
    }


def item_of(source: str, scope: Scope) -> TypeT:
    """The type of the items that a `for_each` goes through; its mistakes are reported where it stands."""
    try:
        return check_iterable(parse(source), scope)[0]
    except ExprSyntaxError:
        return ANY
