"""The command line. Commands are loaded when they run, so that `bottega --help` answers at once."""

import gc
import importlib
from types import ModuleType
from typing import Any

import click

from bottega import __version__
from bottega.core.errors import AppError

_USAGE = 2  # running.Exit.USAGE, without its imports

_COMMANDS = {
    "build": ("bottega.entrypoints.cli.build:build", "Build a project from a brief."),
    "resume": ("bottega.entrypoints.cli.build:resume", "Go on with a project that stopped or was cut off."),
    "watch": ("bottega.entrypoints.cli.watch:watch", "Watch a project that another process works on."),
    "demo": ("bottega.entrypoints.cli.demo:demo", "Build a project with scripted models: no key, no account."),
    "projects": ("bottega.entrypoints.cli.projects:projects", "List your projects."),
    "status": ("bottega.entrypoints.cli.projects:status", "Show where a project stands."),
    "download": ("bottega.entrypoints.cli.projects:download", "Write a project's archive, finished or not."),
    "say": ("bottega.entrypoints.cli.projects:say", "Answer, approve, or say what to change."),
    "refine": ("bottega.entrypoints.cli.build:refine", "Ask for a change in a file of a delivered project."),
    "pause": ("bottega.entrypoints.cli.projects:pause", "Pause a project."),
    "cancel": ("bottega.entrypoints.cli.projects:cancel", "Stop a project for good."),
    "limit": ("bottega.entrypoints.cli.projects:limit", "Say what a project may cost."),
    "credits": ("bottega.entrypoints.cli.credits:credits", "See and add credits."),
    "payments": ("bottega.entrypoints.cli.payments:payments", "See, refund and reconcile payments."),
    "usage": ("bottega.entrypoints.cli.usage:usage", "See what model calls cost and earned."),
    "keys": ("bottega.entrypoints.cli.keys:keys", "Keep provider keys, the platform's or somebody's own."),
    "pricing": ("bottega.entrypoints.cli.pricing:pricing", "See and set what models cost."),
    "relay": ("bottega.entrypoints.cli.relay:relay", "Let tools of your own call models, on your credits."),
    "token": ("bottega.entrypoints.cli.token:token", "Make, list and revoke tokens for programs that call the API."),
    "people": ("bottega.entrypoints.cli.people:people", "Say who is an admin, and suspend accounts."),
    "runner": ("bottega.entrypoints.worker.command:runner", "Go on with every run that is due, in one process."),
    "worker": ("bottega.entrypoints.worker.command:worker", "Go on with runs beside other workers, over Redis."),
    "bot": ("bottega.entrypoints.telegram.command:bot", "Be a Telegram bot."),
    "serve": ("bottega.entrypoints.http.serve:serve", "Serve webhooks and the relay over HTTP."),
    "ledger": ("bottega.entrypoints.cli.ledger:ledger", "Audit the ledger; ask what lost calls cost."),
    "sandbox": ("bottega.entrypoints.cli.sandbox:sandbox", "Say how generated code is walled in here."),
    "db": ("bottega.entrypoints.cli.db:db", "Look after the database."),
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(_imported(module), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. What is wrong with how it was called, or with the settings, is told in its own sentence."""
        try:
            return super().invoke(ctx)
        except AppError as error:
            click.echo(error.message, err=True)
            ctx.exit(_USAGE)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _COMMANDS.items()])


def _imported(module: str) -> ModuleType:
    """Import without the garbage collector, a tenth of the time: code is no garbage, now or later."""
    gc.disable()
    try:
        return importlib.import_module(module)
    finally:
        gc.freeze()
        gc.enable()


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bottega")
def main() -> None:
    """Describe software; receive a project that works, with its receipt."""
