"""A person with credits, a project of theirs and a priced model: the scene of most tests of money."""

import itertools
import uuid
from dataclasses import dataclass, field
from decimal import Decimal

from sqlalchemy import select, update

from bottega.billing import ledger
from bottega.billing.accounts import open_account
from bottega.billing.audit import audit
from bottega.billing.prices import set_price
from bottega.billing.pricing import Price, Rates, charge_credits, cost_usd
from bottega.billing.tables import ApiKeyUsage, CreditHold, CreditTransaction
from bottega.billing.types import Call, CallStatus, Cost, CostSource, Hold, Outcome, Settlement, Terms
from bottega.core.ids import new_id
from bottega.db.transaction import Database
from bottega.llm.types import ModelName, Usage
from bottega.projects.tables import Project
from bottega.users.tables import User

MODEL = ModelName(provider="acme", name="sage")
RATES = Rates(input=Decimal("1.25"), cached=Decimal("0.125"), output=Decimal(10))
TERMS = Terms(markup=Decimal("1.5"), credit_value_usd=Decimal("0.01"))


@dataclass(kw_only=True)
class Scene:
    database: Database
    user_id: int
    project_id: uuid.UUID
    price: Price
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def call(self, **changes: object) -> Call:
        key = f"run:step:1:{next(self.numbers)}"
        given: dict[str, object] = {
            "call_key": key,
            "operation_key": "run:step",
            "user_id": self.user_id,
            "project_id": self.project_id,
            "task_key": "T1",
            "task_type": "implement",
            "pricing_id": self.price.id,
            "terms": TERMS,
        }
        return Call(**(given | changes))  # type: ignore[arg-type]

    async def hold(self, credits: str | Decimal, *, ttl_seconds: float = 60, call: Call | None = None) -> Hold:
        async with self.database.transaction() as session:
            return await ledger.hold(
                session, call=call or self.call(), credits=Decimal(credits), ttl_seconds=ttl_seconds
            )

    async def settle(self, hold: Hold, usage: Usage) -> Settlement:
        cost = Cost(usage=usage, exact_usd=cost_usd(self.price, usage), source=CostSource.COMPUTED)
        async with self.database.transaction() as session:
            return await ledger.settle(
                session,
                usage_id=hold.usage_id,
                credits=charge_credits(cost.exact_usd, terms=TERMS),
                outcome=Outcome(cost=cost),
            )

    async def void(self, hold: Hold, *, status: CallStatus = CallStatus.FAILED) -> bool:
        async with self.database.transaction() as session:
            return await ledger.void(session, usage_id=hold.usage_id, status=status, outcome=Outcome())

    async def sweep(self) -> int:
        async with self.database.transaction() as session:
            return await ledger.sweep(session)

    async def money(self) -> tuple[Decimal, Decimal]:
        """Return the balance and what is held of it."""
        async with self.database.transaction() as session:
            person = select(User.credit_balance, User.credit_held).where(User.id == self.user_id)
            row = (await session.execute(person)).one()
        return row.credit_balance, row.credit_held

    async def limit_project(self, credits: str) -> None:
        async with self.database.transaction() as session:
            await session.execute(
                update(Project).where(Project.id == self.project_id).values(credit_limit=Decimal(credits))
            )

    async def calls(self) -> list[ApiKeyUsage]:
        async with self.database.transaction() as session:
            return list((await session.scalars(select(ApiKeyUsage).order_by(ApiKeyUsage.id))).all())

    async def pay_with_own_key(self, call: ApiKeyUsage) -> None:
        """Let it be a key of the person's own that paid for a call."""
        async with self.database.transaction() as session:
            await session.execute(update(ApiKeyUsage).where(ApiKeyUsage.id == call.id).values(own_key=True))

    async def hold_states(self) -> list[str]:
        async with self.database.transaction() as session:
            return sorted((await session.scalars(select(CreditHold.state))).all())

    async def entries(self) -> list[CreditTransaction]:
        async with self.database.transaction() as session:
            return list((await session.scalars(select(CreditTransaction).order_by(CreditTransaction.id))).all())

    async def faults(self) -> list[str]:
        """Return the truths that do not hold."""
        async with self.database.transaction() as session:
            return [finding.truth for finding in await audit(session)]


async def set_scene(database: Database, *, credits: str = "100", username: str = "ada", rates: Rates = RATES) -> Scene:
    async with database.transaction() as session:
        person = await open_account(session, username=username, initial_credits=Decimal(credits))
        price = await set_price(session, model=MODEL, rates=rates)
        project = Project(id=new_id(), user_id=person.id, title="t", description="d", status="implementing")
        session.add(project)
    return Scene(database=database, user_id=person.id, project_id=project.id, price=price)


def usage_costing(credits: str) -> Usage:
    """Return output tokens that cost this many credits at RATES and TERMS: 1 credit is 2000/3 tokens."""
    tokens = Decimal(credits) * 2000 / 3
    if tokens != int(tokens):
        raise ValueError(credits)
    return Usage(output_tokens=int(tokens))
