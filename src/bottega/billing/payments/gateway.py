"""What a payment gateway has to do. It reads and asks; it never touches the database, nor is it asked inside one."""

from collections.abc import AsyncGenerator, Mapping
from datetime import datetime
from typing import Protocol

from bottega.billing.payments.packages import CreditPackage
from bottega.billing.payments.types import Buyer, Fact, GatewayEvent, OpenedCheckout, Order, Price, RefundRequest


class PaymentGateway(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def livemode(self) -> bool:
        """Tell whether its money is real."""
        ...

    @property
    def refunds_in_part(self) -> bool: ...

    def price(self, package: CreditPackage) -> Price: ...

    def payer(self, buyer: Buyer) -> str:
        """Return how it will name this person when they have paid; raise where it cannot serve them."""
        ...

    async def open_checkout(self, order: Order) -> OpenedCheckout:
        """Make the page where the order can be paid; the same order opens the same one. Raise GatewayUnavailable."""
        ...

    def read(self, *, body: bytes, headers: Mapping[str, str]) -> GatewayEvent:
        """Verify and parse a webhook. Raise BadSignature or MalformedWebhook."""
        ...

    async def refund(self, request: RefundRequest) -> Fact:
        """Give money back; asked twice with one key it is given once. Raise GatewayRefused, GatewayUnavailable."""
        ...

    def history(self, *, since: datetime) -> AsyncGenerator[Fact, None]:
        """Yield what it knows of payments since then, in any order; what was told before may be told again."""
        ...

    async def close(self) -> None: ...
