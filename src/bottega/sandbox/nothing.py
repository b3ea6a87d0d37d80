"""The last rung: where nothing holds, nothing runs, and the result says so."""

from collections.abc import Mapping
from dataclasses import dataclass

from bottega.sandbox.types import LIMITS, Isolation, Limits, RunResult


@dataclass(frozen=True, slots=True, kw_only=True)
class NoSandbox:
    reason: str

    @property
    def isolation(self) -> Isolation:
        return Isolation.NONE

    async def run(self, *, files: Mapping[str, bytes], command: str, limits: Limits = LIMITS) -> RunResult:
        del files, command, limits
        return RunResult(
            executed=False, exit_code=None, output="", duration_ms=0, isolation=Isolation.NONE, reason=self.reason
        )
