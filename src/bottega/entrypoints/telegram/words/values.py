"""What the words are made from, where no other part has it as one value. Plain text inside: nothing here is escaped."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from bottega.billing.payments.packages import CreditPackage
from bottega.delivery.report import ReceiptLine
from bottega.orchestration.events import Event, StepStarted
from bottega.orchestration.state import Phase, RunKind, RunState, StopCode, TaskStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A project, as much of it as a sentence about it needs."""

    project_id: uuid.UUID
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedProject(Named):
    """`status` is one of ProjectStatus; `is_current` where it is the one that the chat speaks of."""

    status: str
    credits_charged: Decimal
    is_current: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenQuestion:
    """`number` of `total`, from 1. `recommended` is an index into `options`."""

    project_id: uuid.UUID
    question_id: uuid.UUID
    text: str
    options: tuple[str, ...]
    recommended: int
    number: int
    total: int


def shown_order(question: OpenQuestion) -> tuple[int, ...]:
    """Return the options' indexes as they are shown: the recommended one first. A person's "2" means the second."""
    first = question.recommended
    return (first, *(index for index in range(len(question.options)) if index != first)) if question.options else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedTask:
    key: str
    title: str
    status: TaskStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPlan(Named):
    """A plan that waits for a go. `low` and `high` are its quote in credits, None where there is none."""

    documentation: str
    tech_stack: Mapping[str, str]
    tasks: tuple[ListedTask, ...]
    low: Decimal | None
    high: Decimal | None
    available: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Named):
    """What one status message shows. `step` is the one under way, if any; `latest` is the last thing that happened.

    `checks_passed` counts commands of the accepted tasks; `elapsed_seconds` are those since the run began.
    """

    kind: RunKind
    phase: Phase
    state: RunState
    stop_code: StopCode | None
    tasks: tuple[ListedTask, ...]
    step: StepStarted | None
    latest: Event | None
    checks_passed: int
    credits_charged: Decimal
    quote_high: Decimal | None
    elapsed_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """What can be bought, and how: by Stars inside Telegram, by a card on a page of the gateway's."""

    packages: tuple[CreditPackage, ...]
    currency: str
    by_stars: bool
    by_card: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped(Named):
    """Why a run waits for its person. `needed` are the credits it waits for.

    `stronger_model` is one that has not tried the task yet and could; `is_one_task` says that dropping is no choice.
    `offers` is what can be bought here, None where nothing can.
    """

    stop_code: StopCode
    reason: str
    available: Decimal
    needed: Decimal | None = None
    stronger_model: str | None = None
    is_one_task: bool = False
    offers: Offers | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery(Named):
    """What was delivered. `how_to_run` are commands of the README; `unchecked` counts tasks that were not executed.

    `summary` is one or two sentences about what it is, from its documentation.
    """

    summary: str
    files: int
    size_bytes: int
    tasks: tuple[ListedTask, ...]
    checks_passed: int
    how_to_run: tuple[str, ...]
    credits_charged: Decimal
    quote_high: Decimal | None
    elapsed_seconds: int
    is_refinement: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt(Named):
    lines: tuple[ReceiptLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """One order's payment, as it was made: `amount_minor` in Stars or the currency's smallest unit."""

    credits: Decimal
    amount_minor: int
    currency: str
    available: Decimal
    goes_on: tuple[str, ...] = ()  # titles of the projects that it has set going


class CheckoutRefusal(StrEnum):
    """Why a person may not pay what Telegram asks us about."""

    UNKNOWN_ORDER = "unknown_order"
    NOT_YOURS = "not_yours"
    ALREADY_PAID = "already_paid"
    PRICE_CHANGED = "price_changed"
    NOT_ALLOWED = "not_allowed"
    NOT_NOW = "not_now"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What an operator sees of the installation; credits and people all in all, the rest now."""

    people: int
    people_today: int
    projects: int
    projects_delivered: int
    runs_by_state: Mapping[RunState, int]
    credits_charged_today: Decimal
    credits_bought_today: Decimal
    free_credits_today: Decimal
    free_credits_a_day: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """What was removed with a person's data."""

    projects: int
    at: datetime
