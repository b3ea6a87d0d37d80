"""Sign-ins, tokens and codes, of which only hashes are kept; and what admins did.

A refresh token is spent at most once, and its successor is born with that. `audit_log` only grows: a trigger of the
first migration rejects UPDATE and DELETE. Addresses stand here as keyed hashes, and not for long.
"""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Index, String, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from bottega.db.base import Base
from bottega.db.types import CreatedAt, Instant, JsonList

HASH = 64  # hex digits of SHA-256


class SignIn(Base):
    """One device or browser of a person: a family of refresh tokens, one after the other, until it ends."""

    __tablename__ = "sign_ins"
    __table_args__ = (
        CheckConstraint("(ended_at IS NULL) = (ended_why IS NULL)", name="ended_for_a_reason"),
        Index(None, "user_id", postgresql_where=text("ended_at IS NULL")),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    method: Mapped[str] = mapped_column(String(20))
    expires_at: Mapped[Instant]  # whatever is refreshed meanwhile
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    ended_why: Mapped[str | None] = mapped_column(String(20))
    created_at: Mapped[CreatedAt]


class RefreshToken(Base):
    __tablename__ = "refresh_tokens"
    __table_args__ = (
        # A sign-in has one token at a time that may be spent.
        Index("uq_refresh_tokens_unspent", "sign_in_id", unique=True, postgresql_where=text("spent_at IS NULL")),
        CheckConstraint("(spent_at IS NULL) = (successor_sha256 IS NULL)", name="spent_for_a_successor"),
    )

    token_sha256: Mapped[str] = mapped_column(String(HASH), primary_key=True)
    sign_in_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("sign_ins.id", ondelete="CASCADE"), index=True)
    expires_at: Mapped[Instant]
    spent_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    successor_sha256: Mapped[str | None] = mapped_column(String(HASH))
    created_at: Mapped[CreatedAt]


class PersonalToken(Base):
    """A token that somebody made for a program; `last_used_at` is right to the hour."""

    __tablename__ = "personal_tokens"
    __table_args__ = (Index(None, "user_id", "created_at"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    token_sha256: Mapped[str] = mapped_column(String(HASH), unique=True)
    name: Mapped[str] = mapped_column(String(100))
    scopes: Mapped[JsonList]
    expires_at: Mapped[Instant]
    last_used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[CreatedAt]


class SignInCode(Base):
    """The one code a person may sign in with now; it goes with its use."""

    __tablename__ = "sign_in_codes"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    code_mac: Mapped[str] = mapped_column(String(HASH))
    wrong_tries: Mapped[int] = mapped_column(server_default=text("0"))
    expires_at: Mapped[Instant]


class WrongCode(Base):
    """A try that failed, from an address of which a keyed hash is kept."""

    __tablename__ = "wrong_codes"
    __table_args__ = (Index(None, "address_mac", "tried_at"),)

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    address_mac: Mapped[str] = mapped_column(String(HASH))
    tried_at: Mapped[CreatedAt]


class UsedTelegramData(Base):
    """Telegram's word for somebody, which has been taken once; kept until it is too old to be taken anyway."""

    __tablename__ = "used_telegram_data"

    data_sha256: Mapped[str] = mapped_column(String(HASH), primary_key=True)
    expires_at: Mapped[Instant] = mapped_column(DateTime(timezone=True), index=True)


class AuditEntry(Base):
    """What somebody with power did: `actor_user_id` NULL is the operator at the command line."""

    __tablename__ = "audit_log"
    __table_args__ = (Index(None, "subject_user_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    actor_user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    actor_token_id: Mapped[uuid.UUID | None]
    action: Mapped[str] = mapped_column(String(60))
    subject_user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    subject: Mapped[str | None] = mapped_column(String(300))  # what it was done to, where that is no person
    before: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    after: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    request_id: Mapped[str | None] = mapped_column(String(100))
    created_at: Mapped[CreatedAt]
