"""People, keys and a clock that stands still: the scene of most tests of who comes in."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.access.by_telegram import TelegramSignIn
from bottega.access.codes import Codes
from bottega.access.door import Door
from bottega.access.limiting import Limiter
from bottega.access.rates import Rate, Rates
from bottega.access.service import Access
from bottega.access.sign_in import Method, SignIns, Tokens
from bottega.access.signing import TokenKeys
from bottega.billing.accounts import open_account
from bottega.db.transaction import Database
from bottega.users.tables import User
from tests.database import connected

SECRET, OLDER = (hashlib.sha256(bytes([number])).digest() for number in range(2))
ISSUER = "https://bottega.test"
BOT_TOKEN = "7000000001:AAE-a-token-of-the-test-which-opens-nothing"
AMPLE = Rate(amount=100_000, seconds=60)


class StillClock:
    """It begins at the present, for the database has a clock of its own, and goes when it is told to."""

    def __init__(self) -> None:
        self.instant = datetime.fromtimestamp(int(datetime.now(tz=UTC).timestamp()), tz=UTC)  # noqa: TID251 -- see above

    def now(self) -> datetime:
        return self.instant

    def monotonic(self) -> float:
        return self.instant.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.instant += timedelta(seconds=seconds)

    def go(self, seconds: float) -> None:
        self.instant += timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    database: Database
    database_url: str
    clock: StillClock
    keys: TokenKeys
    access: Access

    async def signed_in(self, user: User) -> Tokens:
        async with self.database.transaction() as session:
            return await self.access.sign_ins.start(session, user_id=user.id, method=Method.CODE)

    async def set_user(self, user: User, **values: str) -> None:
        async with self.database.transaction() as session:
            await session.execute(update(User).where(User.id == user.id).values(**values))

    async def code(self, user: User) -> str:
        async with self.database.transaction() as session:
            return await self.access.codes.issue_code(session, user_id=user.id)

    async def execute(self, statement: str, *given: object) -> None:
        """Change rows by hand, as time would."""
        async with connected(self.database_url) as connection:
            await connection.execute(statement, *given)

    async def count(self, question: str) -> int:
        async with connected(self.database_url) as connection:
            return int(await connection.fetchval(question))


def set_scene(
    database: Database,
    *,
    database_url: str,
    rates: Rates | None = None,
    redis_url: str | None = None,
    bot_token: str | None = BOT_TOKEN,
) -> Scene:
    clock = StillClock()
    keys = TokenKeys([SECRET, OLDER], issuer=ISSUER, clock=clock)
    sign_ins = SignIns(database=database, keys=keys)
    access = Access(
        database=database,
        door=Door(database=database, keys=keys),
        sign_ins=sign_ins,
        codes=Codes(database=database, keys=keys, sign_ins=sign_ins),
        telegram=TelegramSignIn(
            database=database, sign_ins=sign_ins, open_account=opened, bot_token=bot_token, clock=clock
        ),
        limiter=Limiter(redis_url=redis_url, clock=clock),
        rates=rates or Rates(person=AMPLE, address=AMPLE, sign_in=AMPLE),
    )
    return Scene(database=database, database_url=database_url, clock=clock, keys=keys, access=access)


async def opened(session: AsyncSession, *, telegram_user_id: int, username: str | None) -> int:
    person = await open_account(
        session, initial_credits=Decimal(10), telegram_user_id=telegram_user_id, username=username
    )
    return person.id
