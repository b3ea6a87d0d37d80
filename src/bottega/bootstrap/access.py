"""Who may come in: the parts that decide it, with the secrets of this installation."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from bottega.access.by_telegram import TelegramSignIn
from bottega.access.codes import Codes
from bottega.access.door import Door
from bottega.access.service import Access
from bottega.access.sign_in import SignIns
from bottega.access.signing import TokenKeys
from bottega.billing.accounts import open_account
from bottega.bootstrap.app import App
from bottega.bootstrap.home import MissingTokenSecret, open_token_secrets
from bottega.config import Settings
from bottega.core.clock import Clock, SystemClock


@asynccontextmanager
async def open_access(app: App, *, clock: Clock | None = None) -> AsyncIterator[Access]:
    """Yield what decides who comes in. Raise MissingTokenSecret outside development without JWT_SECRET."""
    from bottega.access.limiting import Limiter  # noqa: PLC0415 -- commands that serve nobody need not load it

    settings, clock = app.settings, clock or SystemClock()
    keys = open_token_keys(settings, clock=clock)
    sign_ins = SignIns(database=app.database, keys=keys)
    bot_token = settings.telegram.telegram_bot_token
    telegram = TelegramSignIn(
        database=app.database,
        sign_ins=sign_ins,
        open_account=_Accounts(app=app),
        bot_token=None if bot_token is None else bot_token.get_secret_value(),
        clock=clock,
    )
    limiter = Limiter(redis_url=settings.redis.url, clock=clock)
    try:
        yield Access(
            database=app.database,
            door=Door(database=app.database, keys=keys),
            sign_ins=sign_ins,
            codes=Codes(database=app.database, keys=keys, sign_ins=sign_ins),
            telegram=telegram,
            limiter=limiter,
            rates=settings.access.rates,
        )
    finally:
        await limiter.close()


def codes_of(app: App, *, clock: Clock) -> Codes | None:
    """Return what makes codes to sign in with; None outside development without JWT_SECRET, where nobody signs in."""
    try:
        keys = open_token_keys(app.settings, clock=clock)
    except MissingTokenSecret:
        return None
    return Codes(database=app.database, keys=keys, sign_ins=SignIns(database=app.database, keys=keys))


def open_token_keys(settings: Settings, *, clock: Clock) -> TokenKeys:
    return TokenKeys(open_token_secrets(settings), issuer=settings.http.public_url, clock=clock)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Accounts:
    """Opens accounts as the bot does: whoever had free credits once has had them, however they come in."""

    app: App

    async def __call__(self, session: AsyncSession, *, telegram_user_id: int, username: str | None) -> int:
        billing = self.app.settings.billing
        person = await open_account(
            session,
            initial_credits=billing.initial_credits,
            telegram_user_id=telegram_user_id,
            username=username,
            grant_key=self.app.signup_key(telegram_user_id),
            free_credits_a_day=billing.free_credits_per_day,
        )
        return person.id
