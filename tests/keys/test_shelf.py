"""Kept keys in use: managers that share nothing but the table agree, and a person's own key stands alone."""

from collections.abc import Callable

import pytest
from sqlalchemy import text, update
from tests.database import MakeUser
from tests.keys.scene import NEW, VAULT, keep, manager, rows, secret

from bottega.db.transaction import Database
from bottega.keys import store
from bottega.keys.encryption import Keyring, KeyUnreadable, Vault
from bottega.keys.manager import APIKeyManager, KeysResting, NoOwnKey
from bottega.keys.tables import ApiKey
from bottega.llm.client import LeasedKey, NoProviderKey
from bottega.llm.errors import AuthenticationFailed, OutOfQuota, PaymentRequired, ProviderError, RateLimited

Refusal = Callable[[LeasedKey], ProviderError]


def error(kind: type[ProviderError], seconds: float | None = None) -> ProviderError:
    return kind("said secret things", provider="google", retry_after_seconds=seconds)


async def leased(keys: APIKeyManager, *, owner: int | None = None, calls: int = 1) -> list[str]:
    return [(await keys.acquire("google", owner=owner)).secret for _ in range(calls)]


async def test_keys_of_the_environment_and_kept_ones_take_turns(database: Database) -> None:
    kept = await keep(database, "kept")
    keys = manager(database, secret("environment"))
    assert await leased(keys, calls=4) == [secret("environment"), secret("kept")] * 2
    leases = [await keys.acquire("google") for _ in range(2)]
    assert [(lease.key_id, lease.owner) for lease in leases] == [(None, None), (kept.id, None)]


async def test_a_key_added_or_removed_elsewhere_is_known_at_the_next_call(database: Database) -> None:
    keys = manager(database)
    with pytest.raises(NoProviderKey):
        await keys.acquire("google")
    one, two = await keep(database, "one"), await keep(database, "two")
    assert set(await leased(keys, calls=2)) == {secret("one"), secret("two")}
    for key in (one, two):
        async with database.transaction() as session:
            await store.remove(session, fingerprint=key.fingerprint, owner=None)
        if key is one:
            assert await leased(keys, calls=2) == [secret("two")] * 2
    with pytest.raises(NoProviderKey):
        await keys.acquire("google")


async def test_a_cool_down_is_seen_by_other_processes_and_after_a_restart(database: Database) -> None:
    for name in ("one", "two", "other"):
        await keep(database, name, quota_group=None if name == "other" else "shared")
    here, there = manager(database), manager(database)
    lease = await here.acquire("google")
    assert lease.secret == secret("one")
    await here.report_failure(lease, error(RateLimited, 120.0))
    for keys in (here, there, manager(database)):
        assert await leased(keys, calls=3) == [secret("other")] * 3
    last = await there.acquire("google")
    await there.report_failure(last, error(RateLimited, 30.0))
    with pytest.raises(KeysResting) as caught:
        await here.acquire("google")
    assert 25 < (caught.value.retry_after_seconds or 0) <= 30
    assert caught.value.retryable


async def test_the_longer_rest_wins_whoever_notes_it_last(database: Database) -> None:
    await keep(database, "one")
    here, there = manager(database), manager(database)
    mine, theirs = await here.acquire("google"), await there.acquire("google")
    await here.report_failure(mine, error(RateLimited, 300.0))
    await there.report_failure(theirs, error(RateLimited, 1.0))
    with pytest.raises(KeysResting) as caught:
        await manager(database).acquire("google")
    assert (caught.value.retry_after_seconds or 0) > 290


async def test_a_rest_that_is_over_is_waited_for(database: Database) -> None:
    await keep(database, "one")
    keys = manager(database, wait_seconds=5.0)
    await keys.report_failure(await keys.acquire("google"), error(RateLimited, 0.2))
    assert await leased(keys) == [secret("one")]


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -5.0, 1e300])
async def test_a_senseless_wait_neither_fails_nor_rests_for_ever(database: Database, seconds: float) -> None:
    await keep(database, "one")
    keys = manager(database)
    await keys.report_failure(await keys.acquire("google"), error(OutOfQuota, seconds))
    [kept] = await _kept(database)
    assert 0 <= kept.rests_seconds <= 24 * 3600


async def _kept(database: Database) -> tuple[store.KeptKey, ...]:
    async with database.transaction() as session:
        return await store.kept(session)


async def test_a_refused_key_is_refused_for_all_and_its_row_says_why_in_a_code(database: Database) -> None:
    await keep(database, "one")
    here, there = manager(database), manager(database)
    await here.report_failure(await here.acquire("google"), error(AuthenticationFailed))
    for keys in (here, there, manager(database)):
        with pytest.raises(AuthenticationFailed, match="bottega keys list"):
            await keys.acquire("google")
    [row] = await rows(database)
    assert (row.is_active, row.last_error) == (False, "authentication_failed")
    await keep(database, "one")
    assert await leased(there) == [secret("one")]


