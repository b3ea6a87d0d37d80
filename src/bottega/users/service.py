"""Finding people. One Telegram account is one person; without Telegram, one name on this installation is."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.core.errors import AppError
from bottega.users.tables import User


class NobodyNamed(AppError):
    code = "nobody_named"
    http_status = 422


class NobodyCalled(AppError):
    code = "nobody_called"
    http_status = 404

    def __init__(self, username: str) -> None:
        super().__init__(f"There is no account called {username[:100]!r}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """`created` when this very call made the account."""

    id: int
    created: bool


async def find_or_create(
    session: AsyncSession, *, telegram_user_id: int | None = None, username: str | None = None
) -> Person:
    """Return the person with this Telegram id, or, where there is none, the one of this name who has no Telegram."""
    if telegram_user_id is not None:
        return await _by_telegram(session, telegram_user_id=telegram_user_id, username=username)
    if username is not None and username.strip():
        return await _by_name(session, username=username.strip())
    raise NobodyNamed("An account needs a Telegram id or a name.")


async def find_named(session: AsyncSession, *, username: str) -> int | None:
    """Return the person of this name who has no Telegram, if there is one."""
    find = select(User.id).where(User.username == username, User.telegram_user_id.is_(None)).order_by(User.id).limit(1)
    return (await session.scalars(find)).one_or_none()


async def find_telegram(session: AsyncSession, *, telegram_user_id: int) -> int | None:
    """Return the person with this Telegram id, if there is one."""
    return await session.scalar(select(User.id).where(User.telegram_user_id == telegram_user_id))


async def names_of(session: AsyncSession, *, ids: Collection[int]) -> dict[int, str]:
    """Return what people are called here: their name, or else their account's number."""
    rows = (await session.execute(select(User.id, User.username).where(User.id.in_(ids)))).all()
    return {row.id: row.username or f"account {row.id}" for row in rows}


async def _by_telegram(session: AsyncSession, *, telegram_user_id: int, username: str | None) -> Person:
    find = select(User.id).where(User.telegram_user_id == telegram_user_id)
    if (found := (await session.scalars(find)).one_or_none()) is not None:
        return Person(id=found, created=False)
    new = (
        insert(User)
        .values(telegram_user_id=telegram_user_id, username=username)
        .on_conflict_do_nothing(index_elements=[User.telegram_user_id])
        .returning(User.id)
    )
    made = (await session.scalars(new)).one_or_none()
    if made is not None:
        return Person(id=made, created=True)
    return Person(id=(await session.scalars(find)).one(), created=False)  # a twin of this call was first


async def _by_name(session: AsyncSession, *, username: str) -> Person:
    find = select(User.id).where(User.username == username, User.telegram_user_id.is_(None)).order_by(User.id).limit(1)
    if (found := (await session.scalars(find)).one_or_none()) is not None:
        return Person(id=found, created=False)
    # Names are not unique in the table (Telegram users may share one), so twins of this call take turns.
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"users:{username}", 0))))
    if (found := (await session.scalars(find)).one_or_none()) is not None:
        return Person(id=found, created=False)
    return Person(
        id=(await session.scalars(insert(User).values(username=username).returning(User.id))).one(), created=True
    )


async def find_person(session: AsyncSession, *, user_id: int) -> User | None:
    return (await session.scalars(select(User).where(User.id == user_id))).one_or_none()


async def list_people(session: AsyncSession, *, limit: int, before: int | None = None) -> tuple[User, ...]:
    """Return accounts, newest first; those before one of them by its number."""
    statement = select(User).order_by(User.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(User.id < before)
    return tuple((await session.scalars(statement)).all())
