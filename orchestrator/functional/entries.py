"""Entries of a record log: the ticks of a functional run as the runtime writes them, `[seq, kind, at, cause, …]`.

Only what a replay needs is written; of events that are merely shown, one now and then as a mark of how far the numbers are.
"""

from __future__ import annotations

import json
from typing import Any

from orchestrator.functional.codec import FunctionCodec
from orchestrator.runtime import ticks as t
from orchestrator.runtime.codec import ValueCodec, decode_tick, encode_tick

Entry = list[Any]  # a row of plain JSON
write_json = json.JSONEncoder(separators=(",", ":")).encode  # ASCII, so that no text can be refused by a file
_ANY = FunctionCodec()


def entry_of(tick: t.Tick, codec: ValueCodec, workflow: str) -> Entry:
    """The entry of a tick. Raises: NotSerializable."""
    return [tick.seq, *encode_tick(tick, codec, lambda _: workflow)]


def tick_of(entry: Entry, codec: ValueCodec = _ANY) -> t.Tick:
    """The tick of an entry."""
    return decode_tick(entry[0], entry[1:], codec)


def seq_of(entry: Entry) -> int:
    """The number of an entry in its run."""
    number: int = entry[0]
    return number


def kind_of(entry: Entry) -> str:
    """What kind of tick an entry is."""
    kind: str = entry[1]
    return kind


def is_first(entry: Entry) -> bool:
    """Whether an entry starts a run."""
    return kind_of(entry) == "started"
