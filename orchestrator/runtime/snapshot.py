"""A run's state as JSON and back: fold(all ticks) = fold(snapshot + the ticks after it). Knows no store.

Taken only between batches, when no guard is being evaluated. Groups are written with their parents first; a scope is
`[group id, index]`, and its live count stands with its group.
"""

from __future__ import annotations

from collections import deque
from dataclasses import asdict
from typing import Any

from orchestrator.errors import StoreError
from orchestrator.expr.secrets import seal, unseal
from orchestrator.runtime.codec import FORMAT, Json, ValueCodec
from orchestrator.runtime.people import Ballot, Request
from orchestrator.runtime.plan import FlowPlan
from orchestrator.runtime.reduction import Reduction
from orchestrator.runtime.state import (
    ALL,
    Activation,
    EventRef,
    Group,
    JoinBuffer,
    Phase,
    RunState,
    Scope,
    Status,
    Timer,
    Undo,
    Wait,
)
from orchestrator.runtime.ticks import StepSettled
from orchestrator.runtime.waiting import index_wait


def encode_state(state: RunState, codec: ValueCodec) -> Json:
    """The state as JSON. Cost: O(size of the state). Raises: NotSerializable."""
    return _Encoder(codec).state(state)


def decode_state(data: Json, plan: FlowPlan, codec: ValueCodec) -> RunState:
    """The inverse of `encode_state`, for the same version of the flow.

    Raises: StoreError if the snapshot is of a newer format or names steps that the flow lacks.
    """
    if not isinstance(data, dict) or data.get("v") != FORMAT:
        version = data.get("v") if isinstance(data, dict) else None
        raise StoreError(f"this snapshot has format {version!r}; this version of orchestrator reads format {FORMAT}")
    try:
        return _Decoder(plan, codec).state(data)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise StoreError(
            f"this snapshot does not fit flow `{plan.ir.name}`: {type(error).__name__}: {error}"
        ) from error


class _Encoder:
    def __init__(self, codec: ValueCodec) -> None:
        self.codec = codec
        self.scopes: dict[int, Scope] = {}

    def state(self, s: RunState) -> Json:
        if s.pending:
            raise StoreError("a snapshot was asked for while a guard is being evaluated")
        value = self.codec.encode_value
        out: dict[str, Json] = {
            "v": FORMAT,
            "status": s.status.value,
            "final": s.final.value,
            "seq": s.seq,
            "next_id": s.next_id,
            "at": [s.started_at, s.ended_at],
            "inputs": value(s.inputs, "inputs"),
            "meta": value(s.meta, "meta"),
            "vars": {name: value(item, f"state `{name}`") for name, item in s.vars.items()},
            "error": s.error,
            "result": self.event(s.result) if s.result is not None else None,
            "seen": sorted(s.seen),
            "running": {k: v for k, v in s.running.items() if v},
            "rates": {k: list(v) for k, v in s.rates.items()},
            "timers": [[x.id, x.due, x.kind, x.ref, _plain_key(x.data)] for x in s.timers.values()],
            "waits": [
                [
                    *(w.id, w.act, w.path, w.type, value(w.match, "what a wait matches"), w.timer, w.request_id),
                    *(() if w.asked is None else (self.codec.encode("Request", w.asked, "a question"),)),
                ]
                for paths in s.open_waits.values()
                for w in paths.values()
            ],
            "acts": [self.act(a) for a in s.acts.values()],
            "queues": {k: [a.id for a in q if a.id in s.acts] for k, q in s.queues.items()},
            "joins": [self.join(b) for b in s.joins.values()],
            "buffers": [
                [
                    list(key),
                    {name: [[i, self.codec.encode(name, v, "a buffer")] for i, v in q] for name, q in types.items()},
                ]
                for key, types in s.buffers.items()
            ],
            "unclaimed": {k: [self.event(e) for e in q] for k, q in s.unclaimed.items()},
            "requests": [_encode_request(r) for r in s.requests.values()],
            "children": s.children,
            "undo": [self.undo(u) for u in s.undo],
            "cleanup": [self.undo(u) for u in s.cleanup],
        }
        out["groups"] = [self.group(g) for g in sorted(s.groups.values(), key=lambda g: g.id)]
        out["scopes"] = [[x.group.id, x.index, x.live] for x in self.scopes.values()]
        return out

    def scope(self, scope: Scope | None) -> Json:
        if scope is None:
            return None
        if id(scope) not in self.scopes:
            self.scopes[id(scope)] = scope
            self.scope(scope.group.parent)
        return [scope.group.id, scope.index]

    def event(self, e: EventRef) -> Json:
        row = [e.id, e.type, self.codec.encode(e.type, e.value, f"event `{e.type}`"), self.scope(e.scope), e.line]
        while row[-1] is None:
            row.pop()
        return row

    def act(self, a: Activation) -> Json:
        where = f"step `{a.step.name}`"
        out: dict[str, Json] = {
            "id": a.id,
            "step": a.step.name,
            "events": [self.event(e) for e in a.events],
            "scope": self.scope(a.scope),
            "line": a.line,
            "cause": a.cause,
            "phase": a.phase.value,
            "attempt": a.attempt,
            "failures": a.failures,
            "polls": a.polls,
            "slot": a.has_slot,
            "running": a.is_running,
            "at": [a.first_at, a.started_at],
            "input": seal(a.input),
            "error": a.error,
            "waits": a.waits,
            "doomed": a.is_doomed,
        }
        if a.outcome is not None:
            out["outcome"] = [a.outcome[0], self.codec.encode_value(a.outcome[1], where)]
        if a.closing is not None:
            out["closing"] = self.event(a.closing)
        if a.owned:
            out["owned"] = [list(o) for o in a.owned]
        if a.record:
            out["record"] = {path: self.recorded(entry, where) for path, entry in a.record.items()}
        if a.collects:
            out["collects"] = [self.move(m) for m in a.collects]
        if a.pending is not None:
            from orchestrator.runtime.codec import encode_tick

            out["pending"] = [a.pending.seq, encode_tick(a.pending, self.codec, lambda _: a.step.name)]
        return out

    def recorded(self, entry: Any, where: str) -> Json:
        if entry[0] == "event":
            return ["event", self.event(entry[1])]
        if entry[0] == "timeout":
            return ["timeout"]
        return ["value", self.codec.encode_value(entry[1], where), *entry[2:]]

    def move(self, m: Any) -> Json:
        if m[0] == "add":
            return ["add", list(m[1]), m[2], [m[3][0], self.codec.encode(m[2], m[3][1], "a buffer")]]
        return ["take", list(m[1]), [[n, [i, self.codec.encode(n, v, "a buffer")]] for n, (i, v) in m[2]]]

    def join(self, b: JoinBuffer) -> Json:
        return {
            "step": b.step,
            "key": _plain_key(b.key),
            "scope": self.scope(b.scope),
            "events": [self.event(e) for e in b.events],
            "queues": {k: [self.event(e) for e in q] for k, q in b.queues.items()},
            "fired": b.fired,
            "timer": b.timer,
            "held": self.scope(b.held),
            "count": b.count,
        }

    def group(self, g: Group) -> Json:
        return {
            "id": g.id,
            "site": g.site,
            "parent": self.scope(g.parent),
            "size": g.size,
            "list": g.is_list,
            "open": g.open,
            "fired": sorted(g.fired),
            "collected": {
                name: [[list(e[0]), self.event(e[1]), *e[2:]] for e in entries] for name, entries in g.collected.items()
            },
        }

    def undo(self, u: Undo) -> Json:
        value = self.codec.encode_value(u.result, f"step `{u.step}`")
        events = [self.event(e) for e in u.events]
        return [u.step, events, seal(u.input), value, u.status, u.phase.value, u.error]


