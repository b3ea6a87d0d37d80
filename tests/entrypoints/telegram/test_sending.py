"""What goes to Telegram through the outbox: in order, whole, at its pace, and never lost for how it looks."""

import uuid
from collections import defaultdict
from itertools import pairwise

import pytest
import structlog
from sqlalchemy import func, select, update

from bottega.core.clock import SystemClock
from bottega.db.transaction import Database
from bottega.entrypoints.telegram.api import BotApi
from bottega.entrypoints.telegram.faults import Unreachable
from bottega.entrypoints.telegram.pacing import Limits
from bottega.entrypoints.telegram.sending import post_document, post_invoice, post_say
from bottega.entrypoints.telegram.types import Button, Say
from bottega.orchestration.post.outbox import Postman
from bottega.orchestration.tables import Outbox
from tests.entrypoints.telegram.wires import QuickClock, Wires, wired
from tests.fakes.telegram import TOKEN, FakeTelegram

YES_NO = ((Button(label="Yes", data="y"), Button(label="No", data="n")), (Button(label="See", url="https://e.org"),))
PROJECT = uuid.UUID("6ba7b810-9dad-41d1-80b4-00c04fd430c8")


async def fates(database: Database) -> list[tuple[bool, str | None, str | None]]:
    """Return whether each message is out, why it never will be, and what kept it last."""
    async with database.transaction() as session:
        rows = (await session.scalars(select(Outbox).order_by(Outbox.id))).all()
    return [(row.sent_at is not None, row.refusal, row.last_fault) for row in rows]


async def post_archive(
    wires: Wires,
    *,
    size: int,
    caption: str = "Your <b>archive</b>",
    too_large: Say | None = None,
    is_there: bool = True,
) -> None:
    wires.shelf.files = {"projects/a.zip": b"z" * size} if is_there else {}
    async with wires.database.transaction() as session:
        await post_document(
            session,
            chat_id=7,
            project_id=PROJECT,
            archive_key="projects/a.zip",
            file_name="to-do.zip",
            caption=Say(html=caption, keyboard=YES_NO),
            key="archive",
            too_large=too_large,
        )
    await wires.postman.deliver_due()


async def test_a_message_arrives_as_it_was_said_and_once_for_its_key(database: Database) -> None:
    async with wired(database) as wires:
        ada = wires.telegram.person(7)
        await wires.say(Say(html="<b>Go</b> &amp; build?", keyboard=YES_NO))
        await wires.say(Say(html="something else"), key="k")
        [seen] = ada.sees()
        assert (seen.text, seen.labels, [entity.tag for entity in seen.entities]) == (
            "Go & build?",
            ["Yes", "No", "See"],
            ["b"],
        )
        assert seen.keyboard[0][0] == {"text": "Yes", "callback_data": "y"}
        assert wires.telegram.calls("sendMessage")[0]["link_preview_options"] == {"is_disabled": True}


async def test_a_long_message_comes_in_pieces_with_the_keyboard_under_the_last(database: Database) -> None:
    async with wired(database) as wires:
        ada = wires.telegram.person(7)
        await wires.say(Say(html="<i>" + "word 😀 " * 2000 + "</i>", keyboard=YES_NO))
        seen = ada.sees()
        assert "".join("".join(message.text for message in seen).split()) == "word😀" * 2000
        assert [len(message.labels) for message in seen] == [0] * (len(seen) - 1) + [3]
        assert len(seen) == 4


async def test_who_is_killed_between_two_pieces_repeats_none_that_is_out(database: Database) -> None:
    async with wired(database) as wires:
        ada = wires.telegram.person(7)
        async with database.transaction() as session:
            await post_say(session, chat_id=7, say=Say(html="a" * 10_000), key="long")
        [first] = await wires.postman._claim(1)
        assert await wires.postman._deliver(first)
        again = Postman(database=database, senders=wires.postman._senders, clock=SystemClock())
        await again.deliver_due()
        assert [len(message.text) for message in ada.sees()] == [4096, 4096, 1808]


