"""What each command does. One that is about a project means the one spoken of, or the only one there is."""

import uuid
from collections.abc import Awaitable, Callable, Mapping

from bottega.billing import ledger
from bottega.delivery.archive import slug
from bottega.entrypoints.telegram import leaving, login, money, picture, speech
from bottega.entrypoints.telegram.house import House
from bottega.entrypoints.telegram.sending import post_document, post_say
from bottega.entrypoints.telegram.turn import Turn
from bottega.entrypoints.telegram.words.catalogue import languages
from bottega.entrypoints.telegram.words.values import Receipt
from bottega.orchestration import chats
from bottega.orchestration.chats import Expects
from bottega.orchestration.events import read_event
from bottega.orchestration.packing import unfinished_key
from bottega.orchestration.progress import history
from bottega.orchestration.state import RunState
from bottega.projects.status import ProjectStatus

Command = Callable[[Turn, str], Awaitable[None]]


async def obey(turn: Turn, text: str) -> None:
    """Do what a command says; `text` is all of it, such as "/resume" or "/new a word counter"."""
    name, _, arguments = text[1:].partition(" ")
    name, arguments = name.partition("@")[0].lower(), arguments.strip()
    rules = turn.house.rules
    if name in _OPERATORS and turn.incoming.person.id in rules.operators:
        return await _OPERATORS[name](turn, arguments)
    if name in _PRIVATE and not turn.incoming.is_private:
        return await turn.say(turn.words.people.only_in_private(bot=turn.house.bot_name))
    command = _COMMANDS.get(name) if is_offered(turn.house, name) else None
    if command is None:
        return await turn.say(turn.words.people.unknown_command(name))
    return await command(turn, arguments)


def is_offered(house: House, name: str) -> bool:
    """Tell whether a command is of use in this installation."""
    return name != "login" or house.codes is not None


# -- people -------------------------------------------------------------------------------------------------------


async def _start(turn: Turn, payload: str) -> None:
    """Greet; a link to the bot may name a project of theirs, `buy` or `login`."""
    if payload == "buy" and turn.incoming.is_private:
        return await money.show_packages(turn)
    if payload == "login" and is_offered(turn.house, payload):
        return await login.give_code(turn)
    if (project_id := _as_id(payload)) is not None:
        return await show_status(turn, project_id=project_id)
    mine = await turn.house.orchestrator.projects(user_id=turn.user_id)
    async with turn.house.database.transaction() as session:
        available = await ledger.available(session, user_id=turn.user_id)
        name = turn.incoming.person.name
        said = turn.words.people.welcome_back(name=name, available=available, projects=len(mine))
        # A newcomer's welcome has this key, and was posted with their account.
        await chats.expect(session, turn.talk, what=None)
        await post_say(session, chat_id=turn.chat_id, say=said, key=f"{turn.key}:welcome")
    return None


