"""PaymentService: what people buy, what gateways say of it, and what operators do about it.

An order is written before a gateway is asked, so whatever comes back, however early, finds it. News reach the books
as facts by one way only, whether a webhook, a bot, a refund or the reconciler brings them; telling them again changes
nothing. No gateway is asked while a transaction is open.
"""

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.billing.payments import books
from bottega.billing.payments import books_sql as sql
from bottega.billing.payments import telegram_stars as stars
from bottega.billing.payments.books import Settled
from bottega.billing.payments.development import DEVELOPMENT, DevelopmentGateway
from bottega.billing.payments.gateway import PaymentGateway
from bottega.billing.payments.owed import standing
from bottega.billing.payments.packages import CreditPackage, UnknownPackage, find_package
from bottega.billing.payments.refunding import refund_requests
from bottega.billing.payments.types import (
    Checkout,
    Fact,
    GatewayEvent,
    GatewayRefused,
    GatewayUnavailable,
    ListedOrder,
    MalformedWebhook,
    Order,
    OrderedOtherwise,
    PaymentsOff,
    TooManyOrders,
    UnknownGateway,
    UnknownOrder,
)
from bottega.core.clock import Clock
from bottega.core.ids import new_id
from bottega.db.transaction import Database

OPEN_ORDERS_PER_HOUR = 20

