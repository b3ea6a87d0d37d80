"""What was ordered, what gateways said of it, and which ledger rows came of that.

An order's agreement never changes; its `state`, `problem` and `refunded_minor` are renderings of its facts. A fact's
fields only grow. `payment_postings` ties each ledger row that a payment caused to its order, payment and component.
"""

import uuid
from decimal import Decimal

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, SmallInteger, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from bottega.db.base import Base
from bottega.db.types import CREDITS, CreatedAt


class PaymentOrder(Base):
    __tablename__ = "payment_orders"
    __table_args__ = (
        CheckConstraint("credits > 0 AND amount_minor > 0", name="positive"),
        CheckConstraint(
            "state IN ('created', 'pending', 'paid', 'partially_refunded', 'refunded', 'disputed', 'failed',"
            " 'expired', 'mismatched')",
            name="state",
        ),
        Index(None, "user_id", "created_at"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    gateway: Mapped[str] = mapped_column(String(20))
    package: Mapped[str] = mapped_column(String(50))
    credits: Mapped[Decimal] = mapped_column(CREDITS)
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(String(10))
    livemode: Mapped[bool]
    payer: Mapped[str] = mapped_column(String(255))
    session_id: Mapped[str | None] = mapped_column(String(255))
    state: Mapped[str] = mapped_column(String(20), server_default="created")
    problem: Mapped[str | None] = mapped_column(Text)
    refunded_minor: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]


class PaymentFact(Base):
    """`order_id` NULL: it names no order of ours; `payment_id` may still tie it to one."""

    __tablename__ = "payment_facts"
    __table_args__ = (
        CheckConstraint(
            "kind IN ('submitted', 'paid', 'failed', 'expired', 'refunded', 'refund', 'dispute')", name="kind"
        ),
        Index(None, "gateway", "payment_id"),
    )

    gateway: Mapped[str] = mapped_column(String(20), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20), primary_key=True)
    object_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    payment_id: Mapped[str | None] = mapped_column(String(255))
    order_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("payment_orders.id"), index=True)
    rank: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    amount_minor: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[str | None] = mapped_column(String(10))
    livemode: Mapped[bool | None]
    payer: Mapped[str | None] = mapped_column(String(255))
    package: Mapped[str | None] = mapped_column(String(255))
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]


class PaymentPosting(Base):
    """`payment` is the object_id of the fact that the payment was made."""

    __tablename__ = "payment_postings"
    __table_args__ = (CheckConstraint("component IN ('purchase', 'refund', 'dispute')", name="component"),)

    credit_transaction_id: Mapped[int] = mapped_column(ForeignKey("credit_transactions.id"), primary_key=True)
    order_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("payment_orders.id"), index=True)
    payment: Mapped[str] = mapped_column(String(255))
    component: Mapped[str] = mapped_column(String(20))


class ProcessedWebhookEvent(Base):
    """One row per event, inserted with its effect; a second delivery finds it and does nothing."""

    __tablename__ = "processed_webhook_events"

    gateway: Mapped[str] = mapped_column(String(20), primary_key=True)
    event_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    type: Mapped[str] = mapped_column(String(100))
    payload_sha256: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(20))  # applied | unmatched | ignored
    received_at: Mapped[CreatedAt]
