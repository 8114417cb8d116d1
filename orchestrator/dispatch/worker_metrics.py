"""A worker's counters and gauges as `/metrics` gives them, in the text format of Prometheus."""

from __future__ import annotations

from orchestrator.dispatch.worker import Worker

PREFIX = "orchestrator_worker_"
_HELP = {
    "runs_taken_total": "Runs this worker has taken",
    "runs_ended_total": "Runs that ended here",
    "runs_parked_total": "Runs set aside because no worker could run them",
    "commits_total": "Commits to the journal",
    "ticks_total": "Ticks committed",
    "commits_fenced_total": "Commits refused because another worker had taken the run over",
    "transactions_total": "Transactions; commits of concurrent runs share them",
    "reconnects_total": "Lost connections to the database that were made anew",
    "rings_total": "Activations asked for through the dispatcher",
    "rings_helped_total": "Runs started here because their activation did not come in time",
    "runs_held": "Runs that this worker holds now",
    "room": "Runs it could take besides",
    "flows_refused": "Versions of flows that it cannot run",
}


def render_metrics(worker: Worker) -> str:
    """The text of `/metrics`."""
    counts, journal, dispatcher = worker.counts, worker.journal, worker.dispatcher
    shared = worker.shared
    values: dict[str, float] = {
        "runs_taken_total": counts.taken,
        "runs_ended_total": counts.ended,
        "runs_parked_total": counts.parked,
        "commits_total": counts.commits,
        "ticks_total": counts.ticks,
        "commits_fenced_total": counts.fenced,
        "transactions_total": getattr(journal, "groups", 0),
        "reconnects_total": getattr(journal, "reconnects", 0),
        "rings_total": getattr(dispatcher, "rung", 0),
        "rings_helped_total": getattr(dispatcher, "helped", 0),
        "runs_held": len(worker.sinks),
        "room": worker.room,
        "flows_refused": len(shared.scope.cannot) if shared is not None else 0,
    }
    name = worker.worker.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    lines = []
    for key, value in values.items():
        kind = "counter" if key.endswith("_total") else "gauge"
        lines += [f"# HELP {PREFIX}{key} {_HELP[key]}", f"# TYPE {PREFIX}{key} {kind}"]
        lines.append(f'{PREFIX}{key}{{worker="{name}"}} {value:g}')
    return "\n".join(lines) + "\n"
