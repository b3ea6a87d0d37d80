"""Tokens of the relay: shown once, kept as hashes, and all refusals alike."""

import uuid
from datetime import timedelta

import pytest
from sqlalchemy import select, update
from tests.billing.scene import Scene, set_scene

from bottega.billing.ledger import NotTheirProject
from bottega.billing.relay import InvalidLifetime, InvalidRelayToken, RelayTokens
from bottega.billing.tables import RelayToken
from bottega.db.transaction import Database
from bottega.llm.types import Purpose
from bottega.users.tables import User


@pytest.fixture
async def scene(database: Database) -> Scene:
    return await set_scene(database)


@pytest.fixture
def tokens(database: Database) -> RelayTokens:
    return RelayTokens(database=database)


async def age(database: Database, *, seconds: int) -> None:
    async with database.transaction() as session:
        await session.execute(update(RelayToken).values(expires_at=RelayToken.expires_at - timedelta(seconds=seconds)))


async def test_a_token_is_redeemed_for_what_it_was_issued_for(tokens: RelayTokens, scene: Scene) -> None:
    issued = await tokens.issue(
        user_id=scene.user_id,
        project_id=scene.project_id,
        ttl_seconds=60,
        purpose=Purpose.IMPLEMENT,
        task_key="T1",
    )
    grant = await tokens.redeem(issued.token)
    assert (grant.user_id, grant.project_id) == (scene.user_id, scene.project_id)
    assert (grant.purpose, grant.task_key) == (Purpose.IMPLEMENT, "T1")


async def test_only_the_hash_is_kept_and_none_is_like_another(
    tokens: RelayTokens, scene: Scene, database: Database
) -> None:
    issued = [await tokens.issue(user_id=scene.user_id, project_id=scene.project_id, ttl_seconds=60) for _ in range(2)]
    assert issued[0].token != issued[1].token
    assert issued[0].token not in repr(issued[0])
    assert issued[0].token.startswith("brt_")
    assert len(issued[0].token) == len("brt_") + 43
    async with database.transaction() as session:
        kept = str((await session.execute(select(RelayToken.__table__))).mappings().all())
    assert issued[0].token not in kept


async def test_nobody_gets_a_token_for_anothers_project(tokens: RelayTokens, scene: Scene, database: Database) -> None:
    other = await set_scene(database, username="bob")
    for user_id, project_id in ((other.user_id, scene.project_id), (scene.user_id, uuid.uuid4()), (0, uuid.uuid4())):
        with pytest.raises(NotTheirProject):
            await tokens.issue(user_id=user_id, project_id=project_id, ttl_seconds=60)
    async with database.transaction() as session:
        await session.execute(update(User).where(User.id == other.user_id).values(status="suspended"))
    with pytest.raises(NotTheirProject):
        await tokens.issue(user_id=other.user_id, project_id=other.project_id, ttl_seconds=60)


@pytest.mark.parametrize("seconds", [-1, 0, 59, 86_401])
async def test_a_token_lives_from_a_minute_to_a_day(tokens: RelayTokens, scene: Scene, seconds: int) -> None:
    with pytest.raises(InvalidLifetime):
        await tokens.issue(user_id=scene.user_id, project_id=scene.project_id, ttl_seconds=seconds)


async def test_unknown_expired_and_revoked_are_the_same_refusal(
    tokens: RelayTokens, scene: Scene, database: Database
) -> None:
    revoked, expired = [
        (await tokens.issue(user_id=scene.user_id, project_id=scene.project_id, ttl_seconds=60)).token for _ in range(2)
    ]
    assert await tokens.revoke(revoked)
    assert not await tokens.revoke(revoked)
    said = set()
    for token in (revoked, "", "brt_", "brt_" + "x" * 43, "\ud800", "x" * 1_000_000, "' OR 1=1 --"):
        with pytest.raises(InvalidRelayToken) as refused:
            await tokens.redeem(token)
        said.add(refused.value.message)
    await tokens.redeem(expired)
    await age(database, seconds=61)
    with pytest.raises(InvalidRelayToken) as refused:
        await tokens.redeem(expired)
    assert said == {refused.value.message}


async def test_all_tokens_of_ones_project_end_together(tokens: RelayTokens, scene: Scene, database: Database) -> None:
    other = await set_scene(database, username="bob")
    theirs = await tokens.issue(user_id=other.user_id, project_id=other.project_id, ttl_seconds=60)
    for _ in range(2):
        await tokens.issue(user_id=scene.user_id, project_id=scene.project_id, ttl_seconds=60)
    assert await tokens.revoke_all(user_id=other.user_id, project_id=scene.project_id) == 0
    assert await tokens.revoke_all(user_id=scene.user_id, project_id=scene.project_id) == 2
    assert (await tokens.redeem(theirs.token)).user_id == other.user_id


async def test_what_expired_a_day_ago_is_forgotten(tokens: RelayTokens, scene: Scene, database: Database) -> None:
    await tokens.issue(user_id=scene.user_id, project_id=scene.project_id, ttl_seconds=60)
    await age(database, seconds=86_300)
    assert await tokens.forget_expired() == 0
    await age(database, seconds=200)
    assert await tokens.forget_expired() == 1
