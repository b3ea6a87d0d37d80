"""`bottega watch`: what a project is doing, wherever it is being worked on. Watching changes nothing."""

import uuid

import click

from bottega.bootstrap import App
from bottega.config import Settings
from bottega.entrypoints.cli import delivery, endings, words
from bottega.entrypoints.cli.running import local_username, parse_project_id, run_app
from bottega.entrypoints.cli.screen import Screen
from bottega.entrypoints.cli.watching import Watching
from bottega.orchestration.state import RunState
from bottega.orchestration.views.standing import Status

LOOK_SECONDS = 2.0
IDLE_LOOKS = 3  # in a row with nobody at work: between two steps, or two workers, that is nothing to tell


@click.command()
@click.argument("project")
def watch(project: str) -> None:
    """Show what PROJECT (its id) has done and is doing, until it is delivered or needs you.

    Another process works on it; this one only looks, and may be ended at any time.
    """
    project_id = parse_project_id(project)
    settings = Settings.load()
    code = run_app(lambda app: look_on(app, project_id), settings=settings, interrupted=words.NO_LONGER_WATCHING)
    raise SystemExit(code)


async def look_on(app: App, project_id: uuid.UUID) -> int:
    """Show the project's events from the first one on; return the command's exit code."""
    user_id = await app.local_user(local_username())
    screen = Screen(to_stderr=False)
    watching = Watching(app=app, user_id=user_id, project_id=project_id, screen=screen, after=0)
    with screen:
        async with watching:
            status = await _until_it_rests(app, watching, screen, user_id=user_id, project_id=project_id)
    if status.state is RunState.DONE:
        receipt = await app.orchestrator.receipt(user_id=user_id, project_id=project_id)
        screen.console.print(delivery.receipt_table(receipt))
        screen.say(words.take_along(str(project_id)))
    else:
        screen.say(await endings.why_stopped(app, status, user_id=user_id, stopped=watching.stopped))
    return endings.exit_code(status)


async def _until_it_rests(
    app: App, watching: Watching, screen: Screen, *, user_id: int, project_id: uuid.UUID
) -> Status:
    idle_looks = 0
    while True:
        status = await app.orchestrator.status(user_id=user_id, project_id=project_id)
        await watching.reach(status.event_sequence)
        if status.state is not RunState.READY:
            return status
        idle_looks = 0 if status.is_driven else idle_looks + 1
        if idle_looks == IDLE_LOOKS:
            screen.say(words.nobody_works(str(project_id)))
        await watching.wait(seconds=LOOK_SECONDS)
