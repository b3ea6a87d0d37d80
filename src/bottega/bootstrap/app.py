"""What a process works with, and how fast it may go."""

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from sqlalchemy import text

from bottega.agents.architect import PLAN_OUTPUT_TOKENS
from bottega.billing import ledger
from bottega.billing.accounts import open_account
from bottega.billing.metering import Metering
from bottega.billing.payments.service import PaymentService
from bottega.billing.prices import active_price
from bottega.billing.pricing import charge_credits, cost_usd
from bottega.billing.reconcile import Reconciler
from bottega.billing.relay import RelayTokens
from bottega.billing.types import Terms
from bottega.config import Settings
from bottega.db.transaction import Database
from bottega.delivery.links import Links
from bottega.delivery.storage import StorageService
from bottega.keys.encryption import Vault
from bottega.llm.client import Patience
from bottega.llm.types import ModelName, Usage
from bottega.orchestration.commands.deleting import Deletion
from bottega.orchestration.doorbell import Bells
from bottega.orchestration.events import Announce, Event
from bottega.orchestration.gate import ProjectGate
from bottega.orchestration.orchestrator import ModelOrchestrator
from bottega.orchestration.running.advance import Advancer
from bottega.orchestration.running.bellringer import Bellringer
from bottega.orchestration.running.heartbeat import HEARTBEAT_SECONDS
from bottega.orchestration.running.runner import InProcessRunner
from bottega.orchestration.views.browsing import Browser
from bottega.orchestration.views.live import LiveEvents
from bottega.projects.repository import ProjectRepository
from bottega.sandbox.types import LIMITS, Limits
from bottega.users.service import NobodyCalled, find_named


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
    browser: Browser
    deletion: Deletion
    advancer: Advancer
    runner: InProcessRunner
    bells: Bells
    reconciler: Reconciler
    storage: StorageService
    links: Links
    signup_key: Callable[[int], str]  # names, for good, who was given free credits
    repositories: "Repositories"
    payments: PaymentService
    events: Listeners
    live: LiveEvents
    metering: Metering
    models: tuple[ModelName, ...]
    relay_tokens: RelayTokens
    gate: ProjectGate
    bellringer: Bellringer
    going_on: Chore
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

    async def account_of(self, username: str) -> int:
        """Return the account of this name, which is not opened for being asked about. Raise NobodyCalled."""
        async with self.database.transaction() as session:
            found = await find_named(session, username=username.strip())
        if found is None:
            raise NobodyCalled(username)
        return found

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
        return ProjectRepository(self.path(project_id))

    def path(self, project_id: uuid.UUID) -> Path:
        return self.folder / f"{project_id}.git"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long things may take; only tests are in a hurry."""

    limits: Limits = LIMITS  # of a command in the sandbox
    heartbeat_seconds: float = HEARTBEAT_SECONDS
    patience: Patience = field(default_factory=Patience)  # with a model that says nothing


PACE = Pace()
