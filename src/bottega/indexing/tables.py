"""The code index: one row per file of a project, replaced in the transaction that writes `project_files`."""

import uuid
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from bottega.db.base import Base
from bottega.db.types import CreatedAt


class CodeChunks(Base):
    """`chunks` is a list of {symbol, kind, start_line, end_line, terms}; lines are 1-based and inclusive."""

    __tablename__ = "code_chunks"

    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    file_path: Mapped[str] = mapped_column(String(1000), primary_key=True)
    content_hash: Mapped[str] = mapped_column(String(64))
    language: Mapped[str] = mapped_column(String(30))
    chunks: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    index_version: Mapped[int]
    updated_at: Mapped[CreatedAt]
