"""Forgetting what is of no use any more: ended sign-ins, dead tokens and codes, remembered words and addresses."""

from dataclasses import dataclass

from sqlalchemy import text

from bottega.db.transaction import Database

_FORGET = tuple(
    text(statement)
    for statement in (
        "DELETE FROM sign_ins WHERE LEAST(expires_at, ended_at) < now() - interval '30 days'",  # their tokens with them
        "DELETE FROM refresh_tokens WHERE spent_at < now() - interval '30 days'",
        "DELETE FROM personal_tokens WHERE LEAST(expires_at, revoked_at) < now() - interval '90 days'",
        "DELETE FROM sign_in_codes WHERE expires_at < now()",
        "DELETE FROM wrong_codes WHERE tried_at < now() - interval '1 hour'",
        "DELETE FROM used_telegram_data WHERE expires_at < now()",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Housekeeping:
    database: Database

    async def forget_old(self) -> None:
        for statement in _FORGET:
            async with self.database.transaction() as session:
                await session.execute(statement)
