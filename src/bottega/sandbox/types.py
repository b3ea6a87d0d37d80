"""What a sandbox is asked and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Isolation(StrEnum):
    """The rungs of the ladder, strongest first. NONE executes nothing at all."""

    BUBBLEWRAP = "bubblewrap"
    LANDLOCK = "landlock"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    wall_seconds: float = 120.0
    memory_bytes: int = 1024**3
    processes: int = 128
    work_bytes: int = 256 * 1024**2
    work_files: int = 20_000
    output_bytes: int = 1024**2


LIMITS = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """`output` is stdout and stderr as they came, UTF-8 with replacement, cut at the limit.

    `executed` is False when nothing ran; `reason` then says why, and otherwise names the limit that ended the run.
    """

    executed: bool
    exit_code: int | None
    output: str
    duration_ms: int
    isolation: Isolation
    reason: str = ""
    output_cut: bool = False


class Sandbox(Protocol):
    @property
    def isolation(self) -> Isolation: ...

    async def run(self, *, files: Mapping[str, bytes], command: str, limits: Limits = ...) -> RunResult:
        """Run `command` with /bin/sh in a fresh copy of `files`. Never raises for what the command does."""
        ...
