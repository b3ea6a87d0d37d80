"""The composition root: Settings in, a running App out. Every concrete class is chosen here and nowhere else."""

import asyncio
import os
import secrets
import uuid
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from bottega.agents.prompting import Prompts
from bottega.billing import ledger
from bottega.billing.accounts import open_account
from bottega.billing.metering import Metering
from bottega.billing.prices import PriceBook, seed_prices
from bottega.billing.quote import Quote, SizedTask, quote
from bottega.billing.types import Terms
from bottega.config import Settings
from bottega.core.clock import Clock, SystemClock
from bottega.core.errors import AppError
from bottega.core.redaction import remember
from bottega.db.embedded import EmbeddedPostgres
from bottega.db.migrate import upgrade
from bottega.db.transaction import Database
from bottega.delivery.storage import StorageService
from bottega.indexing.service import CodebaseIndexingService
from bottega.keys import store as key_store
from bottega.keys.encryption import Keyring, Vault
from bottega.keys.manager import APIKeyManager
from bottega.keys.shelf import KeyShelf
from bottega.llm.client import LLMClient, Patience
from bottega.llm.gemini import Gemini
from bottega.llm.openrouter import OpenAIChat
from bottega.llm.retry import RetryPolicy
from bottega.llm.types import Gateway, ModelName
from bottega.llm.wire import load_certificates
from bottega.orchestration.advance import Advancer
from bottega.orchestration.events import Announce, Event
from bottega.orchestration.heartbeat import HEARTBEAT_SECONDS
from bottega.orchestration.orchestrator import ModelOrchestrator
from bottega.orchestration.runner import InProcessRunner, runner_name
from bottega.orchestration.steps.types import Workbench
from bottega.projects.repository import ProjectRepository
from bottega.sandbox.judge import CheckRunner
from bottega.sandbox.probe import choose_sandbox
from bottega.sandbox.types import LIMITS, Limits, Sandbox

T = TypeVar("T")


class HomeUnusable(AppError):
    code = "home_unusable"

    def __init__(self, *, home: Path, error: OSError) -> None:
        super().__init__(
            f"The folder {home} cannot be used ({error.strerror}). Make it writable, or set BOTTEGA_HOME to another."
        )