OnTopUp = Callable[[AsyncSession, int], Awaitable[object]]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether an invoice may be paid now, and, where not, why: for a program, and as a sentence for the person."""

    approved: bool
    code: str = ""
    sentence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refunded:
    order_id: uuid.UUID
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """`facts` were told by the gateways; `healed` orders stood differently afterwards; `failed` gateways said why."""

    facts: int
    healed: tuple[uuid.UUID, ...]
    failed: tuple[str, ...]


class PaymentService:
    """`gateways` in order of preference: the first one is used where nobody says which.

    `on_top_up` is called inside the transaction that adds credits to an account, with that account.
    """

    def __init__(
        self,
        *,
        database: Database,
        gateways: Sequence[PaymentGateway],
        packages: Sequence[CreditPackage],
        clock: Clock,
        on_top_up: OnTopUp | None = None,
    ) -> None:
        self._database = database
        self._gateways = {gateway.name: gateway for gateway in gateways}
        self._packages = tuple(packages)
        self._clock = clock
        self._on_top_up = on_top_up

    @property
    def is_development(self) -> bool:
        """Tell whether orders can be paid without money, on a page of ours."""
        return DEVELOPMENT in self._gateways

    def packages(self) -> tuple[CreditPackage, ...]:
        return self._packages

    def gateways(self) -> frozenset[str]:
        """Return the names of the gateways there are."""
        return frozenset(self._gateways)

    async def orders(self, *, user_id: int | None = None) -> tuple[ListedOrder, ...]:
        """Return one person's orders, or everybody's, newest first."""
        async with self._database.transaction() as session:
            return await books.list_orders(session, user_id=user_id)

    async def unmatched(self) -> tuple[tuple[str, str], ...]:
        """Return gateway and name of every payment whose order we do not have."""
        async with self._database.transaction() as session:
            return await books.unmatched(session)

    # -- buying --------------------------------------------------------------------------------------

    async def create_checkout(
        self, *, user_id: int, package: str, gateway: str | None = None, order_id: uuid.UUID | None = None
    ) -> Checkout:
        """Order a package and return the page where it is paid. The same `order_id` is the same order, and its page.

        Raises:
            UnknownPackage, UnknownGateway, PaymentsOff, TooManyOrders, AccountInactive, GatewayUnavailable
            OrderedOtherwise: that order is there, and is for something else.
        """
        through = self._gateway(gateway)
        order = await self._ordered(order_id or new_id(), user_id=user_id, package=package, through=through)
        opened = await through.open_checkout(order)
        if opened.session_id is not None:
            async with self._database.transaction() as session:
                await session.execute(sql.NAME_SESSION, {"order_id": order.id, "session_id": opened.session_id})
        return Checkout(order_id=order.id, url=opened.url, gateway=order.gateway)

    async def order_invoice(self, *, order_id: uuid.UUID, user_id: int, package: str) -> Order:
        """Order a package for an invoice in Telegram. The same id is the same order, however often it is asked for.

        Raises:
            UnknownPackage, UnknownGateway, PaymentsOff, TooManyOrders, AccountInactive, NoTelegramAccount
        """
        async with self._database.transaction() as session:
            known = await books.find_order(session, order_id=order_id)
        if known is not None:
            return known
        return await self._ordered(order_id, user_id=user_id, package=package, through=self._gateway(stars.STARS))

    async def _ordered(self, order_id: uuid.UUID, *, user_id: int, package: str, through: PaymentGateway) -> Order:
        chosen = find_package(self._packages, name=package)
        async with self._database.transaction() as session:
            buyer = await books.lock_buyer(session, user_id=user_id)  # twins take turns
            known = await books.find_order(session, order_id=order_id)
            if known is not None:
                if (known.user_id, known.package, known.gateway) != (user_id, chosen.name, through.name):
                    raise OrderedOtherwise
                return known
            await self._require_few_unpaid(session, user_id=user_id)
            price = through.price(chosen)
            order = Order(
                id=order_id,
                user_id=user_id,
                gateway=through.name,
                package=chosen.name,
                credits=chosen.credits,
                amount_minor=price.amount_minor,
                currency=price.currency,
                livemode=through.livemode,
                payer=through.payer(buyer),
            )
            await books.add_order(session, order=order)
        return order

    async def dev_order(self, *, order_id: uuid.UUID) -> Order:
        """Return an order of the development gateway, for its checkout page. Raise UnknownOrder, UnknownGateway."""
        gateway = self._development()
        order = await self._order(order_id)
        if order.gateway != gateway.name:
            raise UnknownOrder(order_id)
        return order

    async def dev_pay(self, *, order_id: uuid.UUID) -> None:
        """Pay an order of the development gateway, which nobody has to pay for."""
        order = await self.dev_order(order_id=order_id)
        await self._record(gateway=order.gateway, facts=(self._development().pay(order),))

    # -- what gateways say ---------------------------------------------------------------------------

    async def receive(self, *, gateway: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Take a webhook in. It has been dealt with when this returns; whatever it raises, nothing has changed.

        Raises:
            UnknownGateway, BadSignature, MalformedWebhook
        """
        if gateway not in self._gateways:
            raise UnknownGateway(gateway, known=tuple(self._gateways))
        lower = {name.lower(): value for name, value in headers.items()}
        event = self._gateways[gateway].read(body=body, headers=lower)
        await self._record(gateway=gateway, facts=event.facts, event=event)

    async def pre_checkout(self, *, payload: str, telegram_user_id: int, currency: str, amount: int) -> Decision:
        """Say whether an invoice in Telegram may be paid; one query, for Telegram waits ten seconds at most."""
        order_id = stars.invoice_order(payload)
        if order_id is None:
            return Decision(
                approved=False,
                code="unknown_order",
                sentence="This invoice is not one of ours. Please ask for a new one.",
            )
        async with self._database.transaction() as session:
            invoice = (await session.execute(sql.INVOICE, {"order_id": order_id, "gateway": stars.STARS})).one_or_none()
        if invoice is None:
            return Decision(
                approved=False,
                code="unknown_order",
                sentence="This invoice is not one of ours. Please ask for a new one.",
            )
        if invoice.payer != str(telegram_user_id):
            return Decision(
                approved=False,
                code="not_yours",
                sentence="This invoice is for another person. Please ask for one of yours.",
            )
        if invoice.status != "active":
            return Decision(
                approved=False, code="not_allowed", sentence="This account is blocked. Write /paysupport for help."
            )
        if invoice.state not in {"created", "pending"}:
            return Decision(
                approved=False,
                code="already_paid",
                sentence="This invoice has been paid before. Please ask for a new one.",
            )
        offered = self._offer(invoice.package)
        agreed = (offered.stars, offered.credits) if offered else None
        if (currency, amount) != (invoice.currency, invoice.amount_minor) or agreed != (amount, invoice.credits):
            return Decision(
                approved=False, code="price_changed", sentence="The price has changed. Please ask for a new invoice."
            )
        return Decision(approved=True)

    async def successful_payment(
        self, *, payload: str, telegram_user_id: int, currency: str, amount: int, charge_id: str
    ) -> bool:
        """Credit an invoice that was paid in Telegram; False when it is not as ordered, for the operator to look at."""
        fact = stars.paid(
            payload=payload,
            payer=str(telegram_user_id),
            currency=currency[:10],
            amount=_stars(amount),
            charge_id=_charge_id(charge_id),
        )
        settled = await self._record(gateway=stars.STARS, facts=(fact,))
        return any(payment.name == charge_id for each in settled for payment in each.standing.payments)

    async def refunded_payment(self, *, amount: int, charge_id: str) -> None:
        """Take back what a payment gave whose Stars Telegram has given back."""
        fact = stars.refunded(charge_id=_charge_id(charge_id), amount=_stars(amount))
        await self._record(gateway=stars.STARS, facts=(fact,))

    # -- what operators do ---------------------------------------------------------------------------

    async def refund(self, order_id: uuid.UUID, amount_minor: int | None = None) -> Refunded:
        """Give money back, all that is left or an amount of it; the credits follow from what the gateway says.

        Raises:
            UnknownOrder, RefundImpossible, UnknownGateway, GatewayRefused, GatewayUnavailable
        """
        order = await self._order(order_id)
        gateway = self._gateway(order.gateway)
        async with self._database.transaction() as session:
            facts = await books.facts_of(session, order_id=order_id)
        payments = standing(order, facts=facts).payments
        requests = refund_requests(order, payments=payments, amount_minor=amount_minor, in_part=gateway.refunds_in_part)
        for request in requests:
            fact = await gateway.refund(request)
            await self._record(gateway=gateway.name, facts=(fact,))
        total = sum(request.amount_minor for request in requests)
        return Refunded(order_id=order.id, amount_minor=total, currency=order.currency)

    async def reconcile(self, *, days: int = 3) -> Reconciled:
        """Ask every gateway what it knows of the last days, and take it in as if it had just been told."""
        since = self._clock.now() - timedelta(days=days)
        told, healed, failed = 0, dict[uuid.UUID, None](), list[str]()
        for gateway in self._gateways.values():
            try:
                async with aclosing(gateway.history(since=since)) as facts:
                    async for fact in facts:
                        settled = await self._record(gateway=gateway.name, facts=(fact,))
                        told += 1
                        healed |= {each.order.id: None for each in settled if each.changed}
            except (GatewayUnavailable, GatewayRefused) as error:  # the other gateways are not to wait for this one
                failed.append(error.message)
        for order_id in healed:
            log.warning("payments.healed", order_id=str(order_id))
        return Reconciled(facts=told, healed=tuple(healed), failed=tuple(failed))

    async def close(self) -> None:
        for gateway in self._gateways.values():
            await gateway.close()

    # -- inside --------------------------------------------------------------------------------------

    async def _record(
        self, *, gateway: str, facts: Sequence[Fact], event: GatewayEvent | None = None
    ) -> tuple[Settled, ...]:
        """Event, facts, ledger rows and whatever waits for credits: all of it in one transaction, or none."""
        async with self._database.transaction() as session:
            if event is not None and not await books.is_new(session, gateway=gateway, event=event):
                if await books.said_otherwise(session, gateway=gateway, event=event):
                    log.error("payments.event_changed", gateway=gateway, event_id=event.id, type=event.type)
                return ()
            settled = await books.record(session, gateway=gateway, facts=facts)
            if event is not None and facts:
                status = "applied" if settled else "unmatched"
                await books.conclude(session, gateway=gateway, event=event, status=status)
            for each in settled:
                if each.added and self._on_top_up is not None:
                    await self._on_top_up(session, each.order.user_id)
        _tell(gateway, facts=facts, settled=settled)
        return settled

    async def _require_few_unpaid(self, session: AsyncSession, *, user_id: int) -> None:
        unpaid = (await session.execute(sql.RECENT_UNPAID, {"user_id": user_id})).scalar_one()
        if unpaid >= OPEN_ORDERS_PER_HOUR:
            raise TooManyOrders(
                f"{unpaid} orders of the last hour are not paid yet: pay one of them, or wait a little."
            )

    async def _order(self, order_id: uuid.UUID) -> Order:
        async with self._database.transaction() as session:
            order = await books.find_order(session, order_id=order_id)
        if order is None:
            raise UnknownOrder(order_id)
        return order

    def _gateway(self, name: str | None) -> PaymentGateway:
        if not self._gateways:
            raise PaymentsOff
        if name is None:
            return next(iter(self._gateways.values()))
        if name not in self._gateways:
            raise UnknownGateway(name, known=tuple(self._gateways))
        return self._gateways[name]

    def _development(self) -> DevelopmentGateway:
        for gateway in self._gateways.values():
            if isinstance(gateway, DevelopmentGateway):
                return gateway
        raise UnknownGateway("development", known=tuple(self._gateways))

    def _offer(self, package: str) -> CreditPackage | None:
        try:
            return find_package(self._packages, name=package)
        except UnknownPackage:
            return None


def _charge_id(text: str) -> str:
    if not 1 <= len(text) <= stars.LONGEST_CHARGE_ID or not text.isprintable():
        raise MalformedWebhook("The payment has no charge id that could name it.")
    return text


def _stars(amount: int) -> int:
    if not 0 < amount <= stars.LARGEST_AMOUNT:
        raise MalformedWebhook(f"{amount} is not a number of Telegram Stars.")
    return amount


def _tell(gateway: str, *, facts: Sequence[Fact], settled: Sequence[Settled]) -> None:
    """Log what an operator has to look at: money that came for nothing we know, or not as ordered."""
    for each in settled:
        if each.standing.problem:
            log.error("payments.mismatched", order_id=str(each.order.id), problem=each.standing.problem)
        else:
            log.info("payments.settled", order_id=str(each.order.id), state=each.standing.state)
    if facts and not settled:
        log.warning("payments.unmatched", gateway=gateway, facts=[f"{fact.kind}:{fact.object_id}" for fact in facts])
