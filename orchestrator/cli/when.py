"""Times in words, for people at a terminal."""

from __future__ import annotations

from datetime import datetime

MINUTE, HOUR, DAY = 60, 3600, 86400


def in_words(due: float, now: float) -> str:
    """A moment as clock time and distance: `14:05 (in 20 min)`, `Fri 17:00 (in 2 d 3 h)`."""
    moment = datetime.fromtimestamp(due).astimezone()
    today = datetime.fromtimestamp(now).astimezone().date()
    if due - now < MINUTE and moment.date() == today:
        shown = f"{moment:%H:%M:%S}"
    elif moment.date() == today:
        shown = f"{moment:%H:%M}"
    elif 0 <= due - now < 6 * DAY:
        shown = f"{moment:%a %H:%M}"
    else:
        shown = f"{moment:%Y-%m-%d %H:%M}"
    return f"{shown} (in {span(due - now)})" if due > now else f"{shown} ({span(now - due)} ago)"


def span(seconds: float) -> str:
    """A length of time in at most two units, rounded to the smaller one."""
    if round(seconds) < MINUTE:
        return f"{max(0, round(seconds))} s"
    if round(seconds / MINUTE) * MINUTE < HOUR:
        return f"{round(seconds / MINUTE)} min"
    unit = MINUTE if round(seconds / MINUTE) * MINUTE < DAY else HOUR
    seconds = round(seconds / unit) * unit
    for size, name, small, small_name in ((DAY, "d", HOUR, "h"), (HOUR, "h", MINUTE, "min")):
        if seconds >= size:
            whole, rest = divmod(seconds, size)
            part = int(rest // small)
            return f"{int(whole)} {name}" + (f" {part} {small_name}" if part else "")
    return f"{seconds:g} s"


def stamp(at: float) -> str:
    """A moment of the past, to the second."""
    return f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M:%S}"
