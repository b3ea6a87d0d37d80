"""Forgetting a person: what they said, had made and kept here goes, for good; what was paid and spent stays as numbers.

The account is closed first, so that nothing more begins or is spent. Projects go next, one after the other
(`deleting`), and what is the person's own last: what is killed in between is begun anew by the next wish, which finds
the rest. Ledger, calls and payments keep amounts under an account without a name.
"""

from dataclasses import dataclass

from sqlalchemy import text, update

from bottega.db.transaction import Database
from bottega.orchestration.commands.deleting import Deletion
from bottega.users.tables import User

FORGOTTEN = "deleted"  # the account's status


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    projects: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgetting:
    database: Database
    deletion: Deletion

    async def forget(self, *, user_id: int) -> Forgotten:
        """Forget a person; again for one who is forgotten, nothing happens."""
        async with self.database.transaction() as session:
            await session.execute(update(User).where(User.id == user_id).values(status=FORGOTTEN))
        count = await self.deletion.delete_all(user_id=user_id)
        async with self.database.transaction() as session:
            for statement in _ROWS:
                await session.execute(statement, {"user_id": user_id})
        return Forgotten(projects=count)


# A chat of a person and the bot alone has the person's own number. What was said to a group is forgotten after thirty
# days, with everything that was sent.
_MESSAGES = text(
    """
    DELETE FROM outbox WHERE target = 'telegram' AND recipient =
        (SELECT CAST(telegram_user_id AS text) FROM users WHERE id = :user_id)
    """
)
_THEIR_ROWS = ("chats", "deeds", "conversations", "sign_ins", "personal_tokens", "sign_in_codes")
_KEYS = text(
    """
    UPDATE api_keys SET is_active = false, ciphertext = '', removed_at = COALESCE(removed_at, now()),
        cooldown_until = NULL, last_error = NULL, label = NULL, last4 = '', fingerprint = CAST(id AS text)
    WHERE user_id = :user_id
    """
)
_ACCOUNT = text(
    """
    UPDATE users SET telegram_user_id = NULL, email = NULL, username = 'deleted-' || id, updated_at = now()
    WHERE id = :user_id
    """
)
_ROWS = (
    _MESSAGES,
    *(text(f"DELETE FROM {table} WHERE user_id = :user_id") for table in _THEIR_ROWS),  # noqa: S608  # our own words
    _KEYS,
    _ACCOUNT,
)
