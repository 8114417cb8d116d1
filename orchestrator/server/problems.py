"""What a client is told when something is refused or fails: `{code, message, help}` with a status. Never a traceback."""

from __future__ import annotations

import logging
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from orchestrator.errors import (
    CompileFailed,
    JournalConflict,
    OrchestratorError,
    PluginError,
    RunCancelled,
    RunFinished,
    RunParked,
    StoreBusy,
    StoreError,
    UnknownRun,
    UsageError,
)
from orchestrator.runtime.answering import AnswerRefused

LOG = logging.getLogger("orchestrator.server")
PROBLEM_JSON = "application/problem+json"


class Refused(Exception):
    """A request that is not carried out. `headers` go with the answer; `details` are plain JSON."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        help: str | None = None,
        *,
        headers: dict[str, str] | None = None,
        details: Any = None,  # plain JSON
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.help = help
        self.headers = headers
        self.details = details


def refused_by(error: OrchestratorError) -> Refused:
    """What an error of the package means to a client."""
    headers: dict[str, str] | None = None
    details: Any = None
    help_text: str | None = None
    match error:
        case CompileFailed():
            status = 422
            details = [d.to_json() for d in error.diagnostics]
            help_text = "mend the findings in `details` and try again"
        case AnswerRefused(kind="forbidden"):
            status = 403
        case AnswerRefused(kind="conflict"):
            status = 409
        case AnswerRefused() | UsageError():
            status = 422
        case UnknownRun():
            status = 404
        case RunFinished() | RunCancelled() | JournalConflict():
            status = 409
        case RunParked():
            status = 409
        case StoreBusy():
            status, headers, help_text = 503, {"Retry-After": "1"}, "try again in a moment"
        case StoreError() if error.code == "store.busy":
            status, headers, help_text = 503, {"Retry-After": "1"}, "try again in a moment"
        case StoreError() | PluginError():
            status = 500
        case _:
            status = 422
    return Refused(status, error.code, error.message, help_text, headers=headers, details=details)


def problem_response(problem: Refused) -> Response:
    """The answer that tells a client of a problem."""
    body: dict[str, Any] = {"code": problem.code, "message": problem.message, "help": problem.help}
    if problem.details is not None:
        body["details"] = problem.details
    return JSONResponse(body, problem.status, problem.headers, media_type=PROBLEM_JSON)


def problem_of(error: Exception) -> Refused:
    """Any exception that reached the top, as a problem. What nobody foresaw is logged and told without its insides."""
    match error:
        case Refused():
            return error
        case OrchestratorError():
            return refused_by(error)
        case HTTPException():
            return _http_problem(error)
    LOG.error("a request failed", exc_info=error)
    return Refused(
        500, "internal", "something went wrong in the server; its log says what", "tell the operator when it was"
    )


def _http_problem(error: HTTPException) -> Refused:
    headers = dict(error.headers) if error.headers else None
    match error.status_code:
        case 404:
            return Refused(404, "not_found", "there is nothing here", "see /api/openapi.json for what there is")
        case 405:
            allowed = (headers or {}).get("Allow", "")
            return Refused(405, "method", f"this address takes {allowed or 'other methods'}", headers=headers)
    return Refused(error.status_code, "http", str(error.detail), headers=headers)


async def answer_problem(request: Request, error: Exception) -> Response:
    """The exception handler of the app: JSON for programs, a page for browsers where pages are served."""
    problem = problem_of(error)
    show = getattr(request.app.state, "problem_page", None)
    wants_page = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api")
    if show is not None and wants_page:
        page: Response = show(request, problem)
        return page
    return problem_response(problem)
