"""Results that stand in for calls: in `tests:` of a flow and in `run --mock`."""

from __future__ import annotations

from collections import deque
from typing import Any

from orchestrator.errors import StepError

Mock = Any  # plain JSON, or a deque of it


def mock_of(value: Any) -> Mock:  # plain JSON
    """A mock as it is written: a list gives one entry per call, anything else serves every call."""
    return deque(value) if isinstance(value, list) else value


async def mocked_call(name: str, mock: Mock) -> Any:  # plain JSON
    """What a call gives that is mocked; `{error: CODE, message: …}` fails. Raises: StepError."""
    if isinstance(mock, deque):
        if not mock:
            raise StepError("test.mock_spent", f"the mock of `{name}` has no entry left for this attempt")
        mock = mock.popleft()
    if isinstance(mock, dict) and "error" in mock and set(mock) <= {"error", "message", "details"}:
        raise StepError(str(mock["error"]), str(mock.get("message", "")), details=mock.get("details"))
    return mock
