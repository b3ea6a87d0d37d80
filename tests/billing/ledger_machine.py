"""A state machine that does to the ledger whatever may happen to it, and keeps the same books beside it.

After every rule the rows say what `Books` say, to the last decimal, and the audit finds nothing. Any operation may die:
before its first statement, between any two, or after the last and before the commit; then nothing has happened.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy.ext.asyncio import AsyncSession
from tests.billing.books import Account, Attempt, Books, Refused, Work, exact_charge
from tests.billing.ledger_bench import Bench, Operation
from tests.billing.scene import RATES

from bottega.billing import audit, ledger
from bottega.billing.pricing import charge_credits, cost_usd
from bottega.billing.types import Call, CallStatus, Cause, Cost, CostSource, Hold, Outcome, Terms, TransactionType
from bottega.core.ids import new_id
from bottega.llm.types import Usage

T = TypeVar("T")

TERMS = Terms(markup=Decimal("1.37"), credit_value_usd=Decimal("0.007"))  # nothing it charges comes out even
USAGES = (
    Usage(),
    Usage(input_tokens=1),
    Usage(input_tokens=900, cached_tokens=333, output_tokens=77),
    Usage(input_tokens=4_000, output_tokens=1_500, reasoning_tokens=900),
    Usage(input_tokens=20_000, cached_tokens=1, output_tokens=4_001),
)


@dataclass(frozen=True, slots=True)
class Brim:
    """All that is left to a person, or to a project's limit, and perhaps a little more."""

    of_project: bool
    beyond: Decimal


def usd(usage: Usage) -> Fraction:
    """Return the exact cost of a usage at RATES, which price cached input apart and reasoning as output."""
    fresh = usage.input_tokens - usage.cached_tokens
    cached = RATES.cached or RATES.input
    tokens = fresh * RATES.input + usage.cached_tokens * cached + usage.output_tokens * RATES.output
    return Fraction(tokens) / 10**6


def charge(usage: Usage) -> Decimal:
    return exact_charge(usd(usage), markup=TERMS.markup, credit_value_usd=TERMS.credit_value_usd)


PEOPLE = st.integers(0, 1)
PROJECTS = st.sampled_from((0, 0, 0, 1, None))  # the person's own, another's, none
ANY_CREDITS = st.one_of(
    st.sampled_from(tuple(map(Decimal, ("0.00000001", "1", "2.5", "10", "40")))),
    st.integers(1, 30 * 10**8).map(lambda steps: Decimal(steps).scaleb(-8)),
)
STEP = Decimal("0.00000001")
BRIM = st.builds(Brim, of_project=st.booleans(), beyond=st.sampled_from((Decimal(0), STEP)))
CHARGES = st.sampled_from(tuple(map(charge, USAGES)))
HOLDS = st.one_of(CHARGES, st.integers(0, 8 * 10**8).map(lambda steps: Decimal(steps).scaleb(-8)), CHARGES, BRIM)
KEYS = st.integers(0, 12).map(lambda number: f"order:{number}")  # few: they come back, also with somebody else's money
PICKS = st.integers(0, 40)
DIES = st.sampled_from((None,) * 12 + (0, 1, 2, 3))  # after how many statements, if at all
MOVES = st.sampled_from(
    (
        (1, TransactionType.PURCHASE),
        (1, TransactionType.DISPUTE_REINSTATED),
        (-1, TransactionType.REFUND_CLAWBACK),
        (-1, TransactionType.DISPUTE_CLAWBACK),
        (1, TransactionType.ADJUSTMENT),
        (-1, TransactionType.ADJUSTMENT),
    )
)
WRONGS = st.sampled_from(("",) * 14 + ("suspended", "repeated"))
End = Usage | CallStatus | int | None
ENDS: st.SearchStrategy[End] = st.one_of(
    st.sampled_from(USAGES), st.sampled_from((CallStatus.FAILED, CallStatus.ORPHAN, CallStatus.FENCED, 1, 500, None))
)


def machine_on(bench: Bench) -> "type[LedgerMachine]":
    return type("LedgerMachine", (LedgerMachine,), {"bench": bench})