class _Decoder:
    def __init__(self, plan: FlowPlan, codec: ValueCodec) -> None:
        self.plan = plan
        self.codec = codec
        self.groups: dict[int, Group] = {}
        self.scopes: dict[tuple[int, int], Scope] = {}

    def state(self, d: Json) -> RunState:  # the rows are Json; their shape is that of _Encoder.state
        s = RunState()
        value = self.codec.decode_value
        self._lineage(d)
        s.status, s.final = Status(d["status"]), Status(d["final"])
        s.seq, s.next_id = d["seq"], d["next_id"]
        s.started_at, s.ended_at = d["at"]
        s.inputs, s.meta = value(d["inputs"]), value(d["meta"])
        s.vars = {name: value(item) for name, item in d["vars"].items()}
        s.error = d["error"]
        s.result = self.event(d["result"]) if d["result"] is not None else None
        s.seen = set(d["seen"])
        s.running = dict(d["running"])
        s.rates = {k: deque(v) for k, v in d["rates"].items()}
        s.timers = {x[0]: Timer(x[0], x[1], x[2], x[3], _key(x[4])) for x in d["timers"]}
        for row in d["acts"]:
            act = self.act(row)
            s.acts[act.id] = act
        s.queues = {k: deque(s.acts[i] for i in ids) for k, ids in d["queues"].items() if ids}
        s.busy = sum(1 for a in s.acts.values() if a.waits == 0)
        for row in d["joins"]:
            buffer = self.join(row)
            s.joins[(buffer.step, buffer.key)] = buffer
        s.buffers = {
            tuple(key): {n: deque((i, self.codec.decode(n, v)) for i, v in q) for n, q in types.items()}
            for key, types in d["buffers"]
        }
        s.unclaimed = {k: deque(self.event(e) for e in q) for k, q in d["unclaimed"].items()}
        s.requests = {row["id"]: _decode_request(row) for row in d["requests"]}
        s.children = dict(d["children"])
        s.undo = [self.undo(u) for u in d["undo"]]
        s.cleanup = [self.undo(u) for u in d["cleanup"]]
        s.groups = {g.id: g for g in self.groups.values() if g.id in self.open_groups}
        for row in d["waits"]:
            asked = self.codec.decode("Request", row[7]) if len(row) > 7 else None
            index_wait(s, Wait(row[0], row[1], row[2], row[3], value(row[4]), row[5], row[6], asked))
        for name in ALL:
            getattr(s, name)
        s.made = tuple(sorted(ALL))
        return s

    def _lineage(self, d: Json) -> None:
        self.open_groups = {row["id"] for row in d["groups"]}
        rows = {row["id"]: row for row in d["groups"]}
        for group_id, _, _ in d["scopes"]:
            rows.setdefault(group_id, None)
        for group_id in sorted(rows):
            row = rows[group_id]
            group = Group(group_id, "", None, 0, False)
            self.groups[group_id] = group
            if row is not None:
                group.site, group.size, group.is_list, group.open = row["site"], row["size"], row["list"], row["open"]
                group.fired = set(row["fired"])
        for group_id, index, live in d["scopes"]:
            scope = self.scopes[(group_id, index)] = Scope(self.groups[group_id], index)
            scope.live = live
        for row in d["groups"]:
            group = self.groups[row["id"]]
            group.parent = self.scope(row["parent"])
            group.collected = {
                name: [(tuple(e[0]), self.event(e[1]), *e[2:]) for e in entries]
                for name, entries in row["collected"].items()
            }

    def scope(self, row: Json) -> Scope | None:
        return None if row is None else self.scopes[(row[0], row[1])]

    def event(self, row: Json) -> EventRef:
        scope = self.scope(row[3]) if len(row) > 3 else None
        value = self.codec.decode(row[1], row[2]) if len(row) > 2 else None
        return EventRef(row[0], row[1], value, scope, row[4] if len(row) > 4 else None)

    def act(self, d: Json) -> Activation:
        step = self.plan.steps[d["step"]]
        events = tuple(self.event(e) for e in d["events"])
        a = Activation(d["id"], step, events, self.scope(d["scope"]), d["line"], d["cause"])
        a.phase, a.attempt, a.failures, a.polls = Phase(d["phase"]), d["attempt"], d["failures"], d["polls"]
        a.has_slot, a.is_running = d["slot"], d["running"]
        a.first_at, a.started_at = d["at"]
        a.input, a.error = unseal(d["input"]), d["error"]
        a.waits, a.is_doomed = d["waits"], d["doomed"]
        if "outcome" in d:
            a.outcome = (d["outcome"][0], self.codec.decode_value(d["outcome"][1]))
        if "closing" in d:
            a.closing = self.event(d["closing"])
        a.owned = [(o[0], o[1]) for o in d["owned"]] if "owned" in d else None
        if "record" in d:
            a.record = {path: self.recorded(entry) for path, entry in d["record"].items()}
        if "collects" in d:
            a.collects = [self.move(m) for m in d["collects"]]
        if "pending" in d:
            from orchestrator.runtime.codec import decode_tick

            tick = decode_tick(d["pending"][0], d["pending"][1], self.codec)
            assert isinstance(tick, StepSettled)
            a.pending = tick
        return a

    def recorded(self, entry: Json) -> Any:
        if entry[0] == "event":
            return ("event", self.event(entry[1]))
        if entry[0] == "timeout":
            return ("timeout", None)
        return ("value", self.codec.decode_value(entry[1]), *entry[2:])

    def move(self, m: Json) -> Any:
        if m[0] == "add":
            return ("add", tuple(m[1]), m[2], (m[3][0], self.codec.decode(m[2], m[3][1])))
        return ("take", tuple(m[1]), [(n, (i, self.codec.decode(n, v))) for n, (i, v) in m[2]])

    def join(self, d: Json) -> JoinBuffer:
        return JoinBuffer(
            d["step"],
            _key(d["key"]),
            self.scope(d["scope"]),
            [self.event(e) for e in d["events"]],
            {k: deque(self.event(e) for e in q) for k, q in d["queues"].items()},
            d["fired"],
            d["timer"],
            self.scope(d["held"]),
            d["count"],
        )

    def undo(self, row: Json) -> Undo:
        events = tuple(self.event(e) for e in row[1])
        return Undo(row[0], events, unseal(row[2]), self.codec.decode_value(row[3]), row[4], Phase(row[5]), row[6])


def _encode_request(request: Request) -> Json:
    return asdict(request)


def _decode_request(row: Json) -> Request:
    return Request(**{**row, "ballots": [Ballot(**b) for b in row["ballots"]]})


def _plain_key(key: Any) -> Json:
    return list(key) if isinstance(key, tuple) else key


def _key(key: Json) -> Any:
    return tuple(key) if isinstance(key, list) else key


def fold(plan: FlowPlan, state: RunState, ticks: list[Any]) -> RunState:
    """The state after these ticks; commands are dropped. Replay, fork and checks are made of this."""
    from orchestrator.runtime.reduce import reduce_tick

    reduction = Reduction(plan, state)
    for tick in ticks:
        reduce_tick(reduction, tick)
    return state
