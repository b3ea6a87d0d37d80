"""What a text is about: a brief, an answer, a wish or a remark, by what is waited for and where the project stands.

Nothing that costs credits begins by a word or two: a greeting is greeted, a very short brief is asked about, and where
a text could be about several projects the person says which.
"""

import uuid
from collections.abc import Sequence
from decimal import Decimal

from bottega.entrypoints.telegram import picture
from bottega.entrypoints.telegram.buttons import decode
from bottega.entrypoints.telegram.house import CHANNEL
from bottega.entrypoints.telegram.narrator import post_question
from bottega.entrypoints.telegram.picture import Sight
from bottega.entrypoints.telegram.turn import Turn
from bottega.entrypoints.telegram.types import RepliedTo, Say
from bottega.entrypoints.telegram.words.values import Named, shown_order
from bottega.orchestration import chats
from bottega.orchestration.briefs import MAX_BRIEF_BYTES, is_short, is_small_talk, storable
from bottega.orchestration.chats import Expects, Place
from bottega.orchestration.commands import understanding
from bottega.orchestration.commands.understanding import (
    AnswerNext,
    Approve,
    Cancel,
    ChangePlan,
    DropTask,
    Remark,
    Resume,
    Scene,
)
from bottega.orchestration.state import StopCode
from bottega.projects import service as projects
from bottega.projects.status import ProjectStatus
from bottega.projects.tables import Project


async def hear(turn: Turn, text: str, *, reply_to: RepliedTo | None = None, is_forwarded: bool = False) -> None:
    """Do what a text means, and answer."""
    text = storable(text)
    if len(text.encode()) > MAX_BRIEF_BYTES:
        return await turn.say(turn.words.people.too_long(most_bytes=MAX_BRIEF_BYTES))
    if not text:
        return await turn.say(turn.words.people.fits_nothing())
    if (done := await turn.done_before()) is not None:  # whoever did it was killed before the end of the turn
        async with turn.house.database.transaction() as session:
            await chats.begin_in(session, turn.talk, project_id=done)
        return await ask_next(turn, done)
    if typed := understanding.named(text):
        return await _obey_typed(turn, text, project_id=typed.project_id)
    if turn.talk.expects is not None and not is_forwarded and await _expected(turn, text):
        return None
    if is_forwarded:
        return await start(turn, text)
    return await _place(turn, text, reply_to=reply_to)


async def _obey_typed(turn: Turn, text: str, *, project_id: uuid.UUID) -> None:
    async with turn.house.database.transaction() as session:
        before = await picture.look(session, user_id=turn.user_id, project_id=project_id)
    await turn.house.orchestrator.handle_message(
        user_id=turn.user_id, channel=CHANNEL, text=text, idempotency_key=turn.key
    )
    await _adopt(turn, project_id)
    if not before.is_under_way and before.status.status != ProjectStatus.COMPLETED:
        await turn.say(turn.words.projects.going_on(before.named))
    elif before.is_under_way:
        await turn.say(turn.words.projects.remark_noted(before.named, goes_on=False))


# -- what was waited for ------------------------------------------------------------------------------------------


async def _expected(turn: Turn, text: str) -> bool:
    """Take the text as what was asked for; False where it is to be understood by itself."""
    talk, about = turn.talk, turn.talk.about_id
    match talk.expects:
        case Expects.BRIEF:
            await start(turn, text)
        case Expects.YES_TO_BRIEF:
            await start(turn, f"{talk.draft}\n\n{text}")
        case Expects.PLAN_CHANGE if about:
            await _change_plan(turn, text, project_id=about)
        case Expects.REMARK if about:
            await remark(turn, text, project_id=about)
        case Expects.FILE_CHANGE if about:
            await refine(turn, path=talk.draft or "", instruction=text, project_id=about)
        case Expects.LIMIT if about:
            await _limit(turn, text, project_id=about)
        case _:
            return False
    return True


async def _change_plan(turn: Turn, text: str, *, project_id: uuid.UUID) -> None:
    sight = await sighted(turn, project_id)
    await turn.house.orchestrator.change_plan(
        user_id=turn.user_id, project_id=project_id, channel=CHANNEL, wish=text, idempotency_key=turn.key
    )
    await turn.settle(turn.words.projects.plan_changing(sight.named))


async def remark(turn: Turn, text: str, *, project_id: uuid.UUID) -> None:
    """Tell whoever works on a project something; one that had stopped goes on with it."""
    sight = await sighted(turn, project_id)
    orchestrator, about = turn.house.orchestrator, {"project_id": project_id, "channel": CHANNEL}
    goes_on = not sight.is_under_way
    if goes_on:
        await orchestrator.resume(user_id=turn.user_id, remark=text, idempotency_key=turn.key, **about)  # type: ignore[arg-type]
    else:
        await orchestrator.remark(user_id=turn.user_id, text=text, idempotency_key=turn.key, **about)  # type: ignore[arg-type]
    await turn.settle(turn.words.projects.remark_noted(sight.named, goes_on=goes_on))


