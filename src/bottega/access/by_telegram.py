"""Signing in with Telegram's word, which is taken once: a second time it is somebody who has overheard it."""

from collections.abc import Mapping
from typing import Protocol

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.access.sign_in import Method, SignIns, Tokens
from bottega.access.tables import UsedTelegramData
from bottega.access.telegram import (
    AHEAD_SECONDS,
    FRESH_SECONDS,
    NotTelegramsWord,
    Vouched,
    check_fresh,
    read_init_data,
    read_widget,
)
from bottega.core.clock import Clock
from bottega.core.errors import AppError
from bottega.db.transaction import Database


class NoBot(AppError):
    code = "no_telegram_bot"
    http_status = 404  # it is not out of reach: here there is no such way in

    def __init__(self) -> None:
        super().__init__("This installation has no Telegram bot, so nobody can sign in with Telegram.")


class OpenAccount(Protocol):
    async def __call__(self, session: AsyncSession, *, telegram_user_id: int, username: str | None) -> int:
        """Return the account of a person on Telegram; a new one is opened with its credits, once."""
        ...


class TelegramSignIn:
    """Without a bot's token there is nothing to believe."""

    def __init__(
        self,
        *,
        database: Database,
        sign_ins: SignIns,
        open_account: OpenAccount,
        bot_token: str | None,
        clock: Clock,
    ) -> None:
        self._database = database
        self._sign_ins = sign_ins
        self._open_account = open_account
        self._bot_token = bot_token
        self._clock = clock

    async def by_widget(self, fields: Mapping[str, str | int]) -> Tokens:
        """Sign in with what the Login Widget gave. Raise NoBot, NotTelegramsWord, AccountNotActive."""
        vouched = read_widget(fields, bot_token=self._token())
        return await self._start(vouched, method=Method.TELEGRAM)

    async def by_mini_app(self, init_data: str) -> Tokens:
        """Sign in with a Mini App's `initData`. Raise NoBot, NotTelegramsWord, AccountNotActive."""
        vouched = read_init_data(init_data, bot_token=self._token())
        return await self._start(vouched, method=Method.MINI_APP)

    def _token(self) -> str:
        if self._bot_token is None:
            raise NoBot
        return self._bot_token

    async def _start(self, vouched: Vouched, *, method: Method) -> Tokens:
        check_fresh(vouched, now=self._clock.now())
        async with self._database.transaction() as session:
            await _use(session, vouched)
            user_id = await self._open_account(
                session, telegram_user_id=vouched.telegram_user_id, username=vouched.username
            )
            return await self._sign_ins.start(session, user_id=user_id, method=method)


async def _use(session: AsyncSession, vouched: Vouched) -> None:
    """Remember this word for as long as it would be taken. Raise NotTelegramsWord the second time."""
    keep_seconds = FRESH_SECONDS + 2 * AHEAD_SECONDS  # past the end of its time, by whosever clock
    new = insert(UsedTelegramData).values(
        data_sha256=vouched.digest,
        expires_at=func.now() + func.make_interval(0, 0, 0, 0, 0, 0, keep_seconds),
    )
    first = new.on_conflict_do_nothing().returning(UsedTelegramData.data_sha256)
    if (await session.scalars(first)).one_or_none() is None:
        raise NotTelegramsWord("it was used before")
