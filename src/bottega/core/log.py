"""Logs are events with keyword facts, written to stderr: `billing.hold.settled`. No secrets, no prompt bodies.

Whatever is logged passes `redact_event`, tracebacks too; so does what libraries say through Python's own logging.
"""

import logging
import sys

import structlog

from bottega.core.redaction import redact_event, redacted


def configure_logging(*, level: str, json: bool = False) -> None:
    """Send every event at or above `level` (a logging level's name) to stderr."""
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact_event,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
    if logging.lastResort is not None:  # where warnings of libraries go, as nobody configures Python's logging
        logging.lastResort.setFormatter(_Redacting())


class _Redacting(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))
