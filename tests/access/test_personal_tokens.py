"""Personal tokens: shown once, narrower than their maker, one person's alone."""

import asyncio
import re
import uuid
from collections.abc import Collection

import pytest

from bottega.access import opaque, personal_tokens
from bottega.access.personal_tokens import (
    LONGEST_DAYS,
    MOST_PER_PERSON,
    BadTokenRequest,
    NewToken,
    NoSuchToken,
    ScopeNotYours,
    TooManyTokens,
    WantedToken,
)
from bottega.access.signing import InvalidToken
from bottega.access.types import Identity, Scope
from bottega.users.tables import User
from tests.access.scene import Scene
from tests.database import MakeUser

READ = frozenset({Scope.PROJECTS_READ})
MOST = frozenset(Scope) - {Scope.ADMIN}


async def make(
    scene: Scene,
    user: User,
    *,
    scopes: Collection[Scope] = READ,
    has: Collection[Scope] = MOST,
    role: str = "person",
    name: str = "ci",
    days: int = 30,
    token_id: uuid.UUID | None = None,
) -> NewToken:
    maker = Identity(user_id=user.id, role=role, scopes=frozenset(has), token_id=token_id)
    async with scene.database.transaction() as session:
        return await personal_tokens.create(
            session, maker=maker, wanted=WantedToken(name=name, scopes=frozenset(scopes), days=days)
        )


async def comes_in(scene: Scene, token: str) -> bool:
    try:
        await scene.access.door.admit(token)
    except InvalidToken:
        return False
    return True


async def test_a_token_is_its_makers_with_its_scopes(scene: Scene, make_user: MakeUser) -> None:
    user = await make_user()
    made = await make(scene, user)
    assert re.fullmatch("bott_[0-9A-Za-z]{49}", made.token)
    who = await scene.access.door.admit(made.token)
    assert (who.user_id, who.scopes, who.role, who.token_id) == (user.id, READ, "person", made.kept.id)
    assert made.token not in repr(made)


async def test_a_list_shows_all_but_the_token(scene: Scene, make_user: MakeUser) -> None:
    mine, other = await make_user(), await make_user()
    made = [await make(scene, mine, name=name) for name in ("one", "two")]
    await make(scene, other)
    async with scene.database.transaction() as session:
        kept = await personal_tokens.kept_for(session, user_id=mine.id)
    assert [token.name for token in kept] == ["two", "one"]
    assert kept[1] == made[0].kept
    assert made[0].token[10:20] not in repr(kept)


@pytest.mark.parametrize("has", [(), (Scope.KEYS_WRITE,), (Scope.PROJECTS_WRITE, Scope.KEYS_WRITE)], ids=len)
async def test_nobody_gives_what_they_do_not_have(scene: Scene, make_user: MakeUser, has: Collection[Scope]) -> None:
    user = await make_user()
    with pytest.raises(ScopeNotYours) as raised:
        await make(scene, user, has=has, scopes=MOST)
    assert raised.value.scopes == MOST - set(has)
    assert await scene.count("SELECT count(*) FROM personal_tokens") == 0
    if has:
        assert (await make(scene, user, has=has, scopes=has)).kept.scopes == set(has)


async def test_the_scope_of_admins_is_for_admins(scene: Scene, make_user: MakeUser) -> None:
    user = await make_user()
    with pytest.raises(ScopeNotYours):
        await make(scene, user, has=frozenset(Scope), scopes=[Scope.ADMIN])
    await scene.set_user(user, role="admin")
    made = await make(scene, user, has=frozenset(Scope), scopes=[Scope.ADMIN], role="admin")
    assert (await scene.access.door.admit(made.token)).scopes == {Scope.ADMIN}
    await scene.set_user(user, role="person")
    assert (await scene.access.door.admit(made.token)).scopes == frozenset()


async def test_a_token_made_by_a_token_does_not_outlive_it(scene: Scene, make_user: MakeUser) -> None:
    user = await make_user()
    first = await make(scene, user, days=1)
    second = await make(scene, user, days=LONGEST_DAYS, token_id=first.kept.id)
    assert second.kept.expires_at == first.kept.expires_at


async def test_nobody_has_more_than_twenty_however_they_ask(scene: Scene, make_user: MakeUser) -> None:
    user, other = await make_user(), await make_user()
    tries = (make(scene, user) for _ in range(MOST_PER_PERSON + 5))
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(outcome, TooManyTokens) for outcome in outcomes) == 5
    await make(scene, other)
    made = next(outcome for outcome in outcomes if isinstance(outcome, NewToken))
    async with scene.database.transaction() as session:
        await personal_tokens.revoke(session, user_id=user.id, token_id=made.kept.id)
    await make(scene, user)
    await scene.execute("UPDATE personal_tokens SET expires_at = now()")
    await make(scene, user)


