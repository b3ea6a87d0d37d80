"""Settings in, a running App out: every concrete class is chosen in this folder and nowhere else."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from bottega.agents.prompting import Prompts
from bottega.agents.refiner import ModelServer, Refiner
from bottega.billing import ledger
from bottega.billing.metering import Metering, Shorten
from bottega.billing.prices import PriceBook, seed_prices
from bottega.billing.quote import Quote, SizedTask, quote
from bottega.billing.reconcile import Bills, NoBills, Reconciler
from bottega.billing.relay import RelayTokens
from bottega.billing.types import Terms
from bottega.bootstrap.app import PACE, App, Listeners, Pace, Repositories
from bottega.bootstrap.driving import broker_bell, drive_runs
from bottega.bootstrap.home import database_url, make_home, open_links, open_storage, open_vault, signup_keys
from bottega.bootstrap.meanwhile import meanwhile
from bottega.bootstrap.observing import tracing
from bottega.bootstrap.payments import payment_service
from bottega.bootstrap.providers import choose_refiner, open_gateway
from bottega.config import Settings
from bottega.core.clock import Clock, SystemClock
from bottega.core.redaction import remember
from bottega.db.migrate import upgrade
from bottega.db.transaction import Database
from bottega.indexing.service import CodebaseIndexingService
from bottega.keys import store as key_store
from bottega.llm.retry import RetryPolicy
from bottega.llm.types import Gateway, ModelName
from bottega.llm.wire import load_certificates
from bottega.orchestration.commands.deleting import Deletion
from bottega.orchestration.doorbell import Doorbell
from bottega.orchestration.gate import ProjectGate
from bottega.orchestration.herald import Herald
from bottega.orchestration.orchestrator import ModelOrchestrator
from bottega.orchestration.steps.types import Workbench
from bottega.orchestration.views.browsing import Browser
from bottega.orchestration.views.live import LiveEvents
from bottega.sandbox.judge import CheckRunner
from bottega.sandbox.probe import choose_sandbox
from bottega.sandbox.types import Sandbox
from bottega.telemetry import metrics


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
    make_home(settings.platform.bottega_home)
    for secret in settings.secrets():
        remember(secret, lasting=True)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(tracing(settings.telemetry))
        # Both have work of their own to wait for; the database can be opened meanwhile.
        if llm is None:
            await stack.enter_async_context(meanwhile(asyncio.to_thread(load_certificates)))
        probed = await stack.enter_async_context(meanwhile(_rung(settings, given=sandbox)))
        url = await stack.enter_async_context(database_url(settings))
        await upgrade(url=url)
        database = Database(url=url)
        stack.push_async_callback(database.close)
        herald, live = Herald(database=database), LiveEvents(database=database, clock=clock)
        stack.push_async_callback(herald.close)
        stack.push_async_callback(live.close)
        database.hear(herald.hear)
        database.hear(live.hear)
        gateway, bills = (llm, NoBills()) if llm else await _gateway(settings, database, stack=stack, pace=pace)
        app = await _assemble(
            settings,
            database=database,
            llm=gateway,
            bills=bills,
            sandbox=await probed,
            refiner=choose_refiner(settings, server=model_server),
            doorbell=broker_bell(settings, stack=stack),
            clock=clock,
            pace=pace,
            herald=herald,
            live=live,
        )
        stack.push_async_callback(app.payments.close)
        yield app


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
    doorbell: Doorbell | None,
    clock: Clock,
    pace: Pace,
    herald: Herald,
    live: LiveEvents,
) -> App:
    models = (settings.models.architect, *settings.models.implementers)
    await _make_ready(database, models=models, clock=clock)
    listeners = Listeners()
    checks = CheckRunner(sandbox=sandbox, limits=pace.limits, slots=settings.sandbox.sandbox_slots)
    bench, metering = _tools(settings, database=database, llm=llm, checks=checks, refiner=refiner, clock=clock)
    driving = drive_runs(
        settings,
        bench=bench,
        metering=metering,
        clock=clock,
        announce=listeners.announce,
        herald=herald,
        doorbell=doorbell,
        pace=pace,
    )
    reconciler = Reconciler(database=database, bills=bills)
    payments = payment_service(settings, database=database, clock=clock)
    relay_tokens = RelayTokens(database=database)
    repositories = _repositories(settings)
    deletion = Deletion(database=database, storage=bench.storage, repository_at=repositories.path)
    return App(
        settings=settings,
        database=database,
        orchestrator=_orchestrator(settings, bench),
        browser=Browser(database=database, repository=bench.repository, index=bench.index),
        deletion=deletion,
        advancer=driving.advancer,
        runner=driving.runner,
        bells=driving.bells,
        bellringer=driving.bellringer,
        going_on=driving.going_on,
        reconciler=reconciler,
        storage=bench.storage,
        links=open_links(settings, storage=bench.storage, clock=clock),
        signup_key=signup_keys(settings),
        repositories=repositories,
        payments=payments,
        events=listeners,
        live=live,
        metering=metering,
        models=tuple(dict.fromkeys(models)),
        relay_tokens=relay_tokens,
        gate=ProjectGate(database=database),
        vault=open_vault(settings),
    )


def _tools(
    settings: Settings,
    *,
    database: Database,
    llm: Gateway,
    checks: CheckRunner,
    refiner: Refiner | None,
    clock: Clock,
) -> tuple[Workbench, Metering]:
    """Return what steps work with, and what their model calls go through. Both know the same prices."""
    models = (settings.models.architect, *settings.models.implementers)
    terms = Terms(markup=settings.billing.markup_factor, credit_value_usd=settings.billing.platform_credit_value_usd)
    prices, prompts = PriceBook(), Prompts()
    quotes = _Quotes(database=database, prices=prices, models=models, terms=terms)
    bench = _workbench(
        settings, database=database, prompts=prompts, checks=checks, quote=quotes, refiner=refiner, clock=clock
    )
    metering = _metering(
        settings, database=database, llm=llm, terms=terms, prices=prices, clock=clock, shorten=prompts.shortened
    )
    return bench, metering


async def _make_ready(database: Database, *, models: Sequence[ModelName], clock: Clock) -> None:
    async with database.transaction() as session:
        await seed_prices(session, models=models, at=clock.now())
        swept = await ledger.sweep(session)  # what a process that never came back had reserved
    metrics.orphaned(calls=swept)


def _workbench(
    settings: Settings,
    *,
    database: Database,
    prompts: Prompts,
    checks: CheckRunner,
    quote: "_Quotes",
    refiner: Refiner | None,
    clock: Clock,
) -> Workbench:
    return Workbench(
        database=database,
        prompts=prompts,
        architect_model=settings.models.architect,
        implementer_models=settings.models.implementers,
        checks=checks,
        index=CodebaseIndexingService(database=database),
        repository=_repositories(settings),
        storage=open_storage(settings, clock=clock),
        quote=quote,
        credit_value_usd=quote.terms.credit_value_usd,
        refiner=refiner,
    )


def _repositories(settings: Settings) -> Repositories:
    return Repositories(folder=settings.platform.bottega_home / "repositories")


def _metering(
    settings: Settings,
    *,
    database: Database,
    llm: Gateway,
    terms: Terms,
    prices: PriceBook,
    clock: Clock,
    shorten: Shorten,
) -> Metering:
    retry, random = RetryPolicy(), secrets.SystemRandom().random
    return Metering(
        database=database,
        llm=llm,
        retry=lambda error, *, attempt: retry.next_delay(error, attempt=attempt, random=random),
        terms=terms,
        clock=clock,
        prices=prices,
        shorten=shorten,
        own_keys=key_store.has_own,
        own_key_fee=settings.billing.own_key_fee,
    )


def _orchestrator(settings: Settings, bench: Workbench) -> ModelOrchestrator:
    return ModelOrchestrator(
        database=bench.database,
        rungs=len(bench.implementer_models),
        repository=bench.repository,
        credit_value_usd=bench.credit_value_usd,
        minimum_credits=settings.billing.minimum_credits_to_start,
        quote=bench.quote,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Quotes:
    database: Database
    prices: PriceBook
    models: tuple[ModelName, ...]  # the Architect's, then the ladder
    terms: Terms

    async def __call__(self, tasks: Sequence[SizedTask]) -> Quote:
        async with self.database.reading() as session:
            architect, *ladder = [await self.prices.price(session, model=model) for model in self.models]
        return quote(tasks=tasks, architect=architect, implementers=ladder, terms=self.terms)
