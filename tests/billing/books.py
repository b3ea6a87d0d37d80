"""What the ledger promises, said a second time in plain Decimals: no SQL, no concurrency, nothing shared with it.

Every operation either changes these books and returns what the ledger must return, or raises `Refused` with the error
that the ledger must raise, and changes nothing.
"""

import math
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from bottega.billing.ledger import (
    AccountInactive,
    CallAlreadyHeld,
    InsufficientCredits,
    KeyReused,
    NotTheirProject,
    ProjectLimitReached,
)
from bottega.core.errors import AppError

_NOTHING = Decimal(0)
_STEPS = 10**8  # of a credit


class Refused(Exception):
    def __init__(self, error: type[AppError], *, available: Decimal | None = None) -> None:
        super().__init__(error.__name__)
        self.error = error
        self.available = available


@dataclass(slots=True, kw_only=True)
class Account:
    user_id: int
    balance: Decimal = _NOTHING
    held: Decimal = _NOTHING
    active: bool = True

    @property
    def available(self) -> Decimal:
        return self.balance - self.held


@dataclass(slots=True, kw_only=True)
class Work:
    """A project, as far as money goes."""

    project_id: uuid.UUID
    user_id: int
    spent: Decimal = _NOTHING
    limit: Decimal | None = None


@dataclass(slots=True, kw_only=True)
class Attempt:
    """A call and its hold; `due` when the hold's deadline is past."""

    call_key: str
    operation_key: str
    user_id: int
    project_id: uuid.UUID | None
    credits: Decimal
    due: bool
    hold_id: uuid.UUID
    usage_id: int
    hold: str = "open"
    status: str = "started"
    charged: Decimal = _NOTHING
    unbilled: Decimal = _NOTHING

    @property
    def can_end(self) -> bool:
        return self.status == "started" or (self.status == "orphan" and self.hold == "expired")


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    user_id: int
    credits: Decimal
    balance_after: Decimal


@dataclass(slots=True, kw_only=True)
class Books:
    accounts: dict[int, Account] = field(default_factory=dict)
    works: dict[uuid.UUID, Work] = field(default_factory=dict)
    attempts: dict[str, Attempt] = field(default_factory=dict)
    entries: dict[str, Posted] = field(default_factory=dict)

    def post(self, *, user_id: int, credits: Decimal, key: str, within_balance: bool = False) -> tuple[Posted, bool]:
        """Move a balance; return the entry, and whether it had been made before."""
        if (first := self.entries.get(key)) is not None:
            if first.user_id != user_id:
                raise Refused(KeyReused)
            return first, True
        account = self.accounts[user_id]
        if within_balance and account.available + credits < 0:
            raise Refused(InsufficientCredits, available=account.available)
        return self._move(account, credits=credits, key=key), False

    def may_hold(self, *, user_id: int, project_id: uuid.UUID | None, call_key: str, credits: Decimal) -> Decimal:
        """Return what is left beside this hold."""
        account, work = self.accounts[user_id], self.works[project_id] if project_id else None
        if not account.active:
            raise Refused(AccountInactive)
        if work is not None and work.user_id != user_id:
            raise Refused(NotTheirProject)
        if call_key in self.attempts:
            raise Refused(CallAlreadyHeld)
        left = self.left_of(work) if work is not None else None
        if left is not None and left < min(credits, account.available):
            raise Refused(ProjectLimitReached, available=max(left, _NOTHING))
        if credits > account.available:
            raise Refused(InsufficientCredits, available=account.available)
        return account.available - credits

    def hold(self, attempt: Attempt) -> None:
        self.attempts[attempt.call_key] = attempt
        self.accounts[attempt.user_id].held += attempt.credits

    def settle(self, attempt: Attempt, *, credits: Decimal) -> tuple[Decimal, Decimal, bool]:
        """Return what was charged, what nobody pays, and whether it had been settled before."""
        if not attempt.can_end:
            return attempt.charged, attempt.unbilled, True
        account = self.accounts[attempt.user_id]
        reserved = self._release(attempt, hold="settled")
        attempt.charged = min(credits, reserved + max(account.available - reserved, _NOTHING))
        attempt.unbilled = credits - attempt.charged
        attempt.status = "settled"
        if attempt.charged:
            self._move(account, credits=-attempt.charged, key=f"usage:{attempt.usage_id}")
            if attempt.project_id:
                self.works[attempt.project_id].spent += attempt.charged
        return attempt.charged, attempt.unbilled, False

    def void(self, attempt: Attempt, *, status: str) -> bool:
        if not attempt.can_end:
            return False
        self._release(attempt, hold="voided")
        attempt.status = status
        return True

    def sweep(self, *, limit: int) -> int:
        due = sorted(
            (attempt for attempt in self.attempts.values() if attempt.hold == "open" and attempt.due),
            key=lambda attempt: attempt.hold_id,
        )
        return self._orphan(due[:limit], hold="expired")

    def orphan_started(self, *, operation_key: str) -> int:
        started = (
            attempt
            for attempt in self.attempts.values()
            if attempt.operation_key == operation_key and attempt.hold == "open"
        )
        return self._orphan(list(started), hold="voided")

    def left_of(self, work: Work) -> Decimal | None:
        """Return what a project's limit leaves beside its open holds, None when it has none."""
        return None if work.limit is None else work.limit - self.committed(work)

    def committed(self, work: Work) -> Decimal:
        """Return what a project has cost and what it may still cost."""
        attempts = self.attempts.values()
        held = (each.credits for each in attempts if each.project_id == work.project_id and each.hold == "open")
        return work.spent + sum(held, _NOTHING)

    def _orphan(self, attempts: Iterable[Attempt], *, hold: str) -> int:
        gone = list(attempts)
        for attempt in gone:
            self._release(attempt, hold=hold)
            attempt.status = "orphan"
        return len(gone)

    def _release(self, attempt: Attempt, *, hold: str) -> Decimal:
        """End an open hold and return what it had reserved; an expired one reserves nothing and stays expired."""
        if attempt.hold != "open":
            return _NOTHING
        attempt.hold = hold
        self.accounts[attempt.user_id].held -= attempt.credits
        return attempt.credits

    def _move(self, account: Account, *, credits: Decimal, key: str) -> Posted:
        account.balance += credits
        posted = Posted(user_id=account.user_id, credits=credits, balance_after=account.balance)
        self.entries[key] = posted
        return posted


def exact_charge(cost_usd: Fraction, *, markup: Decimal, credit_value_usd: Decimal) -> Decimal:
    """Return cost * markup / value of a credit, rounded up at the 8th decimal, by way of integers alone."""
    steps = math.ceil(cost_usd * Fraction(markup) / Fraction(credit_value_usd) * _STEPS)
    return Decimal(steps).scaleb(-8)
