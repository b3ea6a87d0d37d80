"""Whether an acceptance command truly passed: its exit code, then all that makes an exit code of 0 worth nothing.

- Nothing that was not executed, was ended by a limit or said anything but 0 has passed.
- A test runner must have run at least one test that could fail, must not have lost tests the last accepted tree had,
  and must turn red when a failing test is added to the files it reaches.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bottega.sandbox.canary import with_canary
from bottega.sandbox.inventory import inventory
from bottega.sandbox.toolchains import Counts, Runner, Selection, read_counts, recognise
from bottega.sandbox.types import LIMITS, Limits, RunResult, Sandbox

_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One command's verdict. `reason` is empty when it passed; counts are 0 for what is not a test runner."""

    command: str
    result: RunResult
    passed: bool
    tests_run: int = 0
    tests_skipped: int = 0
    reason: str = ""


class CheckRunner:
    """`limits` bound every command that is not given limits of its own; `slots` is how many trees are checked at once.

    Whoever finds no slot waits for one: what was written keeps a core busy, and more than the cores makes all late.
    """

    def __init__(self, *, sandbox: Sandbox, limits: Limits = LIMITS, slots: int = 2) -> None:
        self._sandbox = sandbox
        self._limits = limits
        self._slots = asyncio.Semaphore(slots)

    async def check(
        self,
        *,
        files: Mapping[str, bytes],
        commands: Sequence[str],
        base_inventory: frozenset[str] = frozenset(),
        limits: Limits | None = None,
    ) -> tuple[Check, ...]:
        """Run every command in its own fresh copy of `files`, in order, and judge each."""
        lost = lost_tests(base_inventory, inventory(files))
        async with self._slots:
            return tuple([await self._check(files, command, lost, limits or self._limits) for command in commands])

    async def _check(self, files: Mapping[str, bytes], command: str, lost: str, limits: Limits) -> Check:
        result = await self._sandbox.run(files=files, command=command, limits=limits)
        selections = recognise(command)
        counts = [read_counts(selection.runner, result.output) for selection in selections]
        reason = _fault_of_run(result, counts)
        for selection, counted in zip(selections, counts, strict=True):
            reason = reason or _fault_of_counts(selection, counted, files) or lost
            reason = reason or await self._fault_of_canary(files, command, selection, limits)
        return Check(
            command=command,
            result=result,
            passed=not reason,
            tests_run=sum(counted.ran for counted in counts),
            tests_skipped=sum(counted.skipped for counted in counts),
            reason=reason,
        )

    async def _fault_of_canary(
        self, files: Mapping[str, bytes], command: str, selection: Selection, limits: Limits
    ) -> str:
        planted, marker = with_canary(files, selection)
        result = await self._sandbox.run(files=planted, command=command, limits=limits)
        if result.executed and result.exit_code != 0 and marker in result.output:
            return ""
        return (
            "This command stays green when a failing test is added to the files it should test, so its result proves "
            "nothing. Let the plain test runner decide the outcome and the exit code."
        )


def lost_tests(before: frozenset[str], after: frozenset[str]) -> str:
    """Return a sentence naming tests that existed and are gone, skipped or hollow; empty when there are none."""
    lost = sorted(before - after)
    more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
    return f"tests disappeared: {', '.join(lost[:_SHOWN])}{more}" if lost else ""


def _fault_of_run(result: RunResult, counts: Sequence[Counts]) -> str:
    if not result.executed:
        return result.reason or "not executed"
    if result.reason:
        return result.reason
    if result.exit_code == 0:
        return ""
    ran, failed = sum(counted.ran for counted in counts), sum(counted.failed for counted in counts)
    return f"{failed} of {ran} tests failed" if 0 < failed <= ran else f"exit code {result.exit_code}"


def _fault_of_counts(selection: Selection, counts: Counts, files: Mapping[str, bytes]) -> str:
    if counts.ran == 0 or (selection.runner is Runner.NODE and not _has_node_tests(files)):
        return "no test was run"
    if counts.ran <= counts.skipped:
        return f"all {counts.ran} tests were skipped or expected to fail"
    return f"{counts.failed} tests failed although the exit code is 0" if counts.failed else ""


def _has_node_tests(files: Mapping[str, bytes]) -> bool:
    # Node counts a file without any test as one test that passed
    return any(not test.partition("::")[0].endswith(".py") for test in inventory(files))
