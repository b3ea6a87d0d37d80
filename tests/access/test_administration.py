"""What admins do is on record in the same transaction, once for a key, and never on themselves."""

from decimal import Decimal

import pytest
from sqlalchemy.exc import DBAPIError

from bottega.access import administration, audit
from bottega.access.administration import BadReason, NoSuchAccount, NotOnYourself
from bottega.access.audit import Recorded
from bottega.access.signing import InvalidToken
from bottega.access.types import Actor, Role
from bottega.billing.audit import audit as audit_money
from bottega.billing.ledger import InvalidAmount, KeyReused
from bottega.users.tables import User
from tests.access.scene import Scene
from tests.database import MakeUser, connected


async def grant(
    scene: Scene, actor: Actor, user: User, credits: str = "5", *, key: str = "k", reason: str = "x"
) -> bool:
    async with scene.database.transaction() as session:
        entry = await administration.grant_credits(
            session, actor=actor, user_id=user.id, credits=Decimal(credits), reason=reason, key=key
        )
    return entry.repeated


async def recorded(scene: Scene) -> tuple[Recorded, ...]:
    async with scene.database.transaction() as session:
        return await audit.recorded(session)


async def test_a_grant_is_a_row_of_the_ledger_and_of_the_record_once(scene: Scene, make_user: MakeUser) -> None:
    admin, user = await make_user(), await make_user(balance=Decimal(10))
    actor = Actor(user_id=admin.id, request_id="r1")
    assert [await grant(scene, actor, user) for _ in range(3)] == [False, True, True]
    (row,) = await recorded(scene)
    assert (row.actor, row.action, row.subject_user_id) == (actor, "credits.granted", user.id)
    assert row.before == {"balance": "10.00000000"}
    assert row.after == {"balance": "15.00000000", "credits": "5.00000000", "reason": "x"}
    async with scene.database.transaction() as session:
        assert await audit_money(session) == ()


async def test_a_key_is_for_one_person_and_one_amount(scene: Scene, make_user: MakeUser) -> None:
    user, other = await make_user(), await make_user()
    await grant(scene, Actor(), user)
    for who, credits in ((other, "5"), (user, "6")):
        with pytest.raises(KeyReused):
            await grant(scene, Actor(), who, credits)
    assert len(await recorded(scene)) == 1


@pytest.mark.parametrize("credits", ["0", "-1", "NaN", "Infinity", "1e30"])
async def test_what_is_no_amount_changes_nothing(scene: Scene, make_user: MakeUser, credits: str) -> None:
    with pytest.raises(InvalidAmount):
        await grant(scene, Actor(), await make_user(), credits)
    assert await recorded(scene) == ()


@pytest.mark.parametrize("reason", ["", " ", "a\nb", "x" * 201, "\x00"])
async def test_a_deed_wants_a_reason(scene: Scene, make_user: MakeUser, reason: str) -> None:
    user = await make_user()
    with pytest.raises(BadReason):
        await grant(scene, Actor(), user, reason=reason)
    async with scene.database.transaction() as session:
        with pytest.raises(BadReason):
            await administration.suspend(session, actor=Actor(), user_id=user.id, reason=reason)


async def test_a_role_and_its_change_are_on_record(scene: Scene, make_user: MakeUser) -> None:
    admin, user = await make_user(), await make_user()
    actor = Actor(user_id=admin.id)
    async with scene.database.transaction() as session:
        done = [await administration.set_role(session, actor=actor, user_id=user.id, role=Role.ADMIN) for _ in range(2)]
    assert done == [True, False]
    (row,) = await recorded(scene)
    assert (row.action, row.before, row.after) == ("account.role_set", {"role": "person"}, {"role": "admin"})


async def test_nobody_lowers_themselves(scene: Scene, make_user: MakeUser) -> None:
    admin = await make_user()
    actor = Actor(user_id=admin.id)
    async with scene.database.transaction() as session:
        with pytest.raises(NotOnYourself):
            await administration.set_role(session, actor=actor, user_id=admin.id, role=Role.PERSON)
        with pytest.raises(NotOnYourself):
            await administration.suspend(session, actor=actor, user_id=admin.id, reason="x")
    assert await recorded(scene) == ()


async def test_a_suspended_account_is_out_and_its_sign_ins_stay_ended(scene: Scene, make_user: MakeUser) -> None:
    user = await make_user()
    tokens = await scene.signed_in(user)
    async with scene.database.transaction() as session:
        assert await administration.suspend(session, actor=Actor(), user_id=user.id, reason="abuse")
        assert await administration.restore(session, actor=Actor(), user_id=user.id, reason="sorry")
    with pytest.raises(InvalidToken):
        await scene.access.door.admit(tokens.access.token)
    restored, suspended = await recorded(scene)
    assert (suspended.action, suspended.after) == ("account.suspended", {"status": "suspended", "reason": "abuse"})
    assert (restored.action, restored.before) == ("account.active", {"status": "suspended"})
    await scene.access.door.admit((await scene.signed_in(user)).access.token)


async def test_a_deleted_account_stays_deleted(scene: Scene, make_user: MakeUser) -> None:
    user = await make_user()
    await scene.set_user(user, status="deleted")
    async with scene.database.transaction() as session:
        for user_id in (user.id, 999):
            with pytest.raises(NoSuchAccount):
                await administration.restore(session, actor=Actor(), user_id=user_id, reason="x")
            with pytest.raises(NoSuchAccount):
                await administration.set_role(session, actor=Actor(), user_id=user_id, role=Role.ADMIN)
    with pytest.raises(NoSuchAccount):
        await grant(scene, Actor(), user)


async def test_neither_deed_nor_record_stands_without_the_other(scene: Scene, make_user: MakeUser) -> None:
    user = await make_user()

    async def interrupted() -> None:
        async with scene.database.transaction() as session:
            await administration.set_role(session, actor=Actor(), user_id=user.id, role=Role.ADMIN)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await interrupted()
    assert await recorded(scene) == ()
    assert await scene.count("SELECT count(*) FROM users WHERE role = 'admin'") == 0
    with pytest.raises(DBAPIError):
        await _with_a_broken_record(scene, user)
    assert await scene.count("SELECT count(*) FROM users WHERE role = 'admin'") == 0


async def _with_a_broken_record(scene: Scene, user: User) -> None:
    async with scene.database.transaction() as session:
        await administration.set_role(session, actor=Actor(user_id=999), user_id=user.id, role=Role.ADMIN)


async def test_the_record_never_changes(scene: Scene, make_user: MakeUser) -> None:
    await grant(scene, Actor(), await make_user())
    async with connected(scene.database_url) as connection:
        for statement in ("UPDATE audit_log SET action = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log"):
            with pytest.raises(Exception, match="never change"):
                await connection.execute(statement)


async def test_the_record_is_read_newest_first_and_on(scene: Scene, make_user: MakeUser) -> None:
    user, other = await make_user(), await make_user()
    for number in range(3):
        await grant(scene, Actor(), user if number else other, key=f"k{number}")
    async with scene.database.transaction() as session:
        first = await audit.recorded(session, limit=2)
        rest = await audit.recorded(session, limit=2, before_id=first[-1].id)
        of_user = await audit.recorded(session, subject_user_id=user.id)
    assert [row.id for row in (*first, *rest)] == sorted((row.id for row in (*first, *rest)), reverse=True)
    assert (len(rest), len(of_user)) == (1, 2)
