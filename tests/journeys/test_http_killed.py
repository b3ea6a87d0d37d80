"""`bottega serve` killed while twenty people's requests are under way: sent again, each has been done once."""

import asyncio
import signal
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal

import httpx2
import pytest
from sqlalchemy import text, update

from bottega.access import personal_tokens
from bottega.access.personal_tokens import WantedToken
from bottega.access.types import Identity, Role, Scope
from bottega.billing.audit import audit
from bottega.db.transaction import Database
from bottega.users.tables import User
from tests.database import MakeUser
from tests.entrypoints.cli.conftest import Environment, command, environment
from tests.entrypoints.relay.conftest import client
from tests.fakes.providers import Ask, FakeProviders, Reply
from tests.journeys import scripts
from tests.journeys.test_http_api import models, token_for
from tests.journeys.test_wire import purpose
from tests.waiting import when

__all__ = ["environment"]

PEOPLE, GRANT = 20, Decimal(7)


def planned(ask: Ask) -> Reply:
    return Reply(text=scripts.GOOD[purpose(ask)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """A request that may be sent any number of times."""

    token: str
    path: str
    body: dict[str, object]
    key: str

    async def send(self, url: str) -> int:
        async with client(url, token=self.token) as http:
            return (await http.post(self.path, json=self.body, headers={"Idempotency-Key": self.key})).status_code


@asynccontextmanager
async def served(environment: Environment) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    process = await asyncio.create_subprocess_exec(
        *command("serve", "--port", "0"),
        env=environment.variables(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().split()[2].rstrip(";"), process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0


@pytest.mark.slow
@pytest.mark.parametrize("answered", [0, 5, 25])
async def test_what_was_under_way_at_a_kill_is_done_once(
    database: Database, make_user: MakeUser, environment: Environment, answered: int
) -> None:
    people = [await make_user(balance=Decimal(100)) for _ in range(PEOPLE)]
    deeds = await _deeds(database, people, admin=await make_user())
    async with FakeProviders() as fake, AsyncExitStack() as stack:
        fake.answer = planned
        here = Environment(
            database_url=environment.database_url, home=environment.home, settings=models(fake) | {"LOG_LEVEL": "ERROR"}
        )
        url, process = await stack.enter_async_context(served(here))
        statuses = await _sent_until_killed(url, process, deeds, answered=answered)
        assert statuses.count(201) < len(deeds), "all had been answered before it was killed"
        url, _ = await stack.enter_async_context(served(here))
        assert await asyncio.gather(*(deed.send(url) for deed in deeds)) == [201] * len(deeds)
        await when(lambda: _all_wait(database))
    assert await _counts(database) == {"projects": PEOPLE, "runs": PEOPLE, "payment_orders": PEOPLE, "grants": PEOPLE}
    async with database.reading() as session:
        assert await audit(session) == ()
        charged = await session.execute(text(_CHARGED))
        assert {(row.task_type, row.people, row.calls) for row in charged} == {
            ("gather", PEOPLE, PEOPLE),
            ("plan", PEOPLE, PEOPLE),
        }


async def _deeds(database: Database, people: Sequence[User], *, admin: User) -> list[Deed]:
    async with database.transaction() as session:
        await session.execute(update(User).where(User.id == admin.id).values(role=Role.ADMIN.value))
        scopes = frozenset({Scope.ADMIN})
        maker = Identity(user_id=admin.id, role=Role.ADMIN, scopes=scopes)
        wanted = WantedToken(name="killed", scopes=scopes, days=1)
        admins = (await personal_tokens.create(session, maker=maker, wanted=wanted)).token
    deeds = []
    for person in people:
        theirs = await token_for(database, person.id, scopes=frozenset(Scope) - {Scope.ADMIN})
        grant = {"credits": str(GRANT), "reason": "A test"}
        for token, path, body in (
            (theirs, "/v1/projects", {"brief": scripts.BRIEF}),
            (theirs, "/v1/credits/checkouts", {"package": "buy_100"}),
            (admins, f"/v1/admin/users/{person.id}/grants", grant),
        ):
            deeds.append(Deed(token=token, path=path, body=dict(body), key=str(uuid.uuid4())))
    return deeds


async def _sent_until_killed(
    url: str, process: asyncio.subprocess.Process, deeds: Sequence[Deed], *, answered: int
) -> list[int]:
    """Send everything at once, kill the server after some answers, and return the statuses that came."""
    statuses: list[int] = []
    enough = asyncio.Event()

    async def send(deed: Deed) -> None:
        try:
            statuses.append(await deed.send(url))
        except httpx2.TransportError:
            return
        if len(statuses) >= answered:
            enough.set()

    sending = [asyncio.create_task(send(deed)) for deed in deeds]
    if answered:
        await enough.wait()
    else:
        await asyncio.sleep(0.05)
    process.kill()
    await process.wait()
    await asyncio.gather(*sending)
    return statuses


async def _all_wait(database: Database) -> bool:
    async with database.reading() as session:
        waiting = await session.execute(text("SELECT count(*) FROM runs WHERE phase = 'approve' AND state = 'waiting'"))
        return bool(waiting.scalar_one() == PEOPLE)


async def _counts(database: Database) -> dict[str, int]:
    counted = {
        **{table: f"SELECT count(*) FROM {table}" for table in ("projects", "runs", "payment_orders")},  # noqa: S608  # our own names
        "grants": "SELECT count(*) FROM credit_transactions WHERE idempotency_key LIKE 'grant:admin:%'",
    }
    async with database.reading() as session:
        return {name: (await session.execute(text(sql))).scalar_one() for name, sql in counted.items()}


_CHARGED = """
SELECT call.task_type, count(DISTINCT call.user_id) AS people, count(*) AS calls
FROM credit_transactions AS paid JOIN api_key_usage AS call ON call.id = paid.api_key_usage_id
GROUP BY call.task_type
"""
