"""From a greeting to an archive, in Telegram: whoever builds here has nothing but a chat.

The scenarios TS-001 to TS-005 of docs/test_plan.md are among them.
"""

import asyncio
import io
import zipfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text

from bottega.billing.audit import audit
from bottega.billing.ledger import adjust
from bottega.billing.types import Cause, TransactionType
from bottega.entrypoints.telegram import types
from bottega.entrypoints.telegram.narrator import Narrator
from bottega.entrypoints.telegram.talk import Conversation
from bottega.orchestration.tables import Run
from bottega.projects.tables import Project
from bottega.users.service import find_telegram
from tests.entrypoints.telegram.bots import WORK_SECONDS, Bot, a_bot, bot_settings, free_port
from tests.fakes.telegram import FakeTelegram
from tests.fakes.telegram_people import Message, Person
from tests.journeys import scripts

OpenBot = Callable[..., Awaitable[Bot]]
TRANSPORTS = ("polling", pytest.param("webhook", marks=pytest.mark.slow))


def port_for(transport: str) -> int | None:
    """Return where the bot listens, which it does for a webhook alone."""
    return free_port() if transport == "webhook" else None


@pytest.fixture
async def telegram() -> AsyncIterator[FakeTelegram]:
    async with FakeTelegram(limits=None) as telegram:
        yield telegram


@pytest.fixture
async def settings(tmp_path: Path, database_url: str, telegram: FakeTelegram) -> Callable[..., Any]:
    def made(**given: object) -> Any:
        return bot_settings(home=tmp_path / "home", database_url=database_url, api_url=telegram.url, **given)  # type: ignore[arg-type]

    return made


@pytest.fixture
async def open_bot(settings: Callable[..., Any]) -> AsyncIterator[OpenBot]:
    async with AsyncExitStack() as stack:

        async def open_one(llm: Any, **given: object) -> Bot:
            return await stack.enter_async_context(a_bot(settings(**given), llm=llm))

        yield open_one


async def sees(person: Person, what: str) -> Message:
    return await person.waits_for(what, within=WORK_SECONDS)


async def gets_the_archive(person: Person) -> zipfile.ZipFile:
    message = await person.waits_for(lambda message: message.document is not None, within=WORK_SECONDS)
    assert message.document is not None
    return zipfile.ZipFile(io.BytesIO(message.document))


async def approves(person: Person) -> None:
    await person.waits_for(lambda message: any("Build it" in label for label in message.labels), within=WORK_SECONDS)
    await person.presses("Build it")


async def count(bot: Bot, what: type) -> int:
    async with bot.app.database.transaction() as session:
        return (await session.execute(select(func.count()).select_from(what))).scalar_one()


async def the_books_are_right(bot: Bot) -> None:
    async with bot.app.database.transaction() as session:
        assert await audit(session) == ()


async def leaves_with(bot: Bot, person: Person, credits: str) -> None:
    """Take credits of a person's away until so many are left."""
    async with bot.app.database.transaction() as session:
        user_id = await find_telegram(session, telegram_user_id=person.id)
        assert user_id is not None
        cause = Cause(type=TransactionType.ADJUSTMENT, idempotency_key=f"left:{credits}")
        taken = Decimal(credits) - bot.app.settings.billing.initial_credits
        await adjust(session, user_id=user_id, credits=taken, cause=cause)


