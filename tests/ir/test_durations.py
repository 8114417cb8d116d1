"""Durations and moments, and when a wait ends."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from orchestrator.ir.durations import BadTime, parse_duration, parse_moment, parse_time, resolve_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30),
        ("5m", 300),
        ("4h", 14400),
        ("2d", 172800),
        ("1.5h", 5400),
        ("0s", 0),
        ("PT30S", 30),
        ("P1D", 86400),
        ("P1DT2H30M", 95400),
        ("P2W", 1209600),
        ("PT0.5S", 0.5),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text).seconds == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("30", "30s"),
        ("30 s", "30s"),
        ("5min", "5m"),
        ("2 hours", "2h"),
        ("1w", "7d"),
        ("10 seconds", "10s"),
        ("soon", None),
        ("-5s", None),
        ("P", None),
        ("PT", None),
        ("P1DT", None),
        ("5x", None),
        ("1e3s", None),
        ("٣s", None),
        ("200000d", None),
    ],
)
def test_what_is_no_duration_says_how_to_write_it(text: str, suggestion: str | None) -> None:
    with pytest.raises(BadTime) as caught:
        parse_duration(text)
    assert caught.value.suggestion == suggestion


@pytest.mark.parametrize(
    "text", ["fry 17:00", "fri 24:00", "fri 17:60", "2026-02-30T10:00", "2026-13-01T10:00", "17:00", "fri"]
)
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(BadTime):
        parse_time(text)


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("moment", "now", "zone", "end"),
    [
        ("fri 17:00", "2026-11-25T12:00", "UTC", "2026-11-27T17:00"),
        ("wed 12:00", "2026-11-25T11:59", "UTC", "2026-11-25T12:00"),
        ("wed 12:00", "2026-11-25T12:00", "UTC", "2026-12-02T12:00"),
        ("Friday 9:05", "2026-11-28T00:00", "UTC", "2026-12-04T09:05"),
        ("fri 17:00", "2026-11-27T23:30", "America/New_York", "2026-12-04T17:00"),
        ("2026-12-01T09:00", "2026-11-25T12:00", "Europe/Berlin", "2026-12-01T09:00"),
        ("2026-12-01 09:00:30", "2026-11-25T12:00", "UTC", "2026-12-01T09:00:30"),
        ("mon 08:00", "2026-10-23T12:00", "Europe/Berlin", "2026-10-26T08:00"),
    ],
)
def test_moments_are_read_in_their_zone(moment: str, now: str, zone: str, end: str) -> None:
    assert resolve_time(parse_time(moment), at(now, zone), zone) == at(end, zone)


def test_a_moment_with_an_offset_needs_no_zone() -> None:
    end = datetime(2026, 12, 1, 7, tzinfo=UTC).timestamp()
    assert resolve_time(parse_moment("2026-12-01T09:00+02:00"), 0, "Asia/Tokyo") == end


def test_a_duration_is_added() -> None:
    assert resolve_time(parse_time("2h"), 100.0) == 7300.0


def test_a_clock_time_that_summer_time_skips_still_comes_once() -> None:
    before = at("2026-03-28T12:00", "Europe/Berlin")
    assert (
        resolve_time(parse_time("sun 02:30"), before, "Europe/Berlin")
        == datetime(2026, 3, 29, 1, 30, tzinfo=UTC).timestamp()
    )
