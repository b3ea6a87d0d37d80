"""`bottega ledger` on an installation whose calls were lost."""

import asyncio
import json

from click.testing import Result

from bottega.db.transaction import Database
from tests.billing.scene import set_scene
from tests.billing.test_reconcile import age, lose
from tests.entrypoints.cli.conftest import Run


async def test_nothing_lost_is_said_in_a_line(bottega: Run) -> None:
    asked = await in_thread(bottega, "ledger", "reconcile")
    assert (asked.stdout, asked.exit_code) == ("No lost call is waiting for its price.\n", 0)


async def test_lost_calls_are_looked_after_and_the_truths_hold(bottega: Run, database: Database) -> None:
    scene = await set_scene(database)  # of a provider that is configured no more
    await lose(scene, "gen-1", None)
    asked = await in_thread(bottega, "ledger", "reconcile")
    assert asked.stdout == "2 lost calls have no answer yet: run this again later.\nNobody was charged.\n"
    assert (await in_thread(bottega, "ledger", "check")).exit_code == 0
    await age(scene, hours=24 * 8)
    assert "M6" in (await in_thread(bottega, "ledger", "check")).output
    asked = await in_thread(bottega, "ledger", "reconcile", "--json")
    assert json.loads(asked.stdout)["unknown"] == 2
    assert (await in_thread(bottega, "ledger", "check")).exit_code == 0


async def in_thread(bottega: Run, *arguments: str) -> Result:
    return await asyncio.to_thread(bottega, *arguments)
