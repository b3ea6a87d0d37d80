"""Codes to sign in with: guessed five times at most, used once, whoever tries at the same time."""

import asyncio
import re

import pytest

from bottega.access.codes import DIGITS, LENGTH, LIFE_SECONDS, MOST_TRIES, InvalidCode, TooManyTries
from bottega.access.sign_in import AccountNotActive
from tests.access.scene import Scene
from tests.database import MakeUser


async def attempt(scene: Scene, code: str, *, address: str = "192.0.2.1") -> str:
    try:
        tokens = await scene.access.codes.redeem(code, address=address)
    except (InvalidCode, TooManyTries, AccountNotActive) as error:
        return error.code
    return f"user {(await scene.access.door.admit(tokens.access.token)).user_id}"


def wrong(code: str, step: int = 1) -> str:
    whose, _, secret = code.partition("-")
    return f"{whose}-{secret[:-1]}{DIGITS[(DIGITS.index(secret[-1]) + step) % len(DIGITS)]}"


async def test_a_code_signs_in_once(scene: Scene, make_user: MakeUser) -> None:
    user = await make_user()
    code = await scene.code(user)
    assert re.fullmatch(rf"{user.id}-[{DIGITS}]{{8}}", code)
    assert LENGTH == 8
    assert not set("01OILU") & set(DIGITS)
    assert await attempt(scene, code) == f"user {user.id}"
    assert await attempt(scene, code) == "invalid_code"


async def test_a_code_may_be_typed_as_people_type(scene: Scene, make_user: MakeUser) -> None:
    user = await make_user()
    code = await scene.code(user)
    whose, _, secret = code.partition("-")
    typed = f" {whose} - {secret[:4]} {secret[4:]} ".lower().replace("v", "u")
    assert await attempt(scene, typed) == f"user {user.id}"


async def test_one_of_twenty_who_try_at_once_comes_in(scene: Scene, make_user: MakeUser) -> None:
    user = await make_user()
    code = await scene.code(user)
    tries = (attempt(scene, code, address=f"192.0.2.{number}") for number in range(20))
    outcomes = await asyncio.gather(*tries)
    assert sorted(outcomes) == ["invalid_code"] * 19 + [f"user {user.id}"]
    assert await scene.count("SELECT count(*) FROM sign_ins") == 1


async def test_twenty_wrong_tries_at_once_are_five_and_then_a_wait(scene: Scene, make_user: MakeUser) -> None:
    code = await scene.code(await make_user())
    outcomes = await asyncio.gather(*(attempt(scene, wrong(code, step)) for step in range(1, 21)))
    assert sorted(outcomes) == ["invalid_code"] * MOST_TRIES + ["too_many_tries"] * 15
    assert MOST_TRIES == 5


async def test_an_address_that_was_wrong_five_times_waits_whosever_code_it_tries(
    scene: Scene, make_user: MakeUser
) -> None:
    mine, other = await make_user(), await make_user()
    right = await scene.code(mine)
    for code in (await scene.code(other), "nonsense", "", "999999999-ABCDEFGH", wrong(right)):
        assert await attempt(scene, wrong(code) if code.startswith(f"{other.id}-") else code) == "invalid_code"
    with pytest.raises(TooManyTries) as raised:
        await scene.access.codes.redeem(right, address="192.0.2.1")
    assert 1 <= raised.value.retry_after_seconds <= LIFE_SECONDS == 300
    assert await attempt(scene, right, address="192.0.2.2") == f"user {mine.id}"
    await scene.execute("UPDATE wrong_codes SET tried_at = tried_at - make_interval(secs => $1)", LIFE_SECONDS)
    assert await attempt(scene, await scene.code(mine)) == f"user {mine.id}"


async def test_five_wrong_tries_from_anywhere_end_a_code(scene: Scene, make_user: MakeUser) -> None:
    mine, other = await make_user(), await make_user()
    code, theirs = await scene.code(mine), await scene.code(other)
    for number in range(MOST_TRIES):
        assert await attempt(scene, wrong(code, number + 1), address=f"198.51.100.{number}") == "invalid_code"
    assert await attempt(scene, code, address="192.0.2.9") == "invalid_code"
    assert await attempt(scene, theirs, address="192.0.2.9") == f"user {other.id}"
    assert await attempt(scene, await scene.code(mine), address="192.0.2.9") == f"user {mine.id}"


async def test_a_new_code_replaces_the_one_before(scene: Scene, make_user: MakeUser) -> None:
    user = await make_user()
    first, second = await scene.code(user), await scene.code(user)
    assert await attempt(scene, first) == "invalid_code"
    assert await attempt(scene, second) == f"user {user.id}"


async def test_of_codes_that_are_sent_at_once_one_is_good(scene: Scene, make_user: MakeUser) -> None:
    user, ada = await make_user(), 2**62
    await scene.execute("UPDATE users SET telegram_user_id = $1", ada)
    issue, now = scene.access.codes.issue_on_telegram, scene.clock.now()
    codes = await asyncio.gather(*(issue(telegram_user_id=ada, asked_at=now) for _ in range(MOST_TRIES - 1)))
    outcomes = [await attempt(scene, code or "", address=f"192.0.2.{at}") for at, code in enumerate(codes)]
    assert sorted(outcomes) == ["invalid_code"] * 3 + [f"user {user.id}"]
    assert await issue(telegram_user_id=ada + 1, asked_at=now) is None


async def test_a_code_of_one_person_is_none_of_another(scene: Scene, make_user: MakeUser) -> None:
    mine, other = await make_user(), await make_user()
    code = await scene.code(mine)
    await scene.code(other)
    assert await attempt(scene, code.replace(f"{mine.id}-", f"{other.id}-")) == "invalid_code"


async def test_a_code_lives_five_minutes(scene: Scene, make_user: MakeUser) -> None:
    code = await scene.code(await make_user())
    assert await scene.count("SELECT round(extract(epoch FROM expires_at - now())) FROM sign_in_codes") == LIFE_SECONDS
    await scene.execute("UPDATE sign_in_codes SET expires_at = now()")
    assert await attempt(scene, code) == "invalid_code"


async def test_a_suspended_person_is_told_so(scene: Scene, make_user: MakeUser) -> None:
    user = await make_user()
    code = await scene.code(user)
    await scene.set_user(user, status="suspended")
    assert await attempt(scene, code) == "account_not_active"
    assert await scene.count("SELECT count(*) FROM sign_ins") == 0


@pytest.mark.parametrize(
    "typed",
    [
        "",
        " ",
        "-",
        "1",
        "1-",
        "-ABCDEFGH",
        "0-ABCDEFGH",
        "1-ABCDEFG1",
        "9" * 40,
        "x" * 10_000,
        "１-ABCDEFGH",
        "1-ABCDEFGH\x00",
        "99999999999-ABCDEFGH",
        "1-ABCDEFGHJ",
        "\ud800",
        "1'--ABCDEFGH",
    ],
    ids=repr,
)
async def test_what_is_no_code_is_refused_and_counted(scene: Scene, typed: str) -> None:
    assert await attempt(scene, typed) == "invalid_code"
    assert await scene.count("SELECT count(*) FROM wrong_codes") == 1
