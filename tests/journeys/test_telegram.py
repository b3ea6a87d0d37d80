"""From a greeting to an archive, in Telegram: every person of these journeys has nothing but a chat."""

import io
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.entrypoints.telegram.bots import WORK_SECONDS, Bot, a_bot, bot_settings
from tests.fakes.telegram import FakeTelegram
from tests.journeys import scripts

OpenBot = Callable[..., Awaitable[Bot]]


@pytest.fixture
async def telegram() -> AsyncIterator[FakeTelegram]:
    async with FakeTelegram(limits=None) as telegram:
        yield telegram


@pytest.fixture
async def open_bot(tmp_path: Path, database_url: str, telegram: FakeTelegram) -> AsyncIterator[OpenBot]:
    async with AsyncExitStack() as stack:

        async def open_one(llm: Any, *, rules: Mapping[str, Any] | None = None, **settings: object) -> Bot:
            made = bot_settings(home=tmp_path / "home", database_url=database_url, telegram=telegram, **settings)
            return await stack.enter_async_context(a_bot(made, llm=llm, **(rules or {})))

        yield open_one


async def test_a_newcomer_gets_what_they_described(telegram: FakeTelegram, open_bot: OpenBot) -> None:
    """TS-001: a question, a rejection, a repair, a README, an archive that holds it all."""
    script = dict(scripts.GOOD) | {
        "gather-1.md": scripts.gathered("Count characters too?"),
        "verify-T1-1.md": scripts.verdict(met=False, feedback="An empty text has no words: test that."),
        "implement-T1-2.md": scripts.edit(scripts.FIRST_FILES),
        "verify-T1-2.md": scripts.verdict(),
    }
    await open_bot(script)
    ada = telegram.person(7, "Ada")
    await ada.says("/start")
    await ada.waits_for("Ada")
    await ada.says(scripts.BRIEF)
    await ada.waits_for("Count characters too?", within=WORK_SECONDS)
    await ada.presses("2. No")
    plan = await ada.waits_for(lambda message: "Command line" in message.text and message.labels, within=WORK_SECONDS)
    print(plan.text, plan.labels)
    await ada.presses("Build")
    archive = await ada.waits_for(lambda message: message.document, within=WORK_SECONDS)
    for message in ada.sees(): print("----", message.edits, message.text, message.labels)
    assert archive.document is not None
    names = zipfile.ZipFile(io.BytesIO(archive.document)).namelist()
    assert any(name.endswith("words/count.py") for name in names)
