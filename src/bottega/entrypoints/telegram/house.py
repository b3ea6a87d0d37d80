"""What the bot's conversation works with, and the rules of this installation."""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from bottega.access.codes import Codes
from bottega.billing.payments.service import PaymentService
from bottega.billing.payments.telegram_stars import STARS
from bottega.core.clock import Clock
from bottega.db.transaction import Database
from bottega.delivery.storage import StorageService
from bottega.entrypoints.telegram.desk import Desk
from bottega.entrypoints.telegram.words.values import Offers
from bottega.orchestration.commands.forgetting import Forgetting
from bottega.orchestration.orchestrator import ModelOrchestrator

CHANNEL = "telegram"  # how the engine calls what is said here


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Whom the bot lets in: everybody, or those of `allowed`, and the operators in any case.

    `initial_credits` are given to who comes first, as long as `free_credits_a_day` of the installation last (None:
    always). `contact` is where the operator can be reached, `public_url` where people sign in.
    """

    initial_credits: Decimal
    currency: str
    public_url: str
    allowed: frozenset[int] = frozenset()
    operators: frozenset[int] = frozenset()
    free_credits_a_day: Decimal | None = None
    contact: str | None = None
    signup_key: Callable[[int], str] | None = None  # names who got free credits, for good
    models: tuple[str, ...] = ()  # the ladder of Implementers

    def lets_in(self, person_id: int) -> bool:
        return not self.allowed or person_id in self.allowed or person_id in self.operators


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """`bot_name` is the bot's username. Without `codes` nobody signs in anywhere, and nobody is given one."""

    bot_name: str
    database: Database
    orchestrator: ModelOrchestrator
    payments: PaymentService
    forgetting: Forgetting
    storage: StorageService
    desk: Desk
    clock: Clock
    rules: Rules = field(repr=False)
    codes: Codes | None

    def offers(self) -> Offers | None:
        """Return what can be bought here; None where nothing can."""
        gateways = self.payments.gateways()
        if not gateways:
            return None
        return Offers(
            packages=self.payments.packages(),
            currency=self.rules.currency,
            by_stars=STARS in gateways,
            by_card=bool(gateways - {STARS}),
        )
