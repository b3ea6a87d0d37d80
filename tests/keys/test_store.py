"""The table of kept keys: adding, removing and sealing anew, also beside and after somebody else who does the same."""

import asyncio

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from tests.database import MakeUser
from tests.keys.scene import NEW, OLD, VAULT, keep, rows, secret

from bottega.db.transaction import Database
from bottega.keys import store
from bottega.keys.encryption import Keyring, Place, Sealed, Vault
from bottega.keys.store import BadKey, KeptKey, KeyKept, NewKey, NoSuchKey, Rotated
from bottega.keys.tables import ApiKey
from bottega.llm.client import UnknownProvider

BOTH = Vault(ring=Keyring([NEW, OLD]), pepper=VAULT.pepper)


async def remove(database: Database, key: KeptKey, *, owner: int | None = None) -> int:
    async with database.transaction() as session:
        return await store.remove(session, fingerprint=key.fingerprint, owner=owner)


async def rotate(database: Database, *, vault: Vault = BOTH, limit: int = 100) -> list[Rotated]:
    batches: list[Rotated] = []
    while not batches or batches[-1].last_id is not None:
        after = batches[-1].last_id if batches else None
        async with database.transaction() as session:
            batches.append(await store.rotate(session, vault=vault, after=after, limit=limit))
    return batches


def opened(row: ApiKey, *, vault: Vault) -> str:
    place = Place(row_id=row.id, user_id=row.user_id, provider=row.provider)
    return vault.ring.open(Sealed(ciphertext=row.ciphertext, version=row.key_version), place=place)


async def test_a_key_is_kept_sealed_and_shown_by_its_last_four(database: Database) -> None:
    key = await keep(database, "one")
    [row] = await rows(database)
    assert (key.last4, key.fingerprint, key.is_active) == ("6789", VAULT.fingerprint(secret("one")), True)
    assert secret("one").encode() not in row.ciphertext
    assert opened(row, vault=VAULT) == secret("one")
    assert secret("one") not in f"{key!r} {NewKey(provider='google', secret=secret('one'))!r}"


async def test_the_same_key_stands_once_for_each_owner_and_provider(database: Database, make_user: MakeUser) -> None:
    ada, bob = await make_user(), await make_user()
    await keep(database, "one")
    await keep(database, "one", provider="openrouter")
    await keep(database, "one", user_id=ada.id)
    await keep(database, "one", user_id=bob.id)
    for owner in (None, ada.id):
        with pytest.raises(KeyKept):
            await keep(database, "one", user_id=owner)
    assert len(await rows(database)) == 4


async def test_of_twins_that_add_the_same_key_one_is_told(database: Database) -> None:
    told = await asyncio.gather(*(keep(database, "one") for _ in range(6)), return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in told) == ["KeptKey", *["KeyKept"] * 5]
    assert len(await rows(database)) == 1


async def test_a_removed_key_is_erased_and_its_row_stays(database: Database) -> None:
    key = await keep(database, "one")
    assert await remove(database, key) == 1
    [row] = await rows(database)
    assert (row.ciphertext, row.is_active, row.removed_at is None) == (b"", False, False)
    with pytest.raises(NoSuchKey):
        await remove(database, key)
    with pytest.raises(IntegrityError):
        async with database.transaction() as session:
            await session.execute(update(ApiKey).values(is_active=True))


async def test_a_removed_or_refused_key_can_be_added_again(database: Database) -> None:
    key = await keep(database, "one")
    async with database.transaction() as session:
        await store.rest(session, key_ids=[key.id], seconds=60, error_code="rate_limited")
        await store.mark_refused(session, key_id=key.id, error_code="authentication_failed")
    for _ in range(2):
        again = await keep(database, "one")
        assert (again.id, again.is_active, again.rests_seconds, again.last_error) == (key.id, True, 0.0, None)
        await remove(database, again)
    assert len(await rows(database)) == 1


async def test_nobody_removes_another_ones_key(database: Database, make_user: MakeUser) -> None:
    ada, bob = await make_user(), await make_user()
    key = await keep(database, "one", user_id=ada.id)
    for owner in (bob.id, None):
        with pytest.raises(NoSuchKey):
            await remove(database, key, owner=owner)
    assert [row.is_active for row in await rows(database)] == [True]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "No key"),
        (" \n ", "No key"),
        ("short", "16 to 500"),
        ("k" * 501, "501"),
        ("k" * 10_000_000, "10,000,000"),
        ("key-with a space in it", "characters no key has"),
        ("key-one-0123456789\nkey-two-0123456789", "characters no key has"),
        ("key-with-é-0123456789", "characters no key has"),
        ("key-with-\x00-0123456789", "characters no key has"),
        ('"key-in-quotes-0123456789"', "characters no key has"),
        ("\ud800key-0123456789-0123", "characters no key has"),
    ],
)
async def test_what_is_no_key_is_refused_without_showing_it(database: Database, text: str, words: str) -> None:
    async with database.transaction() as session:
        with pytest.raises(BadKey, match=words) as caught:
            await store.add(session, vault=VAULT, key=NewKey(provider="google", secret=text))
    assert not text.strip() or text not in caught.value.message
    assert await rows(database) == []


