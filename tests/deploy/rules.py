"""What must hold of every deployment file, whatever reads it. A rule yields one complaint for each breach.

They know the tools' forms only as far as our files use them; the tools' own schemas say the rest.
"""

import re
from collections.abc import Iterator, Mapping
from typing import get_type_hints

import click
from pydantic import SecretStr
from pydantic_settings import BaseSettings

from bottega.config import Settings
from bottega.entrypoints.cli.app import main

Names = Mapping[str, set[str]]  # secret -> what it sets

OURS = ("api", "bot", "worker", "sandbox", "migrate")  # which of the processes are Bottega
_TAGGED = re.compile(r"[a-z0-9][a-z0-9._/-]*:(?!latest$)[\w][\w.-]*")  # and no registry: the first part has no dot
_GROUPS: dict[str, type[BaseSettings]] = get_type_hints(Settings)
SETTINGS = {name.upper(): field for group in _GROUPS.values() for name, field in group.model_fields.items()}
SECRETS = {name for name, field in SETTINGS.items() if SecretStr.__name__ in repr(field.annotation)} | {
    "API_KEY_ENCRYPTION_KEY",
    "DATABASE_URL",
    "REDIS_URL",
    "STORAGE_ACCESS_KEY_ID",
}


def unknown_settings(where: str, names: set[str]) -> Iterator[str]:
    for name in sorted(names - SETTINGS.keys()):
        yield f"{where}: {name} is not a setting"


def not_a_command(where: str, words: list[str]) -> Iterator[str]:
    """Parse the words as Bottega would, without running them."""
    command: click.Command = main
    try:
        with click.Context(main, info_name="bottega") as context:
            while isinstance(command, click.Group):
                _, found, words = command.resolve_command(context, list(words))
                assert found is not None
                command = found
            command.make_context(command.name, list(words), parent=context)
    except click.UsageError as error:
        yield f"{where}: {error.format_message()}"


def untagged(where: str, image: str) -> Iterator[str]:
    image = re.sub(r"\$\{\w+:-(.*)\}", r"\1", image)
    if not _TAGGED.fullmatch(image) or "." in image.partition("/")[0] * ("/" in image):
        yield f"{where}: {image} has no fixed tag, or names a registry"


def signs_in_elsewhere(processes: Names) -> Iterator[str]:
    """See that who signs people in, and who gives them codes for it, has the secret of tokens; and nobody else."""
    for name in sorted(processes):
        if ("JWT_SECRET" in processes[name]) != (name in {"api", "bot"}):
            yield f"{name} holds JWT_SECRET" if "JWT_SECRET" in processes[name] else f"{name} cannot sign anybody in"


def too_much_for_the_sandbox(names: set[str]) -> Iterator[str]:
    allowed = {"POSTGRES_PASSWORD", "REDIS_URL", "API_KEY_ENCRYPTION_KEY"}  # this one is of its own and opens nothing
    for name in sorted((names & SECRETS) - allowed):
        yield f"the sandbox holds {name}"
