"""Prices, calls, holds and the ledger; payments have tables of their own.

`credit_transactions` is append-only: a trigger of the first migration rejects UPDATE and DELETE. `model_pricing` is
append-only too, except that `is_active` may fall. Every money-moving row has a unique idempotency key.
"""

import uuid
from datetime import datetime
from decimal import Decimal

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    String,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from bottega.db.base import Base
from bottega.db.types import CREDITS, USD, CreatedAt, Instant

LONGEST_PROVIDER = 100
LONGEST_NAME = 255


class ModelPricing(Base):
    """US dollars.

    `tiers` lists {above_tokens, input, output, cached_input, cache_write, reasoning}: one reprices a whole call whose
    input is longer. Nothing is billed per image of output (see docs/decisions/0015), so that column stays empty.
    """

    __tablename__ = "model_pricing"
    __table_args__ = (
        Index(
            "uq_model_pricing_active",
            "model_provider",
            "model_name",
            unique=True,
            postgresql_where=text("is_active"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    model_provider: Mapped[str] = mapped_column(String(LONGEST_PROVIDER))
    model_name: Mapped[str] = mapped_column(String(LONGEST_NAME))
    input_cost_per_million_tokens: Mapped[Decimal] = mapped_column(USD)
    output_cost_per_million_tokens: Mapped[Decimal] = mapped_column(USD)
    cached_input_cost_per_million_tokens: Mapped[Decimal | None] = mapped_column(USD)
    cache_write_cost_per_million_tokens: Mapped[Decimal | None] = mapped_column(USD)
    reasoning_cost_per_million_tokens: Mapped[Decimal | None] = mapped_column(USD)
    cost_per_request: Mapped[Decimal | None] = mapped_column(USD)
    image_input_cost_per_image: Mapped[Decimal | None] = mapped_column(USD)
    image_output_cost_per_image: Mapped[Decimal | None] = mapped_column(USD)
    tiers: Mapped[list[dict[str, str]]] = mapped_column(JSONB, server_default=text("'[]'::jsonb"))
    currency: Mapped[str] = mapped_column(String(10), server_default="USD")
    is_free: Mapped[bool] = mapped_column(server_default=text("false"))
    source: Mapped[str] = mapped_column(String(50))  # genai-prices | operator | openrouter
    notes: Mapped[str | None] = mapped_column(Text)
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    effective_from: Mapped[CreatedAt]
    created_at: Mapped[CreatedAt]


class CreditHold(Base):
    __tablename__ = "credit_holds"
    __table_args__ = (
        CheckConstraint("credits_amount >= 0", name="not_negative"),
        CheckConstraint("state IN ('open', 'settled', 'voided', 'expired')", name="state"),
        Index("ix_credit_holds_open", "user_id", "expires_at", postgresql_where=text("state = 'open'")),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    project_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("projects.id"))
    idempotency_key: Mapped[str] = mapped_column(String(300), unique=True)
    credits_amount: Mapped[Decimal] = mapped_column(CREDITS)
    state: Mapped[str] = mapped_column(String(20), server_default="open")
    expires_at: Mapped[Instant]
    resolved_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[CreatedAt]


class ApiKeyUsage(Base):
    """One row per attempt at a provider, inserted `started` with its hold before any network I/O."""

    __tablename__ = "api_key_usage"
    __table_args__ = (
        CheckConstraint("status IN ('started', 'settled', 'orphan', 'fenced', 'failed')", name="status"),
        Index("ix_api_key_usage_started", "created_at", postgresql_where=text("status = 'started'")),
        Index("ix_api_key_usage_cost_due", "cost_due_at", postgresql_where=text("cost_due_at IS NOT NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    call_key: Mapped[str] = mapped_column(String(300), unique=True)  # run:step:lease token:attempt
    operation_key: Mapped[str] = mapped_column(String(300), index=True)  # run:step
    project_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("projects.id"), index=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    task_key: Mapped[str | None] = mapped_column(String(20))
    api_key_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("api_keys.id"))
    own_key: Mapped[bool] = mapped_column(server_default=text("false"))  # of the person's; nobody bills the platform
    api_key_identifier: Mapped[str | None] = mapped_column(String(100))
    model_provider: Mapped[str] = mapped_column(String(100))
    model_name: Mapped[str] = mapped_column(String(255))
    task_type: Mapped[str] = mapped_column(String(100))  # llm.types.Purpose
    input_tokens_used: Mapped[int] = mapped_column(server_default=text("0"))
    cached_tokens_used: Mapped[int] = mapped_column(server_default=text("0"))
    cache_write_tokens_used: Mapped[int] = mapped_column(server_default=text("0"))
    output_tokens_used: Mapped[int] = mapped_column(server_default=text("0"))  # reasoning included
    reasoning_tokens_used: Mapped[int] = mapped_column(server_default=text("0"))
    images_processed: Mapped[int] = mapped_column(server_default=text("0"))
    input_tokens_estimated: Mapped[int] = mapped_column(server_default=text("0"))  # before the call
    actual_cost_usd: Mapped[Decimal] = mapped_column(USD, server_default=text("0"))
    cost_source: Mapped[str | None] = mapped_column(String(20))  # CostSource
    cost_due_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))  # when to ask what a lost call cost
    cost_asked: Mapped[int] = mapped_column(server_default=text("0"))  # how often it was
    markup_factor: Mapped[Decimal] = mapped_column(CREDITS)
    credit_value_usd: Mapped[Decimal] = mapped_column(USD)
    credits_charged: Mapped[Decimal] = mapped_column(CREDITS, server_default=text("0"))
    credits_unbilled: Mapped[Decimal] = mapped_column(CREDITS, server_default=text("0"))
    hold_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("credit_holds.id"), unique=True)
    pricing_id: Mapped[int] = mapped_column(ForeignKey("model_pricing.id"))
    status: Mapped[str] = mapped_column(String(20), server_default="started")
    error_code: Mapped[str | None] = mapped_column(String(50))
    provider_request_id: Mapped[str | None] = mapped_column(String(200))
    response_time_ms: Mapped[int | None]
    created_at: Mapped[CreatedAt]


class CreditTransaction(Base):
    __tablename__ = "credit_transactions"
    __table_args__ = (
        CheckConstraint(
            "transaction_type IN ("
            "'initial_grant', 'purchase', 'usage_deduction', 'refund_clawback', 'dispute_clawback',"
            " 'dispute_reinstated', 'adjustment', 'expiry')",
            name="transaction_type",
        ),
        Index(None, "user_id", "id"),
        Index(
            "ix_credit_transactions_given", "created_at", postgresql_where=text("transaction_type = 'initial_grant'")
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    project_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("projects.id"))
    api_key_usage_id: Mapped[int | None] = mapped_column(ForeignKey("api_key_usage.id"), unique=True)
    transaction_type: Mapped[str] = mapped_column(String(50))
    credits_amount: Mapped[Decimal] = mapped_column(CREDITS)  # signed
    balance_after: Mapped[Decimal] = mapped_column(CREDITS)
    idempotency_key: Mapped[str] = mapped_column(String(300), unique=True)
    reverses_id: Mapped[int | None] = mapped_column(ForeignKey("credit_transactions.id"))
    real_cost_associated_usd: Mapped[Decimal | None] = mapped_column(USD)
    external_transaction_id: Mapped[str | None] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[CreatedAt]


class RelayToken(Base):
    """A short-lived right to call models on one person's account, for one project. Only its hash is kept."""

    __tablename__ = "relay_tokens"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    token_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    task_key: Mapped[str | None] = mapped_column(String(20))
    purpose: Mapped[str] = mapped_column(String(100))  # what its calls are for: api_key_usage.task_type
    expires_at: Mapped[Instant]
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[CreatedAt]
