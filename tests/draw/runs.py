"""Paths of runs to draw over the flows."""

from __future__ import annotations

from orchestrator.draw.overlay import RunPath, StepState, Visit

APPROVAL_RUN = RunPath(
    {"write": Visit(StepState.DONE, 2), "review": Visit(StepState.WAITING, 2)},
    {("@start", "Start", "write"): 1, ("write", "Drafted", "review"): 2, ("review", "NeedsWork", "write"): 1},
)
FAILED_SAGA = RunPath(
    {
        "reserve_stock": Visit(StepState.DONE),
        "charge_card": Visit(StepState.FAILED, 3),
        "on_failure": Visit(StepState.RUNNING),
    },
    {("@start", "Start", "reserve_stock"): 1, ("reserve_stock", "reserve_stock.done", "charge_card"): 1},
)
