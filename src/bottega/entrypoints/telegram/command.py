"""`bottega bot`: a bot that hears, answers and tells, until it is told to stop.

It asks Telegram for updates, or takes what a webhook brought into the inbox. Without Redis it drives runs, too. When it
is told to stop, what is being answered may end; all else waits in rows.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import click
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bottega.bootstrap import App, chores_of, open_app, serving_metrics
from bottega.config import Settings
from bottega.core.clock import Clock, SystemClock
from bottega.core.errors import AppError
from bottega.core.log import configure_logging
from bottega.entrypoints.daemon.chores import doing
from bottega.entrypoints.daemon.vigil import beating, last_edge, told_to_stop
from bottega.entrypoints.relay.host import LocalRelay
from bottega.entrypoints.relay.server import listen, serving
from bottega.entrypoints.telegram.opening import (
    NoBot,
    Wire,
    conversing,
    open_wire,
    register_webhook,
)
from bottega.entrypoints.telegram.webhook import webhook_of, webhook_routes

GRACE_SECONDS = 5


@click.command()
def bot() -> None:
    """Be a Telegram bot, and go on with every run that is due where no workers do, until SIGTERM or Ctrl-C."""
    settings = Settings.load()
    configure_logging(level=settings.platform.log_level, json=settings.platform.app_env == "production")
    if settings.telegram.telegram_bot_token is None:
        raise NoBot
    with last_edge("bot.failed"):
        asyncio.run(_be(settings))


async def _be(settings: Settings) -> None:
    told = asyncio.create_task(told_to_stop())
    models = (settings.models.architect, *settings.models.implementers)
    async with (
        beating(settings.runner.heartbeat_file),
        LocalRelay(models=models) as relay,
        open_app(settings, model_server=relay) as app,
        serving_metrics(app),
    ):
        living = asyncio.create_task(_live(app, clock=SystemClock()))
        await asyncio.wait({told, living}, return_when=asyncio.FIRST_COMPLETED)
        if not living.done():
            click.echo("Stopping: what is being answered may end.")
            living.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await living
        told.cancel()


async def _live(app: App, *, clock: Clock) -> None:
    """Talk until cancelled."""
    async with open_wire(app, clock=clock) as wire, talking(app, wire=wire, clock=clock):
        click.echo(f"Talking as @{wire.me.username}; Ctrl-C stops it.")
        await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def talking(app: App, *, wire: Wire, clock: Clock) -> AsyncIterator[None]:
    """Hear, answer, tell and drive runs while the block runs; then let what is being answered end."""
    async with (
        _listening(app, wire=wire),
        conversing(app, wire=wire, clock=clock) as chores,
        doing((app.going_on, *chores, *chores_of(app, clock=clock)), clock=clock),
    ):
        await register_webhook(app, wire=wire, clock=clock)
        yield


@contextlib.asynccontextmanager
async def _listening(app: App, *, wire: Wire) -> AsyncIterator[None]:
    """Serve the webhook from this process, where TELEGRAM_WEBHOOK_PORT is set."""
    port = app.settings.telegram.telegram_webhook_port
    if port is None:
        yield
        return
    served = FastAPI(openapi_url=None, redirect_slashes=False)
    served.add_exception_handler(AppError, _refuse)
    served.include_router(webhook_routes(webhook_of(app.settings.telegram, inbox=wire.inbox)))
    at = listen(host=app.settings.http.http_host, port=port)
    async with serving(served, at=at, grace_seconds=GRACE_SECONDS):
        yield


async def _refuse(_: Request, error: Exception) -> Response:
    if not isinstance(error, AppError):
        raise error
    return JSONResponse({"error": {"code": error.code, "message": error.message}}, status_code=error.http_status)
