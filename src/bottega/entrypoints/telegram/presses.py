"""What each button does. It is answered at once; whose time has passed is told how things stand now.

A press proves nothing but that somebody pressed: whatever it names is looked for among the person's own, and of
another person's nothing is said.
"""

import contextlib
import uuid

from bottega.core.errors import AppError
from bottega.entrypoints.telegram import buttons, commands, leaving, money, picture, speech
from bottega.entrypoints.telegram.buttons import Press
from bottega.entrypoints.telegram.house import CHANNEL
from bottega.entrypoints.telegram.turn import Turn
from bottega.entrypoints.telegram.types import ButtonPressed
from bottega.orchestration import chats
from bottega.orchestration.chats import Expects
from bottega.orchestration.commands.effects import NothingToDo
from bottega.orchestration.post.outbox import Refused, TryLater
from bottega.projects import service as projects
from bottega.projects.service import UnknownProject
from bottega.projects.tables import Question


async def pressed(turn: Turn, button: ButtonPressed) -> None:
    """Do what a button means and end its waiting, with a notice where there is one."""
    press = buttons.decode(button.data)
    try:
        notice = turn.words.answers.unknown() if press is None else await _act(turn, press)
    except UnknownProject:
        notice = turn.words.answers.not_yours()
    except NothingToDo:
        notice = turn.words.answers.out_of_date()
        await _show_what_is(turn, press)
    except TryLater:
        await turn.house.desk.answer_button(button.query_id, turn.words.answers.went_wrong())
        raise
    except AppError as error:
        notice = turn.words.faults.brief(error)
        await turn.say(turn.words.faults.of(error, project_id=getattr(press, "project_id", None)), part="fault")
    await turn.house.desk.answer_button(button.query_id, notice)


async def _show_what_is(turn: Turn, press: Press | None) -> None:
    project_id = getattr(press, "project_id", None)
    if isinstance(project_id, uuid.UUID):
        await commands.show_status(turn, project_id=project_id)


async def _act(turn: Turn, press: Press) -> str | None:
    match press:
        case buttons.AnswerOption(question_id=question_id, index=index):
            return await _answer(turn, question_id=question_id, index=index)
        case buttons.DecideForMe(question_id=question_id):
            return await _answer(turn, question_id=question_id, index=None)
        case buttons.DecideAllForMe(project_id=project_id):
            return await _answer_all(turn, project_id=project_id)
        case buttons.Approve(project_id=project_id):
            return await _approve(turn, project_id=project_id)
        case buttons.ChangePlan(project_id=project_id):
            return await _ask_for_a_plan_change(turn, project_id=project_id)
        case _:
            return await _act_on_work(turn, press)


async def _act_on_work(turn: Turn, press: Press) -> str | None:
    orchestrator, words = turn.house.orchestrator, turn.words
    match press:
        case buttons.Pause(project_id=project_id):
            await orchestrator.pause(user_id=turn.user_id, project_id=project_id, idempotency_key=turn.key)
            return words.answers.pausing()
        case (
            buttons.Resume(project_id=project_id)
            | buttons.TryAgain(project_id=project_id)
            | buttons.StrongerModel(project_id=project_id)
        ):
            return await _resume(turn, project_id=project_id)
        case buttons.Cancel(project_id=project_id):
            await commands.ask_to_cancel(turn, project_id=project_id)
            return None
        case buttons.CancelForGood(project_id=project_id):
            await orchestrator.cancel(user_id=turn.user_id, project_id=project_id, idempotency_key=turn.key)
            return words.answers.stopping()
        case buttons.DropTask(project_id=project_id):
            await orchestrator.drop_task(
                user_id=turn.user_id, project_id=project_id, channel=CHANNEL, idempotency_key=turn.key
            )
            return words.answers.going_on()
        case buttons.Explain(project_id=project_id):
            sight = await speech.sighted(turn, project_id)
            await turn.ask(words.projects.explain_asked(sight.named), Expects.REMARK, about_id=project_id)
            return None
        case _:
            return await _act_on_what_was_made(turn, press)


