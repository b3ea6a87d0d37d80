"""Everything at once: sixteen connections, few accounts, one after the other in one lock order."""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from decimal import Decimal
from os import kill
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError
from tests.billing.scene import Scene, set_scene, usage_costing

from bottega.billing import ledger
from bottega.billing.ledger import InsufficientCredits
from bottega.billing.types import Cause, Hold, TransactionType
from bottega.core.clock import SystemClock
from bottega.db.embedded import EmbeddedPostgres
from bottega.db.migrate import upgrade
from bottega.db.transaction import Database

CONNECTIONS = 16


class Storm:
    """Workers that do whatever comes to mind, on shared accounts and on each other's holds. Deterministic dice each."""

    def __init__(self, scenes: list[Scene]) -> None:
        self.scenes = scenes
        self.holds: list[tuple[Scene, Hold]] = []
        self.done: Counter[str] = Counter()

    async def worker(self, number: int, *, times: int) -> None:
        dice = random.Random(number)  # noqa: S311 -- a storm, not a secret
        for turn in range(times):
            act = dice.choice((self.hold, self.hold, self.hold, self.settle, self.settle, self.void, self.move))
            if turn % 10 == 9:
                await self.sweep_and_give_up(dice)
            with suppress(InsufficientCredits):
                await act(dice)
            self.done[act.__name__] += 1

    async def hold(self, dice: random.Random) -> None:
        scene = dice.choice(self.scenes)
        call = scene.call(operation_key=f"step:{dice.randrange(4)}")
        credits = Decimal(dice.randrange(1, 900)) / 100
        self.holds.append((scene, await scene.hold(credits, ttl_seconds=dice.choice((0, 0.02, 60)), call=call)))

    async def settle(self, dice: random.Random) -> None:
        if self.holds:
            scene, held = dice.choice(self.holds[-40:])
            await scene.settle(held, usage_costing(str(dice.choice((0, 3, 6, 9)))))

    async def void(self, dice: random.Random) -> None:
        if self.holds:
            scene, held = dice.choice(self.holds[-40:])
            await scene.void(held)

    async def move(self, dice: random.Random) -> None:
        scene = dice.choice(self.scenes)
        cause = Cause(type=TransactionType.PURCHASE, idempotency_key=f"{scene.user_id}:{dice.randrange(300)}")
        post = dice.choice((ledger.grant, ledger.grant, ledger.claw_back))
        async with scene.database.transaction() as session:
            await post(session, user_id=scene.user_id, credits=Decimal(dice.randrange(1, 20)), cause=cause)

    async def sweep_and_give_up(self, dice: random.Random) -> None:
        scene = self.scenes[0]
        async with scene.database.transaction() as session:
            if dice.random() < 0.5:
                await ledger.sweep(session, limit=dice.choice((2, 500)))
            else:
                await ledger.orphan_started(session, operation_key=f"step:{dice.randrange(4)}")


@asynccontextmanager
async def crowd(url: str) -> AsyncIterator[Database]:
    database = Database(url=url, pool_size=CONNECTIONS)
    yield database
    await database.close()


async def few_accounts(database: Database) -> list[Scene]:
    scenes = [await set_scene(database, username=name, credits="60") for name in ("ada", "bob", "cem")]
    price = scenes[-1].price  # the others' was replaced
    numbers = scenes[0].numbers
    await scenes[1].limit_project("40")
    return [replace(scene, price=price, numbers=numbers) for scene in scenes]


async def test_a_storm_of_everything_ends_without_a_deadlock_and_adds_up(database_url: str) -> None:
    async with crowd(database_url) as database:
        scenes = await few_accounts(database)
        storm = Storm(scenes)
        await asyncio.gather(*(storm.worker(number, times=30) for number in range(CONNECTIONS)))
        assert set(storm.done) == {"hold", "settle", "void", "move"}
        assert await scenes[0].faults() == []


async def test_sweepers_side_by_side_take_each_hold_once(database_url: str) -> None:
    async with crowd(database_url) as database:
        scene = await set_scene(database)
        for _ in range(30):
            await scene.hold("1", ttl_seconds=0)
        taken = await asyncio.gather(*(scene.sweep() for _ in range(6)))
        assert sum(taken) == 30
        assert await scene.money() == (Decimal(100), Decimal(0))
        assert await scene.faults() == []


@pytest.mark.parametrize("settles_first", [True, False])
async def test_a_sweep_and_a_settle_of_the_same_hold_end_it_once(database_url: str, *, settles_first: bool) -> None:
    async with crowd(database_url) as database:
        scene = await set_scene(database)
        held = await scene.hold("10", ttl_seconds=0)
        acts: list[Callable[[], Awaitable[object]]] = [
            lambda: scene.settle(held, usage_costing("6")),
            scene.sweep,
        ]
        await asyncio.gather(*(act() for act in (acts if settles_first else acts[::-1])))
        assert await scene.money() == (Decimal(94), Decimal(0))
        assert await scene.hold_states() in (["settled"], ["expired"])
        assert await scene.faults() == []


@pytest.mark.slow
async def test_a_server_killed_in_the_middle_of_a_storm_keeps_whole_transactions_only(tmp_path: Path) -> None:
    server = EmbeddedPostgres(home=tmp_path, clock=SystemClock())
    url = await server.start()
    try:
        await upgrade(url=url)
        async with crowd(url) as database:
            scenes = await few_accounts(database)
        for _ in range(3):
            async with crowd(url) as database:
                storm = Storm([replace(scene, database=database) for scene in scenes])
                storm.holds = []
                workers = [asyncio.create_task(storm.worker(number, times=10_000)) for number in range(CONNECTIONS)]
                await asyncio.sleep(1)
                kill(int((tmp_path / "postgres/data/postmaster.pid").read_text().split()[0]), signal.SIGKILL)
                ended = await asyncio.gather(*workers, return_exceptions=True)
                assert all(isinstance(end, DBAPIError | OSError) for end in ended), ended
                assert storm.done["hold"] > CONNECTIONS
            url = await server.start()
            async with crowd(url) as database:
                assert await replace(scenes[0], database=database).faults() == []
    finally:
        await server.stop()
