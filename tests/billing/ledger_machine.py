"""A state machine that does to the ledger whatever may happen to it, and keeps the same books beside it.

After every rule the rows say what `Books` say, to the last decimal, and the audit finds nothing. Any operation may die:
before its first statement, between any two, or after the last and before the commit; then nothing has happened.
"""

import asyncio
import itertools
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeVar

import asyncpg
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession
from tests.billing.books import Account, Attempt, Books, Refused, Work, exact_charge
from tests.billing.scene import MODEL, RATES

from bottega.billing import audit, ledger
from bottega.billing.prices import set_price
from bottega.billing.pricing import Price, charge_credits, cost_usd
from bottega.billing.types import Call, CallStatus, Cause, Cost, CostSource, Hold, Outcome, Terms, TransactionType
from bottega.core.errors import AppError
from bottega.core.ids import new_id
from bottega.db.transaction import Database
from bottega.llm.types import Usage

T = TypeVar("T")
Operation = Callable[[AsyncSession], Awaitable[T]]

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


class Crash(Exception):
    """The process died here."""


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
HOLDS = st.one_of(st.sampled_from(tuple(map(charge, USAGES))), ANY_CREDITS, BRIM)
KEYS = st.integers(0, 12).map(lambda number: f"order:{number}")  # few: they come back, also with somebody else's money
PICKS = st.integers(0, 40)
DIES = st.sampled_from((None,) * 6 + (0, 1, 2, 3))  # after how many statements, if at all
CAUSES_OF_GRANTS = st.sampled_from(
    (TransactionType.INITIAL_GRANT, TransactionType.PURCHASE, TransactionType.DISPUTE_REINSTATED)
)
CAUSES_OF_CLAWBACKS = st.sampled_from((TransactionType.REFUND_CLAWBACK, TransactionType.DISPUTE_CLAWBACK))
TABLES = ("credit_transactions", "api_key_usage", "credit_holds", "projects", "users")
DELETES = "; ".join(f"DELETE FROM {table}" for table in TABLES)  # noqa: S608 -- our own names


@dataclass(kw_only=True)
class Bench:
    """One event loop and one database for all the machines of a run. `eyes` read past SQLAlchemy and the ledger."""

    runner: asyncio.Runner
    database: Database
    eyes: "asyncpg.Connection[asyncpg.Record]"
    price: Price
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    clearings: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def run(self, operation: Operation[T]) -> T:
        async def whole() -> T:
            async with self.database.transaction() as session:
                return await operation(session)

        return self.runner.run(whole())

    def crash(self, operation: Operation[T], *, after: int) -> None:
        """Do so many statements of an operation, or all and not the commit; a refusal on the way is none the worse."""

        async def dying(session: AsyncSession) -> None:
            with self._dying(after=after):
                await operation(session)
            raise Crash

        with pytest.raises((Crash, AppError)):
            self.run(dying)

    @contextmanager
    def _dying(self, *, after: int) -> Iterator[None]:
        numbers = itertools.count()

        def count(*_: object) -> None:
            if next(numbers) >= after:
                raise Crash

        event.listen(self.database.engine.sync_engine, "before_cursor_execute", count)
        try:
            yield
        finally:
            event.remove(self.database.engine.sync_engine, "before_cursor_execute", count)

    def fetch(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.runner.run(self.eyes.fetch(statement, *values))]

    def clear(self) -> None:
        """Empty the books for the next example; deleting a few rows is quicker than TRUNCATE, until they pile up."""
        if next(self.clearings) % 50 == 0:
            self.runner.run(self.eyes.execute(f"TRUNCATE {', '.join(TABLES)} CASCADE"))
        else:
            self.runner.run(self.eyes.execute(DELETES))


@contextmanager
def open_bench(url: str) -> Iterator[Bench]:
    with asyncio.Runner() as runner:
        database = Database(url=url, pool_size=1)
        eyes = runner.run(_connect(database))

        async def price() -> Price:
            async with database.transaction() as session:
                return await set_price(session, model=MODEL, rates=RATES)

        try:
            yield Bench(runner=runner, database=database, eyes=eyes, price=runner.run(price()))
        finally:
            runner.run(eyes.close())
            runner.run(database.close())


