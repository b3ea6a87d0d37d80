"""Running a task's checks on exactly the tree that would be committed, and keeping what came of it as evidence.

Besides the task's own commands, every test command of the tasks already accepted runs again, and no test that existed
may disappear. A refinement also runs what README.md tells its reader to do, which was true when it was delivered.
Nothing here asks a model.
"""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from bottega.agents.readmes import README, script_of, shell_commands
from bottega.orchestration import evidence, loops
from bottega.orchestration.events import ChecksFailed, ChecksNotExecuted, ChecksPassed
from bottega.orchestration.state import RunKind, TaskStatus
from bottega.orchestration.steps import workspace
from bottega.orchestration.steps.failing import failure, under_review
from bottega.orchestration.steps.types import Situation, StepResult, Workbench, Write
from bottega.orchestration.tables import Task
from bottega.orchestration.transitions import checked
from bottega.sandbox.inventory import inventory
from bottega.sandbox.judge import Check
from bottega.sandbox.toolchains import recognise


async def check(situation: Situation, bench: Workbench) -> StepResult:
    task = situation.task
    async with bench.database.reading() as session:
        review = await workspace.under_review(session, run_id=situation.run.id, task=task)
    files = workspace.encoded(review.draft)
    checks = await bench.checks.check(
        files=files,
        commands=commands_for(task, situation.tasks),
        base_inventory=inventory(workspace.encoded(review.head)),
    )
    script = readme_script(review.draft) if situation.view.kind is RunKind.REFINE else ""
    if script:
        checks += await bench.checks.check(files=files, commands=(script,))
    output: dict[str, object] = {"tree": task.proposal_tree_hash, "passed": [c.command for c in checks if c.passed]}
    write = keep(checks, situation=situation, tree=task.proposal_tree_hash or "")
    broken = next((c for c in checks if c.result.executed and not c.passed), None)
    if broken:
        shown = broken.command if broken.command != script else "the README's commands"
        failed = told_failure(task.key, command=shown, check=broken)
        what = f"`{broken.command}`" if broken.command != script else f"of {README}'s commands"
        feedback = f"The check {what} did not pass: {broken.reason}"
        attempt = under_review(situation).failed(
            failure=failure_of(broken), said=f"`{broken.command}`: {failed.reason}"
        )
        return failure(
            situation,
            bench,
            outcome="failed",
            feedback=feedback,
            attempt=attempt,
            events=(failed,),
            output=output,
            write=write,
        )
    if not all(c.result.executed for c in checks):
        reason = next(c.result.reason for c in checks if not c.result.executed)
        told = ChecksNotExecuted(task_key=task.key, reason=reason)
        view = checked(situation.task_view)
        return StepResult(outcome="not_executed", output=output, task=view, write=write, events=(told,))
    passed = ChecksPassed(task_key=task.key, commands=len(checks), tests=sum(c.tests_run for c in checks))
    return StepResult(outcome="passed", output=output, task=checked(situation.task_view), write=write, events=(passed,))


def readme_script(files: workspace.Files) -> str:
    """Return what the project's README tells its reader to run, as one script, or nothing."""
    commands = shell_commands(files.get(README, ""))
    return script_of(commands) if commands else ""


def told_failure(task_key: str | None, *, command: str, check: Check) -> ChecksFailed:
    """Return the event that tells a person what failed and the line that says most about it."""
    said = evidence.telling_line(check.result.output) if check.result.exit_code else ""
    return ChecksFailed(task_key=task_key, command=command, reason=f"{check.reason}; {said}" if said else check.reason)


def failure_of(check: Check) -> str:
    """Return a digest of what failed: which tests and how, but not when, where and how long."""
    return loops.signature(check.command, check.reason, *evidence.failing_lines(check.result.output))


def commands_for(task: Task, tasks: Sequence[Task]) -> tuple[str, ...]:
    """Return the task's commands, then the test commands of the tasks already accepted, each once."""
    earlier = (
        command
        for other in tasks
        if TaskStatus(other.status).is_accepted
        for command in other.commands
        if recognise(command)
    )
    return tuple(dict.fromkeys((*task.commands, *earlier)))


def keep(checks: Sequence[Check], *, situation: Situation, tree: str) -> Write:
    """Return what writes these checks down as the evidence of this step, on this tree."""

    async def write(session: AsyncSession) -> None:
        await evidence.store(
            session,
            project_id=situation.project.id,
            run_id=situation.run.id,
            step_no=situation.run.step_no,
            task_key=situation.task_key,
            tree=tree,
            checks=checks,
        )

    return write
