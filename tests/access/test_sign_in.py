"""Sign-ins: a chain of refresh tokens, spent once each, and what becomes of one that is shown again."""

import asyncio

import pytest
from structlog.testing import capture_logs

from bottega.access import opaque
from bottega.access.sign_in import (
    GRACE_SECONDS,
    AccountNotActive,
    InvalidRefreshToken,
    Method,
    SignIns,
    Tokens,
)
from bottega.access.signing import InvalidToken, TokenKeys
from bottega.access.types import Scope
from tests.access.scene import ISSUER, OLDER, SECRET, Scene
from tests.database import MakeUser

OF_A_PERSON = frozenset(Scope) - {Scope.ADMIN}


async def refused(scene: Scene, token: str) -> bool:
    try:
        await scene.access.sign_ins.refresh(token)
    except InvalidRefreshToken:
        return True
    return False


async def comes_in(scene: Scene, tokens: Tokens) -> bool:
    try:
        await scene.access.door.admit(tokens.access.token)
    except InvalidToken:
        return False
    return True


async def grace_is_over(scene: Scene) -> None:
    await scene.execute("UPDATE refresh_tokens SET spent_at = spent_at - make_interval(secs => $1)", GRACE_SECONDS + 1)


async def test_a_refresh_token_gives_the_next_and_a_new_access_token(scene: Scene, make_user: MakeUser) -> None:
    user = await make_user()
    first = await scene.signed_in(user)
    second = await scene.access.sign_ins.refresh(first.refresh_token)
    third = await scene.access.sign_ins.refresh(second.refresh_token)
    assert len({first.refresh_token, second.refresh_token, third.refresh_token}) == 3
    assert first.scopes == third.scopes == OF_A_PERSON
    for tokens in (first, second, third):
        assert (await scene.access.door.admit(tokens.access.token)).user_id == user.id
    assert first.refresh_token not in repr(first)
    assert first.access.token not in repr(first)


async def test_a_spent_token_shown_later_ends_the_whole_sign_in_and_is_told(scene: Scene, make_user: MakeUser) -> None:
    user = await make_user()
    first, other = await scene.signed_in(user), await scene.signed_in(user)
    second = await scene.access.sign_ins.refresh(first.refresh_token)
    await grace_is_over(scene)
    with capture_logs() as logged:
        assert await refused(scene, first.refresh_token)
    (entry,) = [entry for entry in logged if entry["event"] == "access.refresh.reused"]
    assert (entry["user_id"], entry["log_level"]) == (user.id, "warning")
    assert first.refresh_token not in str(logged)
    assert await refused(scene, second.refresh_token)
    assert not await comes_in(scene, first)
    assert not await comes_in(scene, second)
    assert await comes_in(scene, other), "another device of theirs goes on"
    assert await scene.count("SELECT count(*) FROM sign_ins WHERE ended_why = 'reused'") == 1


async def test_an_answer_that_was_lost_is_given_again(scene: Scene, make_user: MakeUser) -> None:
    first = await scene.signed_in(await make_user())
    lost = await scene.access.sign_ins.refresh(first.refresh_token)
    again = await scene.access.sign_ins.refresh(first.refresh_token)
    assert again.refresh_token == lost.refresh_token
    assert not await refused(scene, again.refresh_token)


async def test_a_spent_token_whose_successor_was_used_is_no_lost_answer(scene: Scene, make_user: MakeUser) -> None:
    first = await scene.signed_in(await make_user())
    second = await scene.access.sign_ins.refresh(first.refresh_token)
    third = await scene.access.sign_ins.refresh(second.refresh_token)
    assert await refused(scene, first.refresh_token)
    assert await refused(scene, third.refresh_token)


async def test_twenty_at_once_get_one_and_the_same_successor(scene: Scene, make_user: MakeUser) -> None:
    first = await scene.signed_in(await make_user())
    got = await asyncio.gather(*(scene.access.sign_ins.refresh(first.refresh_token) for _ in range(20)))
    assert len({tokens.refresh_token for tokens in got}) == 1
    assert await scene.count("SELECT count(*) FROM refresh_tokens") == 2
    assert await scene.count("SELECT count(*) FROM refresh_tokens WHERE spent_at IS NULL") == 1


async def test_a_lost_answer_is_given_again_while_keys_are_replaced(scene: Scene, make_user: MakeUser) -> None:
    first = await scene.signed_in(await make_user())
    before, after, without = (
        SignIns(database=scene.database, keys=TokenKeys(ring, issuer=ISSUER, clock=scene.clock))
        for ring in ([OLDER], [SECRET, OLDER], [SECRET])
    )
    lost = await before.refresh(first.refresh_token)
    assert (await after.refresh(first.refresh_token)).refresh_token == lost.refresh_token
    with pytest.raises(InvalidRefreshToken):
        await without.refresh(first.refresh_token)


