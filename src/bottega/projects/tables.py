"""Projects, what was said about them, what was asked, and their files (a projection of the git HEAD)."""

import uuid
from datetime import datetime
from decimal import Decimal

from sqlalchemy import JSON, DateTime, ForeignKey, Index, Integer, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from bottega.db.base import Base
from bottega.db.types import CREDITS, CreatedAt, JsonList


class Project(Base):
    __tablename__ = "projects"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    title: Mapped[str] = mapped_column(String(500), server_default="Untitled Project")
    description: Mapped[str] = mapped_column(Text)  # the brief, as the person wrote it
    status: Mapped[str] = mapped_column(String(50))
    tech_stack: Mapped[dict[str, str] | None] = mapped_column(JSON)  # keeps the order of the plan
    documentation: Mapped[str | None] = mapped_column(Text)
    current_todo_markdown: Mapped[str | None] = mapped_column(Text)
    codebase_index_status: Mapped[str] = mapped_column(String(20), server_default="empty")
    index_version: Mapped[int] = mapped_column(server_default=text("0"))
    event_sequence: Mapped[int] = mapped_column(server_default=text("0"))  # of the last row in run_events
    head_sha: Mapped[str | None] = mapped_column(String(40))
    quote_low_credits: Mapped[Decimal | None] = mapped_column(CREDITS)
    estimated_credit_cost: Mapped[Decimal | None] = mapped_column(CREDITS)  # the quote's upper end
    actual_credit_cost: Mapped[Decimal] = mapped_column(CREDITS, server_default=text("0"))
    credit_limit: Mapped[Decimal | None] = mapped_column(CREDITS)
    archive_key: Mapped[str | None] = mapped_column(String(300))
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]
    completed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    deleted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))  # an empty row, for the ledger's sake


class Question(Base):
    """One thing the Architect needs to know, with its options; `recommended` is an index into `options`."""

    __tablename__ = "questions"
    __table_args__ = (UniqueConstraint("project_id", "ordinal"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    ordinal: Mapped[int]
    text: Mapped[str] = mapped_column(Text)
    options: Mapped[JsonList]
    recommended: Mapped[int]
    answer: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[CreatedAt]


class Conversation(Base):
    __tablename__ = "conversations"
    __table_args__ = (Index(None, "project_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    channel: Mapped[str] = mapped_column(String(20))
    role: Mapped[str] = mapped_column(String(20))  # person | bottega
    content: Mapped[str] = mapped_column(Text)
    created_at: Mapped[CreatedAt]


class ProjectFile(Base):
    __tablename__ = "project_files"
    __table_args__ = (UniqueConstraint("project_id", "file_path"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    file_path: Mapped[str] = mapped_column(String(1000))
    file_type: Mapped[str | None] = mapped_column(String(100))
    content: Mapped[str] = mapped_column(Text)
    content_hash: Mapped[str] = mapped_column(String(64))  # sha256 of the UTF-8 bytes, hex
    size_bytes: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]
