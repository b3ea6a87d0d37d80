"""How a command about one project ends: why the project rests, and the exit code that says so."""

from bottega.bootstrap import App
from bottega.entrypoints.cli import words
from bottega.entrypoints.cli.running import Exit
from bottega.orchestration.events import RunStopped
from bottega.orchestration.state import RunState, StopCode
from bottega.orchestration.views.standing import Status
from bottega.projects.tables import Question


async def why_stopped(app: App, status: Status, *, user_id: int, stopped: RunStopped | None) -> str:
    """Return why the project does not go on and what the person can do. `stopped` is the event that said so."""
    project_id = str(status.project_id)
    if status.stop_code is StopCode.QUESTIONS:
        open_questions = await unanswered(app, status, user_id=user_id)
        asked = [(question.text, question.options) for question in open_questions]
        return words.unanswered(project_id=project_id, questions=asked)
    return words.stopped(
        project_id=project_id,
        reason=status.reason,
        choices=stopped.choices if stopped else (),
        stop_code=status.stop_code,
        needed=status.credits_needed,
    )


async def unanswered(app: App, status: Status, *, user_id: int) -> tuple[Question, ...]:
    if status.stop_code is not StopCode.QUESTIONS:
        return ()
    return await app.orchestrator.questions(user_id=user_id, project_id=status.project_id)


def exit_code(status: Status) -> int:
    """Return the command's exit code for where the project stands."""
    if status.state is RunState.DONE:
        return Exit.DELIVERED
    if status.stop_code is StopCode.PROVIDER:
        return Exit.PROVIDER_FAILED
    if status.stop_code is StopCode.CONFIGURATION:
        return Exit.USAGE
    if status.stop_code in {StopCode.OUT_OF_CREDITS, StopCode.PROJECT_LIMIT}:
        return Exit.OUT_OF_CREDITS
    return Exit.NEEDS_PERSON
