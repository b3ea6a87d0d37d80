"""The values of payments. A gateway's news is parsed once into `Fact`s; nothing of its own shapes goes further.

A fact is one thing that is true of one object at a gateway (a session, a charge, a refund, a dispute). Facts only ever
grow: of two about the same object every field keeps its maximum, so that neither their order nor their number matters.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import IntEnum, StrEnum

from bottega.core.errors import AppError


class FactKind(StrEnum):
    SUBMITTED = "submitted"  # the person is through, the money is not there yet
    PAID = "paid"
    FAILED = "failed"
    EXPIRED = "expired"
    REFUNDED = "refunded"  # of one charge, everything refunded until now
    REFUND = "refund"  # one refund; its rank is a RefundRank
    DISPUTE = "dispute"  # one dispute; its rank is a DisputeRank


class RefundRank(IntEnum):
    PENDING = 0
    SUCCEEDED = 1
    FAILED = 2


class DisputeRank(IntEnum):
    OPEN = 0
    WITHDRAWN = 1
    REINSTATED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """`object_id` names what it is about; `payment_id` the payment that refunds and disputes name too.

    `order_id`, `payer` and `package` are what we gave to the gateway and it gives back. Amounts are in the smallest
    unit of their currency.
    """

    kind: FactKind
    object_id: str
    payment_id: str | None = None
    order_id: uuid.UUID | None = None
    rank: int = 0
    amount_minor: int | None = None
    currency: str | None = None
    livemode: bool | None = None
    payer: str | None = None
    package: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayEvent:
    """`digest` is of what the event says; a repeated delivery has the same. No facts: nothing of ours."""

    id: str
    type: str
    digest: str
    facts: tuple[Fact, ...]


class OrderState(StrEnum):
    """A rendering of the facts, for people; no decision reads it."""

    CREATED = "created"
    PENDING = "pending"
    PAID = "paid"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    DISPUTED = "disputed"
    FAILED = "failed"
    EXPIRED = "expired"
    MISMATCHED = "mismatched"  # money came that is not what was ordered: for the operator to look at


class Component(StrEnum):
    """The three numbers that a payment moves, each a function of its facts."""

    PURCHASE = "purchase"
    REFUND = "refund"
    DISPUTE = "dispute"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What was agreed. `payer` is how its gateway will name the person."""

    id: uuid.UUID
    user_id: int
    gateway: str
    package: str
    credits: Decimal
    amount_minor: int
    currency: str
    livemode: bool
    payer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedOrder:
    """An order as an operator and its owner see it. `problem` says what did not match."""

    order: Order
    state: OrderState
    refunded_minor: int
    problem: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Buyer:
    user_id: int
    telegram_user_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedCheckout:
    """`session_id` is None where a gateway has no name for it before it is paid."""

    url: str
    session_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    order_id: uuid.UUID
    url: str
    gateway: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRequest:
    """`key` is the same for the same refund asked for twice."""

    order: Order
    payment_id: str
    payer: str
    amount_minor: int
    key: str


class PaymentsOff(AppError):
    code = "payments_off"
    http_status = 503

    def __init__(self) -> None:
        super().__init__("Payments are not set up here: the operator has to set STRIPE_SECRET_KEY.")


class UnknownGateway(AppError):
    code = "unknown_gateway"
    http_status = 404

    def __init__(self, name: str, *, known: tuple[str, ...]) -> None:
        shown = ", ".join(known) or "none"
        super().__init__(f"There is no payment gateway '{name[:50]}' here; known: {shown}.")


class BadSignature(AppError):
    code = "bad_signature"
    http_status = 400


class MalformedWebhook(AppError):
    code = "malformed_webhook"
    http_status = 400


class GatewayUnavailable(AppError):
    """The gateway could not be reached or failed; the same may be asked again."""

    code = "payment_gateway_unavailable"
    http_status = 502


class GatewayRefused(AppError):
    """The gateway understood and said no; asking again will not help."""

    code = "payment_gateway_refused"
    http_status = 502


class UnknownOrder(AppError):
    code = "unknown_order"
    http_status = 404

    def __init__(self, order_id: object) -> None:
        super().__init__(f"There is no payment order {str(order_id)[:50]}.")


class OrderedOtherwise(AppError):
    """An order's name came back with something else to order."""

    code = "idempotency_key_reused"
    http_status = 422

    def __init__(self) -> None:
        super().__init__("This key was used before, for another order. Nothing was ordered: take a new key.")


class TooManyOrders(AppError):
    code = "too_many_orders"
    http_status = 429


class RefundImpossible(AppError):
    code = "refund_impossible"
    http_status = 409


class NoTelegramAccount(AppError):
    code = "no_telegram_account"
    http_status = 409