async def _connect(database: Database) -> "asyncpg.Connection[asyncpg.Record]":
    plain = database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(plain)
    await connection.execute("SET session_replication_role = replica")  # ledger rows may go between examples
    return connection


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
        self.post(sign=1, who=0, credits=Decimal(50), type=TransactionType.INITIAL_GRANT, key="signup", dies=None)

    # -- money that comes and goes ------------------------------------------------------------------------------------

    @rule(who=PEOPLE, credits=ANY_CREDITS, type=CAUSES_OF_GRANTS, key=KEYS, dies=DIES)
    def grant(self, who: int, credits: Decimal, type: TransactionType, key: str, dies: int | None) -> None:  # noqa: A002
        self.post(sign=1, who=who, credits=credits, type=type, key=key, dies=dies)

    @rule(who=PEOPLE, credits=ANY_CREDITS, type=CAUSES_OF_CLAWBACKS, key=KEYS, dies=DIES)
    def claw_back(self, who: int, credits: Decimal, type: TransactionType, key: str, dies: int | None) -> None:  # noqa: A002
        self.post(sign=-1, who=who, credits=credits, type=type, key=key, dies=dies)

    @rule(who=PEOPLE, credits=ANY_CREDITS, sign=st.sampled_from((1, -1)), key=KEYS, dies=DIES)
    def adjust(self, who: int, credits: Decimal, sign: int, key: str, dies: int | None) -> None:
        self.post(sign=sign, who=who, credits=credits, type=TransactionType.ADJUSTMENT, key=key, dies=dies)

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
        many=st.lists(HOLDS, min_size=1, max_size=3),
        step=st.integers(0, 4),
        lapses=st.booleans(),
        dies=DIES,
    )
    def hold(
        self, who: int, where: int | None, many: list[Decimal | Brim], step: int, *, lapses: bool, dies: int | None
    ) -> None:
        for credits in many:
            call = self._call(who=who, where=where, key=f"call:{next(self.bench.numbers)}", step=step)
            self._hold(call, credits=self._filled(credits, call), lapses=lapses, dies=dies)

    @precondition(lambda self: self.books.attempts)
    @rule(who=PEOPLE, where=PROJECTS, credits=HOLDS, pick=PICKS, lapses=st.booleans(), dies=DIES)
    def hold_again(
        self, who: int, where: int | None, credits: Decimal | Brim, pick: int, *, lapses: bool, dies: int | None
    ) -> None:
        """Use a call key twice."""
        call = self._call(who=who, where=where, key=self._attempt(pick).call_key, step=0)
        self._hold(call, credits=self._filled(credits, call), lapses=lapses, dies=dies)

    @precondition(lambda self: self.books.attempts)
    @rule(pick=PICKS, usage=st.sampled_from(USAGES), dies=DIES)
    def settle(self, pick: int, usage: Usage, dies: int | None) -> None:
        attempt = self._attempt(pick)
        cost = Cost(usage=usage, exact_usd=cost_usd(self.bench.price, usage), source=CostSource.COMPUTED)
        credits = charge_credits(cost.exact_usd, terms=TERMS)
        assert credits == charge(usage)

        async def operation(session: AsyncSession) -> tuple[Decimal, Decimal, bool]:
            settled = await ledger.settle(
                session, usage_id=attempt.usage_id, credits=credits, outcome=Outcome(cost=cost)
            )
            return settled.charged, settled.unbilled, settled.repeated

        self._same(operation, lambda: self.books.settle(attempt, credits=credits), dies=dies)

    @precondition(lambda self: self.books.attempts)
    @rule(pick=PICKS, status=st.sampled_from((CallStatus.FAILED, CallStatus.ORPHAN, CallStatus.FENCED)), dies=DIES)
    def void(self, pick: int, status: CallStatus, dies: int | None) -> None:
        attempt = self._attempt(pick)

        async def operation(session: AsyncSession) -> bool:
            return await ledger.void(session, usage_id=attempt.usage_id, status=status, outcome=Outcome())

        self._same(operation, lambda: self.books.void(attempt, status=status), dies=dies)

    @rule(limit=st.sampled_from((1, 500)), dies=DIES)
    def sweep(self, limit: int, dies: int | None) -> None:
        async def operation(session: AsyncSession) -> int:
            return await ledger.sweep(session, limit=limit)

        self._same(operation, lambda: self.books.sweep(limit=limit), dies=dies)

    @rule(step=st.integers(0, 4), dies=DIES)
    def claim_a_step_again(self, step: int, dies: int | None) -> None:
        async def operation(session: AsyncSession) -> int:
            return await ledger.orphan_started(session, operation_key=f"step:{step}")

        self._same(operation, lambda: self.books.orphan_started(operation_key=f"step:{step}"), dies=dies)

    # -- what the operator does ---------------------------------------------------------------------------------------

    @rule(where=PEOPLE, room=st.one_of(st.none(), st.just(Decimal(0)), ANY_CREDITS), then=HOLDS)
    def limit_a_project(self, where: int, room: Decimal | None, then: Decimal | Brim) -> None:
        """Limit a project to what it has cost and holds, and some room; its person tries to pass that at once."""
        work = self.books.works[self.projects[where]]
        work.limit = None if room is None else self.books.committed(work) + room
        self.bench.fetch("UPDATE projects SET credit_limit = $1 WHERE id = $2", work.limit, work.project_id)
        for credits in (Brim(of_project=True, beyond=STEP), then):
            call = self._call(who=where, where=0, key=f"call:{next(self.bench.numbers)}", step=0)
            self._hold(call, credits=self._filled(credits, call), lapses=False, dies=None)

    @rule(who=PEOPLE, active=st.sampled_from((True, True, True, True, False)))
    def suspend_or_reinstate(self, who: int, *, active: bool) -> None:
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
