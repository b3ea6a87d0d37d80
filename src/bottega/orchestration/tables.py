"""The durable state of a build: runs and their journal, tasks and their evidence, events, the inbox and the outbox.

PostgreSQL is the only truth of a run. `steps` holds every (run, step) once; a `lease_token` that is no longer the
run's cannot write. A task is `done` only with the evidence row and the tree that evidence was gathered on.
"""

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    Numeric,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from bottega.db.base import Base
from bottega.db.types import CREDITS, CreatedAt, JsonList


class Run(Base):
    __tablename__ = "runs"
    __table_args__ = (
        CheckConstraint("desired IN ('run', 'pause', 'cancel')", name="desired"),
        Index(
            "uq_runs_one_live",
            "project_id",
            unique=True,
            postgresql_where=text("finished_at IS NULL"),
        ),
        Index(None, "project_id", "created_at"),
        Index("ix_runs_due", "wake_at", postgresql_where=text("state = 'ready'")),
        Index("ix_runs_leased", "user_id", postgresql_where=text("lease_owner IS NOT NULL")),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    kind: Mapped[str] = mapped_column(String(20), server_default="build")  # build | refine
    phase: Mapped[str] = mapped_column(String(20), server_default="gather")  # what is being worked on
    state: Mapped[str] = mapped_column(String(20), server_default="ready")  # whether it goes on, and if not, why
    step_no: Mapped[int] = mapped_column(server_default=text("0"))
    wake_at: Mapped[CreatedAt]
    lane: Mapped[str] = mapped_column(String(20), server_default="steps")  # which workers it was last handed to
    rung_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))  # when they were last told of it
    lease_owner: Mapped[str | None] = mapped_column(String(200))
    lease_token: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    lease_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    # Since the last journaled step; one that ended with its runner and with other runs is a half.
    claims: Mapped[float] = mapped_column(Numeric(7, 1, asdecimal=False), server_default=text("0"))
    failures: Mapped[int] = mapped_column(server_default=text("0"))  # provider failures since the last journaled step
    allowance_from: Mapped[int] = mapped_column(
        server_default=text("0")
    )  # the step at which the person last said go on
    working_ms: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))  # spent in steps since then
    credits_needed: Mapped[Decimal | None] = mapped_column(CREDITS)  # while it waits for credits: how many
    desired: Mapped[str] = mapped_column(String(20), server_default="run")
    stop_code: Mapped[str | None] = mapped_column(String(40))  # why it waits or stopped, for a program
    reason: Mapped[str | None] = mapped_column(Text)  # and for a person
    created_at: Mapped[CreatedAt]
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Step(Base):
    """The journal. `output` is what later steps read; rows are never changed."""

    __tablename__ = "steps"

    run_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    step_no: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(30))
    task_key: Mapped[str | None] = mapped_column(String(20))
    outcome: Mapped[str] = mapped_column(String(30))
    output: Mapped[dict[str, Any]] = mapped_column(JSONB)
    lease_token: Mapped[int] = mapped_column(BigInteger)
    credits_charged: Mapped[Decimal] = mapped_column(CREDITS, server_default=text("0"))
    duration_ms: Mapped[int]
    created_at: Mapped[CreatedAt]


