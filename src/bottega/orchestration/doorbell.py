"""Telling runners that a run may be due: best effort, and no more than that.

A ring may be lost, doubled or late. The run's row says whether anything is due, a claim decides who does it, and
whoever keeps an eye on the rows (`runner.py`) finds what nobody was told of.
"""

import uuid
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Lane(StrEnum):
    """Which workers a step is for."""

    STEPS = "steps"  # waits for models and the database: hundreds at once cost little
    SANDBOX = "sandbox"  # runs what was written: each keeps a core busy


class Doorbell(Protocol):
    def ring(self, run_id: uuid.UUID, *, lane: Lane) -> None:
        """Say that this run may be due. Returns at once and never raises."""
        ...


@dataclass(frozen=True, slots=True)
class RunDue:
    """What a transaction notes of a run that it made ready; it is rung for after the commit."""

    run_id: uuid.UUID


class Bells:
    """Rings all of several doorbells; none at first."""

    def __init__(self) -> None:
        self._bells: list[Doorbell] = []

    def add(self, bell: Doorbell) -> None:
        self._bells.append(bell)

    def ring(self, run_id: uuid.UUID, *, lane: Lane) -> None:
        for bell in self._bells:
            bell.ring(run_id, lane=lane)

    def hear(self, what: object) -> None:
        """Ring for what a transaction noted, if it is a run."""
        if isinstance(what, RunDue):
            self.ring(what.run_id, lane=Lane.STEPS)