async def refine(turn: Turn, *, path: str, instruction: str, project_id: uuid.UUID) -> None:
    """Have a file changed; the project's event says that it has begun."""
    sight = await sighted(turn, project_id)
    await turn.house.orchestrator.refine(
        user_id=turn.user_id,
        project_id=project_id,
        channel=CHANNEL,
        path=path,
        instruction=instruction,
        idempotency_key=turn.key,
    )
    await _adopt(turn, project_id)
    under_work = sight.status.state is not None and not sight.status.state.is_final
    await turn.settle(
        turn.words.projects.remark_noted(sight.named, goes_on=not sight.is_under_way) if under_work else None
    )


async def _limit(turn: Turn, text: str, *, project_id: uuid.UUID) -> None:
    sight, credits = await sighted(turn, project_id), picture.credits_of(text)
    if credits is None or credits < 0:
        return await turn.say(turn.words.projects.limit_unclear(sight.named))
    await set_limit(turn, credits, project_id=project_id)
    return None


async def set_limit(turn: Turn, credits: Decimal | None, *, project_id: uuid.UUID) -> None:
    """Set what a project may cost, all in all; None: no limit."""
    await turn.house.orchestrator.limit_project(
        user_id=turn.user_id, project_id=project_id, credits=credits, idempotency_key=turn.key
    )
    sight = await sighted(turn, project_id)
    await turn.settle(turn.words.projects.limited(sight.named, limit=credits))


# -- what it is about ---------------------------------------------------------------------------------------------


async def _place(turn: Turn, text: str, *, reply_to: RepliedTo | None) -> None:
    """Find the project a text is about: what it answers, what waits, what was spoken of. Without one it is a brief."""
    answered = await _answered(turn, reply_to)
    mine = await turn.house.orchestrator.projects(user_id=turn.user_id)
    live = [row for row in mine if ProjectStatus(row.status) not in _ENDED]
    current = next((row for row in mine if row.id == turn.talk.project_id), None)
    if answered is not None:
        return await speak_to(turn, text, project_id=answered)
    if current in live or len(live) == 1:
        about = await _waiting_for_an_answer(turn, live, current=current) or current
        chosen = about if about in live else live[0]
        assert chosen is not None  # noqa: S101  # one of the living
        return await speak_to(turn, text, project_id=chosen.id)
    if is_small_talk(text):
        return await turn.say(turn.words.people.small_talk())
    if live:
        return await _ask_which(turn, text, among=live)
    if current is not None and current.status == ProjectStatus.COMPLETED:
        return await _ask_which(turn, text, among=[current])
    return await start(turn, text)


_ENDED = frozenset({ProjectStatus.COMPLETED, ProjectStatus.FAILED, ProjectStatus.CANCELLED})


async def _answered(turn: Turn, reply_to: RepliedTo | None) -> uuid.UUID | None:
    """Return the project of the message that is replied to: it is its status message, or its buttons name it."""
    if reply_to is None:
        return None
    async with turn.house.database.transaction() as session:
        shown = await chats.shown_in(session, chat_id=turn.chat_id, message_id=reply_to.message_id)
        for press in filter(None, map(decode, reply_to.data)):
            question_id = getattr(press, "question_id", None)
            shown = shown or getattr(press, "project_id", None)
            if shown is None and question_id is not None:
                asked = await projects.get_question(session, question_id=question_id, user_id=turn.user_id)
                shown = asked.project_id
    return shown


async def _waiting_for_an_answer(turn: Turn, live: Sequence[Project], *, current: Project | None) -> Project | None:
    """Return the project whose question is open: the one spoken of, or else the only one that asks."""
    asking = []
    for row in live:
        if row.status == ProjectStatus.GATHERING_REQUIREMENTS:
            sight = await sighted(turn, row.id)
            if sight.status.stop_code is StopCode.QUESTIONS:
                asking.append(row)
    if current in asking or len(asking) != 1:
        return current if current in asking else None
    return asking[0]


async def _ask_which(turn: Turn, text: str, *, among: Sequence[Project]) -> None:
    named = [Named(project_id=row.id, title=row.title) for row in among]
    await turn.ask(turn.words.people.which_project(text=text, projects=named), Expects.PROJECT, draft=text)


