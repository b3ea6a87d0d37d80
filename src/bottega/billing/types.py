"""The values that price, hold and settle one attempt at a provider."""

import uuid
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from bottega.llm.types import Usage


class CallStatus(StrEnum):
    """`started` has an open hold; every other status is an end, and only `settled` is charged."""

    STARTED = "started"
    SETTLED = "settled"
    ORPHAN = "orphan"  # nobody knows how it ended: cancelled, crashed, expired
    FENCED = "fenced"  # it answered, but another worker had taken the step over
    FAILED = "failed"


class TransactionType(StrEnum):
    """Why a balance moved."""

    INITIAL_GRANT = "initial_grant"
    PURCHASE = "purchase"
    USAGE_DEDUCTION = "usage_deduction"
    REFUND_CLAWBACK = "refund_clawback"
    DISPUTE_CLAWBACK = "dispute_clawback"
    DISPUTE_REINSTATED = "dispute_reinstated"
    ADJUSTMENT = "adjustment"
    EXPIRY = "expiry"


class CostSource(StrEnum):
    REPORTED = "reported"  # the provider said what it bills
    COMPUTED = "computed"  # tokens x price row
    RECONCILED = "reconciled"  # the provider was asked afterwards
    ESTIMATED = "estimated"  # bounded from what was sent and received, x price row
    UNKNOWN = "unknown"  # the provider was asked for a day and never knew of it


Uncharged = Literal["failed", "orphan", "fenced"]
"""The ends of a call that its caller may choose when nobody is to pay for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """By what a cost becomes credits. Stored with every call, so that any charge can be recomputed."""

    markup: Decimal
    credit_value_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One attempt, named by `call_key`; attempts at the same step share `operation_key`.

    `input_tokens_estimated` is what the call is taken to have cost should nobody ever say.
    """

    call_key: str
    operation_key: str
    user_id: int
    project_id: uuid.UUID | None
    task_key: str | None
    task_type: str
    pricing_id: int
    terms: Terms
    own_key: bool = False  # a key of the person's own pays the provider
    input_tokens_estimated: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """`available` is what the person has left beside every open hold, this one included."""

    id: uuid.UUID
    usage_id: int
    credits: Decimal
    available: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a call cost at the provider. `exact_usd` is not rounded."""

    usage: Usage
    exact_usd: Decimal
    source: CostSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is known of a call that ended; `cost` is None when nothing is.

    `cost_open` tells that the provider may have billed it all the same.
    """

    cost: Cost | None = None
    request_id: str | None = None
    key_fingerprint: str = ""
    key_id: uuid.UUID | None = None
    response_time_ms: int | None = None
    error_code: str | None = None
    cost_open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """`unbilled` is what neither the hold nor the balance covered; `repeated` when it had been settled before."""

    charged: Decimal
    unbilled: Decimal
    repeated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why a balance moves, and how the world outside names it. A key used before moves nothing."""

    type: TransactionType
    idempotency_key: str
    description: str | None = None
    project_id: uuid.UUID | None = None
    reverses_id: int | None = None
    external_transaction_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A ledger row; `repeated` when its idempotency key had been used before."""

    id: int
    credits: Decimal
    balance_after: Decimal
    repeated: bool