async def handles_everything_again(bot: Bot) -> None:
    """Have every update handled as if nobody had noted that it was."""
    async with bot.app.database.transaction() as session:
        await session.execute(text("UPDATE inbox SET done_at = NULL, attempts = 0, wake_at = now()"))
    left = 1
    async with asyncio.timeout(WORK_SECONDS):
        while left:
            await asyncio.sleep(0.1)
            async with bot.app.database.transaction() as session:
                left = (await session.execute(text("SELECT count(*) FROM inbox WHERE done_at IS NULL"))).scalar_one()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_newcomer_gets_what_they_described(telegram: FakeTelegram, open_bot: OpenBot, transport: str) -> None:
    """TS-001: a question, a plan, a task that the review sends back and that is repaired, a README, an archive."""
    commented = scripts.FIRST_FILES | {"words/count.py": scripts.COUNT.replace("text.split", "text.strip().split")}
    script = dict(scripts.GOOD) | {
        "gather-1.md": scripts.gathered("Count characters too?"),
        "verify-T1-1.md": scripts.verdict(met=False, feedback="Take spaces at the ends away first."),
        "implement-T1-2.md": scripts.edit(commented),
        "verify-T1-2.md": scripts.verdict(),
    }
    bot = await open_bot(script, webhook_port=port_for(transport))
    ada = telegram.person(7, "Ada")
    await ada.says("/start")
    await sees(ada, "Welcome, Ada")
    assert (telegram.webhook is None) is (transport == "polling")
    await ada.says(scripts.BRIEF)
    await sees(ada, "Count characters too?")
    await ada.presses("2. No")
    await approves(ada)
    archive = await gets_the_archive(ada)
    names = {name.partition("/")[2] for name in archive.namelist()}
    assert {"words/count.py", "words/__main__.py", "README.md", "RECEIPT.md", "TODO.md"} <= names
    assert b"text.strip().split()" in archive.read(
        next(name for name in archive.namelist() if name.endswith("words/count.py"))
    )
    await sees(ada, "sent T1 Counting back")
    await sees(ada, "python -m words")
    status = await ada.waits_for(lambda message: message.edits > 0 and "100%" in message.text, within=WORK_SECONDS)
    assert "Download" in " ".join(status.labels)
    await the_books_are_right(bot)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_who_runs_out_of_credits_buys_some_and_gets_on(
    telegram: FakeTelegram, open_bot: OpenBot, transport: str
) -> None:
    """TS-002"""
    bot = await open_bot(scripts.GOOD, webhook_port=port_for(transport))
    ada = telegram.person(7, "Ada")
    await ada.says(scripts.BRIEF)
    await ada.waits_for(lambda message: any("Build it" in label for label in message.labels), within=WORK_SECONDS)
    await leaves_with(bot, ada, "2")
    await ada.presses("Build it")
    await sees(ada, "credits")
    await ada.waits_for(lambda message: any("⭐" in label for label in message.labels), within=WORK_SECONDS)
    await ada.presses("⭐ 80")
    invoice = await ada.waits_for(lambda message: message.invoice is not None)
    await ada.pays(invoice)
    await sees(ada, "Thank")
    await gets_the_archive(ada)
    await the_books_are_right(bot)


@pytest.mark.slow
async def test_a_provider_that_fails_while_planning_is_told_of_and_tried_again(
    telegram: FakeTelegram, open_bot: OpenBot
) -> None:
    """TS-003"""
    script = dict(scripts.GOOD) | {"plan-1.error.json": '{"error": "authentication_failed", "times": 1}'}
    await open_bot(script)
    ada = telegram.person(7, "Ada")
    await ada.says(scripts.BRIEF)
    stopped = await ada.waits_for(
        lambda message: any("Try again" in label for label in message.labels), within=WORK_SECONDS
    )
    assert "kept" in stopped.text
    await ada.presses("Try again")
    await approves(ada)
    await gets_the_archive(ada)


@pytest.mark.slow
async def test_a_provider_that_fails_while_building_is_told_of_and_tried_again(
    telegram: FakeTelegram, open_bot: OpenBot
) -> None:
    """TS-004"""
    script = dict(scripts.GOOD) | {"implement-T2-1.error.json": '{"error": "request_rejected", "times": 1}'}
    await open_bot(script)
    ada = telegram.person(7, "Ada")
    await ada.says(scripts.BRIEF)
    await approves(ada)
    await ada.waits_for(lambda message: any("Try again" in label for label in message.labels), within=WORK_SECONDS)
    await ada.presses("Try again")
    await gets_the_archive(ada)


@pytest.mark.parametrize("said", ["hi", "thanks!", "👍", "hola, buenas", "???", "/nonsense", " "])
async def test_words_that_fit_nothing_are_answered_and_begin_nothing(
    telegram: FakeTelegram, open_bot: OpenBot, said: str
) -> None:
    """TS-005"""
    bot = await open_bot({})
    ada = telegram.person(7, "Ada")
    await ada.says("/start")
    await sees(ada, "Welcome, Ada")
    before = len(ada.sees())
    await ada.says(said)
    await ada.waits_for(lambda _: len(ada.sees()) > before)
    assert await count(bot, Project) == 0


async def test_a_very_short_brief_is_asked_about(telegram: FakeTelegram, open_bot: OpenBot) -> None:
    bot = await open_bot(scripts.GOOD)
    ada = telegram.person(7, "Ada")
    await ada.says("todo app")
    await ada.waits_for(lambda message: any("Begin with it" in label for label in message.labels))
    assert await count(bot, Project) == 0
    await ada.says("For the command line, please; it keeps its list in one file.")
    await approves(ada)
    async with bot.app.database.transaction() as session:
        [brief] = (await session.scalars(select(Project.description))).all()
    assert brief.startswith("todo app\n\nFor the command line")