async def _act_on_what_was_made(turn: Turn, press: Press) -> str | None:
    match press:
        case buttons.RaiseLimit(project_id=project_id):
            status = (sight := await speech.sighted(turn, project_id)).status
            asked = turn.words.projects.limit_asked(
                sight.named, limit=status.credit_limit, charged=status.credits_charged
            )
            await turn.ask(asked, Expects.LIMIT, about_id=project_id)
        case buttons.LiftLimit(project_id=project_id):
            await speech.set_limit(turn, None, project_id=project_id)
        case buttons.ShowStatus(project_id=project_id):
            await commands.show_status(turn, project_id=project_id)
        case buttons.ShowDetails(project_id=project_id):
            await commands.show_details(turn, project_id=project_id)
        case buttons.Download(project_id=project_id):
            await commands.download(turn, project_id=project_id)
            return turn.words.answers.packing()
        case buttons.ShowReceipt(project_id=project_id):
            await commands.show_receipt(turn, project_id=project_id)
        case buttons.ChangeIt(project_id=project_id, page=page):
            await commands.ask_what_to_change(turn, project_id=project_id, page=page)
        case buttons.ChangeFile(project_id=project_id, index=index, mark=mark):
            await _change_file(turn, project_id=project_id, index=index, mark=mark)
        case buttons.OpenProject(project_id=project_id):
            sight = await speech.sighted(turn, project_id)
            async with turn.house.database.transaction() as session:
                await chats.adopt(session, turn.talk, project_id=project_id)
            await turn.say(turn.words.projects.opened(sight.named))
        case _:
            await _act_on_the_talk(turn, press)
    return None


async def _act_on_the_talk(turn: Turn, press: Press) -> None:
    match press:
        case buttons.UseExample(number=number):
            brief = turn.words.people.example(number)
            await (turn.say(turn.words.people.describe()) if brief is None else speech.start(turn, brief, is_sure=True))
        case buttons.NewProject():
            await turn.ask(turn.words.people.describe(), Expects.BRIEF)
        case buttons.BeginAnyway() | buttons.MeantFor():
            await _take_the_draft(turn, press)
        case buttons.NeverMind():
            await turn.ask(turn.words.people.never_mind(), None)
        case _:
            await _act_on_settings(turn, press)


async def _take_the_draft(turn: Turn, press: buttons.BeginAnyway | buttons.MeantFor) -> None:
    """Begin with what the person said, or say it to a project; where nothing is remembered they are asked."""
    draft = turn.talk.draft
    if draft is None:
        return await turn.ask(turn.words.people.describe(), Expects.BRIEF)
    if isinstance(press, buttons.MeantFor):
        return await speech.speak_to(turn, draft, project_id=press.project_id)
    return await speech.start(turn, draft, is_sure=True)


async def _act_on_settings(turn: Turn, press: Press) -> None:
    match press:
        case buttons.ShowProjects(page=page):
            await commands.show_projects(turn, page=page)
        case buttons.ShowHelp():
            await turn.say(turn.words.people.help())
        case buttons.ShowSettings():
            await turn.say(turn.words.people.settings())
        case buttons.ShowLanguages():
            await turn.say(turn.words.people.languages())
        case buttons.ChooseLanguage(language=language):
            await commands.choose_language(turn, language)
        case _:
            await _act_on_the_account(turn, press)


async def _act_on_the_account(turn: Turn, press: Press) -> None:
    if not turn.incoming.is_private:
        return await turn.say(turn.words.people.only_in_private(bot=turn.house.bot_name))
    match press:
        case buttons.ShowCredits():
            await money.show_credits(turn)
        case buttons.ShowHistory():
            await money.show_history(turn)
        case buttons.ShowPackages():
            await money.show_packages(turn)
        case buttons.BuyWithStars(package=package):
            await money.buy_with_stars(turn, package=package)
        case buttons.BuyWithCard(package=package):
            await money.buy_with_card(turn, package=package)
        case buttons.DeleteMyData():
            await leaving.ask(turn)
        case buttons.DeleteForGood():
            await leaving.leave(turn)
        case _:
            await turn.say(turn.words.people.fits_nothing())
    return None


