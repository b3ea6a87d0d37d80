"""What the database's edge tells, and what it keeps to itself."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from bottega.db.transaction import Database


async def test_an_error_does_not_repeat_what_was_to_be_written(database: Database) -> None:
    """Errors are logged; a brief, a prompt or a reply is not to be."""
    twice = text("INSERT INTO users (id, username) VALUES (1, :brief), (1, :brief)")
    with pytest.raises(SQLAlchemyError) as error:
        async with database.transaction() as session:
            await session.execute(twice, {"brief": "a shop for my secret sauce"})
    assert "secret sauce" not in str(error.value)
