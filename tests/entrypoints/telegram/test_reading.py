"""Updates as values: what people do, and what strangers may send instead."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottega.entrypoints.telegram.reading import arrival_of, read
from bottega.entrypoints.telegram.types import (
    Blocked,
    ButtonPressed,
    CheckoutAsked,
    DocumentSent,
    Incoming,
    NotUnderstood,
    Person,
    RepliedTo,
    StarsPaid,
    TextSent,
)
from tests.entrypoints.telegram.wires import ME
from tests.fakes.telegram import FakeTelegram
from tests.fakes.telegram_people import Message

ADA = Person(id=7, name="Ada", username="ada", language="en")


def told(telegram: FakeTelegram) -> Any:
    """Return the newest update."""
    return telegram._updates[-1]


def incoming(telegram: FakeTelegram) -> Incoming | None:
    return read(told(telegram), me=ME)


def message(**what: Any) -> dict[str, Any]:
    person = {"id": 7, "is_bot": False, "first_name": "Ada"}
    chat = {"id": 7, "type": "private"}
    return {"update_id": 1, "message": {"message_id": 5, "date": 1, "chat": chat, "from": person, **what}}


async def test_a_text_in_a_private_chat_is_read() -> None:
    telegram = FakeTelegram()
    update_id = await telegram.person(7, "Ada").says("A to-do list")
    number = told(telegram)["message"]["message_id"]
    assert incoming(telegram) == TextSent(
        update_id=update_id, chat_id=7, person=ADA, is_private=True, message_id=number, text="A to-do list"
    )


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("A to-do list", None),
        ("@bottega_bot A to-do list", "A to-do list"),
        ("A to-do list, @Bottega_Bot, please", "A to-do list, please"),
        ("@bottega_bott hello", None),
        ("mail me@bottega_bot.example", None),
        ("/status", "/status"),
        ("/status@bottega_bot now", "/status now"),
        ("/status@other_bot", None),
        ("/status@other_bot for @bottega_bot", None),
        ("@bottega_bot", ""),
    ],
)
async def test_in_a_group_only_what_is_meant_for_the_bot_is_read(said: str, heard: str | None) -> None:
    telegram = FakeTelegram()
    ada, us = telegram.person(7, "Ada"), telegram.group(-100)
    await ada.says(said, group=us)
    found = incoming(telegram)
    assert (found.text if isinstance(found, TextSent) else found) == heard
    assert found is None or (found.chat_id, found.is_private) == (-100, False)


async def test_an_answer_to_the_bot_is_meant_for_it_and_says_what_it_answers() -> None:
    telegram = FakeTelegram()
    ada, us = telegram.person(7, "Ada"), telegram.group(-100)
    keyboard = (({"text": "Yes", "callback_data": "y"}, {"text": "See", "url": "https://e.org"}),)
    ours = Message(id=55, text="Sure?", html="Sure?", entities=(), keyboard=keyboard)
    await ada.says("yes", group=us, reply_to=ours)
    found = incoming(telegram)
    assert isinstance(found, TextSent)
    assert (found.text, found.reply_to) == ("yes", RepliedTo(message_id=55, data=("y",)))
    theirs = Message(id=56, text="?", html="?", entities=(), keyboard=(), is_the_bots=False)
    await ada.says("yes", group=us, reply_to=theirs)
    assert incoming(telegram) is None
    await ada.says("see", forwarded=True)
    found = incoming(telegram)
    assert isinstance(found, TextSent)
    assert (found.is_forwarded, found.reply_to) == (True, None)


async def test_documents_buttons_and_blocks_are_read() -> None:
    telegram = FakeTelegram()
    ada = telegram.person(7, "Ada")
    await ada.sends_document("brief.md", b"# A list", caption="here")
    document = incoming(telegram)
    assert isinstance(document, DocumentSent)
    assert (document.name, document.size_bytes, document.caption) == ("brief.md", 8, "here")
    ada.presses_data("go", message=Message(id=9, text="", html="", entities=(), keyboard=()))
    button = incoming(telegram)
    assert isinstance(button, ButtonPressed)
    assert (button.data, button.message_id, button.chat_id) == ("go", 9, 7)
    ada.blocks()
    assert incoming(telegram) == Blocked(
        update_id=told(telegram)["update_id"], chat_id=7, person=ADA, is_private=True, is_back=False
    )
    ada.unblocks()
    assert isinstance(back := incoming(telegram), Blocked)
    assert back.is_back
    await ada.sends("voice")
    assert isinstance(voice := incoming(telegram), NotUnderstood)
    assert voice.what == "voice"
    await ada.sends("voice", group=telegram.group(-100))
    assert incoming(telegram) is None, "in a group a voice message is somebody else's"
    await ada.sends("pinned_message")
    assert incoming(telegram) is None


async def test_a_checkout_and_a_payment_are_read() -> None:
    telegram = FakeTelegram()
    ada = telegram.person(7, "Ada")
    asked = {"payload": "order", "prices": [{"label": "100", "amount": 80}]}
    about = {"currency": "XTR", "total_amount": 80, "invoice_payload": "order"}
    telegram.deliver("pre_checkout_query", {"id": "q", "from": ada.as_json(), **about})
    checkout = incoming(telegram)
    assert isinstance(checkout, CheckoutAsked)
    assert (checkout.query_id, checkout.payload, checkout.currency, checkout.amount) == ("q", "order", "XTR", 80)
    charge_id = telegram.stars.pay(asked, telegram_user_id=7)
    await ada._sends({"successful_payment": {**about, "telegram_payment_charge_id": charge_id}})
    payment = incoming(telegram)
    assert isinstance(payment, StarsPaid)
    assert (payment.payload, payment.amount, payment.charge_id) == ("order", 80, charge_id)


@pytest.mark.parametrize(
    "update",
    [
        None, [], "x", 1, {}, {"update_id": "1"}, {"update_id": -1}, {"update_id": 2**60}, {"update_id": True},
        {"update_id": 1}, {"update_id": 1, "message": None}, {"update_id": 1, "message": []},
        {"update_id": 1, "poll": {"id": "x"}}, {"update_id": 1, "edited_message": {"text": "x"}},
        message(text=None), message(text=5), message(chat=None), message(chat={"id": "7", "type": "private"}),
        message(text="x", chat={"id": 7, "type": "channel"}), message(text="x", chat={"id": 0, "type": "private"}),
        message(text="x", message_id=None), message(text="x", **{"from": None}),
        message(text="x", **{"from": {"id": 2**60}}), message(text="x", **{"from": {"id": 5, "is_bot": True}}),
        message(document={}), message(document={"file_id": 5}), message(successful_payment={"total_amount": "80"}),
        {"update_id": 1, "callback_query": {"id": "x", "from": {"id": 7}}},
        {"update_id": 1, "pre_checkout_query": {"id": "x", "from": {"id": 7}, "total_amount": 1.5}},
    ],
)  # fmt: skip
def test_what_is_none_of_ours_is_nothing(update: Any) -> None:
    assert read(update, me=ME) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "from", "chat", "type", "text", "message", "message_id", "document", "data", "private"]
            )
            | st.text(max_size=3),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(kind=st.sampled_from(["message", "callback_query", "pre_checkout_query", "my_chat_member"]), what=JSON)
def test_nothing_that_a_stranger_sends_breaks_the_reading(kind: str, what: Any) -> None:
    update = {"update_id": 1, kind: what}
    read(update, me=ME)
    arrival = arrival_of(update)
    assert arrival is None or len(arrival.stream) < 40


async def test_a_chat_is_one_stream_and_a_checkout_another() -> None:
    telegram = FakeTelegram()
    ada, us = telegram.person(7, "Ada"), telegram.group(-100)
    streams = []
    await ada.says("one")
    streams.append(told(telegram))
    ada.presses_data("x", message=Message(id=9, text="", html="", entities=(), keyboard=()))
    streams.append(told(telegram))
    ada.blocks()
    streams.append(told(telegram))
    await ada.says("/two", group=us)
    streams.append(told(telegram))
    telegram.deliver("pre_checkout_query", {"id": "q", "from": ada.as_json(), "total_amount": 1})
    streams.append(told(telegram))
    found = [arrival_of(update) for update in streams]
    assert [arrival.stream if arrival else None for arrival in found] == ["7", "7", "7", "-100", "checkout:7"]