async def test_markup_that_telegram_refuses_goes_out_as_plain_text_and_is_logged(database: Database) -> None:
    async with wired(database) as wires:
        ada = wires.telegram.person(7)
        with structlog.testing.capture_logs() as logs:
            await wires.say(Say(html="<b>Tea</i> &lt; <blink>coffee", keyboard=YES_NO))
        [seen] = ada.sees()
        assert (seen.text, len(seen.labels)) == ("Tea < coffee", 3)
        assert [line["log_level"] for line in logs if line["event"] == "telegram.message.malformed"] == ["error"]


async def test_a_keyboard_that_telegram_refuses_does_not_cost_the_words(database: Database) -> None:
    async with wired(database) as wires:
        ada = wires.telegram.person(7)
        await wires.say(Say(html="<b>Go?</b>", keyboard=((Button(label="Yes", data="y" * 65),),)))
        [seen] = ada.sees()
        assert (seen.text, seen.labels) == ("Go?", [])


@pytest.mark.parametrize(
    ("who", "said"),
    [("blocker", "Telegram: Forbidden: bot was blocked by the user."), ("nobody", "Telegram: Chat not found.")],
)
async def test_who_shut_the_bot_out_is_not_tried_again_and_holds_up_nobody(
    who: str, said: str, database: Database
) -> None:
    async with wired(database) as wires:
        bob = wires.telegram.person(8, "Bob")
        if who == "blocker":
            wires.telegram.person(7).blocks()
        await wires.say("one")
        await wires.say("two", chat_id=8, key="k2")
        (_, refusal, _), (is_out, _, _) = await fates(database)
        assert refusal == said
        assert is_out
        assert len(bob.sees()) == 1


async def test_a_pause_that_telegram_asks_for_is_kept(database: Database) -> None:
    async with wired(database) as wires:
        wires.telegram.person(7)
        wires.telegram.refuses_next(429, retry_after=40)
        await wires.say("one")
        assert (await fates(database))[0] == (False, None, "Telegram wants 40 s of silence.")
        async with database.transaction() as session:
            wait = await session.scalar(select(func.extract("epoch", Outbox.wake_at - func.clock_timestamp())))
        assert wait is not None
        assert 35 < float(wait) <= 40
        assert wires.voice.pacer.wait_seconds(7) > 35, "whatever else is for the chat waits, too"
        assert wires.voice.pacer.wait_seconds(8) == 0


@pytest.mark.parametrize("status", [500, 502, 401, 404])
async def test_what_telegram_cannot_do_now_waits(status: int, database: Database) -> None:
    async with wired(database) as wires:
        ada = wires.telegram.person(7)
        wires.telegram.refuses_next(status)
        await wires.say("one")
        [(is_out, refusal, fault)] = await fates(database)
        assert (is_out, refusal, (fault or "")[:8]) == (False, None, "Telegram")
        async with database.transaction() as session:
            await session.execute(update(Outbox).values(wake_at=func.now()))
        await wires.postman.deliver_due()
        assert len(ada.sees()) == 1


async def test_an_error_never_shows_the_token() -> None:
    api = BotApi(token=TOKEN, base_url="http://127.0.0.1:9")
    with pytest.raises(Unreachable) as caught:
        await api.me()
    await api.close()
    assert TOKEN not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


async def test_a_group_that_moved_is_followed(database: Database) -> None:
    async with wired(database) as wires:
        old, new = wires.telegram.group(-5), wires.telegram.group(-100500)
        old.chat.moved_to = new.id
        await wires.say("hello", chat_id=-5)
        assert [message.text for message in new.chat.messages.values()] == ["hello"]


async def test_an_archive_arrives_as_a_file(database: Database) -> None:
    async with wired(database) as wires:
        ada = wires.telegram.person(7)
        await post_archive(wires, size=1000)
        [seen] = ada.sees()
        assert (seen.document_name, seen.document, seen.text, len(seen.labels)) == (
            "to-do.zip",
            b"z" * 1000,
            "Your archive",
            3,
        )