async def test_pause_and_stop_are_a_press_each(telegram: FakeTelegram, open_bot: OpenBot) -> None:
    bot = await open_bot(dict(scripts.GOOD) | {"gather-1.md": scripts.gathered("Count characters too?")})
    ada = telegram.person(7, "Ada")
    await ada.says(scripts.BRIEF)
    await sees(ada, "Count characters too?")
    await ada.says("/pause")
    await ada.waits_for(lambda message: any("Go on" in label for label in message.labels))
    await ada.says("/cancel")
    await ada.waits_for(lambda message: any("Stop for good" in label for label in message.labels))
    await ada.presses("Stop for good")
    await sees(ada, "is stopped")
    async with bot.app.database.transaction() as session:
        assert (await session.scalars(select(Run.state))).all() == ["cancelled"]


@pytest.mark.slow
async def test_what_was_delivered_is_refined(telegram: FakeTelegram, open_bot: OpenBot) -> None:
    bot = await open_bot(scripts.REFINED)
    ada = telegram.person(7, "Ada")
    await ada.says(scripts.BRIEF)
    await approves(ada)
    await gets_the_archive(ada)
    await sees(ada, "python -m words")
    await ada.says("Count both sides of a hyphen as words of their own, please")
    await sees(ada, "Which project is this about?")
    await ada.presses("Word counter")
    await ada.waits_for(lambda message: any("words/count.py" in label for label in message.labels))
    await ada.presses("words/count.py")
    await ada.waits_for(lambda _: len([m for m in ada.sees() if m.document]) == 2, within=WORK_SECONDS)
    assert await count(bot, Project) == 1
    await the_books_are_right(bot)


@pytest.mark.slow
async def test_the_typed_forms_build_and_change_a_project(telegram: FakeTelegram, open_bot: OpenBot) -> None:
    bot = await open_bot(scripts.REFINED)
    ada = telegram.person(7, "Ada")
    await ada.says(scripts.BRIEF)
    await ada.waits_for(lambda message: any("Build it" in label for label in message.labels), within=WORK_SECONDS)
    async with bot.app.database.transaction() as session:
        [project_id] = (await session.scalars(select(Project.id))).all()
    await ada.says(f"implement task 1 of project {project_id}")
    await gets_the_archive(ada)
    await sees(ada, "python -m words")
    await ada.says(f"refine file words/count.py in project {project_id} with instruction: Part words at hyphens.")
    await ada.waits_for(lambda _: len([m for m in ada.sees() if m.document]) == 2, within=WORK_SECONDS)
    assert await count(bot, Project) == 1
    await the_books_are_right(bot)


@pytest.mark.slow
async def test_two_projects_at_once_are_told_apart(telegram: FakeTelegram, open_bot: OpenBot) -> None:
    script = dict(scripts.GOOD) | {"gather-1.md": scripts.gathered("Count characters too?")}
    bot = await open_bot(script)
    ada = telegram.person(7, "Ada")
    await ada.says(scripts.BRIEF)
    first = await sees(ada, "Count characters too?")
    await ada.says(f"/new {scripts.BRIEF} The second one.")
    await ada.waits_for(
        lambda message: "Count characters too?" in message.text and message.id != first.id, within=WORK_SECONDS
    )
    await ada.says("1", reply_to=first)
    await ada.waits_for(lambda message: any("Build it" in label for label in message.labels), within=WORK_SECONDS)
    async with bot.app.database.transaction() as session:
        rows = (await session.execute(select(Project.description, Project.status))).all()
    assert {(row.description.endswith("second one."), row.status) for row in rows} == {
        (False, "awaiting_approval"),
        (True, "gathering_requirements"),
    }


