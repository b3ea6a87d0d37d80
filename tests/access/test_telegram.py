"""Telegram's word: believed as its documents say, fresh, and once."""

import asyncio
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from sqlalchemy import select

from bottega.access.by_telegram import NoBot
from bottega.access.sign_in import AccountNotActive, Tokens
from bottega.access.telegram import AHEAD_SECONDS, FRESH_SECONDS, NotTelegramsWord, read_init_data, read_widget
from bottega.db.transaction import Database
from bottega.users.tables import User
from tests.access.scene import BOT_TOKEN, Scene, set_scene
from tests.access.vouching import init_data, widget

ADA: dict[str, Any] = {
    "id": 279058397,
    "first_name": "Ada \u00e9\U0001f980",
    "last_name": "L=ove&lace\n",
    "username": "ada",
}


def now(scene: Scene) -> int:
    return int(scene.clock.now().timestamp())


async def user_id_of(scene: Scene, tokens: Tokens) -> int:
    return (await scene.access.door.admit(tokens.access.token)).user_id


async def refusal(scene: Scene, data: Any) -> str:
    telegram = scene.access.telegram
    with pytest.raises(NotTelegramsWord) as raised:
        await (telegram.by_mini_app(data) if isinstance(data, str) else telegram.by_widget(data))
    assert raised.value.http_status == 401
    return raised.value.message


# -- what was computed by others ---------------------------------------------------------------------------------------


def test_the_init_data_of_a_published_example_is_believed() -> None:
    """An example of a library's documentation (tma.js, of the Mini Apps' community), with its bot's token."""
    data = (
        "query_id=AAHdF6IQAAAAAN0XohDhrOrc"
        "&user=%7B%22id%22%3A279058397%2C%22first_name%22%3A%22Vladislav%22%2C%22last_name%22%3A%22Kibenko%22%2C"
        "%22username%22%3A%22vdkfrost%22%2C%22language_code%22%3A%22ru%22%2C%22is_premium%22%3Atrue%7D"
        "&auth_date=1662771648&hash=c501b71e775f74ce10e377dea85a7ea24ecd640b223ea86dfe453e0eaed2e2b2"
    )
    vouched = read_init_data(data, bot_token="5768337691:AAH5YkoiEuPk8-FZa32hStHTqXiLPtAEhx8")
    assert (vouched.telegram_user_id, vouched.username) == (279058397, "vdkfrost")
    assert vouched.at.timestamp() == 1662771648


def test_the_widgets_signature_is_computed_as_documented() -> None:
    """The digest was computed with `openssl dgst`, not with the code under test or its fake."""
    fields = {"id": "42", "first_name": "Ada", "auth_date": "1662771648", "hash": WIDGET_DIGEST}
    assert read_widget(fields, bot_token="123:abc").telegram_user_id == 42
    with pytest.raises(NotTelegramsWord):
        read_widget(fields | {"id": "43"}, bot_token="123:abc")


WIDGET_DIGEST = "b61a39853bd246be525d66fc23dfc2af2bcf80bc537817ef99860820c544cb6a"


# -- who comes in ------------------------------------------------------------------------------------------------------


async def test_a_new_person_gets_an_account_with_its_credits_once(scene: Scene, database: Database) -> None:
    first = await scene.access.telegram.by_widget(widget(**ADA, auth_date=now(scene)))
    again = await scene.access.telegram.by_mini_app(init_data(user=ADA, auth_date=now(scene), query_id="AA"))
    assert await user_id_of(scene, first) == await user_id_of(scene, again)
    async with database.transaction() as session:
        (user,) = (await session.scalars(select(User))).all()
    assert (user.telegram_user_id, user.username, user.credit_balance) == (ADA["id"], "ada", Decimal(10))


async def test_twenty_new_persons_at_once_are_one(scene: Scene) -> None:
    words = [init_data(user=ADA, auth_date=now(scene), query_id=f"q{number}") for number in range(20)]
    tokens = await asyncio.gather(*map(scene.access.telegram.by_mini_app, words))
    assert len({await user_id_of(scene, one) for one in tokens}) == 1
    assert await scene.count("SELECT count(*) FROM credit_transactions") == 1


async def test_fields_that_we_do_not_know_are_signed_too(scene: Scene) -> None:
    known = widget(**ADA, auth_date=now(scene), photo_url="https://t.me/i/a.jpg", something_new="1")
    assert "not signed" in await refusal(scene, {**known, "something_new": "2"})
    assert "not signed" in await refusal(scene, {k: v for k, v in known.items() if k != "something_new"})
    assert "not signed" in await refusal(scene, {**known, "more": "1"})
    await scene.access.telegram.by_widget(known)
    await scene.access.telegram.by_mini_app(
        init_data(user=ADA, auth_date=now(scene), signature="x", chat_type="private")
    )


@pytest.mark.parametrize("bot_token", ["", "1:a", BOT_TOKEN[:-1], BOT_TOKEN + " "], ids=repr)
async def test_nobody_elses_signature_counts(scene: Scene, bot_token: str) -> None:
    assert "not signed" in await refusal(scene, widget(bot_token=bot_token, **ADA, auth_date=now(scene)))
    assert "not signed" in await refusal(scene, init_data(bot_token=bot_token, user=ADA, auth_date=now(scene)))


async def test_a_widgets_signature_is_none_of_a_mini_app_and_the_other_way(scene: Scene) -> None:
    said = widget(**ADA, auth_date=now(scene))
    assert "not signed" in await refusal(scene, urlencode(said))
    opened = dict(parse_qsl(init_data(user=ADA, auth_date=now(scene))))
    assert "not signed" in await refusal(scene, opened)


