"""The composition root: Settings in, a running App out. Every concrete class is chosen here and nowhere else."""

import asyncio
import os
import secrets
import shutil
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from sqlalchemy import text

from bottega.agents.architect import PLAN_OUTPUT_TOKENS
from bottega.agents.prompting import Prompts
from bottega.agents.refiner import AiderRefiner, ModelServer, Refiner
from bottega.billing import ledger
from bottega.billing.accounts import open_account
from bottega.billing.metering import Metering
from bottega.billing.payments.development import DevelopmentGateway
from bottega.billing.payments.gateway import PaymentGateway
from bottega.billing.payments.service import PaymentService
from bottega.billing.payments.telegram_stars import TelegramStars
from bottega.billing.price_sync import PriceSync
from bottega.billing.prices import PriceBook, active_price, seed_prices
from bottega.billing.pricing import charge_credits, cost_usd
from bottega.billing.quote import Quote, SizedTask, quote
from bottega.billing.reconcile import Bills, NoBills, Reconciler
from bottega.billing.relay import RelayTokens
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
from bottega.llm.types import Gateway, ModelName, Usage
from bottega.llm.wire import load_certificates
from bottega.orchestration import funding
from bottega.orchestration.advance import Advancer
from bottega.orchestration.events import Announce, Event
from bottega.orchestration.gate import ProjectGate
from bottega.orchestration.heartbeat import HEARTBEAT_SECONDS
from bottega.orchestration.orchestrator import ModelOrchestrator
from bottega.orchestration.runner import InProcessRunner, runner_name
from bottega.orchestration.steps.types import Workbench
from bottega.projects.repository import ProjectRepository
from bottega.sandbox.fence import can_fence
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


class RefinerUnavailable(AppError):
    code = "refiner_unavailable"

    def __init__(self, *, command: str, why: str) -> None:
        super().__init__(
            f"REFINER=aider, but {why} (AIDER_COMMAND={command}). Install it (`uv tool install aider-chat`), set"
            " AIDER_COMMAND to it, or set REFINER=auto to do without."
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
class Chore:
    """Something that a server does again and again, whatever became of it the last time."""

    name: str
    every_seconds: float
    work: Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """`models` are those of this installation; `model_server` lends one of them to a tool, where a process can."""

    settings: Settings
    database: Database
    orchestrator: ModelOrchestrator
    runner: InProcessRunner
    reconciler: Reconciler
    storage: StorageService
    payments: PaymentService
    events: Listeners
    metering: Metering
    models: tuple[ModelName, ...]
    relay_tokens: RelayTokens
    gate: ProjectGate
    chores: tuple[Chore, ...]
    vault: Vault

    async def ping(self) -> None:
        """Ask the database for a sign of life; raise whatever keeps it from answering."""
        async with self.database.transaction() as session:
            await session.execute(text("SELECT 1"))

    async def local_user(self, username: str) -> int:
        """Return the account of whoever sits at this machine's terminal, opened with its initial credits."""
        async with self.database.transaction() as session:
            initial = self.settings.billing.initial_credits
            return (await open_account(session, initial_credits=initial, username=username)).id

    async def credits_for_a_plan(self) -> Decimal:
        """Return what planning sets aside for the longest reply it may get; most of it is given back.

        Raises:
            UnpricedModel
        """
        model = ModelName.parse(self.settings.models.architect_model)
        async with self.database.transaction() as session:
            price = await active_price(session, model=model)
        longest = cost_usd(price, Usage(output_tokens=PLAN_OUTPUT_TOKENS))
        billing = self.settings.billing
        terms = Terms(markup=billing.markup_factor, credit_value_usd=billing.platform_credit_value_usd)
        return charge_credits(longest, terms=terms)

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
    model_server: ModelServer | None = None,
    pace: Pace = PACE,
) -> AsyncIterator[App]:
    """Open everything a process needs and close it again.

    `llm` replaces the gateway (the demo's script, tests), `sandbox` the strongest rung (benchmarks). `model_server` is
    where programs of their own reach a step's model, and outlives the App; without one there is no refiner.
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
        gateway, bills = (llm, NoBills()) if llm else await _gateway(settings, database, stack=stack, pace=pace)
        app = await _assemble(
            settings,
            database=database,
            llm=gateway,
            bills=bills,
            sandbox=await probed,
            refiner=choose_refiner(settings, server=model_server),
            clock=clock,
            pace=pace,
        )
        stack.push_async_callback(app.payments.close)
        yield app


@asynccontextmanager
async def _meanwhile(work: Coroutine[None, None, T]) -> AsyncIterator["asyncio.Task[T]"]:
    """Lend a task that has ended, one way or the other, when the block does."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _gateway(
    settings: Settings, database: Database, *, stack: AsyncExitStack, pace: Pace
) -> tuple[Gateway, Bills]:
    opened = open_gateway(settings, database=database, patience=pace.patience)
    client = await stack.enter_async_context(opened)
    return client, client


