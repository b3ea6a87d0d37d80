"""`bottega demo`: the whole of Bottega with replies written in advance; everything else is real."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import click

from bottega.billing import ledger
from bottega.billing.types import Cause, TransactionType
from bottega.bootstrap import App
from bottega.config import ModelSettings, Settings
from bottega.entrypoints.cli import delivery, words
from bottega.entrypoints.cli.build import Build, Options, go_on
from bottega.entrypoints.cli.running import local_username, parse_project_id, run_app
from bottega.llm.scripted import ScriptedProvider

PURSE = Decimal(250)
SCRIPT = Path(__file__).with_name("demo_script")


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("out"), help="Folder for the archive [out].")
@click.option("--resume", "project", help="Go on with a demo that was stopped or killed, by its project's id.")
def demo(out: Path, project: str | None) -> None:
    """Build a project from a brief of 150 words with scripted models: no key, no account, no server.

    Kill it anywhere and go on with --resume: nothing is lost and nothing is charged twice.
    """
    resumed = parse_project_id(project) if project else None
    settings = scripted(Settings.load())
    delivery.require_writable(out)
    options = Options(out=out, takes_recommended=True, answers=None, as_json=False)
    click.echo(f"{words.SCRIPTED}\n")

    async def work(app: App) -> int:
        if resumed:
            return await go_on(app, resumed, options, username=account())
        return await begin(app, options)

    code = run_app(work, settings=settings, llm=ScriptedProvider(script=SCRIPT), interrupted=words.DEMO_INTERRUPTED)
    click.echo(words.AFTER_DEMO)
    raise SystemExit(code)


async def begin(app: App, options: Options) -> int:
    """Show the brief and build from it, on an account of the demo's own that is given what a demo costs."""
    brief = (SCRIPT / "brief.md").read_text(encoding="utf-8")
    click.echo(f"The brief:\n\n{brief}")
    user_id = await app.local_user(account())
    project_id = await app.orchestrator.start_project(user_id=user_id, channel="cli", brief=brief)
    async with app.database.transaction() as session:
        await ledger.grant(
            session,
            user_id=user_id,
            credits=PURSE,
            cause=Cause(
                type=TransactionType.ADJUSTMENT,
                idempotency_key=f"grant:demo:{project_id}",
                description="What a demo may cost",
            ),
        )
    return await Build(app=app, user_id=user_id, project_id=project_id, options=options).run()


def account() -> str:
    return f"demo-{local_username()}"


def scripted(settings: Settings) -> Settings:
    """Return the settings with scripted models in every role."""
    models = ModelSettings(
        architect_model="scripted/architect", implementer_models=("scripted/apprentice", "scripted/journeyman")
    )
    return replace(settings, models=models)
