"""`bottega serve`: the HTTP server and the runs that are due, until it is told to stop.

Then what is under way over HTTP ends and is paid for; runs give their leases back and are gone on with later.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import click

from bottega.bootstrap import App, chores_of, open_access, open_app, serving_metrics
from bottega.config import Settings
from bottega.core.clock import Clock, SystemClock
from bottega.core.log import configure_logging
from bottega.entrypoints.daemon.chores import doing
from bottega.entrypoints.daemon.vigil import beating, last_edge, told_to_stop
from bottega.entrypoints.http.api.house import House
from bottega.entrypoints.http.api.streams import Streams
from bottega.entrypoints.http.application import Parts, create_app
from bottega.entrypoints.http.protection import unreadable_answer
from bottega.entrypoints.relay.calls import Calls
from bottega.entrypoints.relay.connections import connections, patience
from bottega.entrypoints.relay.desk import MeteredDesk
from bottega.entrypoints.relay.host import LocalRelay
from bottega.entrypoints.relay.router import Relay
from bottega.entrypoints.relay.server import listen, serving
from bottega.entrypoints.telegram.webhook import telegram_webhook

GRACE_SECONDS = 25  # a container is often given thirty


@click.command()
@click.option("--host", default=None, help="Address to listen on [default: HTTP_HOST].")
@click.option("--port", type=click.IntRange(0, 65535), default=None, help="Port to listen on [default: HTTP_PORT].")
def serve(host: str | None, port: int | None) -> None:
    """Serve webhooks and the metered relay, and go on with every run that is due, until SIGTERM or Ctrl-C."""
    settings = Settings.load()
    configure_logging(level=settings.platform.log_level, json=settings.platform.app_env == "production")
    at = listen(host=host or settings.http.http_host, port=settings.http.http_port if port is None else port)
    with last_edge("serve.failed"), contextlib.closing(at):
        asyncio.run(_serve(settings, at))


async def _serve(settings: Settings, at: socket.socket) -> None:
    models = (settings.models.architect, *settings.models.implementers)
    async with (
        LocalRelay(models=models) as lender,
        open_app(settings, model_server=lender) as app,
        serving_metrics(app),
        serving_app(app, at=at),
        beating(settings.runner.heartbeat_file),
    ):
        address, port = at.getsockname()[:2]
        click.echo(f"Serving on http://{f'[{address}]' if ':' in address else address}:{port}; Ctrl-C stops it.")
        await told_to_stop()
        click.echo("Stopping: what is under way may end.")


def house_of(app: App, *, streams: Streams) -> House:
    """Return what the routes of the API work with."""
    return House(
        database=app.database,
        orchestrator=app.orchestrator,
        browser=app.browser,
        deletion=app.deletion,
        live=app.live,
        payments=app.payments,
        links=app.links,
        vault=app.vault,
        currency=app.settings.payments.payment_currency,
        streams=streams,
    )


@contextlib.asynccontextmanager
async def serving_app(
    app: App, *, at: socket.socket, clock: Clock | None = None, grace_seconds: int = GRACE_SECONDS
) -> AsyncIterator[None]:
    """Serve an App and do its chores while the block runs; then let calls under way end, for a while."""
    clock = clock or SystemClock()
    calls = Calls()
    desk = MeteredDesk(tokens=app.relay_tokens, gate=app.gate, metering=app.metering)
    relay = Relay(desk=desk, models=app.models, calls=calls, clock=clock)
    development = app.payments if app.payments.is_development else None
    streams = Streams(clock=clock)
    async with (
        telegram_webhook(app) as telegram,
        open_access(app, clock=clock) as access,
        doing((app.going_on, *chores_of(app, clock=clock)), clock=clock),
    ):
        parts = Parts(
            ping=app.ping,
            relay=relay,
            webhooks=app.payments,
            development_payments=development,
            telegram=telegram,
            house=house_of(app, streams=streams),
            access=access,
            cors_origins=app.settings.access.cors_origins,
            trusted_proxies=app.settings.access.trusted_proxies,
        )
        stopping_at = clock.monotonic()
        try:
            async with serving(
                create_app(parts),
                at=at,
                grace_seconds=grace_seconds,
                connection=connections(patience(), unreadable=unreadable_answer),
            ):
                try:
                    yield
                finally:
                    stopping_at = clock.monotonic()
                    streams.closing.set()
        finally:
            await calls.drain(within_seconds=max(0.0, stopping_at + grace_seconds - clock.monotonic()))
