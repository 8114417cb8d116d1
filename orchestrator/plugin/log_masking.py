"""A logger for one call that keeps the call's secrets out of what it writes, tracebacks included."""

from __future__ import annotations

import logging
from collections.abc import Callable

from orchestrator.plugin.secrets import Masker


def masked_logger(logger: logging.Logger, masker: Callable[[], Masker]) -> logging.Logger:
    """A logger that hands its lines on to `logger`, masked by what `masker` gives when a line is written."""
    own = logging.Logger(logger.name)  # not in the registry: it lives as long as the call
    own.parent = logger
    own.addFilter(_Masking(masker))
    return own


class _Masking(logging.Filter):
    def __init__(self, masker: Callable[[], Masker]) -> None:
        super().__init__()
        self._masker = masker

    def filter(self, record: logging.LogRecord) -> bool:
        masker = self._masker()
        try:
            text = record.getMessage()
        except Exception:  # arguments that do not fit: the line still comes, as logging itself would have it
            text = f"{record.msg} {record.args!r}"
        record.msg, record.args = masker.text(text), ()
        if record.exc_info:
            record.exc_text = masker.text(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        if record.stack_info:
            record.stack_info = masker.text(record.stack_info)
        return True