async def _rung(settings: Settings, *, given: Sandbox | None) -> Sandbox:
    return given or await choose_sandbox(preference=settings.sandbox.sandbox)


async def _assemble(
    settings: Settings,
    *,
    database: Database,
    llm: Gateway,
    bills: Bills,
    sandbox: Sandbox,
    refiner: Refiner | None,
    clock: Clock,
    pace: Pace,
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
    prompts = Prompts()
    bench = Workbench(
        database=database,
        prompts=prompts,
        architect_model=models[0],
        implementer_models=models[1:],
        checks=CheckRunner(sandbox=sandbox, limits=pace.limits),
        index=CodebaseIndexingService(database=database),
        repository=repositories,
        storage=storage,
        quote=_Quotes(database=database, prices=prices, models=models, terms=terms),
        credit_value_usd=terms.credit_value_usd,
        refiner=refiner,
    )
    retry = RetryPolicy()
    metering = Metering(
        database=database,
        llm=llm,
        retry=lambda error, *, attempt: retry.next_delay(error, attempt=attempt, random=secrets.SystemRandom().random),
        terms=terms,
        clock=clock,
        prices=prices,
        shorten=prompts.shortened,
        own_keys=key_store.has_own,
        own_key_fee=settings.billing.own_key_fee,
    )
    advancer = Advancer(
        bench=bench,
        metering=metering,
        clock=clock,
        owner=runner_name(),
        minimum_credits=settings.billing.minimum_credits_to_start,
        announce=listeners.announce,
        heartbeat_seconds=pace.heartbeat_seconds,
    )
    runner = InProcessRunner(database=database, advancer=advancer, clock=clock, announce=listeners.announce)
    reconciler = Reconciler(database=database, bills=bills)
    payments = _payments(settings, database=database, clock=clock)
    relay_tokens = RelayTokens(database=database)
    return App(
        settings=settings,
        database=database,
        orchestrator=_orchestrator(settings, bench),
        runner=runner,
        reconciler=reconciler,
        storage=storage,
        payments=payments,
        events=listeners,
        metering=metering,
        models=tuple(dict.fromkeys(models)),
        relay_tokens=relay_tokens,
        gate=ProjectGate(database=database),
        vault=_open_vault(settings),
        chores=(
            Chore(name="due runs", every_seconds=5, work=runner.patrol),  # ends only when it fails
            Chore(name="lost calls", every_seconds=60, work=reconciler.run),
            Chore(name="lost webhooks", every_seconds=3600, work=payments.reconcile),
            Chore(name="expired relay tokens", every_seconds=3600, work=relay_tokens.forget_expired),
        ),
    )


def _orchestrator(settings: Settings, bench: Workbench) -> ModelOrchestrator:
    return ModelOrchestrator(
        database=bench.database,
        rungs=len(bench.implementer_models),
        repository=bench.repository,
        credit_value_usd=bench.credit_value_usd,
        minimum_credits=settings.billing.minimum_credits_to_start,
    )


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
) -> AsyncIterator[LLMClient]:
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


@asynccontextmanager
async def open_price_sync(settings: Settings, *, database: Database) -> AsyncIterator[PriceSync]:
    async with open_gateway(settings, database=database) as client:
        yield PriceSync(database=database, catalogues=client, clock=SystemClock(), providers=("openrouter",))


def _payments(settings: Settings, *, database: Database, clock: Clock) -> PaymentService:
    return PaymentService(
        database=database,
        gateways=_payment_gateways(settings, clock=clock),
        packages=settings.payments.packages,
        clock=clock,
        on_top_up=funding.wake_for_credits,
    )


def _payment_gateways(settings: Settings, *, clock: Clock) -> list[PaymentGateway]:
    """Return Stripe, or what stands in for it while developing; and Telegram Stars where there is a bot."""
    payments, gateways = settings.payments, list[PaymentGateway]()
    production, public_url = settings.platform.app_env == "production", settings.http.public_url
    currency = payments.payment_currency
    if payments.stripe_secret_key is not None:
        from bottega.billing.payments.stripe_checkout import StripeCheckout  # noqa: PLC0415 -- half a second

        stripe = StripeCheckout(
            secret_key=payments.stripe_secret_key.get_secret_value(),
            webhook_secrets=[secret.get_secret_value() for secret in payments.stripe_webhook_secret],
            api_base=payments.stripe_api_base,
            public_url=public_url,
            currency=currency,
            clock=clock,
        )
        gateways.append(stripe)
    elif settings.platform.app_env == "development":
        gateways.append(DevelopmentGateway(public_url=public_url, currency=currency, production=production))
    if payments.telegram_bot_token is not None:
        token = payments.telegram_bot_token.get_secret_value()
        gateways.append(TelegramStars(bot_token=token, base_url=payments.telegram_api_base_url))
    return gateways


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
