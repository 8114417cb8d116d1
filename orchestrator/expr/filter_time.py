"""The filters that work on dates and durations. Knows no clock: `now` is a value of the scope.

A moment is an ISO 8601 text (without a zone it is UTC) or seconds since 1970; a duration is a text such as `90s` or
`PT1M30S`, or a number of seconds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from orchestrator.expr.errors import Fault
from orchestrator.expr.limits import DATE_FORMAT_CHARS, Fuel, burn
from orchestrator.expr.operators import kind

# Any is a plain value of the expression language throughout.
UNITS: dict[str, Fraction] = {
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
    "d": Fraction(86400),
}
_SHORT = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)", re.ASCII)
_ISO = re.compile(
    r"P(?:([0-9]{1,9})W)?(?:([0-9]{1,9})D)?(?:T(?:([0-9]{1,9})H)?(?:([0-9]{1,9})M)?(?:([0-9]{1,9}(?:\.[0-9]{1,6})?)S)?)?",
    re.ASCII,
)
_ISO_SECONDS = (604800, 86400, 3600, 60, 1)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_DIRECTIVE = re.compile(r"%(-?)(.?)", re.DOTALL)
# English names on every machine: strftime would take the words of the locale, and widths without bound.
_DIRECTIVES: dict[str, Callable[[datetime], str]] = {
    "Y": lambda at: f"{at.year:04d}",
    "y": lambda at: f"{at.year % 100:02d}",
    "m": lambda at: f"{at.month:02d}",
    "d": lambda at: f"{at.day:02d}",
    "H": lambda at: f"{at.hour:02d}",
    "I": lambda at: f"{at.hour % 12 or 12:02d}",
    "M": lambda at: f"{at.minute:02d}",
    "S": lambda at: f"{at.second:02d}",
    "f": lambda at: f"{at.microsecond:06d}",
    "j": lambda at: f"{at.timetuple().tm_yday:03d}",
    "p": lambda at: "AM" if at.hour < 12 else "PM",
    "a": lambda at: _DAYS[at.weekday()][:3],
    "A": lambda at: _DAYS[at.weekday()],
    "b": lambda at: _MONTHS[at.month - 1][:3],
    "B": lambda at: _MONTHS[at.month - 1],
    "u": lambda at: str(at.isoweekday()),
    "V": lambda at: f"{at.isocalendar().week:02d}",
    "G": lambda at: f"{at.isocalendar().year:04d}",
    "F": lambda at: f"{at.year:04d}-{at.month:02d}-{at.day:02d}",
    "T": lambda at: f"{at.hour:02d}:{at.minute:02d}:{at.second:02d}",
    "z": lambda at: at.strftime("%z"),
    "Z": lambda at: at.tzname() or "",
    "s": lambda at: str(int(at.timestamp())),
    "%": lambda at: "%",
}


def date(fuel: Fuel, value: Any, format: Any, timezone: Any) -> str:
    if type(format) is not str or len(format) > DATE_FORMAT_CHARS:
        raise Fault(f"the format of `date` must be a text of at most {DATE_FORMAT_CHARS} characters")
    burn(fuel, 20 + len(format))
    moment = parse_moment(value).astimezone(_zone(timezone))
    return _DIRECTIVE.sub(lambda found: _directive(moment, found), format)


def duration(fuel: Fuel, value: Any, unit: Any) -> Any:
    burn(fuel, 20)
    seconds = parse_duration(value)
    if unit is None:
        return duration_text(seconds)
    if unit not in UNITS:
        raise Fault(f"the unit of `duration` is one of {', '.join(UNITS)}, not {unit!r:.40}")
    number = seconds / UNITS[unit]
    return int(number) if number.denominator == 1 else float(number)


def parse_moment(value: Any) -> datetime:
    """The moment that a text or a number of seconds since 1970 names."""
    try:
        if type(value) is str and len(value) <= 64:
            moment = datetime.fromisoformat(value)
            return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        if type(value) in (int, float):
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value)
    except (ValueError, OverflowError):
        pass
    shown = repr(value) if type(value) is str and len(value) <= 64 else kind(value)
    raise Fault(f"`date` needs a moment such as '2026-12-01T09:00:00Z', not {shown}")


def parse_duration(value: Any) -> Fraction:
    """The seconds that a text or a number names."""
    if type(value) is str and len(value) <= 64:
        short = _SHORT.fullmatch(value.strip())
        if short:
            return Fraction(short[1]) * UNITS[short[2]]
        iso = _ISO.fullmatch(value.strip())
        if iso and any(iso.groups()):
            pairs = zip(iso.groups(), _ISO_SECONDS, strict=True)
            return sum((Fraction(number) * seconds for number, seconds in pairs if number), Fraction(0))
    if type(value) in (int, float) and math.isfinite(value) and 0 <= value < 10**12:
        return Fraction(value).limit_denominator(1_000_000)
    shown = repr(value) if type(value) is str and len(value) <= 64 else kind(value)
    raise Fault(f"`duration` needs one such as '30s', '5m', '2d' or a number of seconds, not {shown}")


def duration_text(seconds: Fraction) -> str:
    """The shortest text in one unit that names exactly these seconds (to the millisecond)."""
    for unit in ("d", "h", "m", "s"):
        number = seconds / UNITS[unit]
        if number.denominator == 1 and (number or unit == "s"):
            return f"{number.numerator}{unit}"
    return f"{round(seconds * 1000)}ms"


def _directive(moment: datetime, found: re.Match[str]) -> str:
    make = _DIRECTIVES.get(found[2])
    if make is None:
        raise Fault(f"`{found[0]}` is not known to `date`", f"known are %{' %'.join(_DIRECTIVES)}")
    text = make(moment)
    return text.lstrip("0") or "0" if found[1] else text


def _zone(name: Any) -> ZoneInfo:
    try:
        if type(name) is str and 0 < len(name) <= 64:
            return ZoneInfo(name)
    except (ValueError, KeyError, OSError):
        pass
    raise Fault(f"there is no time zone {name!r:.60}", "names are such as 'Europe/Berlin' or 'UTC'")
