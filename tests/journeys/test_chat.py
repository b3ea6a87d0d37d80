"""A whole project by messages alone, as in a chat."""

import pytest

from bottega.orchestration.orchestrator import NothingToDo
from bottega.orchestration.state import RunState
from tests.journeys import scripts
from tests.journeys.conftest import OpenWorkshop


async def test_a_project_by_messages_alone(open_workshop: OpenWorkshop) -> None:
    asking = scripts.gathered("Count characters too?", "Read from files?")
    workshop = await open_workshop(dict(scripts.GOOD) | {"gather-1.md": asking, "plan-2.md": scripts.GOOD["plan-1.md"]})
    chat, person = workshop.app.orchestrator, {"user_id": workshop.user_id, "channel": "test"}

    async def say(text: str, project_id: object) -> RunState:
        await chat.handle_message(**person, text=text, project_id=project_id)  # type: ignore[arg-type]
        status = await workshop.status(project_id)  # type: ignore[arg-type]
        assert status.run_id is not None
        return await workshop.app.runner.run(run_id=status.run_id)

    project_id = await chat.handle_message(**person, text=scripts.BRIEF)  # type: ignore[arg-type]
    run_id = (await workshop.status(project_id)).run_id
    assert run_id is not None
    assert await workshop.app.runner.run(run_id=run_id) is RunState.WAITING
    assert await say("No", project_id) is RunState.WAITING
    assert len(await chat.questions(user_id=workshop.user_id, project_id=project_id)) == 1
    assert await say("Only standard input", project_id) is RunState.WAITING
    assert (await workshop.status(project_id)).status == "awaiting_approval"
    assert await say("Please keep it in one package", project_id) is RunState.WAITING
    with pytest.raises(NothingToDo, match="the next one is T1"):
        await say(f"implement task 2 of project {project_id}", project_id)
    assert await say(f"implement task 1 of project {project_id}", project_id) is RunState.DONE
    await workshop.audit()