# -- requirements and plan ----------------------------------------------------------------------------------------


async def _answer(turn: Turn, *, question_id: uuid.UUID, index: int | None) -> str:
    """Answer one question by an option, None for the recommended one, and ask the next."""
    async with turn.house.database.transaction() as session:
        question = await projects.get_question(session, question_id=question_id, user_id=turn.user_id)
    chosen = question.recommended if index is None else index
    if not 0 <= chosen < len(question.options):
        return turn.words.answers.unknown()
    if question.answer is not None:
        await speech.ask_next(turn, question.project_id)
        return turn.words.answers.already_answered()
    answers = {question_id: question.options[chosen]}
    await turn.house.orchestrator.answer(
        user_id=turn.user_id, project_id=question.project_id, answers=answers, idempotency_key=turn.key
    )
    await speech.ask_next(turn, question.project_id)
    await _show_answered(turn, question, answer=answers[question_id])
    return turn.words.answers.noted()


async def _show_answered(turn: Turn, question: Question, *, answer: str) -> None:
    """Let the question's message say how it was answered, without buttons; where that fails it stays as it is."""
    pressed = turn.incoming
    if isinstance(pressed, ButtonPressed) and pressed.message_id is not None:
        shown = turn.words.projects.answered(question=question.text, answer=answer)
        with contextlib.suppress(TryLater, Refused):
            await turn.house.desk.show(turn.chat_id, pressed.message_id, shown)


async def _answer_all(turn: Turn, *, project_id: uuid.UUID) -> str:
    waiting = await turn.house.orchestrator.questions(user_id=turn.user_id, project_id=project_id)
    if not waiting:
        return turn.words.answers.already_answered()
    answers = {question.id: question.options[question.recommended] for question in waiting}
    await turn.house.orchestrator.answer(
        user_id=turn.user_id, project_id=project_id, answers=answers, idempotency_key=turn.key
    )
    return turn.words.answers.noted()


async def _approve(turn: Turn, *, project_id: uuid.UUID) -> str:
    await turn.house.orchestrator.approve(user_id=turn.user_id, project_id=project_id, idempotency_key=turn.key)
    await turn.settle(turn.words.projects.going((await speech.sighted(turn, project_id)).named))
    return turn.words.answers.building()


async def _ask_for_a_plan_change(turn: Turn, *, project_id: uuid.UUID) -> str | None:
    sight = await speech.sighted(turn, project_id)
    if not picture.waits_for_a_go(sight):
        raise NothingToDo("There is no plan to change now.")
    await turn.ask(turn.words.projects.change_plan_asked(sight.named), Expects.PLAN_CHANGE, about_id=project_id)
    return None


# -- what was made ------------------------------------------------------------------------------------------------


async def _resume(turn: Turn, *, project_id: uuid.UUID) -> str:
    before = await speech.sighted(turn, project_id)
    await turn.house.orchestrator.resume(user_id=turn.user_id, project_id=project_id, idempotency_key=turn.key)
    await turn.say(turn.words.projects.going_on(before.named))
    return turn.words.answers.going_on()


async def _change_file(turn: Turn, *, project_id: uuid.UUID, index: int, mark: str) -> None:
    """Ask what to change in a file, or change it where that was said before."""
    sight = await speech.sighted(turn, project_id)
    paths = await turn.house.orchestrator.file_paths(user_id=turn.user_id, project_id=project_id)
    if buttons.paths_mark(paths) != mark or not 0 <= index < len(paths):
        return await turn.say(turn.words.delivery.files_changed(sight.named))
    talk = turn.talk
    if talk.expects is Expects.FILE and talk.about_id == project_id and talk.draft:
        return await speech.refine(turn, path=paths[index], instruction=talk.draft, project_id=project_id)
    asked = turn.words.delivery.change_asked(sight.named, path=paths[index])
    return await turn.ask(asked, Expects.FILE_CHANGE, about_id=project_id, draft=paths[index])
