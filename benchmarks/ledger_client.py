"""One client process of `benchmarks.ledger`: holds and settles as fast as its connections go, for some seconds.

Each cycle is what one model call costs the ledger, in two transactions, as a call of the relay does it:
`ledger.hold_at_once` and `ledger.settle`, one round trip each. The count of whole cycles goes to stdout.
"""

import asyncio
import itertools
import json
import sys
import time
import uuid
from dataclasses import asdict, dataclass
from decimal import Decimal

from bottega.billing import ledger
from bottega.billing.types import Call, Cost, CostSource, Outcome, Terms
from bottega.db.transaction import Database
from bottega.llm.types import Usage

TERMS = Terms(markup=Decimal("1.5"), credit_value_usd=Decimal("0.01"))
USAGE = Usage(input_tokens=1_000, output_tokens=100)
COST = Cost(usage=USAGE, exact_usd=Decimal("0.00225"), source=CostSource.COMPUTED)
HELD, CHARGED = Decimal("1.5"), Decimal("0.3375")


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What a client is to do. `accounts` are pairs of a person and a project of theirs."""

    url: str
    accounts: list[tuple[int, str]]
    pricing_id: int
    connections: int
    seconds: float
    name: str

    def to_json(self) -> str:
        return json.dumps(asdict(self))


async def work(orders: Orders) -> int:
    database = Database(url=orders.url, pool_size=orders.connections)
    numbers = itertools.count()
    await asyncio.gather(*(_cycle(database, orders, next(numbers)) for _ in range(orders.connections)))  # warm
    deadline = time.perf_counter() + orders.seconds
    done = 0

    async def one_connection() -> None:
        nonlocal done
        while time.perf_counter() < deadline:
            await _cycle(database, orders, next(numbers))
            done += 1

    await asyncio.gather(*(one_connection() for _ in range(orders.connections)))
    await database.close()
    return done


async def _cycle(database: Database, orders: Orders, number: int) -> None:
    user_id, project_id = orders.accounts[number * 7919 % len(orders.accounts)]
    call = Call(
        call_key=f"{orders.name}:{number}",
        operation_key=f"{orders.name}:{number // 8}",
        user_id=user_id,
        project_id=uuid.UUID(project_id),
        task_key="T1",
        task_type="implement",
        pricing_id=orders.pricing_id,
        terms=TERMS,
    )
    held = await ledger.hold_at_once(database.autocommit, call=call, credits=HELD, ttl_seconds=600)
    assert held is not None
    outcome = Outcome(cost=COST)
    await ledger.settle(database.autocommit, usage_id=held.usage_id, credits=CHARGED, outcome=outcome)


if __name__ == "__main__":
    print(asyncio.run(work(Orders(**json.loads(sys.stdin.read())))))