@pytest.mark.slow
async def test_a_bot_that_is_started_anew_between_any_two_updates_goes_on(
    telegram: FakeTelegram, settings: Callable[..., Any]
) -> None:
    ada = telegram.person(7, "Ada")
    script = dict(scripts.GOOD) | {"gather-1.md": scripts.gathered("Count characters too?")}
    steps: list[tuple[Callable[[], Awaitable[int]], str]] = [
        (lambda: ada.says("/new"), "What"),
        (lambda: ada.says(scripts.BRIEF), "Count characters too?"),
        (lambda: ada.presses("Yes"), "The plan for"),
        (lambda: ada.presses("Change it"), "different in the plan"),
        (lambda: ada.says("Keep it in one package"), "The plan for"),
        (lambda: ada.presses("Build it"), "How to run it"),
    ]
    for say, what in steps:
        before = max((message.id for message in ada.sees()), default=0)
        async with a_bot(settings(), llm=script | {"plan-2.md": scripts.GOOD["plan-1.md"]}):
            await say()
            await ada.waits_for(
                lambda message, before=before, what=what: message.id > before and what in message.text,  # type: ignore[misc]
                within=WORK_SECONDS,
            )
    await gets_the_archive(ada)


@pytest.mark.slow
async def test_everything_said_twice_happens_once(telegram: FakeTelegram, open_bot: OpenBot) -> None:
    bot = await open_bot(scripts.GOOD)
    ada = telegram.person(7, "Ada")
    await ada.says(scripts.BRIEF)
    await approves(ada)
    await sees(ada, "How to run it")
    seen = len(ada.sees())
    await handles_everything_again(bot)
    await asyncio.sleep(0.5)
    assert (await count(bot, Project), len(ada.sees())) == (1, seen)


