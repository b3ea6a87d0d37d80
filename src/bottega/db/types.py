"""Column types and the columns that every table spells alike."""

from datetime import datetime
from typing import Annotated

from sqlalchemy import DateTime, Numeric, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import mapped_column

CREDITS = Numeric(20, 8)
USD = Numeric(20, 10)
NOW = text("now()")

Instant = Annotated[datetime, mapped_column(DateTime(timezone=True))]
CreatedAt = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=NOW)]
JsonList = Annotated[list[str], mapped_column(JSONB, server_default=text("'[]'::jsonb"))]
