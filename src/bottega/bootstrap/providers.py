"""Ways to language models: the gateway with its keys, what providers list, and Aider."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bottega.agents.prompting import Prompts
from bottega.agents.refiner import AiderRefiner, ModelServer, Refiner
from bottega.billing.price_sync import PriceSync
from bottega.bootstrap.home import open_vault
from bottega.bootstrap.meanwhile import meanwhile
from bottega.config import Settings
from bottega.core.clock import SystemClock
from bottega.core.errors import AppError
from bottega.db.transaction import Database
from bottega.keys.manager import APIKeyManager
from bottega.keys.shelf import KeyShelf
from bottega.llm.client import LLMClient, Patience
from bottega.llm.gemini import Gemini
from bottega.llm.openrouter import OpenAIChat
from bottega.llm.wire import WireLimits
from bottega.sandbox.fence import can_fence

_BESIDE_RUNS = (
    136  # connections for the calls of tools and quick questions; with the runs of the settings' default, 200
)


class RefinerUnavailable(AppError):
    code = "refiner_unavailable"

    def __init__(self, *, command: str, why: str) -> None:
        super().__init__(
            f"REFINER=aider, but {why} (AIDER_COMMAND={command}). Install it (`uv tool install aider-chat`), set"
            " AIDER_COMMAND to it, or set REFINER=auto to do without."
        )


@asynccontextmanager
async def open_gateway(
    settings: Settings, *, database: Database | None = None, patience: Patience | None = None
) -> AsyncIterator[LLMClient]:
    """Yield the unmetered way to the configured providers; without a database, with the environment's keys alone."""
    clock = SystemClock()
    models = settings.models
    vault = open_vault(settings)
    keys = APIKeyManager(
        pools={"google": models.google_keys, "openrouter": models.openrouter_keys},
        clock=clock,
        fingerprint_key=vault.pepper,
        shelf=None if database is None else KeyShelf(database=database, vault=vault),
    )
    dialects = [Gemini(base_url=models.gemini_base_url), OpenAIChat(base_url=models.openrouter_base_url)]
    limits = WireLimits(connections=_BESIDE_RUNS + settings.runner.runs_at_once)  # each run has one call at a time
    client = LLMClient(dialects=dialects, keys=keys, clock=clock, patience=patience, limits=limits)
    try:
        async with meanwhile(client.warm_up()):
            yield client
    finally:
        await client.close()


@asynccontextmanager
async def open_price_sync(settings: Settings, *, database: Database) -> AsyncIterator[PriceSync]:
    async with open_gateway(settings, database=database) as client:
        yield PriceSync(database=database, catalogues=client, clock=SystemClock(), providers=("openrouter",))


def choose_refiner(settings: Settings, *, server: ModelServer | None) -> Refiner | None:
    """Return who refines: Aider where it is installed and can be fenced, otherwise nobody but the Implementer.

    Raises:
        RefinerUnavailable: Aider is asked for and cannot be had.
    """
    wish = settings.refinement
    found = None if wish.refiner == "implementer" else shutil.which(wish.aider_command)
    why = "the command is not found" if found is None else "nothing lends it a model" if server is None else ""
    why = why or ("" if can_fence() else "this kernel has no Landlock to keep it in its folder")
    if wish.refiner == "aider" and why:
        raise RefinerUnavailable(command=wish.aider_command, why=why)
    if found is None or server is None or why:
        return None
    return AiderRefiner(
        command=Path(found),
        server=server,
        prompts=Prompts(),
        folder=settings.platform.bottega_home / "refinements",
        timeout_seconds=wish.aider_timeout_seconds,
    )