class Listeners:
    """Who hears of events in this process, in the order they came."""

    def __init__(self) -> None:
        self._listeners: list[Announce] = []

    def listen(self, listener: Announce) -> None:
        self._listeners.append(listener)

    def announce(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    settings: Settings
    database: Database
    orchestrator: ModelOrchestrator
    runner: InProcessRunner
    storage: StorageService
    events: Listeners
    vault: Vault

    async def local_user(self, username: str) -> int:
        """Return the account of whoever sits at this machine's terminal, opened with its initial credits."""
        async with self.database.transaction() as session:
            initial = self.settings.billing.initial_credits
            return (await open_account(session, initial_credits=initial, username=username)).id

    async def available_credits(self, user_id: int) -> Decimal:
        async with self.database.transaction() as session:
            return await ledger.available(session, user_id=user_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repositories:
    """Where the projects' git repositories are kept on this machine."""

    folder: Path

    def __call__(self, project_id: uuid.UUID) -> ProjectRepository:
        return ProjectRepository(self.folder / f"{project_id}.git")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long things may take; only tests are in a hurry."""

    limits: Limits = LIMITS  # of a command in the sandbox
    heartbeat_seconds: float = HEARTBEAT_SECONDS
    patience: Patience = field(default_factory=Patience)  # with a model that says nothing


PACE = Pace()


@asynccontextmanager
async def database_url(settings: Settings) -> AsyncIterator[str]:
    """Yield the URL of the configured server, or of the embedded one, which runs while anybody uses it."""
    url = settings.database.url
    if url is not None:
        yield url
        return

    _make_home(settings.platform.bottega_home)
    server = EmbeddedPostgres(home=settings.platform.bottega_home, clock=SystemClock())
    try:
        yield await server.start()
    finally:
        await server.stop()


@asynccontextmanager
async def open_app(
    settings: Settings,
    *,
    llm: Gateway | None = None,
    sandbox: Sandbox | None = None,
    pace: Pace = PACE,
) -> AsyncIterator[App]:
    """Open everything a process needs and close it again.

    `llm` replaces the gateway (the demo's script, tests), `sandbox` the strongest rung (benchmarks).
    """
    clock = SystemClock()
    _make_home(settings.platform.bottega_home)
    for secret in settings.secrets():
        remember(secret, lasting=True)
    async with AsyncExitStack() as stack:
        # Both have work of their own to wait for; the database can be opened meanwhile.
        if llm is None:
            await stack.enter_async_context(_meanwhile(asyncio.to_thread(load_certificates)))
        probed = await stack.enter_async_context(_meanwhile(_rung(settings, given=sandbox)))
        url = await stack.enter_async_context(database_url(settings))
        await upgrade(url=url)
        database = Database(url=url)
        stack.push_async_callback(database.close)
        opened = open_gateway(settings, database=database, patience=pace.patience)
        gateway = await stack.enter_async_context(opened) if llm is None else llm
        yield await _assemble(settings, database=database, llm=gateway, sandbox=await probed, clock=clock, pace=pace)


@asynccontextmanager
async def _meanwhile(work: Coroutine[None, None, T]) -> AsyncIterator["asyncio.Task[T]"]:
    """Lend a task that has ended, one way or the other, when the block does."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _rung(settings: Settings, *, given: Sandbox | None) -> Sandbox:
    return given or await choose_sandbox(preference=settings.sandbox.sandbox)


async def _assemble(
    settings: Settings, *, database: Database, llm: Gateway, sandbox: Sandbox, clock: Clock, pace: Pace
) -> App:
    models = (settings.models.architect, *settings.models.implementers)
    async with database.transaction() as session:
        await seed_prices(session, models=models, at=clock.now())
        await ledger.sweep(session)  # what a process that never came back had reserved
    terms = Terms(markup=settings.billing.markup_factor, credit_value_usd=settings.billing.platform_credit_value_usd)
    prices = PriceBook()
    listeners = Listeners()
    storage = _open_storage(settings, clock=clock)
    repositories = Repositories(folder=settings.platform.bottega_home / "repositories")
    bench = Workbench(
        database=database,
        prompts=Prompts(),
        architect_model=models[0],
        implementer_models=models[1:],
        checks=CheckRunner(sandbox=sandbox, limits=pace.limits),
        index=CodebaseIndexingService(database=database),
        repository=repositories,
        storage=storage,
        quote=_Quotes(database=database, prices=prices, models=models, terms=terms),
        credit_value_usd=terms.credit_value_usd,
    )
    retry = RetryPolicy()
    advancer = Advancer(
        bench=bench,
        metering=Metering(
            database=database,
            llm=llm,
            retry=lambda error, *, attempt: retry.next_delay(
                error, attempt=attempt, random=secrets.SystemRandom().random
            ),
            terms=terms,
            clock=clock,
            prices=prices,
            own_keys=key_store.has_own,
            own_key_fee=settings.billing.own_key_fee,
        ),
        clock=clock,
        owner=runner_name(),
        minimum_credits=settings.billing.minimum_credits_to_start,
        announce=listeners.announce,
        heartbeat_seconds=pace.heartbeat_seconds,
    )
    return App(
        settings=settings,
        database=database,
        orchestrator=ModelOrchestrator(
            database=database,
            rungs=len(bench.implementer_models),
            repository=repositories,
            credit_value_usd=terms.credit_value_usd,
        ),
        runner=InProcessRunner(database=database, advancer=advancer, clock=clock, announce=listeners.announce),
        storage=storage,
        events=listeners,
        vault=_open_vault(settings),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Quotes:
    database: Database
    prices: PriceBook
    models: tuple[ModelName, ...]  # the Architect's, then the ladder
    terms: Terms

    async def __call__(self, tasks: Sequence[SizedTask]) -> Quote:
        async with self.database.transaction() as session:
            architect, *ladder = [await self.prices.price(session, model=model) for model in self.models]
        return quote(tasks=tasks, architect=architect, implementers=ladder, terms=self.terms)


@asynccontextmanager
async def open_gateway(
    settings: Settings, *, database: Database | None = None, patience: Patience | None = None
) -> AsyncIterator[Gateway]:
    """Yield the unmetered way to the configured providers; without a database, with the environment's keys alone."""
    clock = SystemClock()
    models = settings.models
    vault = _open_vault(settings)
    keys = APIKeyManager(
        pools={"google": models.google_keys, "openrouter": models.openrouter_keys},
        clock=clock,
        fingerprint_key=vault.pepper,
        shelf=None if database is None else KeyShelf(database=database, vault=vault),
    )
    dialects = [Gemini(base_url=models.gemini_base_url), OpenAIChat(base_url=models.openrouter_base_url)]
    client = LLMClient(dialects=dialects, keys=keys, clock=clock, patience=patience)
    try:
        async with _meanwhile(client.warm_up()):
            yield client
    finally:
        await client.close()


def _open_vault(settings: Settings) -> Vault:
    """Return what kept keys are sealed with: as set, else (in development) with a file of this installation."""
    home = settings.platform.bottega_home
    keys = settings.platform.encryption_keys or (_secret(home / "encryption.key"),)
    return Vault(ring=Keyring(keys), pepper=_secret(home / "fingerprint.key"))


def _open_storage(settings: Settings, *, clock: Clock) -> StorageService:
    url = settings.delivery.storage_url
    if url is None:
        folder = settings.platform.bottega_home / "storage"
        folder.mkdir(exist_ok=True)
        url = folder.as_uri()
    return StorageService(url=url, signing_key=_secret(settings.platform.bottega_home / "signing.key"), clock=clock)


def _make_home(home: Path) -> None:
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = home / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise HomeUnusable(home=home, error=error) from error


def _secret(path: Path) -> bytes:
    """Return the secret in a file of ours, made on first use; two processes that start at once agree on one."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        pass
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.write_bytes(secrets.token_bytes(32))
    fresh.chmod(0o600)
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    return path.read_bytes()
