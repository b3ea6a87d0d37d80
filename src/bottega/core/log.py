"""Logs are events with keyword facts, written to stderr: `billing.hold.settled`. No secrets, no prompt bodies.

Whatever is logged passes `redact_event`, tracebacks too. What libraries say through Python's own logging, and Python's
warnings, take the same way to the same form, from warnings up: below them they tell of requests and their bodies. What
is bound around a piece of work (`bound`) stands in every line that is logged within it, in whatever task.
"""

import logging
import sys
from typing import Any

import structlog

from bottega.core.redaction import redact_event

bound = structlog.contextvars.bound_contextvars
"""Bind facts while a block runs. Tasks begun within it keep them; work beside it never sees them."""


def configure_logging(*, level: str, json: bool = False) -> None:
    """Send every event at or above `level` (a logging level's name) to stderr."""
    shared = _shared()
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Libraries)]:
        root.removeHandler(handler)
    root.addHandler(_Libraries(renderer, level=max(logging.WARNING, logging.getLevelNamesMapping()[level])))
    logging.captureWarnings(capture=True)


def _shared() -> list[structlog.types.Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact_event,
    ]


class _Libraries(logging.Handler):
    """Renders what Python's logging is told as an event `library`, with the logger's name and its words as facts."""

    def __init__(self, renderer: structlog.types.Processor, *, level: int) -> None:
        super().__init__(level)
        self._processors = [*_shared(), renderer]

    def emit(self, record: logging.LogRecord) -> None:
        event: Any = {"event": "library", "logger": record.name, "message": _message(record)}
        if record.exc_info:
            event["exc_info"] = record.exc_info
        for process in self._processors:
            event = process(None, record.levelname.lower(), event)
        print(event, file=sys.stderr, flush=True)  # noqa: T201  # the log is written here


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001  # a library's odd record must not end the work it was said in
        return f"a message that cannot be formatted, of line {record.lineno} in {record.pathname}"
