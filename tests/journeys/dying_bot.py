"""A bot in a process of its own that kills itself (SIGKILL) the Nth time it comes to a place: `handled:3`.

Places, in the order in which an update comes by: `fetched` (not in the inbox yet), `kept` (in the inbox, not confirmed
to Telegram), `claimed` (the handler has not begun), `commanded` (the engine has done it, nobody was answered),
`undeeded` (answered, while the turn is not noted as taken), `handled` (while the update is not noted as done).
`sent` is a message that Telegram has and the outbox does not know of, `shown` such a status message, `edited` such a
change of one; `asking:plan-1` and `answered:plan-1` are a model's, as in `dying.py`.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from bottega.bootstrap import App
from bottega.entrypoints.telegram.desk import Desk
from bottega.entrypoints.telegram.house import House
from bottega.entrypoints.telegram.opening import Wire
from bottega.entrypoints.telegram.receiving import SOURCE, Handler
from bottega.entrypoints.telegram.saying import Voice
from bottega.entrypoints.telegram.talk import Conversation
from bottega.entrypoints.telegram.turn import Turn
from bottega.entrypoints.telegram.types import Incoming, Say
from bottega.orchestration.orchestrator import ModelOrchestrator
from bottega.orchestration.post.inbox import Arrival, Inbox
from tests.entrypoints.telegram.bots import StandIns, a_bot, bot_settings
from tests.journeys import scripts
from tests.journeys.conftest import scripted
from tests.journeys.dying import MortalModel, die

COMMENTED = scripts.FIRST_FILES | {"words/count.py": scripts.COUNT.replace("text.split", "text.strip().split")}
SCRIPT = dict(scripts.GOOD) | {
    "gather-1.md": scripts.gathered("Count characters too?"),
    "verify-T1-1.md": scripts.verdict(met=False, feedback="Take spaces at the ends away first."),
    "implement-T1-2.md": scripts.edit(COMMENTED),
    "verify-T1-2.md": scripts.verdict(),
}


class Fate:
    """Knows where the process ends; an empty place is nowhere."""

    def __init__(self, place: str) -> None:
        self.place = place
        self._moment, _, number = place.partition(":")
        self._left = int(number) if number.isdigit() else 0

    def comes_to(self, moment: str) -> None:
        if moment == self._moment and self._left:
            self._left -= 1
            if not self._left:
                die()

    def stand_ins(self) -> StandIns:
        def wire(app: App, real: Wire) -> Wire:
            voice = MortalVoice(api=real.api, pacer=real.voice.pacer, fate=self)
            return replace(real, voice=voice, inbox=MortalInbox(app=app, fate=self))

        def house(real: House, wire: Wire) -> House:
            orchestrator = cast("ModelOrchestrator", MortalOrchestrator(real.orchestrator, fate=self))
            return replace(real, orchestrator=orchestrator, desk=MortalDesk(voice=wire.voice, fate=self))

        return StandIns(wire=wire, house=house, handler=lambda house: MortalHandler(house, fate=self))


class MortalInbox(Inbox):
    def __init__(self, *, app: App, fate: Fate) -> None:
        super().__init__(database=app.database, source=SOURCE)
        self._fate = fate

    async def take_in(self, arrivals: Sequence[Arrival]) -> int:
        if not arrivals:
            return 0
        self._fate.comes_to("fetched")
        kept = await super().take_in(arrivals)
        self._fate.comes_to("kept")
        return kept


class MortalHandler(Handler):
    def __init__(self, house: House, *, fate: Fate) -> None:
        self._inner = MortalConversation(house=house, fate=fate)
        self._fate = fate

    async def handle(self, incoming: Incoming) -> None:
        self._fate.comes_to("claimed")
        await self._inner.handle(incoming)
        self._fate.comes_to("handled")


class MortalConversation(Conversation):
    def __init__(self, *, house: House, fate: Fate) -> None:
        super().__init__(house=house)
        self._fate = fate

    async def _take(self, turn: Turn) -> None:
        await super()._take(turn)
        self._fate.comes_to("undeeded")


class MortalOrchestrator:
    """Dies when a command of a turn is done."""

    def __init__(self, inner: ModelOrchestrator, *, fate: Fate) -> None:
        self._inner = inner
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        command = getattr(self._inner, name)

        async def commanded(**given: object) -> object:
            result = await command(**given)
            if given.get("idempotency_key"):
                self._fate.comes_to("commanded")
            return result

        return commanded


class MortalVoice(Voice):
    def __init__(self, *, api: Any, pacer: Any, fate: Fate) -> None:
        super().__init__(api=api, pacer=pacer)
        self._fate = fate

    @asynccontextmanager
    async def speaking(self, chat_id: int) -> AsyncIterator[None]:
        async with super().speaking(chat_id):
            yield
        self._fate.comes_to("sent")


class MortalDesk(Desk):
    def __init__(self, *, voice: Voice, fate: Fate) -> None:
        super().__init__(voice=voice)
        self._fate = fate

    async def show(self, chat_id: int, message_id: int | None, say: Say) -> int:
        shown = await super().show(chat_id, message_id, say)
        self._fate.comes_to("shown" if message_id is None else "edited")
        return shown


def talk(*, database_url: str, home: Path, api_url: str, webhook_port: int | None, place: str) -> None:
    """Be a bot until the place comes, or until killed."""
    settings = bot_settings(home=home, database_url=database_url, api_url=api_url, webhook_port=webhook_port)
    asyncio.run(_talk(settings, Fate(place)))


async def _talk(settings: Any, fate: Fate) -> None:
    model = MortalModel(scripted(SCRIPT), place=fate.place)
    async with a_bot(settings, llm=model, stand_ins=fate.stand_ins()):
        await asyncio.Event().wait()
