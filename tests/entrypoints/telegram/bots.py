"""A whole bot in this process, beside a Telegram of our own: only the models' words are scripted.

async with a_bot(settings, telegram, script=GOOD) as bot:
    ada = telegram.person(7, "Ada")
    await ada.says("/start")
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from tests.fakes.telegram import TOKEN, FakeTelegram
from tests.journeys.conftest import scripted, settings_for

from bottega.bootstrap import App, open_app
from bottega.config import PaymentSettings, Settings
from bottega.core.clock import SystemClock
from bottega.entrypoints.telegram.api import BotApi
from bottega.entrypoints.telegram.carrier import Carrier
from bottega.entrypoints.telegram.desk import Desk
from bottega.entrypoints.telegram.house import House, Rules
from bottega.entrypoints.telegram.narrator import Narrator
from bottega.entrypoints.telegram.pacing import Limit, Limits, Pacer
from bottega.entrypoints.telegram.poller import Poller
from bottega.entrypoints.telegram.receiving import SOURCE, Reception
from bottega.entrypoints.telegram.saying import Voice
from bottega.entrypoints.telegram.sending import TARGET
from bottega.entrypoints.telegram.talk import Conversation
from bottega.entrypoints.telegram.words import words_for
from bottega.llm.types import Gateway
from bottega.orchestration.forgetting import Forgetting
from bottega.orchestration.inbox import Clerk, Inbox
from bottega.orchestration.outbox import Postman

QUICK = Limits(
    overall=Limit(burst=1000, each_second=1000),
    private=Limit(burst=1000, each_second=1000),
    group=Limit(burst=1000, each_second=1000),
)
EDIT_SECONDS = 0.05
WORK_SECONDS = 20.0  # a build, on a busy machine


class NoLinks:
    async def to(self, *, key: str) -> str | None:  # noqa: ARG002  # the protocol's
        return None


@dataclass(kw_only=True)
class Bot:
    """`house` is what its conversation works with."""

    app: App
    house: House
    conversation: Conversation
    narrator: Narrator
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)


def bot_settings(*, home: Path, database_url: str, telegram: FakeTelegram, **settings: object) -> Settings:
    made = settings_for(home=home, database_url=database_url, **settings)  # type: ignore[arg-type]
    payments = PaymentSettings(telegram_bot_token=SecretStr(TOKEN), telegram_api_base_url=telegram.url)
    return replace(made, payments=payments)


@asynccontextmanager
async def a_bot(
    settings: Settings,
    *,
    llm: Gateway | Mapping[str, str],
    runs: bool = True,
    edit_seconds: float = EDIT_SECONDS,
    **rules: Any,
) -> AsyncIterator[Bot]:
    """Open a bot and let it work while the block runs; `runs`: it drives runs, too."""
    clock = SystemClock()
    script = scripted(llm) if isinstance(llm, Mapping) else llm
    token = settings.payments.telegram_bot_token
    assert token is not None
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(open_app(settings, llm=script))
        api = BotApi(token=token.get_secret_value(), base_url=settings.payments.telegram_api_base_url)
        stack.push_async_callback(api.close)
        voice = Voice(api=api, pacer=Pacer(clock=clock, limits=QUICK))
        house = house_of(app, desk=Desk(voice=voice), clock=clock, **rules)
        conversation, narrator = Conversation(house=house), Narrator(house=house, edit_seconds=edit_seconds)
        app.database.hear(narrator.hear)
        inbox = Inbox(database=app.database, source=SOURCE)
        stack.push_async_callback(inbox.close)
        me = await api.me()
        reception = Reception(
            handler=conversation,
            me=me,
            apology=lambda incoming: words_for(incoming.person.language).faults.set_aside(
                error_id=str(incoming.update_id)
            ),
        )
        clerk = Clerk(
            database=app.database, source=SOURCE, takes=reception, given_up=reception.given_up, clock=clock
        )
        inbox.hear(clerk.wake)
        carrier = Carrier(voice=voice, archives=app.storage, links=NoLinks())
        postman = Postman(database=app.database, senders={TARGET: carrier}, clock=clock)
        poller = Poller(api=api, inbox=inbox, database=app.database, clock=clock)
        work: list[Coroutine[Any, Any, Any]] = [poller.work(), clerk.work(), postman.work(), narrator.work()]
        if runs:
            work.append(app.runner.patrol(every_seconds=0.05))
        bot = Bot(app=app, house=house, conversation=conversation, narrator=narrator)
        bot.tasks = [asyncio.create_task(each) for each in work]
        try:
            yield bot
        finally:
            for task in bot.tasks:
                task.cancel()
            await asyncio.gather(*bot.tasks, return_exceptions=True)


def house_of(app: App, *, desk: Desk, clock: SystemClock, **rules: Any) -> House:
    given = {"initial_credits": Decimal(100), "currency": "usd", "signup_key": _signup_key, **rules}
    home = app.settings.platform.bottega_home / "repositories"
    return House(
        database=app.database,
        orchestrator=app.orchestrator,
        payments=app.payments,
        storage=app.storage,
        forgetting=Forgetting(
            database=app.database, storage=app.storage, repository_at=lambda project_id: home / f"{project_id}.git"
        ),
        desk=desk,
        clock=clock,
        rules=Rules(models=tuple(app.settings.models.implementer_models), **given),
    )


def _signup_key(person_id: int) -> str:
    return f"grant:{hashlib.sha256(str(person_id).encode()).hexdigest()}"