async def test_who_has_old_tokens_and_the_database_cannot_tell_the_next(scene: Scene, make_user: MakeUser) -> None:
    first = await scene.signed_in(await make_user())
    second = await scene.access.sign_ins.refresh(first.refresh_token)
    strangers = TokenKeys([bytes(range(32))], issuer=ISSUER, clock=scene.clock)
    guesses = [opaque.token_of(opaque.REFRESH, content) for content in strangers.successors(first.refresh_token)]
    assert second.refresh_token not in guesses


@pytest.mark.parametrize(
    "token",
    ["", "bort_", "x" * 100_000, "bort_" + "0" * 49, "bort_\ud800", "bort_é", opaque.make(opaque.REFRESH), "a\x00b"],
    ids=["nothing", "a prefix", "huge", "no checksum", "half a character", "no ASCII", "nobody's", "a zero"],
)
async def test_what_is_no_refresh_token_of_ours_is_refused(scene: Scene, token: str) -> None:
    assert await refused(scene, token)
    assert await scene.access.sign_ins.sign_out(token, everywhere=True) == 0


async def test_a_personal_token_is_no_refresh_token(scene: Scene) -> None:
    assert await refused(scene, opaque.make(opaque.PERSONAL))


async def test_tokens_that_are_too_old_are_refused(scene: Scene, make_user: MakeUser) -> None:
    unused, long = [await scene.signed_in(await make_user()) for _ in range(2)]
    digest = opaque.sha256(unused.refresh_token)
    await scene.execute("UPDATE refresh_tokens SET expires_at = now() WHERE token_sha256 = $1", digest)
    assert await refused(scene, unused.refresh_token)
    await scene.execute("UPDATE sign_ins SET expires_at = now() + interval '1 minute'")
    second = await scene.access.sign_ins.refresh(long.refresh_token)
    assert await scene.count("SELECT count(*) FROM refresh_tokens WHERE expires_at < now() + interval '2 minutes'") == 2
    await scene.execute("UPDATE sign_ins SET expires_at = now()")
    assert await refused(scene, second.refresh_token)


async def test_signing_out_ends_the_access_tokens_too(scene: Scene, make_user: MakeUser) -> None:
    user = await make_user()
    here, there = await scene.signed_in(user), await scene.signed_in(user)
    assert await scene.access.sign_ins.sign_out(here.refresh_token) == 1
    assert (await comes_in(scene, here), await comes_in(scene, there)) == (False, True)
    assert await refused(scene, here.refresh_token)
    assert await scene.access.sign_ins.sign_out(here.refresh_token) == 0


async def test_signing_out_everywhere_ends_all_of_one_person(scene: Scene, make_user: MakeUser) -> None:
    user = await make_user()
    here, there, other = [await scene.signed_in(who) for who in (user, user, await make_user())]
    assert await scene.access.sign_ins.sign_out(here.refresh_token, everywhere=True) == 2
    assert [await comes_in(scene, tokens) for tokens in (here, there, other)] == [False, False, True]


async def test_an_old_token_that_was_found_ends_its_own_sign_in_only(scene: Scene, make_user: MakeUser) -> None:
    user = await make_user()
    here, there = await scene.signed_in(user), await scene.signed_in(user)
    await scene.access.sign_ins.refresh(here.refresh_token)
    assert await scene.access.sign_ins.sign_out(here.refresh_token, everywhere=True) == 1
    assert await comes_in(scene, there)


@pytest.mark.parametrize("status", ["suspended", "deleted", "Active", ""])
async def test_an_account_that_is_not_active_is_out_at_once(scene: Scene, make_user: MakeUser, status: str) -> None:
    user = await make_user()
    tokens = await scene.signed_in(user)
    assert await comes_in(scene, tokens)
    await scene.set_user(user, status=status)
    assert not await comes_in(scene, tokens)
    assert await refused(scene, tokens.refresh_token)
    async with scene.database.transaction() as session:
        with pytest.raises(AccountNotActive):
            await scene.access.sign_ins.start(session, user_id=user.id, method=Method.CODE)


async def test_only_admins_have_the_scope_of_admins_and_only_as_long_as_they_are(
    scene: Scene, make_user: MakeUser
) -> None:
    user = await make_user()
    before = await scene.signed_in(user)
    await scene.set_user(user, role="admin")
    tokens = await scene.access.sign_ins.refresh(before.refresh_token)
    assert Scope.ADMIN in (await scene.access.door.admit(tokens.access.token)).scopes
    assert Scope.ADMIN not in (await scene.access.door.admit(before.access.token)).scopes
    await scene.set_user(user, role="person")
    who = await scene.access.door.admit(tokens.access.token)
    assert (who.role, who.scopes) == ("person", OF_A_PERSON)


async def test_a_sign_in_of_one_person_is_none_of_another(scene: Scene, make_user: MakeUser) -> None:
    mine, other = await make_user(), await make_user()
    tokens = await scene.signed_in(mine)
    await scene.execute("UPDATE sign_ins SET user_id = $1", other.id)
    assert not await comes_in(scene, tokens)
