"""Evidence: what ran on which tree and what came of it, as rows, and as agents and reports read it.

A task may only be finished on the tree its passing evidence was gathered on; `earned_status` is that rule.
"""

import hashlib
import re
import uuid
from collections.abc import Sequence

from sqlalchemy import bindparam, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.agents.types import CommandResult
from bottega.core.ids import new_id
from bottega.orchestration.state import TaskStatus
from bottega.orchestration.tables import Evidence
from bottega.sandbox.judge import Check
from bottega.sandbox.toolchains import recognise

KEPT_BYTES = 8192


def kept(output: str) -> str:
    """Return the end of an output, printable, at most 8 KiB: failures are told last."""
    printable = "".join(c for c in output if c.isprintable() or c in "\n\t")
    if len(printable) <= KEPT_BYTES:
        return printable
    return f"[{len(printable) - KEPT_BYTES} characters before this were left out]\n{printable[-KEPT_BYTES:]}"


_TELLING = re.compile(
    r"^(?:E\s+)?((?!ResourceWarning)[\w.]*(?:Error|Exception|Expired|Warning)\b: .+|assert .+|not ok .+)$"
)


def telling_line(output: str) -> str:
    """Return the line of a failed run that says most: its last error, else its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [match.group(1) for line in lines if (match := _TELLING.match(line))]
    return (errors or lines or [""])[-1]


_FAILING = re.compile(r"^(?:E\s+|FAIL|ERROR|--- FAIL|not ok|error[\[:]|[✖✗✕●] )|\bFAILED\b")
KEPT_LINES, KEPT_LINE_CHARACTERS = 200, 500


def failing_lines(output: str) -> tuple[str, ...]:
    """Return which tests failed and how, in an order of their own; the last lines where no runner says so."""
    lines = [line.strip()[:KEPT_LINE_CHARACTERS] for line in output.splitlines() if line.strip()]
    failing = [line for line in lines if _TELLING.match(line) or _FAILING.search(line)]
    return tuple(sorted(failing)[:KEPT_LINES] if failing else lines[-10:])


async def store(
    session: AsyncSession,
    *,
    project_id: uuid.UUID,
    run_id: uuid.UUID,
    step_no: int,
    task_key: str | None,
    tree: str,
    checks: Sequence[Check],
) -> None:
    rows = [
        {
            "id": new_id(),
            "project_id": project_id,
            "run_id": run_id,
            "step_no": step_no,
            "ordinal": ordinal,
            "task_key": task_key,
            "tree_hash": tree,
            "command": check.command,
            "executed": check.result.executed,
            "passed": check.passed,
            "exit_code": check.result.exit_code,
            "output": kept(check.result.output),
            "output_sha256": hashlib.sha256(check.result.output.encode()).hexdigest(),
            "tests_run": check.tests_run if recognise(check.command) else None,
            "tests_skipped": check.tests_skipped if recognise(check.command) else None,
            "reason": check.reason or None,
            "isolation": check.result.isolation,
            "duration_ms": check.result.duration_ms,
        }
        for ordinal, check in enumerate(checks)
    ]
    if rows:
        await session.execute(insert(Evidence), rows)


async def newest(session: AsyncSession, *, run_id: uuid.UUID, task_key: str | None) -> list[Evidence]:
    """Return the evidence of the last time this task (or, for None, the README) was checked."""
    return list((await session.scalars(_NEWEST, {"of_run": run_id, "of_task": task_key})).all())


_OF_TASK = (
    Evidence.run_id == bindparam("of_run"),
    Evidence.task_key.is_not_distinct_from(bindparam("of_task", type_=Evidence.task_key.type)),
)
_LAST_STEP = select(func.max(Evidence.step_no)).where(*_OF_TASK).scalar_subquery()
_NEWEST = select(Evidence).where(*_OF_TASK, Evidence.step_no == _LAST_STEP).order_by(Evidence.ordinal)


def earned_status(rows: Sequence[Evidence], *, tree: str) -> TaskStatus | None:
    """Return what this evidence allows a task on this tree to become: done, unchecked, or None for nothing."""
    if not rows or any(row.tree_hash != tree or (row.executed and not row.passed) for row in rows):
        return None
    return TaskStatus.DONE if all(row.executed for row in rows) else TaskStatus.UNCHECKED


def as_results(rows: Sequence[Evidence]) -> tuple[CommandResult, ...]:
    return tuple(
        CommandResult(
            command=row.command,
            executed=row.executed,
            passed=row.passed,
            exit_code=row.exit_code,
            output=row.output,
            reason=row.reason or "",
        )
        for row in rows
    )
