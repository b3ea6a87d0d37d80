"""A whole bot in this process, beside a Telegram of our own: only the models' words are scripted.

async with a_bot(bot_settings(...), llm=scripts.GOOD) as bot:
    ada = telegram.person(7, "Ada")
    await ada.says("/start")
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import SecretStr

from bottega.bootstrap import App, Chore, open_app
from bottega.config import Settings, TelegramSettings
from bottega.core.clock import SystemClock
from bottega.entrypoints.daemon.chores import doing
from bottega.entrypoints.telegram.house import House
from bottega.entrypoints.telegram.narrator import Narrator
from bottega.entrypoints.telegram.opening import house_of, open_wire, wire_chores
from bottega.entrypoints.telegram.pacing import Limit, Limits
from bottega.entrypoints.telegram.talk import Conversation
from bottega.llm.types import Gateway
from tests.fakes.telegram import TOKEN, FakeTelegram
from tests.journeys.conftest import scripted, settings_for

FAST = Limit(burst=1000, each_second=1000)
WORK_SECONDS = 30.0  # a build, on a busy machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Bot:
    app: App
    house: House
    conversation: Conversation
    narrator: Narrator


def bot_settings(
    *, home: Path, database_url: str, telegram: FakeTelegram, allowed: tuple[int, ...] = (), **settings: object
) -> Settings:
    made = settings_for(home=home, database_url=database_url, **settings)  # type: ignore[arg-type]
    bot = TelegramSettings(
        telegram_bot_token=SecretStr(TOKEN),
        telegram_api_base_url=telegram.url,
        telegram_admin_ids=(1,),
        telegram_allowed_user_ids=allowed,
    )
    return replace(made, telegram=bot)


@asynccontextmanager
async def a_bot(
    settings: Settings, *, llm: Gateway | Mapping[str, str], edit_seconds: float = 0.05
) -> AsyncIterator[Bot]:
    """Let a bot hear, answer, tell and build while the block runs."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        gateway = scripted(llm) if isinstance(llm, Mapping) else llm
        app = await stack.enter_async_context(open_app(settings, llm=gateway))
        wire = await stack.enter_async_context(
            open_wire(app, clock=clock, limits=Limits(overall=FAST, private=FAST, group=FAST))
        )
        house = house_of(app, wire=wire, clock=clock)
        conversation, narrator = Conversation(house=house), Narrator(house=house, edit_seconds=edit_seconds)
        app.database.hear(narrator.hear)
        chores = [
            Chore(name="runs", every_seconds=1, work=lambda: app.runner.patrol(every_seconds=0.05)),
            *wire_chores(app, wire=wire, handler=conversation, clock=clock),
            Chore(name="what projects do", every_seconds=1, work=narrator.work),
        ]
        await stack.enter_async_context(doing(chores, clock=clock))
        yield Bot(app=app, house=house, conversation=conversation, narrator=narrator)
