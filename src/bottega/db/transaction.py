"""The only commit of the product.

Functions that touch rows take a `session` and never commit; whoever opens `Database.transaction()` does, once, at the
end of the block. No model, payment, chat or sandbox call may happen while one is open: `transaction_open()` says so,
and the scripted model refuses to answer when it is true.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

_open: ContextVar[int] = ContextVar("open_transactions", default=0)


def transaction_open() -> bool:
    """Tell whether this task is inside a database transaction."""
    return _open.get() > 0


class Database:
    """An engine and its transactions. `url` is a postgresql+asyncpg URL."""

    def __init__(self, *, url: str, pool_size: int = 10) -> None:
        self.engine = create_async_engine(url, pool_size=pool_size, max_overflow=0, pool_pre_ping=False)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False, autoflush=False)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Commit when the block ends, roll back when it raises."""
        mark = _open.set(_open.get() + 1)
        try:
            async with self._sessions() as session, session.begin():
                yield session
        finally:
            _open.reset(mark)

    async def close(self) -> None:
        await self.engine.dispose()
