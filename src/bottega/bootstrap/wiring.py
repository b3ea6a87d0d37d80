"""Settings in, a running App out: every concrete class is chosen in this folder and nowhere else."""

import asyncio
import functools
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from bottega.agents.prompting import Prompts
from bottega.agents.refiner import ModelServer, Refiner
from bottega.billing import ledger
from bottega.billing.metering import Metering, Shorten
from bottega.billing.payments.service import PaymentService
from bottega.billing.prices import PriceBook, seed_prices
from bottega.billing.quote import Quote, SizedTask, quote
from bottega.billing.reconcile import Bills, NoBills, Reconciler
from bottega.billing.relay import RelayTokens
from bottega.billing.types import Terms
from bottega.bootstrap.app import PACE, App, Chore, Listeners, Pace, Repositories
from bottega.bootstrap.home import database_url, make_home, open_storage, open_vault
from bottega.bootstrap.meanwhile import meanwhile
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
from bottega.orchestration.advance import Advancer
from bottega.orchestration.bellringer import Bellringer
from bottega.orchestration.doorbell import Bells, Doorbell
from bottega.orchestration.gate import ProjectGate
from bottega.orchestration.orchestrator import ModelOrchestrator
from bottega.orchestration.runner import InProcessRunner, runner_name
from bottega.orchestration.steps.types import Workbench
from bottega.sandbox.judge import CheckRunner
from bottega.sandbox.probe import choose_sandbox
from bottega.sandbox.types import Sandbox


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
        # Both have work of their own to wait for; the database can be opened meanwhile.
        if llm is None:
            await stack.enter_async_context(meanwhile(asyncio.to_thread(load_certificates)))
        probed = await stack.enter_async_context(meanwhile(_rung(settings, given=sandbox)))
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
            doorbell=_broker_bell(settings, stack=stack),
            clock=clock,
            pace=pace,
        )
        stack.push_async_callback(app.payments.close)
        yield app


async def _gateway(
    settings: Settings, database: Database, *, stack: AsyncExitStack, pace: Pace
) -> tuple[Gateway, Bills]:
    opened = open_gateway(settings, database=database, patience=pace.patience)
    client = await stack.enter_async_context(opened)
    return client, client


def _broker_bell(settings: Settings, *, stack: AsyncExitStack) -> Doorbell | None:
    if settings.redis.url is None:
        return None
    from bottega.bootstrap.broker import CeleryDoorbell, open_broker  # noqa: PLC0415  # Celery is for those who use it

    bell = CeleryDoorbell(open_broker(settings.redis.url))
    stack.push_async_callback(asyncio.to_thread, bell.close)
    return bell


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
) -> App:
    models = (settings.models.architect, *settings.models.implementers)
    async with database.transaction() as session:
        await seed_prices(session, models=models, at=clock.now())
        await ledger.sweep(session)  # what a process that never came back had reserved
    terms = Terms(markup=settings.billing.markup_factor, credit_value_usd=settings.billing.platform_credit_value_usd)
    prices = PriceBook()
    listeners, bells = Listeners(), Bells()
    prompts = Prompts()
    bench = _workbench(
        settings,
        database=database,
        prompts=prompts,
        checks=CheckRunner(sandbox=sandbox, limits=pace.limits, slots=settings.sandbox.sandbox_slots),
        quote=_Quotes(database=database, prices=prices, models=models, terms=terms),
        refiner=refiner,
        clock=clock,
    )
    metering = _metering(
        settings, database=database, llm=llm, terms=terms, prices=prices, clock=clock, shorten=prompts.shortened
    )
    advancer = Advancer(
        bench=bench,
        metering=metering,
        clock=clock,
        owner=runner_name(),
        minimum_credits=settings.billing.minimum_credits_to_start,
        announce=listeners.announce,
        doorbell=bells,
        runs_at_once_per_person=settings.runner.runs_at_once_per_person,
        heartbeat_seconds=pace.heartbeat_seconds,
    )
    runner = InProcessRunner(
        database=database,
        advancer=advancer,
        clock=clock,
        announce=listeners.announce,
        at_once_per_person=settings.runner.runs_at_once_per_person,
    )
    bells.add(runner)
    if doorbell is not None:
        bells.add(doorbell)
    bellringer = Bellringer(
        database=database, doorbell=bells, at_once_per_person=settings.runner.runs_at_once_per_person
    )
    reconciler = Reconciler(database=database, bills=bills)
    payments = payment_service(settings, database=database, clock=clock)
    relay_tokens = RelayTokens(database=database)
    return App(
        settings=settings,
        database=database,
        orchestrator=_orchestrator(settings, bench, doorbell=bells),
        advancer=advancer,
        runner=runner,
        bells=bells,
        reconciler=reconciler,
        storage=bench.storage,
        payments=payments,
        events=listeners,
        metering=metering,
        models=tuple(dict.fromkeys(models)),
        relay_tokens=relay_tokens,
        gate=ProjectGate(database=database),
        vault=open_vault(settings),
        going_on=_going_on(settings, runner=runner, bellringer=bellringer),
        bellringer=bellringer,
        chores=_chores(reconciler=reconciler, payments=payments, relay_tokens=relay_tokens),
    )


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
        repository=Repositories(folder=settings.platform.bottega_home / "repositories"),
        storage=open_storage(settings, clock=clock),
        quote=quote,
        credit_value_usd=quote.terms.credit_value_usd,
        refiner=refiner,
    )


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


def _going_on(settings: Settings, *, runner: InProcessRunner, bellringer: Bellringer) -> Chore:
    """Return how a server sees to it that runs go on: workers are told where there are any, else it drives them."""
    if settings.redis.url is not None:
        return Chore(name="bells", every_seconds=5, work=bellringer.ring_due)
    patrol = functools.partial(runner.patrol, at_once=settings.runner.runs_at_once)
    return Chore(name="due runs", every_seconds=5, work=patrol)  # ends only when it fails


def _chores(*, reconciler: Reconciler, payments: PaymentService, relay_tokens: RelayTokens) -> tuple[Chore, ...]:
    """Return what is done again and again by whoever is there all day."""
    return (
        Chore(name="lost calls", every_seconds=60, work=reconciler.run),
        Chore(name="lost webhooks", every_seconds=3600, work=payments.reconcile),
        Chore(name="expired relay tokens", every_seconds=3600, work=relay_tokens.forget_expired),
    )


def _orchestrator(settings: Settings, bench: Workbench, *, doorbell: Doorbell) -> ModelOrchestrator:
    return ModelOrchestrator(
        database=bench.database,
        rungs=len(bench.implementer_models),
        repository=bench.repository,
        credit_value_usd=bench.credit_value_usd,
        minimum_credits=settings.billing.minimum_credits_to_start,
        doorbell=doorbell,
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
