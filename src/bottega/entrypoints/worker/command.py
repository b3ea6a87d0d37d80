"""`bottega worker` and `bottega runner`: processes that drive runs and answer nobody."""

import asyncio

import click

from bottega.bootstrap import chores_of, due_runs, open_app, serving_metrics
from bottega.config import Settings
from bottega.core.clock import SystemClock
from bottega.core.log import configure_logging
from bottega.entrypoints.daemon.chores import doing
from bottega.entrypoints.daemon.vigil import beating, last_edge, told_to_stop
from bottega.entrypoints.relay.host import LocalRelay
from bottega.orchestration.doorbell import Lane

LANES = click.Choice([lane.value for lane in Lane])


@click.command()
@click.option("--queue", "lanes", type=LANES, multiple=True, help="What to work off [default: both].")
@click.option(
    "--concurrency", type=click.IntRange(1, 10_000), default=None, help="Runs at once [default: RUNS_AT_ONCE]."
)
def worker(lanes: tuple[str, ...], concurrency: int | None) -> None:
    """Drive runs that Redis tells of, beside other workers, until SIGTERM or Ctrl-C."""
    from bottega.entrypoints.worker.process import work  # noqa: PLC0415  # Celery is for those who use it

    settings = _settings()
    chosen = frozenset(map(Lane, lanes)) or frozenset(Lane)
    with last_edge("worker.failed"):
        asyncio.run(work(settings, lanes=chosen, runs_at_once=concurrency or settings.runner.runs_at_once))


@click.command()
def runner() -> None:
    """Drive every run that is due, in this process alone, until SIGTERM or Ctrl-C."""
    settings = _settings()
    with last_edge("runner.failed"):
        asyncio.run(_patrol(settings))


def _settings() -> Settings:
    settings = Settings.load()
    configure_logging(level=settings.platform.log_level, json=settings.platform.app_env == "production")
    return settings


async def _patrol(settings: Settings) -> None:
    models = (settings.models.architect, *settings.models.implementers)
    async with (
        LocalRelay(models=models) as relay,
        open_app(settings, model_server=relay) as app,
        beating(settings.runner.heartbeat_file),
        serving_metrics(app),
        doing((due_runs(settings, app.runner), *chores_of(app, clock=SystemClock())), clock=SystemClock()),
    ):
        click.echo("Driving whatever is due; Ctrl-C stops it.")
        await told_to_stop()
        click.echo("Stopping: the steps under way may end.")