async def test_who_wants_to_be_forgotten_is(telegram: FakeTelegram, open_bot: OpenBot) -> None:
    bot = await open_bot(dict(scripts.GOOD) | {"gather-1.md": scripts.gathered("Count characters too?")})
    ada = telegram.person(7, "Ada")
    await ada.says(scripts.BRIEF)
    await sees(ada, "Count characters too?")
    await ada.says("/delete_my_data")
    await ada.waits_for(lambda message: any("Delete everything" in label for label in message.labels))
    await ada.presses("Delete everything")
    await ada.waits_for(lambda message: "deleted" in message.text.lower() and not message.labels)
    async with bot.app.database.transaction() as session:
        for table in ("runs", "conversations", "questions", "run_events", "chats", "chat_projects", "deeds"):
            assert (await session.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one() == 0, table  # noqa: S608
        assert (await session.scalars(select(Project.description))).all() == [""]
        person = (await session.execute(text("SELECT telegram_user_id, username, status FROM users"))).one()
        assert tuple(person) == (None, "deleted-1", "deleted")
    await the_books_are_right(bot)
    last = ada.sees()[-1].id
    await ada.says("/start")
    await ada.waits_for(lambda message: message.id > last and "Welcome, Ada" in message.text)
    async with bot.app.database.transaction() as session:
        given = (await session.execute(text("SELECT count(*) FROM credit_transactions WHERE user_id > 1"))).scalar_one()
    assert given == 0, "free credits are given once to a person, not once to an account"


async def test_another_persons_button_does_nothing_and_says_nothing(telegram: FakeTelegram, open_bot: OpenBot) -> None:
    bot = await open_bot(scripts.GOOD)
    ada, eve = telegram.person(7, "Ada"), telegram.person(8, "Eve")
    await ada.says(scripts.BRIEF)
    plan = await ada.waits_for(
        lambda message: any("Build it" in label for label in message.labels), within=WORK_SECONDS
    )
    await eve.says("/start")
    hers = await sees(eve, "Welcome, Eve")
    for row in plan.keyboard:
        for button in row:
            eve.presses_data(button["callback_data"], message=hers)
    while len(eve.notices) < len(plan.labels):  # noqa: ASYNC110  # the fake has no event for it
        await asyncio.sleep(0.02)
    assert len(set(eve.notices)) == 1
    assert "Word counter" not in " ".join([*eve.notices, *(message.text for message in eve.sees())])
    async with bot.app.database.transaction() as session:
        assert (await session.scalars(select(Project.status))).all() == ["awaiting_approval"]


async def test_whom_the_operator_has_not_let_in_is_told_so(telegram: FakeTelegram, open_bot: OpenBot) -> None:
    bot = await open_bot(scripts.GOOD, allowed=(7,))
    eve, operator = telegram.person(8, "Eve"), telegram.person(1, "Olga")
    await eve.says(scripts.BRIEF)
    await sees(eve, "8")
    assert await count(bot, Project) == 0
    await operator.says("/stats")
    await sees(operator, "1")
    await operator.says("/grant 8 50")
    await operator.waits_for(lambda message: "8" in message.text and "50" not in message.text)


async def test_an_operator_grants_credits_once_and_nobody_else_does(telegram: FakeTelegram, open_bot: OpenBot) -> None:
    bot = await open_bot({})
    ada, operator = telegram.person(7, "Ada"), telegram.person(1, "Olga")
    await ada.says("/start")
    await sees(ada, "Welcome, Ada")
    await ada.says("/grant 7 1000000")
    await ada.waits_for(lambda message: "grant" in message.text)
    for amount in ("NaN", "-5", "1e99", "0.001", "", "fifty"):
        await operator.says(f"/grant 7 {amount}")
    await operator.says("/grant 7 50")
    await sees(ada, "50.00")
    await handles_everything_again(bot)
    async with bot.app.database.transaction() as session:
        granted = (
            await session.scalars(
                text("SELECT credits_amount FROM credit_transactions WHERE transaction_type = 'adjustment'")
            )
        ).all()
    assert granted == [Decimal(50)]


async def test_a_text_file_is_a_brief_and_other_files_are_not(telegram: FakeTelegram, open_bot: OpenBot) -> None:
    bot = await open_bot(scripts.GOOD)
    ada = telegram.person(7, "Ada")
    wrong = {"brief.pdf": b"%PDF", "brief.txt": b"\xff\xfe\x00", "b.md": b" ", "c.md": b"x" * 60_000}
    for name, content in wrong.items():
        before = len(ada.sees())
        await ada.sends_document(name, content)
        await ada.waits_for(lambda _, before=before: len(ada.sees()) > before)  # type: ignore[misc]
    assert await count(bot, Project) == 0
    await ada.sends_document("brief.md", scripts.BRIEF.encode(), caption="Please")
    await approves(ada)
    async with bot.app.database.transaction() as session:
        assert (await session.scalars(select(Project.description))).all() == [f"Please\n\n{scripts.BRIEF}"]


@pytest.mark.slow
async def test_in_a_group_who_speaks_pays(telegram: FakeTelegram, open_bot: OpenBot) -> None:
    bot = await open_bot(scripts.GOOD)
    group, ada = telegram.group(-100, "Us"), telegram.person(7, "Ada")
    await ada.says("We should have lunch at noon, shouldn't we?", group=group)
    await ada.says(f"@bottega_bot {scripts.BRIEF}", group=group)
    await ada.waits_for(
        lambda message: any("Build it" in label for label in message.labels), within=WORK_SECONDS, group=group
    )
    await ada.presses("Build it", group=group)
    await ada.waits_for(lambda message: message.document is not None, within=WORK_SECONDS, group=group)
    await ada.says("/credits", group=group)
    await ada.waits_for("private", group=group)
    assert await count(bot, Project) == 1
    assert ada.sees() == [], "what was begun in a group is told there"


async def test_free_credits_are_capped_for_a_day(telegram: FakeTelegram, open_bot: OpenBot) -> None:
    bot = await open_bot({})
    assert bot.house.rules.free_credits_a_day is None
    capped = replace(bot.house, rules=replace(bot.house.rules, free_credits_a_day=Decimal(1500)))
    conversation = Conversation(house=capped)
    for number in (7, 8):
        telegram.person(number)
        person = types.Person(id=number, name="Ada", username=None, language="en")
        said = types.TextSent(
            update_id=number, chat_id=number, person=person, is_private=True, message_id=1, text="/start"
        )
        await conversation.handle(said)
        await conversation.handle(said)
    async with bot.app.database.transaction() as session:
        balances = (await session.execute(text("SELECT credit_balance FROM users ORDER BY id"))).scalars().all()
    assert balances == [Decimal(1000), Decimal(0)]


@pytest.mark.slow
async def test_two_narrators_at_once_say_everything_once(telegram: FakeTelegram, open_bot: OpenBot) -> None:
    bot = await open_bot(dict(scripts.GOOD) | {"gather-1.md": scripts.gathered("Count characters too?")})
    other = asyncio.create_task(Narrator(house=bot.house, look_seconds=0.01, edit_seconds=0.05).work())
    ada = telegram.person(7, "Ada")
    await ada.says(scripts.BRIEF)
    await sees(ada, "Count characters too?")
    await ada.presses("Yes")
    await approves(ada)
    await sees(ada, "How to run it")
    await asyncio.sleep(0.5)
    other.cancel()
    said = Counter(message.text for message in ada.sees() if not message.edits)
    assert max(said.values()) == 1, said
    assert len([message for message in ada.sees() if message.document]) == 1
