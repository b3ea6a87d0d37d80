"""`bottega relay`: tokens with which tools of one's own call models, on one's credits."""

import click

from bottega.billing.relay import IssuedToken
from bottega.bootstrap import App
from bottega.config import Settings
from bottega.entrypoints.cli.running import local_username, parse_project_id, run_app
from bottega.llm.types import ModelName

SECONDS_PER_HOUR = 3600


@click.group()
def relay() -> None:
    """Let tools of your own call models, paid from your credits."""


@relay.command()
@click.argument("project")
@click.option("--hours", type=click.IntRange(1, 24), default=8, show_default=True, help="How long the token lives.")
def token(project: str, hours: int) -> None:
    """Give a token that any OpenAI-compatible tool can use, on the account of PROJECT (its id)."""
    project_id = parse_project_id(project)
    settings = Settings.load()

    async def work(app: App) -> tuple[IssuedToken, tuple[ModelName, ...]]:
        user_id = await app.local_user(local_username())
        issued = await app.relay_tokens.issue(
            user_id=user_id, project_id=project_id, ttl_seconds=hours * SECONDS_PER_HOUR
        )
        return issued, app.models

    issued, models = run_app(work, settings=settings)
    click.echo(
        f"OPENAI_BASE_URL={settings.http.public_url}/v1\n"
        f"OPENAI_API_KEY={issued.token}\n"
        f"# valid until {issued.expires_at:%Y-%m-%d %H:%M %Z}; shown this once. `bottega serve` must be running.\n"
        f"# models: {', '.join(map(str, models))}"
    )


@relay.command()
@click.argument("project")
def revoke(project: str) -> None:
    """End every token of PROJECT (its id)."""
    project_id = parse_project_id(project)

    async def work(app: App) -> int:
        user_id = await app.local_user(local_username())
        return await app.relay_tokens.revoke_all(user_id=user_id, project_id=project_id)

    ended = run_app(work, settings=Settings.load())
    click.echo(f"{ended} token{'' if ended == 1 else 's'} ended.")
