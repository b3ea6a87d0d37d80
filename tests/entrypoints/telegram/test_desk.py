"""What is said at once: the status that is edited in place, answers to buttons and checkouts, files of people."""

import asyncio
import uuid

import pytest

from bottega.db.transaction import Database
from bottega.entrypoints.telegram.desk import Later, NotText, Rejected, Shut, TooLarge, Unreachable
from bottega.entrypoints.telegram.pacing import Limits
from bottega.entrypoints.telegram.sending import post_invoice
from bottega.entrypoints.telegram.types import Button, Say
from tests.entrypoints.telegram.wires import wired
from tests.fakes.telegram_people import CheckoutRefused
from tests.waiting import when

ORDER = uuid.UUID("6ba7b810-9dad-41d1-80b4-00c04fd430c8")
WORKING = Say(html="<b>Working</b>", keyboard=((Button(label="Stop", data="s"),),))


async def test_a_status_is_one_message_that_changes_in_place(database: Database) -> None:
    async with wired(database) as wires:
        ada = wires.telegram.person(7)
        shown = await wires.desk.show(7, None, Say(html="Planning"))
        assert await wires.desk.show(7, shown, WORKING) == shown
        [seen] = ada.sees()
        assert (seen.id, seen.text, seen.labels, seen.edits) == (shown, "Working", ["Stop"], 1)


async def test_an_edit_that_changes_nothing_is_skipped_and_one_unknown_to_us_does_no_harm(database: Database) -> None:
    async with wired(database) as wires:
        wires.telegram.person(7)
        shown = await wires.desk.show(7, None, WORKING)
        assert await wires.desk.show(7, shown, WORKING) == shown
        assert wires.telegram.calls("editMessageText") == []
        wires.desk._shown.clear()  # as after a restart
        assert await wires.desk.show(7, shown, WORKING) == shown
        assert len(wires.telegram.calls("editMessageText")) == 1


async def test_a_status_that_was_deleted_is_sent_anew(database: Database) -> None:
    async with wired(database) as wires:
        ada = wires.telegram.person(7)
        shown = await wires.desk.show(7, None, Say(html="Planning"))
        ada.deletes(ada.sees()[0])
        again = await wires.desk.show(7, shown, WORKING)
        assert again != shown
        assert [message.text for message in ada.sees()] == ["Working"]


async def test_a_status_is_cut_to_one_message_and_survives_its_markup(database: Database) -> None:
    async with wired(database) as wires:
        ada = wires.telegram.person(7)
        shown = await wires.desk.show(7, None, Say(html=f"<b>{'a' * 5000}</b>"))
        assert len(ada.sees()[0].text) == 4096
        await wires.desk.show(7, shown, Say(html="<b>plain</i>"))
        assert ada.sees()[0].text == "plain"


async def test_whoever_has_to_wait_for_a_turn_is_told_how_long(database: Database) -> None:
    async with wired(database, limits=Limits()) as wires:
        wires.telegram.group(-100)
        shown = await wires.desk.show(-100, None, Say(html="0"))
        for number in range(1, 5):
            await wires.desk.show(-100, shown, Say(html=f"{number}"))
        with pytest.raises(Later) as caught:
            await wires.desk.show(-100, shown, Say(html="5"))
        assert caught.value.after_seconds is not None
        assert 2 < caught.value.after_seconds <= 4


async def test_what_goes_wrong_has_a_name(database: Database) -> None:
    async with wired(database) as wires:
        ada = wires.telegram.person(7)
        wires.telegram.refuses_next(429, retry_after=9)
        with pytest.raises(Later):
            await wires.desk.show(7, None, WORKING)
    async with wired(database) as wires:
        ada = wires.telegram.person(7)
        wires.telegram.refuses_next(502)
        with pytest.raises(Unreachable):
            await wires.desk.show(7, None, WORKING)
        ada.blocks()
        with pytest.raises(Shut):
            await wires.desk.show(7, None, WORKING)


async def test_buttons_are_answered_and_too_late_is_no_fault(database: Database) -> None:
    async with wired(database) as wires:
        ada = wires.telegram.person(7)
        await wires.desk.show(7, None, WORKING)
        for notice in (None, "Stopping", "😀" * 500):
            await ada.presses("Stop")
            await wires.desk.answer_button(wires.telegram._updates[-1]["callback_query"]["id"], notice)
        assert ada.notices == ["", "Stopping", "😀" * 100]
        await wires.desk.answer_button("long ago", "Stopping")
        ada.blocks()
        await wires.desk.typing(7)


async def test_a_checkout_is_answered_either_way(database: Database) -> None:
    async with wired(database) as wires:
        ada = wires.telegram.person(7)
        async with database.transaction() as session:
            await post_invoice(
                session, chat_id=7, order_id=ORDER, title="t", description="d", label="l", stars=80, key="o"
            )
        await wires.postman.deliver_due()
        invoice = ada.sees()[0]

        async def answer(refusal: str | None) -> None:
            await when(lambda: _so(wires.telegram.checkouts))
            await wires.desk.answer_checkout(next(iter(wires.telegram.checkouts)), refusal)

        answering = asyncio.create_task(answer("The price has changed."))
        with pytest.raises(CheckoutRefused, match="The price has changed"):
            await ada.pays(invoice)
        await answering
        answering = asyncio.create_task(answer(None))
        assert (await ada.pays(invoice)).startswith("stx")
        await answering
        await wires.desk.answer_checkout("long ago", None)


@pytest.mark.parametrize(
    ("content", "limit", "error"),
    [
        (b"# A list", 100, None),
        (b"x" * 101, 100, TooLarge),
        (b"x" * 3001, 10**6, TooLarge),
        (b"\xff\xfe", 100, NotText),
    ],
)
async def test_a_persons_file_is_fetched_as_text_within_a_limit(
    content: bytes, limit: int, error: type[Exception] | None, database: Database
) -> None:
    async with wired(database) as wires:
        wires.telegram.largest_download = 3000
        await wires.telegram.person(7).sends_document("brief.md", content)
        file_id = wires.telegram._updates[-1]["message"]["document"]["file_id"]
        if error is None:
            assert await wires.desk.fetch_text(file_id, limit) == content
        else:
            with pytest.raises(error):
                await wires.desk.fetch_text(file_id, limit)
        with pytest.raises(Rejected):
            await wires.desk.fetch_text("nobody's", limit)


async def test_the_menu_is_set_for_each_language(database: Database) -> None:
    async with wired(database) as wires:
        await wires.desk.set_commands("es", {"start": "Empezar"})
        await wires.desk.set_commands(None, {"start": "Begin"})
        await wires.desk.set_commands("de", {"Not A Command": "x"})
        assert {language: menu[0]["description"] for language, menu in wires.telegram.commands.items()} == {
            "es": "Empezar",
            "": "Begin",
        }


async def test_nothing_is_said_while_a_transaction_is_open(database: Database) -> None:
    async with wired(database) as wires:
        wires.telegram.person(7)
        async with database.transaction():
            with pytest.raises(AssertionError, match="transaction"):
                await wires.desk.show(7, None, WORKING)


async def _so(value: object) -> bool:
    return bool(value)
