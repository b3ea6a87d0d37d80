"""The fake Bot API refuses what Telegram refuses, in its words: what journeys stand on is no easier than the world."""

from typing import Any

import httpx2
import pytest

from tests.fakes import telegram_html
from tests.fakes.telegram import TOKEN, FakeTelegram
from tests.fakes.telegram_html import CannotParse


async def ask(telegram: FakeTelegram, method: str, **asked: Any) -> tuple[int, str]:
    """Return the status and what was said."""
    async with httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{telegram.url}/bot{TOKEN}/{method}", json=asked)
    return answer.status_code, answer.json().get("description", "")


HTML = {"parse_mode": "HTML"}
ONE_BUTTON = {"inline_keyboard": [[{"text": "x", "callback_data": "y" * 65}]]}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"text": "a" * 4097}, "Bad Request: message is too long"),
        ({"text": "😀" * 2049}, "Bad Request: message is too long"),
        ({"text": " \n"}, "Bad Request: message text is empty"),
        ({"text": "<b> </b>", **HTML}, "Bad Request: message text is empty"),
        ({"text": "<b>x", **HTML}, "can't parse entities: Can't find end tag corresponding to start tag \"b\""),
        ({"text": "x", "reply_markup": ONE_BUTTON}, "Bad Request: BUTTON_DATA_INVALID"),
        ({"text": "x", "chat_id": 8}, "Bad Request: chat not found"),
        ({"text": "x", "chat_id": 9}, "Forbidden: bot was blocked by the user"),
    ],
)
async def test_a_message_is_refused_as_telegram_would(asked: dict[str, Any], said: str) -> None:
    async with FakeTelegram() as telegram:
        ada = telegram.person(7)
        telegram.person(9, "Bob").blocks()
        status, description = await ask(telegram, "sendMessage", **{"chat_id": 7, **asked})
        assert status == (403 if "Forbidden" in said else 400)
        assert said in description
        assert ada.sees() == []


async def test_what_is_measured_is_what_people_see() -> None:
    async with FakeTelegram() as telegram:
        ada = telegram.person(7)
        source = "<b>" + "&amp;" * 4096 + "</b>"
        assert (await ask(telegram, "sendMessage", chat_id=7, text=source, **HTML))[0] == 200
        assert ada.sees()[0].text == "&" * 4096


async def test_edits_are_refused_where_nothing_changes_or_nothing_is_there() -> None:
    async with FakeTelegram() as telegram:
        ada = telegram.person(7)
        await ask(telegram, "sendMessage", chat_id=7, text="one")
        number = ada.sees()[0].id
        same = await ask(telegram, "editMessageText", chat_id=7, message_id=number, text="one")
        assert same[1].startswith("Bad Request: message is not modified: specified new message content")
        ada.deletes(ada.sees()[0])
        gone = await ask(telegram, "editMessageText", chat_id=7, message_id=number, text="two")
        assert gone == (400, "Bad Request: message to edit not found")


async def test_limits_are_kept_on_the_clock_that_it_is_given() -> None:
    now = [0.0]
    async with FakeTelegram(clock=lambda: now[0]) as telegram:
        telegram.person(7)
        telegram.group(-100)
        mine = [(await ask(telegram, "sendMessage", chat_id=7, text="x"))[0] for _ in range(6)]
        assert mine == [200] * 5 + [429]
        now[0] = 1.0
        assert (await ask(telegram, "sendMessage", chat_id=7, text="x"))[0] == 200
        ours = [await ask(telegram, "sendMessage", chat_id=-100, text="x") for _ in range(21)]
        assert [status for status, _ in ours] == [200] * 20 + [429]
        assert ours[-1][1] == "Too Many Requests: retry after 60"
        assert telegram.floods == 2


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("<blink>x</blink>", 'Unsupported start tag "blink" at byte offset 0'),
        ("é<br/>", "Unsupported start tag at byte offset 2"),
        ("1 < 2", "Unsupported start tag at byte offset 2"),
        ("<b><i>x</b></i>", 'Unmatched end tag at byte offset 7, expected "</i>", found "</b>"'),
        ("</b>", "Unexpected end tag at byte offset 0"),
        ('<b class="x">x</b>', 'Unsupported start tag "b" at byte offset 0'),
        ("<span>x</span>", 'Tag "span" must have class "tg-spoiler" at byte offset 0'),
    ],
)
def test_html_is_read_as_strictly_as_telegram_does(source: str, said: str) -> None:
    with pytest.raises(CannotParse) as caught:
        telegram_html.parse(source)
    assert str(caught.value) == said


def test_html_that_telegram_takes_is_taken() -> None:
    parsed = telegram_html.parse(
        'a & b &lt; <a href="https://e.org?a=1&amp;b=2">😀</a><pre><code class="language-py">x</code></pre>'
    )
    assert parsed.text == "a & b < 😀x"
    link, code, pre = parsed.entities
    assert (link.attributes, link.offset, link.length) == ((("href", "https://e.org?a=1&b=2"),), 8, 2)
    assert (code.tag, pre.tag, code.offset) == ("code", "pre", 10)