@pytest.mark.parametrize("label", ["l" * 101, "two\nlines", f"my {secret('one')}"])
async def test_a_label_is_one_short_line_without_the_key(database: Database, label: str) -> None:
    for name in ("label", "quota_group"):
        async with database.transaction() as session:
            key = NewKey(provider="google", secret=secret("one"), **{name: label})  # type: ignore[arg-type]
            with pytest.raises(BadKey) as caught:
                await store.add(session, vault=VAULT, key=key)
        assert secret("one") not in caught.value.message


async def test_an_unknown_provider_is_named_with_the_known_ones(database: Database) -> None:
    with pytest.raises(UnknownProvider, match="google, openrouter"):
        await keep(database, "one", provider="scripted")


async def test_a_rotation_leaves_every_key_under_the_newest_encryption_key(
    database: Database, make_user: MakeUser
) -> None:
    ada = await make_user()
    names = [f"n{number}" for number in range(7)]
    for number, name in enumerate(names):
        await keep(database, name, user_id=ada.id if number % 2 else None)
    gone = await keep(database, "gone")
    await remove(database, gone)
    batches = await rotate(database, limit=2)
    assert sum(batch.resealed for batch in batches) == 7
    newest = Vault(ring=Keyring([NEW]), pepper=b"")
    left = [row for row in await rows(database) if row.removed_at is None]
    assert [opened(row, vault=newest) for row in left] == [secret(name) for name in names]
    assert sum(batch.resealed for batch in await rotate(database)) == 0


async def test_an_interrupted_rotation_loses_nothing_and_is_finished_by_the_next(database: Database) -> None:
    for number in range(5):
        await keep(database, f"n{number}")
    async with database.transaction() as session:
        first = await store.rotate(session, vault=BOTH, limit=2)
    with pytest.raises(RuntimeError):  # killed in the middle of a batch
        await _rotate_and_die(database, first)
    assert [opened(row, vault=BOTH) for row in await rows(database)] == [secret(f"n{n}") for n in range(5)]
    assert sum(batch.resealed for batch in await rotate(database)) == 3


async def _rotate_and_die(database: Database, first: Rotated) -> None:
    async with database.transaction() as session:
        await store.rotate(session, vault=BOTH, after=first.last_id, limit=2)
        raise RuntimeError


async def test_rotations_beside_each_other_and_beside_adding_agree(database: Database) -> None:
    for number in range(12):
        await keep(database, f"n{number}")
    added = [keep(database, f"m{number}", vault=BOTH) for number in range(6)]
    done = await asyncio.gather(rotate(database, limit=3), rotate(database, limit=5), *added)
    assert len(done) == 8
    newest = Vault(ring=Keyring([NEW]), pepper=b"")
    assert {opened(row, vault=newest) for row in await rows(database)} == {
        *(secret(f"n{n}") for n in range(12)),
        *(secret(f"m{n}") for n in range(6)),
    }


async def test_a_key_that_is_removed_during_a_rotation_stays_erased(database: Database) -> None:
    key = await keep(database, "one")
    async with database.transaction() as session:
        await store.remove(session, fingerprint=key.fingerprint, owner=None)
        rotation = asyncio.create_task(rotate(database))
        await asyncio.wait([rotation], timeout=0.3)  # it waits for the row, or has read it as it was
    assert sum(batch.resealed for batch in await rotation) == 0
    assert [row.ciphertext for row in await rows(database)] == [b""]


async def test_a_row_that_cannot_be_read_is_told_and_left_as_it_is(database: Database) -> None:
    kept = [await keep(database, name) for name in ("one", "two", "three")]
    async with database.transaction() as session:
        other = (await session.get_one(ApiKey, kept[0].id)).ciphertext
        await session.execute(update(ApiKey).where(ApiKey.id == kept[1].id).values(ciphertext=other))
    batches = await rotate(database, limit=1)
    assert [mark for batch in batches for mark in batch.unreadable] == [kept[1].fingerprint]
    assert sum(batch.resealed for batch in batches) == 2
    assert (await rows(database))[1].ciphertext == other


async def test_who_has_own_keys_and_what_they_reach(database: Database, make_user: MakeUser) -> None:
    ada, bob = await make_user(), await make_user()
    key = await keep(database, "one", user_id=ada.id)
    await keep(database, "pool", provider="openrouter")

    async def told(user_id: int) -> tuple[bool, bool, set[str]]:
        async with database.transaction() as session:
            own = [await store.has_own(session, user_id=user_id, provider=p) for p in ("google", "openrouter")]
            return own[0], own[1], set(await store.providers_kept(session, user_id=user_id))

    assert await told(ada.id) == (True, False, {"google", "openrouter"})
    assert await told(bob.id) == (False, False, {"openrouter"})
    async with database.transaction() as session:
        await store.mark_refused(session, key_id=key.id, error_code="authentication_failed")
    assert (await told(ada.id))[0], "a refused key is still theirs: nothing falls back by itself"
    await remove(database, key, owner=ada.id)
    assert await told(ada.id) == (False, False, {"openrouter"})