def _as_id(payload: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(payload)
    except ValueError:
        return None


async def _help(turn: Turn, _: str) -> None:
    await turn.say(turn.words.people.help())


async def _new(turn: Turn, brief: str) -> None:
    if brief:
        return await speech.start(turn, brief)
    return await turn.ask(turn.words.people.describe(), Expects.BRIEF)


async def _settings(turn: Turn, _: str) -> None:
    await turn.say(turn.words.people.settings())


async def _language(turn: Turn, tag: str) -> None:
    if tag.lower() in languages():
        return await choose_language(turn, tag.lower())
    return await turn.say(turn.words.people.languages())


async def choose_language(turn: Turn, tag: str) -> None:
    """Speak a language with the person from now on, in all their chats."""
    if tag not in languages():
        return await turn.say(turn.words.people.languages())
    async with turn.house.database.transaction() as session:
        await chats.choose_language(session, user_id=turn.user_id, language=tag)
        said = turn.speaking(tag).words.people.language_chosen()
        await post_say(session, chat_id=turn.chat_id, say=said, key=f"{turn.key}:answer")
    return None


async def _terms(turn: Turn, _: str) -> None:
    await turn.say(turn.words.people.terms())


async def _pay_support(turn: Turn, _: str) -> None:
    await turn.say(turn.words.people.pay_support(contact=turn.house.rules.contact))


async def _delete_my_data(turn: Turn, _: str) -> None:
    await leaving.ask(turn)


async def _login(turn: Turn, _: str) -> None:
    await login.give_code(turn)


async def _credits(turn: Turn, _: str) -> None:
    await money.show_credits(turn)


async def _buy(turn: Turn, _: str) -> None:
    await money.show_packages(turn)


async def _history(turn: Turn, _: str) -> None:
    await money.show_history(turn)


async def _stats(turn: Turn, _: str) -> None:
    await money.show_stats(turn)


# -- projects -----------------------------------------------------------------------------------------------------


async def show_projects(turn: Turn, *, page: int = 0) -> None:
    mine = await turn.house.orchestrator.projects(user_id=turn.user_id)
    if not mine:
        return await turn.say(turn.words.projects.none())
    shown = picture.listed(mine, current=turn.talk.project_id)
    return await turn.say(turn.words.projects.overview(shown, page=page))


async def show_status(turn: Turn, *, project_id: uuid.UUID) -> None:
    """Say how a project stands now, and ask again what it asks."""
    async with turn.house.database.transaction() as session:
        sight = await picture.look(session, user_id=turn.user_id, project_id=project_id)
        rows = await history(session, project_id=project_id, after=sight.status.event_sequence - 1)
        latest = read_event(type=rows[-1].type, payload=rows[-1].payload) if rows else None
        progress = await picture.progress(session, sight, now=turn.house.clock.now(), latest=latest)
        question = await picture.next_question(session, user_id=turn.user_id, project_id=project_id)
        offers, models = turn.house.offers(), turn.house.rules.models
        stopped = await picture.stopped(session, sight, offers=offers, models=models)
        plan = await picture.plan(session, sight) if picture.waits_for_a_go(sight) else None
    if progress is not None:
        await turn.say(turn.words.progress.status(progress), part="status")
    if plan is not None:
        await turn.say(turn.words.projects.plan(plan))
    elif question is not None and sight.status.state is RunState.WAITING:
        await turn.say(turn.words.projects.question(question))
    elif stopped is not None and (said := turn.words.news.stopped(stopped)) is not None:
        await turn.say(said)


async def show_details(turn: Turn, *, project_id: uuid.UUID) -> None:
    async with turn.house.database.transaction() as session:
        sight = await picture.look(session, user_id=turn.user_id, project_id=project_id)
        progress = await picture.progress(session, sight, now=turn.house.clock.now(), latest=None)
    if progress is not None:
        await turn.say(turn.words.progress.details(progress))


async def ask_to_cancel(turn: Turn, *, project_id: uuid.UUID) -> None:
    sight = await speech.sighted(turn, project_id)
    if sight.status.state is None or sight.status.state.is_final:
        return await show_status(turn, project_id=project_id)
    asked = turn.words.projects.cancel_asked(
        sight.named, charged=sight.status.credits_charged, is_refinement=sight.is_refinement
    )
    return await turn.say(asked)


async def show_receipt(turn: Turn, *, project_id: uuid.UUID) -> None:
    sight = await speech.sighted(turn, project_id)
    lines = await turn.house.orchestrator.receipt(user_id=turn.user_id, project_id=project_id)
    receipt = Receipt(project_id=project_id, title=sight.project.title, lines=lines)
    await turn.say(turn.words.delivery.receipt(receipt))


async def ask_what_to_change(turn: Turn, *, project_id: uuid.UUID, page: int = 0) -> None:
    sight = await speech.sighted(turn, project_id)
    paths = await turn.house.orchestrator.file_paths(user_id=turn.user_id, project_id=project_id)
    await turn.say(turn.words.delivery.how_to_change(sight.named, paths=paths, page=page))


async def download(turn: Turn, *, project_id: uuid.UUID) -> None:
    """Send the newest delivery again, or, of an unfinished project, what was accepted so far."""
    sight = await speech.sighted(turn, project_id)
    key, house = sight.status.archive_key, turn.house
    caption = turn.words.delivery.again(sight.named)
    if key is None:
        if not sight.has_files:
            return await turn.say(turn.words.delivery.nothing_yet(sight.named))
        content = await house.orchestrator.archive(user_id=turn.user_id, project_id=project_id)
        key = unfinished_key(project_id)
        await house.storage.put(key=key, content=content)
        files = await house.orchestrator.file_paths(user_id=turn.user_id, project_id=project_id)
        caption = turn.words.delivery.so_far(sight.named, files=len(files), size_bytes=len(content))
    async with house.database.transaction() as session:
        await post_document(
            session,
            chat_id=turn.chat_id,
            project_id=project_id,
            archive_key=key,
            file_name=f"{slug(sight.project.title)}.zip",
            caption=caption,
            key=f"{turn.key}:archive",
        )
    return None


async def _about(turn: Turn) -> uuid.UUID | None:
    """Return the project a command is about: the one spoken of, else the newest under way, else the newest."""
    mine = await turn.house.orchestrator.projects(user_id=turn.user_id)
    if any(row.id == turn.talk.project_id for row in mine):
        return turn.talk.project_id
    ended = {ProjectStatus.COMPLETED, ProjectStatus.FAILED, ProjectStatus.CANCELLED}
    live = [row.id for row in mine if ProjectStatus(row.status) not in ended]
    return next(iter([*live, *(row.id for row in mine)]), None)


def _of_a_project(act: Callable[[Turn, uuid.UUID], Awaitable[None]]) -> Command:
    async def command(turn: Turn, _: str) -> None:
        about = await _about(turn)
        await (turn.say(turn.words.projects.none()) if about is None else act(turn, about))

    return command


async def _pause(turn: Turn, project_id: uuid.UUID) -> None:
    await turn.house.orchestrator.pause(user_id=turn.user_id, project_id=project_id, idempotency_key=turn.key)


async def _resume(turn: Turn, project_id: uuid.UUID) -> None:
    sight = await speech.sighted(turn, project_id)
    await turn.house.orchestrator.resume(user_id=turn.user_id, project_id=project_id, idempotency_key=turn.key)
    await turn.say(turn.words.projects.going_on(sight.named))


async def _projects(turn: Turn, _: str) -> None:
    await show_projects(turn)


_COMMANDS: Mapping[str, Command] = {
    "start": _start,
    "help": _help,
    "new": _new,
    "projects": _projects,
    "status": _of_a_project(lambda turn, about: show_status(turn, project_id=about)),
    "credits": _credits,
    "buy": _buy,
    "history": _history,
    "pause": _of_a_project(_pause),
    "resume": _of_a_project(_resume),
    "cancel": _of_a_project(lambda turn, about: ask_to_cancel(turn, project_id=about)),
    "download": _of_a_project(lambda turn, about: download(turn, project_id=about)),
    "refine": _of_a_project(lambda turn, about: ask_what_to_change(turn, project_id=about)),
    "login": _login,
    "settings": _settings,
    "language": _language,
    "terms": _terms,
    "paysupport": _pay_support,
    "delete_my_data": _delete_my_data,
}
_PRIVATE = frozenset({"credits", "buy", "history", "delete_my_data", "paysupport"})
_OPERATORS: Mapping[str, Command] = {"grant": money.grant, "stats": _stats}
