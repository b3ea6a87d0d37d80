"""How a command runs: settings, app, exit codes, and errors as sentences.

Exit codes: 0 delivered; 2 wrong usage or configuration; 3 stopped and needs the person; 4 out of credits; 5 the
provider failed for good.
"""

import asyncio
import getpass
import sys
import uuid
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import NoReturn, TypeVar

import click
import structlog

from bottega.bootstrap import App, open_app
from bottega.config import Settings
from bottega.core.errors import AppError
from bottega.core.log import configure_logging
from bottega.core.redaction import redacted
from bottega.entrypoints.relay.host import LocalRelay
from bottega.llm.types import Gateway

T = TypeVar("T")
log = structlog.get_logger()


class Exit(IntEnum):
    DELIVERED = 0
    USAGE = 2
    NEEDS_PERSON = 3
    OUT_OF_CREDITS = 4
    PROVIDER_FAILED = 5


INTERRUPTED = "\nStopped. Everything so far is kept: `bottega resume ID` goes on; `bottega projects` lists the ids."
_CODES = dict.fromkeys(("insufficient_credits", "project_limit_reached"), Exit.OUT_OF_CREDITS)


def fail(message: str, *, code: Exit = Exit.USAGE) -> NoReturn:
    """End the command with one message on stderr."""
    print(redacted(message), file=sys.stderr)  # noqa: T201  # the command line speaks
    raise SystemExit(code)


def run_app(
    work: Callable[[App], Awaitable[T]],
    *,
    settings: Settings,
    llm: Gateway | None = None,
    interrupted: str = INTERRUPTED,
) -> T:
    """Open the app, do `work`, close it; anticipated errors end the command with their sentence.

    `interrupted` is what Ctrl-C ends it with.
    """
    said = "log_level" in settings.platform.model_fields_set  # at a terminal the screen tells the story
    configure_logging(level=settings.platform.log_level if said else "WARNING")

    async def session() -> T:
        models = (settings.models.architect, *settings.models.implementers)
        async with LocalRelay(models=models) as relay, open_app(settings, llm=llm, model_server=relay) as app:
            return await work(app)

    try:
        return asyncio.run(session())
    except AppError as error:
        fail(error.message, code=_CODES.get(error.code, Exit.USAGE))
    except (KeyboardInterrupt, click.Abort):
        fail(interrupted, code=Exit.NEEDS_PERSON)
    except Exception:  # the last edge: one kind sentence, and the rest in the log
        error_id = uuid.uuid4().hex[:12]
        log.exception("cli.failed", error_id=error_id)
        fail(f"Something went wrong on our side (error {error_id}). Your project is kept; try `bottega resume`.")


async def account(app: App, user: str | None) -> int:
    """Return the account of `user`, or of whoever sits here, whose account is opened the first time."""
    return await (app.local_user(local_username()) if user is None else app.account_of(user))


def local_username() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "local"


def parse_project_id(text: str) -> uuid.UUID:
    """Return the id, or end the command: an id is what `bottega projects` shows."""
    try:
        return uuid.UUID(text.strip())
    except ValueError:
        fail(f"{text[:80]!r} is not a project id. `bottega projects` lists yours.")
