"""A person, a shop and the gateways it sells through: the scene of the tests of payments."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession
from tests.fakes.stripe import KEY, SECRET, FakeStripe, signed
from tests.fakes.telegram import TOKEN
from tests.fakes.telegram_stars import FakeTelegramStars

from bottega.billing import ledger
from bottega.billing.audit import audit
from bottega.billing.payments.development import DevelopmentGateway
from bottega.billing.payments.gateway import PaymentGateway
from bottega.billing.payments.packages import CreditPackage, parse_package
from bottega.billing.payments.service import PaymentService
from bottega.billing.payments.stripe_checkout import StripeCheckout
from bottega.billing.payments.tables import PaymentOrder, ProcessedWebhookEvent
from bottega.billing.payments.telegram_stars import TelegramStars
from bottega.billing.payments.types import Checkout
from bottega.billing.tables import CreditTransaction
from bottega.billing.types import Cause, TransactionType
from bottega.core.clock import SystemClock
from bottega.db.transaction import Database
from bottega.users.tables import User

PUBLIC_URL = "https://shop.example"
THIRDS = parse_package("thirds:100:300:80")  # a cent of it is no whole number of credits


def stripe_gateway(url: str, *, secrets: Sequence[str] = (SECRET,), key: str = KEY) -> StripeCheckout:
    return StripeCheckout(
        secret_key=key,
        webhook_secrets=secrets,
        api_base=url,
        public_url=PUBLIC_URL,
        currency="usd",
        clock=SystemClock(),
    )


def stars_gateway(url: str) -> TelegramStars:
    return TelegramStars(bot_token=TOKEN, base_url=url)


def development_gateway() -> DevelopmentGateway:
    return DevelopmentGateway(public_url=PUBLIC_URL, currency="usd", production=False)


@dataclass(kw_only=True)
class Till:
    database: Database
    payments: PaymentService
    user_id: int
    stripe: FakeStripe = field(default_factory=FakeStripe)
    stars: FakeTelegramStars = field(default_factory=FakeTelegramStars)
    topped_up: list[int] = field(default_factory=list)

    async def buy(self, *, package: str = "thirds") -> tuple[Checkout, str]:
        """Order, and return the order with the name of its session at Stripe."""
        checkout = await self.payments.create_checkout(user_id=self.user_id, package=package)
        return checkout, checkout.url.rpartition("/")[2]

    async def deliver(self, *bodies: bytes) -> None:
        for body in bodies:
            await self.payments.receive(gateway="stripe", body=body, headers=signed(body))

    async def balance(self, user_id: int | None = None) -> Decimal:
        async with self.database.transaction() as session:
            found = select(User.credit_balance).where(User.id == (user_id or self.user_id))
            return (await session.scalars(found)).one()

    async def order(self, order_id: uuid.UUID) -> PaymentOrder:
        async with self.database.transaction() as session:
            return (await session.scalars(select(PaymentOrder).where(PaymentOrder.id == order_id))).one()

    async def entries(self) -> list[tuple[str, Decimal]]:
        async with self.database.transaction() as session:
            rows = await session.scalars(select(CreditTransaction).order_by(CreditTransaction.id))
            return [(row.transaction_type, row.credits_amount) for row in rows]

    async def event_states(self) -> list[str]:
        async with self.database.transaction() as session:
            return sorted(await session.scalars(select(ProcessedWebhookEvent.status)))

    async def change_person(self, **values: Any) -> None:
        async with self.database.transaction() as session:
            await session.execute(update(User).where(User.id == self.user_id).values(**values))

    async def spend(self, credits: str) -> None:
        async with self.database.transaction() as session:
            cause = Cause(type=TransactionType.ADJUSTMENT, idempotency_key=f"spent:{uuid.uuid4()}")
            await ledger.adjust(session, user_id=self.user_id, credits=-Decimal(credits), cause=cause)

    async def faults(self) -> list[str]:
        async with self.database.transaction() as session:
            return [str(finding) for finding in await audit(session)]


def open_till(
    database: Database,
    *,
    user_id: int,
    gateways: Sequence[PaymentGateway],
    packages: Sequence[CreditPackage] = (THIRDS,),
) -> Till:
    topped_up: list[int] = []

    async def on_top_up(session: AsyncSession, user_id: int) -> None:
        assert session.in_transaction()
        topped_up.append(user_id)

    payments = PaymentService(
        database=database, gateways=gateways, packages=packages, clock=SystemClock(), on_top_up=on_top_up
    )
    return Till(database=database, payments=payments, user_id=user_id, topped_up=topped_up)
