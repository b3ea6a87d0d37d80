"""A whole bot in this process, beside a Telegram of our own: only the models' words are scripted.

async with a_bot(bot_settings(...), llm=scripts.GOOD) as bot:
    ada = telegram.person(7, "Ada")
    await ada.says("/start")

It polls, or listens for its webhook where the settings have a port for one.
"""

import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from fastapi import FastAPI
from pydantic import SecretStr

from bottega.bootstrap import App, Chore, open_app
from bottega.config import Settings, TelegramSettings
from bottega.core.clock import SystemClock
from bottega.entrypoints.daemon.chores import doing
from bottega.entrypoints.relay.server import listen, serving
from bottega.entrypoints.telegram.house import House
from bottega.entrypoints.telegram.narrator import Narrator
from bottega.entrypoints.telegram.opening import Wire, house_of, open_wire, register_webhook, wire_chores
from bottega.entrypoints.telegram.pacing import Limit, Limits
from bottega.entrypoints.telegram.receiving import Handler
from bottega.entrypoints.telegram.talk import Conversation
from bottega.entrypoints.telegram.webhook import webhook_of, webhook_routes
from bottega.llm.types import Gateway
from tests.fakes.telegram import TOKEN
from tests.journeys.conftest import scripted, settings_for

FAST = Limit(burst=1000, each_second=1000)
WORK_SECONDS = 30.0  # a build, on a busy machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Bot:
    app: App
    house: House
    conversation: Conversation
    narrator: Narrator


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIns:
    """What stands in for a part of the bot, given the part."""

    wire: Callable[[App, Wire], Wire] = lambda _, wire: wire
    house: Callable[[House, Wire], House] = lambda house, _: house
    handler: Callable[[House], Handler] = lambda house: Conversation(house=house)


def bot_settings(
    *,
    home: Path,
    database_url: str,
    api_url: str,
    webhook_port: int | None = None,
    allowed: tuple[int, ...] = (),
    **settings: object,
) -> Settings:
    """Return settings of a bot that polls, or that has updates delivered to a port of this machine."""
    made = settings_for(home=home, database_url=database_url, **settings)  # type: ignore[arg-type]
    bot = TelegramSettings(
        telegram_bot_token=SecretStr(TOKEN),
        telegram_api_base_url=api_url,
        telegram_webhook_url=None if webhook_port is None else f"http://127.0.0.1:{webhook_port}",
        telegram_webhook_port=webhook_port,
        telegram_admin_ids=(1,),
        telegram_allowed_user_ids=allowed,
    )
    return replace(made, telegram=bot)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@asynccontextmanager
async def a_bot(
    settings: Settings,
    *,
    llm: Gateway | Mapping[str, str],
    edit_seconds: float = 0.05,
    stand_ins: StandIns = StandIns(),
) -> AsyncIterator[Bot]:
    """Let a bot hear, answer, tell and build while the block runs."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        gateway = scripted(llm) if isinstance(llm, Mapping) else llm
        app = await stack.enter_async_context(open_app(settings, llm=gateway))
        real = await stack.enter_async_context(
            open_wire(app, clock=clock, limits=Limits(overall=FAST, private=FAST, group=FAST))
        )
        wire = stand_ins.wire(app, real)
        house = stand_ins.house(house_of(app, wire=real, clock=clock), real)
        conversation, narrator = Conversation(house=house), Narrator(house=house, edit_seconds=edit_seconds)
        app.database.hear(narrator.hear)
        chores = [
            Chore(name="runs", every_seconds=1, work=lambda: app.runner.patrol(every_seconds=0.05)),
            *wire_chores(app, wire=wire, handler=stand_ins.handler(house), codes=house.codes, clock=clock),
            Chore(name="what projects do", every_seconds=1, work=narrator.work),
        ]
        await stack.enter_async_context(doing(chores, clock=clock))
        await stack.enter_async_context(_listening(app, wire=wire))
        await register_webhook(app, wire=wire, clock=clock)
        yield Bot(app=app, house=house, conversation=conversation, narrator=narrator)


@asynccontextmanager
async def _listening(app: App, *, wire: Wire) -> AsyncIterator[None]:
    settings = app.settings.telegram
    if settings.telegram_webhook_port is None:
        yield
        return
    served = FastAPI()
    served.include_router(webhook_routes(webhook_of(settings, inbox=wire.inbox)))
    at = listen(host="127.0.0.1", port=settings.telegram_webhook_port)
    async with serving(served, at=at, grace_seconds=1):
        yield