@pytest.mark.parametrize("who_says_so", ["we", "telegram"])
async def test_an_archive_that_is_too_large_comes_as_a_link(who_says_so: str, database: Database) -> None:
    async with wired(database, largest_file_bytes=1000 if who_says_so == "we" else 10**6) as wires:
        ada = wires.telegram.person(7)
        wires.telegram.largest_upload, wires.shelf.root = 1000, "https://b.example/download"
        await post_archive(wires, size=1001)
        [seen] = ada.sees()
        assert seen.text == "Your archive\n\nto-do.zip (0 MB)"
        assert ("href", "https://b.example/download/projects/a.zip") in seen.entities[-1].attributes
        assert len(seen.labels) == 3


@pytest.mark.parametrize("said", [None, "Ask whoever runs it."])
async def test_without_a_public_address_a_sentence_says_how_to_get_it(said: str | None, database: Database) -> None:
    async with wired(database) as wires:
        ada = wires.telegram.person(7)
        await post_archive(wires, size=1001, too_large=None if said is None else Say(html=said))
        [seen] = ada.sees()
        assert (said or f"bottega download {PROJECT}") in seen.text


async def test_a_long_caption_is_a_message_of_its_own_before_the_file(database: Database) -> None:
    async with wired(database) as wires:
        ada = wires.telegram.person(7)
        await post_archive(wires, size=10, caption="word " * 300)
        first, second = ada.sees()
        assert (first.document, second.document, second.text) == (None, b"z" * 10, "")


async def test_a_malformed_caption_does_not_cost_the_file(database: Database) -> None:
    async with wired(database) as wires:
        ada = wires.telegram.person(7)
        await post_archive(wires, size=10, caption="<b>Yours")
        assert [(seen.document, seen.text) for seen in ada.sees()] == [(b"z" * 10, ""), (None, "Yours")]


async def test_an_archive_that_is_gone_is_given_up(database: Database) -> None:
    async with wired(database) as wires:
        wires.telegram.person(7)
        await post_archive(wires, size=10, is_there=False)
        assert (await fates(database))[0][1] == "There is no stored file 'projects/a.zip'."


async def test_an_invoice_can_be_paid(database: Database) -> None:
    async with wired(database) as wires:
        ada = wires.telegram.person(7)
        async with database.transaction() as session:
            await post_invoice(
                session,
                chat_id=7,
                order_id=PROJECT,
                title="100 credits " * 9,
                description="For building software " * 20,
                label="100 credits",
                stars=80,
                key="order",
            )
        await wires.postman.deliver_due()
        [seen] = ada.sees()
        assert seen.invoice is not None
        assert (seen.invoice.payload, seen.invoice.stars) == (str(PROJECT), 80)


async def test_what_another_version_wrote_is_set_aside(database: Database) -> None:
    async with wired(database) as wires:
        wires.telegram.person(7)
        await wires.say("x")
        async with database.transaction() as session:
            await session.execute(update(Outbox).values(payload={"kind": "hologram"}, sent_at=None, wake_at=func.now()))
        await wires.postman.deliver_due()
        assert "another version" in str((await fates(database))[0][1])


async def test_telegrams_limits_are_never_reached_however_much_there_is_to_say(database: Database) -> None:
    """Twenty people with three messages each, one with twenty, a group with ten, on a clock that jumps."""
    clock = QuickClock()
    telegram = FakeTelegram(clock=clock.monotonic)
    async with wired(database, telegram=telegram, clock=clock, limits=Limits()) as wires:
        messages = [(chat_id, n) for n in range(3) for chat_id in range(1, 21)]
        messages += [(99, n) for n in range(12)] + [(-100, n) for n in range(10)]
        for chat_id in range(1, 21):
            telegram.person(chat_id)
        telegram.person(99)
        telegram.group(-100)
        async with database.transaction() as session:
            for chat_id, n in messages:
                await post_say(session, chat_id=chat_id, say=Say(html=f"{n}"), key=f"{chat_id}:{n}")
        assert await wires.postman.deliver_due() == len(messages)
    assert telegram.floods == 0
    by_chat: dict[int, list[int]] = defaultdict(list)
    for call in telegram.journal:
        by_chat[int(call.asked["chat_id"])].append(int(call.asked["text"]))
    assert all(earlier < later for numbers in by_chat.values() for earlier, later in pairwise(numbers))
    took = max(call.at for call in telegram.journal)
    assert 15 < took < 40, "a group of ten wants twenty seconds, and nobody waits for it"