class Task(Base):
    __tablename__ = "tasks"
    __table_args__ = (
        UniqueConstraint("project_id", "key"),
        UniqueConstraint("project_id", "ordinal"),
        CheckConstraint(
            "status <> 'done' OR (evidence_tree_hash IS NOT NULL AND commit_sha IS NOT NULL)",
            name="done_has_evidence",
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    ordinal: Mapped[int]
    key: Mapped[str] = mapped_column(String(20))  # T1, T2, ...
    title: Mapped[str] = mapped_column(String(300))
    description: Mapped[str] = mapped_column(Text)
    files: Mapped[JsonList]
    depends_on: Mapped[JsonList]
    commands: Mapped[JsonList]  # acceptance commands, run in the sandbox
    criteria: Mapped[JsonList]  # acceptance points the Architect judges
    size: Mapped[str] = mapped_column(String(10))  # small | medium | large
    status: Mapped[str] = mapped_column(String(20), server_default="todo")  # todo | done | unchecked | dropped
    stage: Mapped[str] = mapped_column(String(20), server_default="implement")  # implement | check | verify | commit
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    rung: Mapped[int] = mapped_column(server_default=text("0"))
    rung_failures: Mapped[int] = mapped_column(server_default=text("0"))
    feedback: Mapped[str | None] = mapped_column(Text)  # what the last attempt got wrong, for the next one
    proposal_step: Mapped[int | None]  # the journal step whose output holds the files under review
    proposal_tree_hash: Mapped[str | None] = mapped_column(String(40))
    evidence_tree_hash: Mapped[str | None] = mapped_column(String(40))
    commit_sha: Mapped[str | None] = mapped_column(String(40))
    credits_charged: Mapped[Decimal] = mapped_column(CREDITS, server_default=text("0"))
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]


class Evidence(Base):
    """One command that ran, or could not be run, on one tree."""

    __tablename__ = "evidence"
    __table_args__ = (
        CheckConstraint("executed OR NOT passed", name="passed_was_executed"),
        Index(None, "project_id", "tree_hash"),
        UniqueConstraint("run_id", "step_no", "ordinal"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    run_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    step_no: Mapped[int]
    ordinal: Mapped[int]
    task_key: Mapped[str | None] = mapped_column(String(20))
    tree_hash: Mapped[str] = mapped_column(String(40))  # the git tree id
    command: Mapped[str] = mapped_column(Text)
    executed: Mapped[bool]
    passed: Mapped[bool]
    exit_code: Mapped[int | None]
    output: Mapped[str] = mapped_column(Text)  # the last 8 KiB
    output_sha256: Mapped[str] = mapped_column(String(64))  # of the whole
    tests_run: Mapped[int | None]
    tests_skipped: Mapped[int | None]
    reason: Mapped[str | None] = mapped_column(Text)  # why it does not count as passed
    isolation: Mapped[str] = mapped_column(String(30))
    duration_ms: Mapped[int]
    created_at: Mapped[CreatedAt]


class RunEvent(Base):
    __tablename__ = "run_events"
    __table_args__ = (UniqueConstraint("project_id", "sequence"),)

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    run_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    sequence: Mapped[int]
    type: Mapped[str] = mapped_column(String(50))
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[CreatedAt]


class WorkUnderWay(Base):
    """The step each project is at, for people who watch: the newest alone, and none after the database crashed.

    It is no truth of the run. `after_sequence` is the last event that came before it.
    """

    __tablename__ = "work_under_way"
    __table_args__ = ({"prefixes": ["UNLOGGED"]},)

    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    run_id: Mapped[uuid.UUID]
    lease_token: Mapped[int] = mapped_column(BigInteger)
    after_sequence: Mapped[int]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    started_at: Mapped[CreatedAt]


class Outbox(Base):
    """Messages to the outside, written by the transaction that makes them true. One is out when `sent_at` is set."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index(
            "ix_outbox_unsent",
            "target",
            "recipient",
            "id",
            postgresql_where=text("sent_at IS NULL AND refused_at IS NULL"),
        ),
        CheckConstraint("sent_at IS NULL OR refused_at IS NULL", name="one_end"),
        CheckConstraint("(refused_at IS NULL) = (refusal IS NULL)", name="refused_for_a_reason"),
    )

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    target: Mapped[str] = mapped_column(String(50))  # which sender takes it
    recipient: Mapped[str] = mapped_column(String(200), server_default="")  # whose messages stay in order
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    dedupe_key: Mapped[str] = mapped_column(String(300), unique=True)
    attempts: Mapped[int] = mapped_column(server_default=text("0"))  # begun; also the fence of the newest
    wake_at: Mapped[CreatedAt]  # when it may be tried; while it is tried, when that attempt's lease ends
    last_fault: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[CreatedAt]
    sent_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    refused_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    refusal: Mapped[str | None] = mapped_column(Text)


class Deed(Base):
    """A person's command that was carried out, by the key its sender gave it. `projects` is what it returned."""

    __tablename__ = "deeds"
    __table_args__ = (Index(None, "created_at"),)

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    idempotency_key: Mapped[str] = mapped_column(String(200), primary_key=True)
    digest: Mapped[str | None] = mapped_column(String(64))  # sha256 of what was asked for, where that is to be compared
    projects: Mapped[JsonList]
    created_at: Mapped[CreatedAt]


class Chat(Base):
    """What one person's talk in one chat is in the middle of. `expects` says what their next text means."""

    __tablename__ = "chats"

    chat_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    language: Mapped[str | None] = mapped_column(String(35))  # as their app says
    chosen_language: Mapped[str | None] = mapped_column(String(35))  # as they asked here
    project_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("projects.id", ondelete="SET NULL"))
    expects: Mapped[str | None] = mapped_column(String(30))
    about_id: Mapped[uuid.UUID | None]  # the project or question that is expected to be spoken of
    draft: Mapped[str | None] = mapped_column(Text)  # what was said and waits for a yes
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]


class ChatProject(Base):
    """Where a project is talked about, up to which event that chat has been told, and what its status message shows."""

    __tablename__ = "chat_projects"
    __table_args__ = (Index(None, "chat_id"),)

    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    chat_id: Mapped[int] = mapped_column(BigInteger)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    told: Mapped[int] = mapped_column(server_default=text("0"))  # the sequence of the last event told
    status_message_id: Mapped[int | None] = mapped_column(BigInteger)
    shown: Mapped[str | None] = mapped_column(String(64))  # sha256 of what the status message shows
    show_at: Mapped[CreatedAt]  # not before; while somebody shows, when their lease ends
    is_shut: Mapped[bool] = mapped_column(server_default=text("false"))  # the person blocked us: nothing is shown
    created_at: Mapped[CreatedAt]


class Inbox(Base):
    """What the outside told us, written before it was confirmed. One is dealt with when `done_at` is set."""

    __tablename__ = "inbox"
    __table_args__ = (
        UniqueConstraint("source", "external_id"),
        Index(
            "ix_inbox_open",
            "source",
            "stream",
            "id",
            postgresql_where=text("done_at IS NULL AND refused_at IS NULL"),
        ),
        CheckConstraint("done_at IS NULL OR refused_at IS NULL", name="one_end"),
        CheckConstraint("(refused_at IS NULL) = (refusal IS NULL)", name="refused_for_a_reason"),
    )

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    source: Mapped[str] = mapped_column(String(50))  # whose update it is
    external_id: Mapped[str] = mapped_column(String(200))  # what its source calls it
    stream: Mapped[str] = mapped_column(String(200))  # whose updates stay in order
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    attempts: Mapped[int] = mapped_column(server_default=text("0"))  # begun; also the fence of the newest
    wake_at: Mapped[CreatedAt]  # when it may be tried; while it is tried, when that attempt's lease ends
    last_fault: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[CreatedAt]
    done_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    refused_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    refusal: Mapped[str | None] = mapped_column(Text)