async def test_no_credit_closes_the_pool_for_all_and_leaves_own_keys_alone(
    database: Database, make_user: MakeUser
) -> None:
    ada = await make_user()
    await keep(database, "one")
    await keep(database, "mine", user_id=ada.id)
    here, there = manager(database, secret("environment")), manager(database, secret("environment"))
    await here.report_failure(await here.acquire("google"), error(PaymentRequired))
    for keys in (here, there):
        with pytest.raises(PaymentRequired):
            await keys.acquire("google")
    assert await leased(there, owner=ada.id) == [secret("mine")]


async def test_no_credit_rests_the_one_own_key_and_not_its_group(database: Database, make_user: MakeUser) -> None:
    ada = await make_user()
    for name in ("one", "two"):
        await keep(database, name, user_id=ada.id, quota_group="shared")
    await keep(database, "pool")
    keys = manager(database)
    await keys.report_failure(await keys.acquire("google", owner=ada.id), error(PaymentRequired))
    assert await leased(keys, owner=ada.id, calls=2) == [secret("two")] * 2
    assert await leased(keys) == [secret("pool")]
    await keys.report_failure(await keys.acquire("google", owner=ada.id), error(PaymentRequired))
    with pytest.raises(PaymentRequired, match="your own key"):
        await manager(database).acquire("google", owner=ada.id)


@pytest.mark.parametrize(
    ("kind", "raised"),
    [(AuthenticationFailed, AuthenticationFailed), (RateLimited, KeysResting), (PaymentRequired, PaymentRequired)],
)
async def test_an_own_key_that_fails_never_falls_back_to_the_platforms(
    database: Database, make_user: MakeUser, kind: type[ProviderError], raised: type[ProviderError]
) -> None:
    ada = await make_user()
    await keep(database, "mine", user_id=ada.id)
    await keep(database, "pool")
    keys = manager(database, secret("environment"))
    await keys.report_failure(await keys.acquire("google", owner=ada.id), error(kind, 60.0))
    for other in (keys, manager(database, secret("environment"))):
        with pytest.raises(raised, match=r"(?i)your own key"):
            await other.acquire("google", owner=ada.id)


async def test_an_owner_without_keys_is_told_and_lent_nothing(database: Database, make_user: MakeUser) -> None:
    ada, bob = await make_user(), await make_user()
    await keep(database, "pool")
    await keep(database, "his", user_id=bob.id)
    key = await keep(database, "mine", user_id=ada.id)
    keys = manager(database, secret("environment"))
    assert await leased(keys, owner=ada.id) == [secret("mine")]
    async with database.transaction() as session:
        await store.remove(session, fingerprint=key.fingerprint, owner=ada.id)
    with pytest.raises(NoOwnKey, match="Your own key for google was removed"):
        await keys.acquire("google", owner=ada.id)


async def test_a_key_moved_into_another_row_is_not_lent(database: Database, make_user: MakeUser) -> None:
    """Somebody who can write to the table makes another person's key their own."""
    ada, mallory = await make_user(), await make_user()
    key = await keep(database, "mine", user_id=ada.id)
    theirs = await keep(database, "theirs", user_id=mallory.id)
    stolen = key.sealed.ciphertext
    async with database.transaction() as session:
        await session.execute(update(ApiKey).where(ApiKey.id == theirs.id).values(ciphertext=stolen))
    with pytest.raises(KeyUnreadable):
        await manager(database).acquire("google", owner=mallory.id)
    async with database.transaction() as session:
        await session.execute(
            text("UPDATE api_keys SET user_id = :user_id WHERE id = :id"), {"user_id": mallory.id, "id": key.id}
        )
    with pytest.raises(KeyUnreadable):
        await manager(database).acquire("google", owner=mallory.id)


async def test_a_key_that_cannot_be_read_does_not_stop_the_others_and_stays_as_it_is(database: Database) -> None:
    await keep(database, "old")
    renewed = Vault(ring=Keyring([NEW]), pepper=VAULT.pepper)  # the old encryption key was dropped too early
    with pytest.raises(KeyUnreadable, match="API_KEY_ENCRYPTION_KEY"):
        await manager(database, vault=renewed).acquire("google")
    await keep(database, "new", vault=renewed)
    assert await leased(manager(database, vault=renewed), calls=2) == [secret("new")] * 2
    assert [row.is_active for row in await rows(database)] == [True, True]


async def test_a_success_is_noted_and_forgets_the_fault(database: Database) -> None:
    key = await keep(database, "one")
    keys = manager(database)
    lease = await keys.acquire("google")
    await keys.report_failure(lease, error(RateLimited, 0.0))
    await keys.report_success(lease)
    [row] = await rows(database)
    assert (row.id, row.last_error, row.last_used_at is None) == (key.id, None, False)


async def test_a_report_that_the_database_does_not_take_is_not_the_calls_end(database: Database) -> None:
    await keep(database, "one")
    keys = manager(database)
    lease = await keys.acquire("google")
    async with database.transaction() as session:
        await session.execute(text("ALTER TABLE api_keys RENAME TO mislaid"))
    try:
        await keys.report_success(lease)
        await keys.report_failure(lease, error(AuthenticationFailed))
    finally:
        async with database.transaction() as session:
            await session.execute(text("ALTER TABLE mislaid RENAME TO api_keys"))
