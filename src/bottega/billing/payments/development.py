"""A gateway without money or network, for trying things out. There is none in production.

Its checkout page is ours: whoever opens it may declare the order paid. Its webhooks do not exist, so nobody else can.
"""

from collections.abc import AsyncGenerator, Mapping
from datetime import datetime

from bottega.billing.payments.packages import CreditPackage
from bottega.billing.payments.types import (
    BadSignature,
    Buyer,
    Fact,
    FactKind,
    GatewayEvent,
    OpenedCheckout,
    Order,
    Price,
    RefundRank,
    RefundRequest,
)
from bottega.core.errors import AppError

DEVELOPMENT = "development"


class NotInProduction(AppError):
    code = "development_gateway_in_production"


class DevelopmentGateway:
    name = DEVELOPMENT
    livemode = False
    refunds_in_part = True

    def __init__(self, *, public_url: str, currency: str, production: bool) -> None:
        if production:
            raise NotInProduction("The development gateway gives credits for nothing: it is refused in production.")
        self._public_url = public_url
        self._currency = currency

    def price(self, package: CreditPackage) -> Price:
        return Price(amount_minor=package.price_minor, currency=self._currency)

    def payer(self, buyer: Buyer) -> str:
        return str(buyer.user_id)

    async def open_checkout(self, order: Order) -> OpenedCheckout:
        return OpenedCheckout(url=f"{self._public_url}/dev/checkout/{order.id}", session_id=_session(order))

    def read(self, *, body: bytes, headers: Mapping[str, str]) -> GatewayEvent:  # noqa: ARG002 -- the protocol's
        raise BadSignature("The development gateway sends no webhooks.")

    def pay(self, order: Order) -> Fact:
        """Return the fact that an order has been paid as agreed."""
        return Fact(
            kind=FactKind.PAID,
            object_id=_session(order),
            payment_id=_session(order),
            order_id=order.id,
            amount_minor=order.amount_minor,
            currency=order.currency,
            livemode=self.livemode,
            payer=order.payer,
            package=order.package,
        )

    async def refund(self, request: RefundRequest) -> Fact:
        return Fact(
            kind=FactKind.REFUND,
            object_id=request.key,
            payment_id=request.payment_id,
            rank=RefundRank.SUCCEEDED,
            amount_minor=request.amount_minor,
            currency=request.order.currency,
        )

    async def history(self, *, since: datetime) -> AsyncGenerator[Fact, None]:  # noqa: ARG002 -- the protocol's
        known: tuple[Fact, ...] = ()  # an order of ours is paid in our own books or not at all
        for fact in known:
            yield fact

    async def close(self) -> None:
        return None


def _session(order: Order) -> str:
    return f"dev_{order.id}"
