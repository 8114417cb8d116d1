"""Every kind of tick comes back from JSON as it was, with all of its fields set; unknown kinds and values are refused."""

from __future__ import annotations

import dataclasses
import json
import typing
from typing import Any

import pytest

from orchestrator import Event
from orchestrator.authoring.names import ClassCodec, EventNames
from orchestrator.errors import NotSerializable, StoreError
from orchestrator.runtime import ticks as t
from orchestrator.runtime.codec import decode_tick, encode_tick


class Note(Event):
    text: str


CODEC = ClassCodec(EventNames([Note]), None, None)
NOTE = Note(text="x", more=[1])
WRITES = (("set", ("a", 0), {"b": (1,)}), ("append", ("log",), NOTE), ("clear", (), None))
EMITTED = (("Note", NOTE, "step"), t.Fan("site", (("Note", NOTE, None),), True))
ERROR = {"code": "c", "message": "m", "step": "s", "attempt": 2, "details": None}
SAMPLES: dict[str, Any] = {
    "type": "Note",
    "value": NOTE,
    "vars": {"a": {"b": NOTE}},
    "emitted": EMITTED,
    "writes": WRITES,
    "posts": (("run", "Note", NOTE, "key"),),
    "calls": (["get", [NOTE]],),
    "result": [NOTE],
    "announce": ("Note", NOTE, None),
    "match": {"text": "x"},
    "expected": ("Note", "Note"),
    "children": ("run.a", "run.b"),
    "error": ERROR,
    "meta": {"m": 1},
    "inputs": {"i": 1},
    "input": {"with": 1},
    "form": {"f": 1},
    "who": {"user": "ada", "groups": []},
    "wait": {"type": None, "match": None, "due": 1.5},
    "request": {"title": "?"},
    "data": {"d": 1},
    "key": "k",
    "children": ("first", "second"),
}
KINDS = typing.get_args(t.Tick)


def sample(cls: type[Any]) -> Any:
    """A tick with every field set to something that is not its default."""
    values: dict[str, Any] = {"seq": 7, "at": 1.25, "cause": 3}
    for field in dataclasses.fields(cls)[3:]:
        if field.name in SAMPLES:
            values[field.name] = SAMPLES[field.name]
        elif "bool" in str(field.type):
            values[field.name] = True
        elif "float" in str(field.type):
            values[field.name] = 2.5
        elif "int" in str(field.type):
            values[field.name] = 5
        else:
            values[field.name] = f"some {field.name}"
    return cls(**values)


def plain(tick: Any) -> Any:
    """The fields of a tick, so that two can be compared."""

    def value(item: Any) -> Any:
        if isinstance(item, t.Fan):
            return (item.site, item.members, item.is_list)
        return tuple(map(value, item)) if isinstance(item, tuple) else item

    return {f.name: value(getattr(tick, f.name)) for f in dataclasses.fields(tick)}


@pytest.mark.parametrize("cls", KINDS, ids=lambda cls: cls.__name__)
def test_a_tick_comes_back_as_it_was(cls: type[Any]) -> None:
    tick = sample(cls)
    row = json.loads(json.dumps(encode_tick(tick, CODEC, lambda act: "step")))
    again = decode_tick(7, row, CODEC)
    assert type(again) is cls
    assert plain(again) == plain(tick)


def test_a_tick_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(StoreError, match="unknown kind"):
        decode_tick(0, ["teleported", 0.0, -1], CODEC)


def test_a_value_that_is_not_json_is_named_with_step_event_and_field() -> None:
    tick = t.StepSettled(0, 0.0, -1, 1, 1, (("Note", Note(text="x", more=[object()]), None),))
    with pytest.raises(NotSerializable, match=r"step `work`: event `Note`.more\[0\] is a builtins.object"):
        encode_tick(tick, CODEC, lambda act: "work")


def test_an_event_that_is_not_declared_is_refused_in_both_directions() -> None:
    class Other(Event):
        pass

    tick = t.EventIn(0, 0.0, -1, "Other", Other())
    with pytest.raises(NotSerializable, match="`Other` is not declared"):
        encode_tick(tick, CODEC, lambda act: "?")
    with pytest.raises(StoreError, match="'Other'"):
        decode_tick(0, ["event", 0.0, -1, "Other", [{}]], CODEC)


def test_a_streamed_event_of_an_undeclared_class_comes_back_as_a_plain_event() -> None:
    class Progress(Event):
        n: int

    name = CODEC.stream_type(Progress(n=1))
    row = json.loads(json.dumps(encode_tick(t.Streamed(0, 0.0, -1, 1, 1, name, Progress(n=1)), CODEC, lambda act: "?")))
    again: Any = decode_tick(0, row, CODEC)
    assert (type(again.value), again.value.n) == (Event, 1)
