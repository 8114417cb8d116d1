"""Counts of one server, and the text form that Prometheus reads. Knows no run and no request."""

from __future__ import annotations

import time
from collections.abc import Mapping

GAUGES = {
    "runs_live": "Runs that this process holds.",
    "streams_open": "Open event streams.",
}


class Metrics:
    """Counts of one server; values of now are asked for when they are shown."""

    def __init__(self) -> None:
        self.started_at = time.time()
        self.requests: dict[tuple[str, int], int] = {}
        self.seconds = 0.0
        self.runs_ended: dict[tuple[str, str], int] = {}
        self.runs_started: dict[str, int] = {}
        self.requests_closed: dict[str, int] = {}

    def request_answered(self, method: str, status: int, seconds: float) -> None:
        """One HTTP request was answered."""
        key = (method, status)
        self.requests[key] = self.requests.get(key, 0) + 1
        self.seconds += seconds

    def run_started(self, flow: str) -> None:
        """A run was started here."""
        self.runs_started[flow] = self.runs_started.get(flow, 0) + 1

    def run_ended(self, flow: str, status: str) -> None:
        """A run ended here."""
        self.runs_ended[flow, status] = self.runs_ended.get((flow, status), 0) + 1

    def request_closed(self, state: str) -> None:
        """A request to people was closed here."""
        self.requests_closed[state] = self.requests_closed.get(state, 0) + 1

    def render(self, now: Mapping[str, float]) -> str:
        """The text that `/api/metrics` gives; `now` holds gauges by name."""
        out: list[str] = []

        def family(name: str, kind: str, about: str, rows: list[tuple[str, float]]) -> None:
            out.append(f"# HELP orchestrator_{name} {about}")
            out.append(f"# TYPE orchestrator_{name} {kind}")
            out.extend(f"orchestrator_{name}{labels} {value:g}" for labels, value in rows)

        http = [
            (_labels(method=method, status=str(status)), float(n))
            for (method, status), n in sorted(self.requests.items())
        ]
        family("http_requests_total", "counter", "HTTP requests answered.", http)
        family(
            "http_request_seconds_total", "counter", "Seconds spent on HTTP requests.", [("", round(self.seconds, 6))]
        )
        started = [(_labels(flow=flow), float(n)) for flow, n in sorted(self.runs_started.items())]
        family("runs_started_total", "counter", "Runs started by this process.", started)
        ended = [(_labels(flow=flow, status=status), float(n)) for (flow, status), n in sorted(self.runs_ended.items())]
        family("runs_ended_total", "counter", "Runs that ended in this process.", ended)
        closed = [(_labels(state=state), float(n)) for state, n in sorted(self.requests_closed.items())]
        family("requests_closed_total", "counter", "Requests to people that were closed.", closed)
        for name, value in now.items():
            family(name, "gauge", GAUGES[name], [("", float(value))])
        family("start_time_seconds", "gauge", "When this process began.", [("", round(self.started_at, 3))])
        return "\n".join(out) + "\n"


def _labels(**pairs: str) -> str:
    def quoted(text: str) -> str:
        return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    return "{" + ",".join(f'{name}="{quoted(text)}"' for name, text in pairs.items()) + "}"