@pytest.mark.parametrize("given", ["", "0" * 64, "0" * 63, "é" * 64, "x" * 5000, None])
async def test_a_wrong_signature_is_refused_whatever_it_looks_like(scene: Scene, given: str | None) -> None:
    said = widget(**ADA, auth_date=now(scene))
    if given is None:
        del said["hash"]
    else:
        said["hash"] = given
    assert await refusal(scene, said)


async def test_words_count_for_five_minutes(scene: Scene) -> None:
    assert FRESH_SECONDS == 300
    early, late = now(scene) - FRESH_SECONDS, now(scene) + AHEAD_SECONDS
    assert "older than 5 minutes" in await refusal(scene, widget(**ADA, auth_date=early - 1))
    assert "older than 5 minutes" in await refusal(scene, init_data(user=ADA, auth_date=early - 1))
    assert "future" in await refusal(scene, widget(**ADA, auth_date=late + 1))
    await scene.access.telegram.by_widget(widget(**ADA, auth_date=early))
    await scene.access.telegram.by_mini_app(init_data(user=ADA, auth_date=late))


async def test_a_word_is_taken_once_however_it_is_spelled(scene: Scene) -> None:
    said, opened = widget(**ADA, auth_date=now(scene)), init_data(user=ADA, auth_date=now(scene), query_id="AA")
    await scene.access.telegram.by_widget(said)
    await scene.access.telegram.by_mini_app(opened)
    fields = parse_qsl(opened)
    fields.reverse()
    for data in (
        said,
        {**said, "hash": said["hash"].upper()},
        {name: str(value) for name, value in reversed(said.items())},
        opened,
        urlencode(fields),
        opened.replace(said["hash"][:4], said["hash"][:4].upper()),
        opened.replace("query_id=A", "query_id=%41"),
    ):
        assert "used before" in await refusal(scene, data)


async def test_one_of_twenty_who_show_one_word_at_once_comes_in(scene: Scene) -> None:
    said = widget(**ADA, auth_date=now(scene))
    tries = (scene.access.telegram.by_widget(said) for _ in range(20))
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(outcome, Tokens) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, NotTelegramsWord) for outcome in outcomes) == 19


async def test_a_word_that_was_refused_is_not_used_up(scene: Scene) -> None:
    said = widget(**ADA, auth_date=now(scene))
    await refusal(scene, {**said, "hash": "0" * 64})
    scene.clock.go(-2 * AHEAD_SECONDS)
    await refusal(scene, said)
    scene.clock.go(2 * AHEAD_SECONDS)
    await scene.access.telegram.by_widget(said)


async def test_a_suspended_person_does_not_come_in(scene: Scene) -> None:
    await scene.access.telegram.by_widget(widget(**ADA, auth_date=now(scene)))
    await scene.execute("UPDATE users SET status = 'suspended'")
    with pytest.raises(AccountNotActive):
        await scene.access.telegram.by_widget(widget(**ADA, auth_date=now(scene) - 1))


async def test_without_a_bot_nobody_is_believed(database: Database, database_url: str) -> None:
    scene = set_scene(database, database_url=database_url, bot_token=None)
    with pytest.raises(NoBot):
        await scene.access.telegram.by_widget(widget(bot_token="", **ADA, auth_date=now(scene)))
    with pytest.raises(NoBot):
        await scene.access.telegram.by_mini_app(init_data(bot_token="", user=ADA, auth_date=now(scene)))


# -- what Telegram would not say, signed all the same ------------------------------------------------------------------


@pytest.mark.parametrize(
    "user",
    ["", "x", "[]", "null", "1", "[" * 2600, "{}", '{"id":"x"}', '{"id":-1}', '{"id":0}', '{"id":1.5}', '{"id":true}',
     '{"id":NaN}', '{"id":1e400}', '{"id":99999999999999999999}'],
    ids=lambda user: user[:12] or "nothing",
)  # fmt: skip
async def test_somebody_who_is_nobody_is_refused(scene: Scene, user: str) -> None:
    assert "say who" in await refusal(scene, init_data(user=user, auth_date=now(scene)))


@pytest.mark.parametrize("at", ["", "x", "-1", "0", "1e9", "9" * 40, "１６６２７７１６４８", "NaN", 2**60], ids=repr)
async def test_a_word_of_no_time_is_refused(scene: Scene, at: Any) -> None:
    assert "when" in await refusal(scene, widget(**ADA, auth_date=at))


@pytest.mark.parametrize(
    "data",
    ["", "x", "&", "=", "hash", "hash=&hash=", "a=1&a=1&hash=0", "a=%ff&hash=0", "a=\ud800&hash=0", "a" * 9000,
     "&".join(f"f{n}=1" for n in range(40)), "a=1\x00&hash=0"],
    ids=lambda data: repr(data[:12]),
)  # fmt: skip
async def test_what_is_no_init_data_is_refused(scene: Scene, data: str) -> None:
    assert await refusal(scene, data)


async def test_a_field_twice_is_refused_though_both_were_signed(scene: Scene) -> None:
    data = init_data(user=ADA, auth_date=now(scene))
    assert "twice" in await refusal(scene, f"{data}&auth_date={now(scene)}")


async def test_names_that_nobody_can_have_are_left_out(scene: Scene, database: Database) -> None:
    for number, name in enumerate(["x" * 65, "a\nb", "\x00", "", 5, None]):
        user = {"id": 100 + number, "username": name}
        await scene.access.telegram.by_mini_app(init_data(user=user, auth_date=now(scene)))
    async with database.transaction() as session:
        assert set((await session.scalars(select(User.username))).all()) == {None}
