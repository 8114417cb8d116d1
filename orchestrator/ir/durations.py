"""Durations and moments: `30s`, `PT2H`, `fri 17:00`, `2026-12-01T09:00`. Pure: the time now comes as an argument."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_SHORT = re.compile(r"(?P<number>[0-9]{1,12}(?:\.[0-9]{1,9})?)(?P<unit>ms|s|m|h|d)\Z")
_ISO = re.compile(
    r"P(?!\Z)(?:(?P<w>[0-9]{1,9})W)?(?:(?P<d>[0-9]{1,9}(?:\.[0-9]{1,9})?)D)?"
    r"(?:T(?=[0-9])(?:(?P<h>[0-9]{1,9}(?:\.[0-9]{1,9})?)H)?(?:(?P<m>[0-9]{1,9}(?:\.[0-9]{1,9})?)M)?"
    r"(?:(?P<s>[0-9]{1,9}(?:\.[0-9]{1,9})?)S)?)?\Z"
)
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEKDAY_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_WEEKLY = re.compile(r"(?P<day>[A-Za-z]+) +(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})\Z")
_DATE = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})[T ](?P<time>[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?)"
    r"(?P<zone>Z|[+-][0-9]{2}:[0-9]{2})?\Z"
)
MAX_DURATION_S = 100 * 366 * 86400.0


class BadTime(ValueError):
    """A text that is neither a duration nor a moment; the message says why, `suggestion` how to write it."""

    def __init__(self, message: str, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.suggestion = suggestion


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time; `text` as it was written."""

    seconds: float
    text: str


@dataclass(frozen=True, slots=True)
class WeeklyMoment:
    """The next time that a weekday and clock time come, in the flow's zone. `weekday` is 0 for Monday."""

    weekday: int
    hour: int
    minute: int
    text: str


@dataclass(frozen=True, slots=True)
class DateMoment:
    """One date and time; without `zone` in the text it is read in the flow's zone."""

    at: datetime
    text: str


Moment = WeeklyMoment | DateMoment


def iso_utc(at: float) -> str:
    """A moment, in epoch seconds, as an ISO 8601 text in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def parse_duration(text: str) -> Duration:
    """The duration of `500ms 30s 5m 4h 2d` or ISO 8601.

    Raises: BadTime.
    """
    short = _SHORT.match(text)
    if short:
        return _bounded(float(short["number"]) * _UNITS_S[short["unit"]], text)
    iso = _ISO.match(text)
    if iso:
        return _bounded(sum(float(iso[unit]) * _UNITS_S[unit] for unit in "wdhms" if iso[unit]), text)
    raise BadTime(f"`{text}` is no duration", _suggest_duration(text))


def is_iso_duration(text: str) -> bool:
    """Whether a text is an ISO 8601 duration, which looks like a name in capitals."""
    return _ISO.match(text) is not None


def _bounded(seconds: float, text: str) -> Duration:
    if seconds > MAX_DURATION_S:
        raise BadTime(f"`{text}` is longer than a hundred years")
    return Duration(seconds, text)


_LOOSE = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>[A-Za-z]+)\Z")
_UNIT_WORDS = {
    "milliseconds": "ms", "millisecond": "ms", "millis": "ms", "msec": "ms", "seconds": "s", "second": "s",
    "sec": "s", "secs": "s", "minutes": "m", "minute": "m", "min": "m", "mins": "m", "hours": "h", "hour": "h",
    "hr": "h", "hrs": "h", "days": "d", "day": "d", "weeks": "w", "week": "w", "w": "w",
}  # fmt: skip


def _suggest_duration(text: str) -> str | None:
    loose = _LOOSE.match(text.strip())
    if loose is None:
        return f"{text}s" if re.fullmatch(r"[0-9]{1,9}", text.strip()) else None
    unit = loose["unit"].lower()
    unit = unit if unit in _UNITS_S else _UNIT_WORDS.get(unit, "")
    if unit == "w":
        return f"{int(float(loose['number']) * 7)}d"
    return f"{loose['number']}{unit}" if unit else None


def parse_moment(text: str) -> Moment:
    """The moment of `fri 17:00` or `2026-12-01T09:00`.

    Raises: BadTime.
    """
    weekly = _WEEKLY.match(text)
    if weekly:
        return _weekly(weekly, text)
    date = _DATE.match(text)
    if date:
        try:
            return DateMoment(datetime.fromisoformat(f"{date['date']}T{date['time']}{date['zone'] or ''}"), text)
        except ValueError as error:
            raise BadTime(f"`{text}` is no date that exists: {error}") from error
    raise BadTime(f"`{text}` is no moment")


def _weekly(match: re.Match[str], text: str) -> WeeklyMoment:
    day = match["day"].lower()
    hour, minute = int(match["hour"]), int(match["minute"])
    if day in _WEEKDAYS:
        weekday = _WEEKDAYS.index(day)
    elif day in _WEEKDAY_NAMES:
        weekday = _WEEKDAY_NAMES.index(day)
    else:
        near = next((d for d in _WEEKDAYS if d.startswith(day[:2])), None)
        clock = f"{match['hour']}:{match['minute']}"
        raise BadTime(f"`{match['day']}` is no weekday", f"{near} {clock}" if near else None)
    if hour > 23 or minute > 59:
        raise BadTime(f"`{match['hour']}:{match['minute']}` is no time of day")
    return WeeklyMoment(weekday, hour, minute, text)


def parse_time(text: str) -> Duration | Moment:
    """A duration or a moment, whichever the text is.

    Raises: BadTime.
    """
    if _WEEKLY.match(text) or _DATE.match(text):
        return parse_moment(text)
    return parse_duration(text)


def resolve_time(time: Duration | Moment, now: float, timezone: str = "UTC") -> float:
    """The moment, in epoch seconds, at which a wait that begins `now` ends.

    A weekday and clock time that is now or past this week means the next week. A clock time that a change to summer
    time skips is read with the offset before the change, one that comes twice means the first.
    Raises: OverflowError for dates beyond what the calendar knows.
    """
    match time:
        case Duration(seconds=seconds):
            return now + seconds
        case DateMoment(at=at):
            return (at if at.tzinfo else at.replace(tzinfo=ZoneInfo(timezone))).timestamp()
        case WeeklyMoment(weekday=weekday, hour=hour, minute=minute):
            zone = ZoneInfo(timezone)
            local = datetime.fromtimestamp(now, UTC).astimezone(zone)
            day = local.date() + timedelta(days=(weekday - local.weekday()) % 7)
            for candidate in (day, day + timedelta(days=7)):
                clock = datetime(candidate.year, candidate.month, candidate.day, hour, minute, tzinfo=zone)
                if clock.timestamp() > now:
                    break
            return clock.timestamp()