async def speak_to(turn: Turn, text: str, *, project_id: uuid.UUID) -> None:
    """Take a text as said to a project; to a delivered one, as a wish to have it changed."""
    sight = await sighted(turn, project_id)
    status = sight.status
    if status.phase is None or status.state is None or status.state.is_final:
        return await _speak_to_the_delivered(turn, text, sight)
    if is_small_talk(text) and status.stop_code is not StopCode.QUESTIONS and not _is_a_word_of_command(text, sight):
        return await turn.say(turn.words.people.fits_nothing())
    if status.stop_code is StopCode.QUESTIONS:
        text = await _as_option(turn, text, project_id=project_id)
    meant = understanding.understand(text, Scene(phase=status.phase, state=status.state, stop_code=status.stop_code))
    await turn.house.orchestrator.handle_message(
        user_id=turn.user_id, channel=CHANNEL, text=text, project_id=project_id, idempotency_key=turn.key
    )
    await _adopt(turn, project_id)
    if isinstance(meant, AnswerNext):
        return await ask_next(turn, project_id)
    said = _confirmed(turn, meant, sight.named)
    return None if said is None else await turn.say(said)


def _is_a_word_of_command(text: str, sight: Sight) -> bool:
    """Tell whether so little is a yes, a no or a try-again where the project waits for one."""
    status = sight.status
    if status.phase is None or status.state is None:
        return False
    meant = understanding.understand(text, Scene(phase=status.phase, state=status.state, stop_code=status.stop_code))
    return isinstance(meant, Approve | Cancel | DropTask) or (isinstance(meant, Resume) and not meant.remark)


async def _speak_to_the_delivered(turn: Turn, text: str, sight: Sight) -> None:
    if sight.status.status != ProjectStatus.COMPLETED:
        return await start(turn, text)
    if is_small_talk(text):
        return await turn.say(turn.words.people.small_talk())
    paths = await turn.house.orchestrator.file_paths(user_id=turn.user_id, project_id=sight.project.id)
    asked = turn.words.delivery.how_to_change(sight.named, paths=paths)
    return await turn.ask(asked, Expects.FILE, about_id=sight.project.id, draft=text)


async def _as_option(turn: Turn, text: str, *, project_id: uuid.UUID) -> str:
    """Read the number of an option, as they are shown, as that option; anything else as said."""
    async with turn.house.database.transaction() as session:
        question = await picture.next_question(session, user_id=turn.user_id, project_id=project_id)
    number = text.strip(" .)#")
    if question is None or not number.isascii() or not number.isdigit() or len(number) > 2:  # noqa: PLR2004  # digits
        return text
    order = shown_order(question)
    return question.options[order[int(number) - 1]] if 1 <= int(number) <= len(order) else text


async def ask_next(turn: Turn, project_id: uuid.UUID) -> None:
    """Ask the next question where there is one; the work goes on by itself where there is none."""
    place = Place(
        project_id=project_id,
        chat_id=turn.chat_id,
        user_id=turn.user_id,
        language=turn.talk.language,
        told=0,
        status_message_id=None,
        shown=None,
    )
    async with turn.house.database.transaction() as session:
        await chats.expect(session, turn.talk, what=None)
        await post_question(session, place=place, words=turn.words)


def _confirmed(turn: Turn, meant: object, project: Named) -> Say | None:
    """Return the answer to what was meant; None where the project's own events say it."""
    match meant:
        case Approve():
            return turn.words.projects.going(project)
        case ChangePlan():
            return turn.words.projects.plan_changing(project)
        case Resume(remark=said):
            return (
                turn.words.projects.remark_noted(project, goes_on=True)
                if said
                else turn.words.projects.going_on(project)
            )
        case Remark():
            return turn.words.projects.remark_noted(project, goes_on=False)
        case _:
            return None


# -- a brief ------------------------------------------------------------------------------------------------------


async def start(turn: Turn, brief: str, *, is_sure: bool = False) -> None:
    """Begin a project for a brief, unless it is hardly one and nobody said yes to it."""
    if not is_sure and is_small_talk(brief):
        return await turn.ask(turn.words.people.small_talk(), Expects.BRIEF)
    if not is_sure and is_short(brief):
        return await turn.ask(turn.words.people.too_short(brief=brief), Expects.YES_TO_BRIEF, draft=brief)
    project_id = await turn.house.orchestrator.start_project(
        user_id=turn.user_id, channel=CHANNEL, brief=brief, idempotency_key=turn.key
    )
    async with turn.house.database.transaction() as session:
        await chats.begin_in(session, turn.talk, project_id=project_id)
    return None


async def _adopt(turn: Turn, project_id: uuid.UUID) -> None:
    """Speak of this project from now on; one that was begun elsewhere is told of here."""
    async with turn.house.database.transaction() as session:
        await chats.adopt(session, turn.talk, project_id=project_id)


async def sighted(turn: Turn, project_id: uuid.UUID) -> Sight:
    """Return how the person's project stands. Raise UnknownProject."""
    async with turn.house.database.transaction() as session:
        return await picture.look(session, user_id=turn.user_id, project_id=project_id)