async def test_a_revoked_an_expired_and_a_suspended_persons_token_count_no_more(
    scene: Scene, make_user: MakeUser
) -> None:
    mine, other, third = await make_user(), await make_user(), await make_user()
    revoked, expired, suspended = [(await make(scene, user)) for user in (mine, other, third)]
    async with scene.database.transaction() as session:
        await personal_tokens.revoke(session, user_id=mine.id, token_id=revoked.kept.id)
    await scene.execute("UPDATE personal_tokens SET expires_at = now() WHERE id = $1", expired.kept.id)
    await scene.set_user(third, status="suspended")
    assert [await comes_in(scene, made.token) for made in (revoked, expired, suspended)] == [False] * 3
    await scene.set_user(third, status="active")
    assert await comes_in(scene, suspended.token)


async def test_nobody_revokes_anothers_token(scene: Scene, make_user: MakeUser) -> None:
    mine, other = await make_user(), await make_user()
    made = await make(scene, mine)
    for user_id, token_id in ((other.id, made.kept.id), (mine.id, uuid.uuid4())):
        async with scene.database.transaction() as session:
            with pytest.raises(NoSuchToken):
                await personal_tokens.revoke(session, user_id=user_id, token_id=token_id)
    assert await comes_in(scene, made.token)


async def test_the_last_use_is_noted_once_an_hour(scene: Scene, make_user: MakeUser) -> None:
    made = await make(scene, await make_user())
    assert made.kept.last_used_at is None
    await asyncio.gather(*(scene.access.door.admit(made.token) for _ in range(20)))
    first = await scene.count("SELECT extract(epoch FROM last_used_at) * 1000000 FROM personal_tokens")
    await scene.access.door.admit(made.token)
    assert await scene.count("SELECT extract(epoch FROM last_used_at) * 1000000 FROM personal_tokens") == first
    await scene.execute("UPDATE personal_tokens SET last_used_at = now() - interval '61 minutes'")
    await scene.access.door.admit(made.token)
    assert await scene.count("SELECT extract(epoch FROM now() - last_used_at) FROM personal_tokens") < 60


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"name": ""}, "name"),
        ({"name": "  "}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "a\x00"}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "my bott_" + "a" * 49}, "repeats"),
        ({"scopes": ()}, "scope"),
        ({"days": 0}, "days"),
        ({"days": -1}, "days"),
        ({"days": LONGEST_DAYS + 1}, "days"),
        ({"days": 10**30}, "days"),
    ],
    ids=str,
)
async def test_what_cannot_be_made_is_said(
    scene: Scene, make_user: MakeUser, wanted: dict[str, object], words: str
) -> None:
    with pytest.raises(BadTokenRequest, match=words):
        await make(scene, await make_user(), **wanted)  # type: ignore[arg-type]
    assert await scene.count("SELECT count(*) FROM personal_tokens") == 0


# -- how they look -----------------------------------------------------------------------------------------------------


def test_an_opaque_token_has_256_random_bits_and_a_checksum() -> None:
    made = {opaque.make(opaque.PERSONAL) for _ in range(200)}
    assert len(made) == 200
    assert {len(token) for token in made} == {opaque.LENGTH}
    assert all(opaque.is_one(token, prefix=opaque.PERSONAL) for token in made)
    assert 62**opaque.BODY_DIGITS >= 2**256
    for content in (bytes(32), b"\xff" * 32):
        assert opaque.is_one(opaque.token_of(opaque.REFRESH, content), prefix=opaque.REFRESH)


def test_a_slip_of_the_hand_is_noticed_without_the_database() -> None:
    token = opaque.make(opaque.PERSONAL)
    for place in range(len(opaque.PERSONAL), len(token)):
        other = "a" if token[place] != "a" else "b"
        assert not opaque.is_one(token[:place] + other + token[place + 1 :], prefix=opaque.PERSONAL)
    for text in ("", token[:-1], token + "a", token.lower(), token.replace("bott_", "bort_"), "é" * opaque.LENGTH):
        assert not opaque.is_one(text, prefix=opaque.PERSONAL)


@pytest.mark.parametrize(
    "token",
    ["bott_", "bott_" + "0" * 49, "bott_\ud800", "x" * 100_000, "", "brt_abc", opaque.make(opaque.PERSONAL)],
    ids=["a prefix", "no checksum", "half a character", "huge", "nothing", "a relay's", "nobody's"],
)
async def test_what_is_no_token_of_ours_does_not_come_in(scene: Scene, token: str) -> None:
    assert not await comes_in(scene, token)


async def test_a_refresh_token_does_not_come_in(scene: Scene, make_user: MakeUser) -> None:
    tokens = await scene.signed_in(await make_user())
    assert not await comes_in(scene, tokens.refresh_token)
