"""Telling runners that a run may be due: best effort, and no more than that.

A ring may be lost, doubled or late. The run's row says whether anything is due, a claim decides who does it, and
whoever keeps an eye on the rows (`runner.py`) finds what nobody was told of.
"""

import uuid
from enum import StrEnum
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from bottega.db.transaction import after_commit


class Lane(StrEnum):
    """Which workers a step is for."""

    STEPS = "steps"  # waits for models and the database: hundreds at once cost little
    SANDBOX = "sandbox"  # runs what was written: each keeps a core busy


class Doorbell(Protocol):
    def ring(self, run_id: uuid.UUID, *, lane: Lane) -> None:
        """Say that this run may be due. Returns at once and never raises."""
        ...


class Bells:
    """Rings all of several doorbells; none at first."""

    def __init__(self) -> None:
        self._bells: list[Doorbell] = []

    def add(self, bell: Doorbell) -> None:
        self._bells.append(bell)

    def ring(self, run_id: uuid.UUID, *, lane: Lane) -> None:
        for bell in self._bells:
            bell.ring(run_id, lane=lane)


def ring_after_commit(session: AsyncSession, doorbell: Doorbell, run_id: uuid.UUID) -> None:
    after_commit(session, lambda: doorbell.ring(run_id, lane=Lane.STEPS))
