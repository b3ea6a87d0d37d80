"""A person who wants to be forgotten: asked once more, then everything of theirs goes (`orchestration/forgetting`)."""

from bottega.billing import ledger
from bottega.entrypoints.telegram.sending import post_say
from bottega.entrypoints.telegram.turn import Turn
from bottega.entrypoints.telegram.words.values import Deleted


async def ask(turn: Turn) -> None:
    mine = await turn.house.orchestrator.projects(user_id=turn.user_id)
    async with turn.house.database.transaction() as session:
        available = await ledger.available(session, user_id=turn.user_id)
    await turn.say(turn.words.people.delete_asked(projects=len(mine), available=available))


async def leave(turn: Turn) -> None:
    """Forget the person. The last word is posted afterwards: what was posted to them goes too."""
    forgotten = await turn.house.forgetting.forget(user_id=turn.user_id)
    said = turn.words.people.deleted(Deleted(projects=forgotten.projects, at=turn.house.clock.now()))
    async with turn.house.database.transaction() as session:
        await post_say(session, chat_id=turn.chat_id, say=said, key=f"{turn.key}:answer")
