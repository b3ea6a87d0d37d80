"""`bottega demo`: the whole of Bottega with replies written in advance; everything else is real."""

import uuid
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import click

from bottega.bootstrap import App
from bottega.config import ModelSettings, Settings
from bottega.entrypoints.cli import delivery, words
from bottega.entrypoints.cli.build import Build, Options
from bottega.entrypoints.cli.running import run_app
from bottega.llm.scripted import ScriptedProvider

PURSE = Decimal(500)
SCRIPT = Path(__file__).with_name("demo_script")


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("out"), help="Folder for the archive [out].")
def demo(out: Path) -> None:
    """Build a project from a brief of 150 words with scripted models: no key, no account, no server."""
    settings = scripted(Settings.load())
    delivery.require_writable(out)
    brief = (SCRIPT / "brief.md").read_text(encoding="utf-8")
    click.echo(f"{words.SCRIPTED}\n\nThe brief:\n\n{brief}")
    options = Options(out=out, takes_recommended=True, answers=None, as_json=False)

    async def work(app: App) -> int:
        user_id = await app.local_user(f"demo-{uuid.uuid4()}")  # every demo starts with the initial credits
        project_id = await app.orchestrator.start_project(user_id=user_id, channel="cli", brief=brief)
        return await Build(app=app, user_id=user_id, project_id=project_id, options=options).run()

    code = run_app(work, settings=settings, llm=ScriptedProvider(script=SCRIPT))
    click.echo(words.AFTER_DEMO)
    raise SystemExit(code)


def scripted(settings: Settings) -> Settings:
    """Return the settings with scripted models in every role, and a purse that lasts."""
    models = ModelSettings(
        architect_model="scripted/architect", implementer_models=("scripted/apprentice", "scripted/journeyman")
    )
    billing = settings.billing.model_copy(update={"initial_credits": PURSE})
    return replace(settings, models=models, billing=billing)