class LedgerMachine(RuleBasedStateMachine):
    bench: Bench

    def __init__(self) -> None:
        super().__init__()
        self.books = Books()
        self.people: list[int] = []
        self.projects: list[uuid.UUID] = []

    @initialize()
    def open_accounts(self) -> None:
        self.bench.clear()
        for name in ("ada", "bob"):
            [(user_id,)] = self.bench.fetch("INSERT INTO users (username) VALUES ($1) RETURNING id", name)
            project_id = new_id()
            self.bench.fetch(
                "INSERT INTO projects (id, user_id, description, status) VALUES ($1, $2, 'd', 'implementing')",
                project_id,
                user_id,
            )
            self.books.accounts[user_id] = Account(user_id=user_id)
            self.books.works[project_id] = Work(project_id=project_id, user_id=user_id)
            self.people.append(user_id)
            self.projects.append(project_id)
            self.post(
                sign=1,
                who=len(self.people) - 1,
                credits=Decimal(100),
                type=TransactionType.INITIAL_GRANT,
                key=f"signup:{name}",
                dies=None,
            )

    # -- money that comes and goes ------------------------------------------------------------------------------------

    @rule(who=PEOPLE, credits=ANY_CREDITS, move=MOVES, key=KEYS, dies=DIES)
    def move(self, who: int, credits: Decimal, move: tuple[int, TransactionType], key: str, dies: int | None) -> None:
        sign, type_ = move
        self.post(sign=sign, who=who, credits=credits, type=type_, key=key, dies=dies)

    def post(
        self,
        *,
        sign: int,
        who: int,
        credits: Decimal,
        type: TransactionType,  # noqa: A002
        key: str,
        dies: int | None,
    ) -> None:
        user_id, cause = self.people[who], Cause(type=type, idempotency_key=key)
        adjusts = type is TransactionType.ADJUSTMENT

        async def operation(session: AsyncSession) -> tuple[int, Decimal, Decimal, bool]:
            if adjusts:
                entry = await ledger.adjust(session, user_id=user_id, credits=sign * credits, cause=cause)
            elif sign > 0:
                entry = await ledger.grant(session, user_id=user_id, credits=credits, cause=cause)
            else:
                entry = await ledger.claw_back(session, user_id=user_id, credits=credits, cause=cause)
            return user_id, entry.credits, entry.balance_after, entry.repeated

        def promise() -> tuple[int, Decimal, Decimal, bool]:
            posted, repeated = self.books.post(
                user_id=user_id, credits=sign * credits, key=key, within_balance=adjusts and sign < 0
            )
            return posted.user_id, posted.credits, posted.balance_after, repeated

        self._same(operation, promise, dies=dies)

    # -- calls --------------------------------------------------------------------------------------------------------

    @rule(
        who=PEOPLE,
        where=PROJECTS,
        many=st.lists(HOLDS, min_size=1, max_size=4),
        step=st.integers(0, 4),
        lapses=st.booleans(),
        wrong=WRONGS,
        dies=DIES,
    )
    def hold(
        self,
        who: int,
        where: int | None,
        many: list[Decimal | Brim],
        step: int,
        *,
        lapses: bool,
        wrong: str,
        dies: int | None,
    ) -> None:
        self._set_active(who, active=wrong != "suspended")
        for credits in many:
            call = self._new_call(who=who, where=where, step=step)
            if wrong == "repeated" and self.books.attempts:
                call = replace(call, call_key=self._attempt(step).call_key)
            self._hold(call, credits=self._filled(credits, call), lapses=lapses, dies=dies)
        self._set_active(who, active=True)

    def _settle(self, attempt: Attempt, *, usage: Usage, dies: int | None) -> None:
        cost = Cost(usage=usage, exact_usd=cost_usd(self.bench.price, usage), source=CostSource.COMPUTED)
        credits = charge_credits(cost.exact_usd, terms=TERMS)
        assert credits == charge(usage)

        async def operation(session: AsyncSession) -> tuple[Decimal, Decimal, bool]:
            settled = await ledger.settle(
                session, usage_id=attempt.usage_id, credits=credits, outcome=Outcome(cost=cost)
            )
            return settled.charged, settled.unbilled, settled.repeated

        self._same(operation, lambda: self.books.settle(attempt, credits=credits), dies=dies)

    @rule(who=PEOPLE, credits=HOLDS, lapses=st.booleans(), fate=st.lists(st.one_of(ENDS, st.just("debt")), max_size=4))
    def live(self, who: int, credits: Decimal | Brim, fate: list[End | str], *, lapses: bool) -> None:
        """One call of two from its hold through several ends; only the first that fits may count."""
        call = self._new_call(who=who)
        for each in (call, self._new_call(who=who)):
            self._hold(each, credits=self._filled(credits, each), lapses=lapses, dies=None)
        attempt = self.books.attempts.get(call.call_key)
        if attempt is None:
            return
        for end in fate:
            if isinstance(end, str):
                self._indebt(who)
            else:
                self._end(attempt, end, dies=None)

    def _indebt(self, who: int) -> None:
        """Take back a payment that has been spent; a correction from before it may still be repeated."""
        number = next(self.bench.numbers)
        correct = partial(self.post, sign=-1, who=who, credits=STEP, key=f"correction:{number}", dies=None)
        correct(type=TransactionType.ADJUSTMENT)
        credits = max(self.books.accounts[self.people[who]].available, Decimal(0)) + 1
        key = f"clawback:{number}"
        self.post(sign=-1, who=who, credits=credits, type=TransactionType.REFUND_CLAWBACK, key=key, dies=None)
        correct(type=TransactionType.ADJUSTMENT)

    @precondition(lambda self: self.books.attempts)
    @rule(pick=PICKS, end=ENDS, dies=DIES)
    def end(self, pick: int, end: End, dies: int | None) -> None:
        self._end(self._attempt(pick), end, dies=dies)

    def _end(self, attempt: Attempt, end: End, *, dies: int | None) -> None:
        """Settle a call; or end it unpaid: void it, sweep so many, claim its step again."""
        match end:
            case Usage():
                self._settle(attempt, usage=end, dies=dies)
            case CallStatus():
                self._void(attempt, status=end, dies=dies)
            case int():
                self._sweep(limit=end, dies=dies)
            case None:
                self._claim(operation_key=attempt.operation_key, dies=dies)

    def _void(self, attempt: Attempt, *, status: CallStatus, dies: int | None) -> None:
        async def operation(session: AsyncSession) -> bool:
            return await ledger.void(session, usage_id=attempt.usage_id, status=status, outcome=Outcome())

        self._same(operation, lambda: self.books.void(attempt, status=status), dies=dies)

    def _sweep(self, *, limit: int, dies: int | None) -> None:
        async def operation(session: AsyncSession) -> int:
            return await ledger.sweep(session, limit=limit)

        self._same(operation, lambda: self.books.sweep(limit=limit), dies=dies)

    def _claim(self, *, operation_key: str, dies: int | None) -> None:
        async def operation(session: AsyncSession) -> int:
            return await ledger.orphan_started(session, operation_key=operation_key)

        self._same(operation, lambda: self.books.orphan_started(operation_key=operation_key), dies=dies)

    # -- what the operator does ---------------------------------------------------------------------------------------

    @rule(where=PEOPLE, room=st.one_of(st.none(), st.none(), st.just(Decimal(0)), ANY_CREDITS), then=HOLDS)
    def limit_a_project(self, where: int, room: Decimal | None, then: Decimal | Brim) -> None:
        """Limit a project to what it has cost and holds, and some room; its person tries to pass that at once."""
        work = self.books.works[self.projects[where]]
        work.limit = None if room is None else self.books.committed(work) + room
        self.bench.fetch("UPDATE projects SET credit_limit = $1 WHERE id = $2", work.limit, work.project_id)
        for credits in (Brim(of_project=True, beyond=STEP), then):
            call = self._new_call(who=where)
            self._hold(call, credits=self._filled(credits, call), lapses=False, dies=None)

    def _set_active(self, who: int, *, active: bool) -> None:
        if self.books.accounts[self.people[who]].active == active:
            return
        self.books.accounts[self.people[who]].active = active
        status = "active" if active else "suspended"
        self.bench.fetch("UPDATE users SET status = $1 WHERE id = $2", status, self.people[who])

    # -- what holds after each of them --------------------------------------------------------------------------------

    @invariant()
    def the_rows_say_what_the_books_say(self) -> None:
        assert self.bench.fetch("SELECT id, credit_balance, credit_held FROM users ORDER BY id") == [
            (account.user_id, account.balance, account.held) for account in self.books.accounts.values()
        ]
        assert dict(self.bench.fetch("SELECT id, actual_credit_cost FROM projects")) == {
            work.project_id: work.spent for work in self.books.works.values()
        }
        calls = self.bench.fetch(
            "SELECT call_key, state, status, credits_amount, credits_charged, credits_unbilled"
            " FROM api_key_usage JOIN credit_holds ON credit_holds.id = hold_id ORDER BY api_key_usage.id"
        )
        assert calls == [
            (key, attempt.hold, attempt.status, attempt.credits, attempt.charged, attempt.unbilled)
            for key, attempt in self.books.attempts.items()
        ]
        entries = self.bench.fetch(
            "SELECT idempotency_key, user_id, credits_amount, balance_after FROM credit_transactions ORDER BY id"
        )
        assert entries == [
            (key, posted.user_id, posted.credits, posted.balance_after) for key, posted in self.books.entries.items()
        ]

    @invariant()
    def the_audit_finds_nothing(self) -> None:
        """The audit's own statements, past SQLAlchemy: they are half of a machine's work."""
        assert [row for truth in audit._TRUTHS for row in self.bench.fetch(truth.text)] == []

    def teardown(self) -> None:
        assert self.bench.run(audit.audit) == ()

    # -----------------------------------------------------------------------------------------------------------------

    def _same(self, operation: Operation[T], promise: Callable[[], T], *, dies: int | None) -> None:
        if dies is not None:
            self.bench.crash(operation, after=dies)
            return
        try:
            promised = promise()
        except Refused as refusal:
            self._refuse(operation, refusal)
        else:
            assert self.bench.run(operation) == promised

    def _refuse(self, operation: Operation[T], refusal: Refused) -> None:
        with pytest.raises(refusal.error) as raised:
            self.bench.run(operation)
        assert type(raised.value) is refusal.error
        assert getattr(raised.value, "available", None) == refusal.available

    def _hold(self, call: Call, *, credits: Decimal, lapses: bool, dies: int | None) -> None:
        async def operation(session: AsyncSession) -> Hold:
            return await ledger.hold(session, call=call, credits=credits, ttl_seconds=0 if lapses else 600)

        if dies is not None:
            self.bench.crash(operation, after=dies)
            return
        try:
            left = self.books.may_hold(
                user_id=call.user_id, project_id=call.project_id, call_key=call.call_key, credits=credits
            )
        except Refused as refusal:
            self._refuse(operation, refusal)
            return
        held = self.bench.run(operation)
        assert (held.credits, held.available) == (credits, left)
        self.books.hold(
            Attempt(
                call_key=call.call_key,
                operation_key=call.operation_key,
                user_id=call.user_id,
                project_id=call.project_id,
                credits=credits,
                due=lapses,
                hold_id=held.id,
                usage_id=held.usage_id,
            )
        )

    def _filled(self, credits: Decimal | Brim, call: Call) -> Decimal:
        if isinstance(credits, Decimal):
            return credits
        left = self.books.accounts[call.user_id].available
        if credits.of_project and call.project_id:
            of_limit = self.books.left_of(self.books.works[call.project_id])
            left = left if of_limit is None else of_limit
        return max(left, Decimal(0)) + credits.beyond

    def _new_call(self, *, who: int, where: int | None = 0, step: int = 0) -> Call:
        return self._call(who=who, where=where, key=f"call:{next(self.bench.numbers)}", step=step)

    def _call(self, *, who: int, where: int | None, key: str, step: int) -> Call:
        return Call(
            call_key=key,
            operation_key=f"step:{step}",
            user_id=self.people[who],
            project_id=None if where is None else self.projects[(who + where) % 2],
            task_key=None,
            task_type="implement",
            pricing_id=self.bench.price.id,
            terms=TERMS,
        )

    def _attempt(self, pick: int) -> Attempt:
        attempts = list(self.books.attempts.values())
        return attempts[pick % len(attempts)]
