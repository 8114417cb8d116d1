"""Times, durations, names and values in the words of a page. Pure: `now` comes from the caller."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, TypedDict

Json = Any  # plain JSON
MAX_SHOWN = 64 * 1024
_UNITS = ((86_400, "day", "days"), (3_600, "hour", "hours"), (60, "minute", "minutes"))


class Moment(TypedDict):
    """A time on a page: `iso` for machines, `full` for a tooltip, `ago` for people."""

    iso: str
    full: str
    ago: str
    at: float


def moment(at: float | None, now: float) -> Moment | None:
    """A time, or None for none."""
    if at is None or not -6e10 < at < 2.5e11:
        return None
    when = datetime.fromtimestamp(at, UTC)
    return {
        "iso": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "full": f"{when:%a} {when.day} {when:%b %Y, %H:%M:%S} UTC",
        "ago": relative(at, now),
        "at": at,
    }


def relative(at: float, now: float) -> str:
    """`in 3 hours`, `2 days ago`, `just now`."""
    distance = at - now
    if abs(distance) < 45:
        return "just now" if distance <= 0 else "in a moment"
    words = rough(abs(distance))
    return f"in {words}" if distance > 0 else f"{words} ago"


def rough(seconds: float) -> str:
    """A stretch of time in one unit, rounded: `3 hours`."""
    for size, one, many in _UNITS:
        count = round(seconds / size)
        if seconds >= size * 0.95 and count >= 1:
            return f"{count} {one if count == 1 else many}"
    return f"{max(1, round(seconds))} s"


def exact(seconds: float | None) -> str:
    """A duration for tables: `840 ms`, `12.3 s`, `4 m 05 s`, `2 h 10 m`, `3 d 4 h`."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} m {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} m"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def as_words(name: str) -> str:
    """A name as a person would write it: `needs_work` and `needsWork` are `Needs work`."""
    out: list[str] = []
    for place, char in enumerate(name):
        is_seam = char.isupper() and place > 0 and name[place - 1].islower()
        out.append(" " if char in "_-" else f" {char.lower()}" if is_seam else char)
    text = "".join(out).strip()
    return text[:1].upper() + text[1:]


def listed(names: list[str], most: int = 4) -> str:
    """Names in a sentence: `kim, lee and noa`."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def plural(count: int, one: str, many: str | None = None) -> str:
    """`1 step`, `3 steps`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def pretty(value: Json, limit: int = MAX_SHOWN) -> str:
    """A value as indented JSON, cut where it grows too long."""
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return text if len(text) <= limit else f"{text[:limit]}\n… cut; {len(text):,} characters in all"


def short(value: Json, limit: int = 120) -> str:
    """A value on one line."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    flat = " ".join(text[: limit * 2].split())
    return flat if len(flat) <= limit else f"{flat[: limit - 1]}…"


def size(count: int) -> str:
    """Bytes for people."""
    amount = float(count)
    for unit in ("bytes", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


class Fact(TypedDict):
    """A name with a value, for lists of facts. `is_block`: the value is long and stands below its name."""

    name: str
    text: str
    is_block: bool
    is_code: bool


def facts(value: Json) -> list[Fact]:
    """A value as names with texts; what has no fields is one fact without a name."""
    if value is None:
        return []
    if isinstance(value, dict):
        return [_fact(as_words(str(name)), part) for name, part in value.items()]
    return [_fact("", value)]


def _fact(name: str, value: Json) -> Fact:
    if isinstance(value, bool) or value is None:
        return {
            "name": name,
            "text": {True: "yes", False: "no", None: "none"}[value],
            "is_block": False,
            "is_code": False,
        }
    if isinstance(value, str | int | float):
        text = pretty(value) if isinstance(value, str) else f"{value:,}" if isinstance(value, int) else f"{value:g}"
        return {"name": name, "text": text, "is_block": "\n" in text or len(text) > 90, "is_code": False}
    if isinstance(value, list) and value and all(isinstance(v, str) and len(v) < 60 for v in value) and len(value) < 12:
        return {"name": name, "text": ", ".join(value), "is_block": False, "is_code": False}
    return {"name": name, "text": pretty(value), "is_block": True, "is_code": True}
