"""People and their two numbers: `credit_balance` (sum of their transactions) and `credit_held` (sum of open holds)."""

from decimal import Decimal

from sqlalchemy import BigInteger, CheckConstraint, String, text
from sqlalchemy.orm import Mapped, mapped_column

from bottega.db.base import Base
from bottega.db.types import CREDITS, CreatedAt


class User(Base):
    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint(
            "telegram_user_id IS NOT NULL OR username IS NOT NULL OR email IS NOT NULL",
            name="has_identity",
        ),
        CheckConstraint("credit_held >= 0", name="held_not_negative"),
        {"postgresql_with": {"fillfactor": "70"}},  # balances are updated in place, often
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    telegram_user_id: Mapped[int | None] = mapped_column(BigInteger, unique=True)
    username: Mapped[str | None] = mapped_column(String(255))
    email: Mapped[str | None] = mapped_column(String(255))
    credit_balance: Mapped[Decimal] = mapped_column(CREDITS, server_default=text("0"))
    credit_held: Mapped[Decimal] = mapped_column(CREDITS, server_default=text("0"))
    credit_last_charge: Mapped[Decimal] = mapped_column(CREDITS, server_default=text("0"))  # for a settle to read back
    role: Mapped[str] = mapped_column(String(20), server_default="person")
    status: Mapped[str] = mapped_column(String(20), server_default="active")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]
