"""What a person's talk in a chat is in the middle of, and what each chat has been told of its projects.

A talk is a row of a chat and a person: in a group several talk at once, each about a project of their own. A project is
told of in the one chat it was begun in. Whoever tells moves `told` in the transaction that posts the messages, under
the row's lock, so any number may tell and each event is told once. A status message is shown outside any transaction:
whoever shows it holds `show_at`, a lease, and notes what it shows afterwards.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from sqlalchemy import Update, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.db.transaction import note
from bottega.orchestration.briefs import storable
from bottega.orchestration.progress import News
from bottega.orchestration.tables import Chat, ChatProject

SHOW_LEASE = timedelta(seconds=30)
LONGEST_LANGUAGE = 35
LONGEST_DRAFT = 60_000  # more than any brief


class Expects(StrEnum):
    """What a person's next text means, or what their draft waits for."""

    BRIEF = "brief"
    YES_TO_BRIEF = "yes_to_brief"  # the draft is a brief that looks too short
    PROJECT = "project"  # the draft is a text, and which project it is about is asked
    PLAN_CHANGE = "plan_change"
    REMARK = "remark"
    FILE = "file"  # the draft is what to change, and which file is asked
    FILE_CHANGE = "file_change"  # the draft is the file's path
    LIMIT = "limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """`language` is the one the person chose, else what their app is set to. `about_id` goes with `expects`."""

    chat_id: int
    user_id: int
    language: str | None
    project_id: uuid.UUID | None
    expects: Expects | None
    about_id: uuid.UUID | None
    draft: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a project is told of, in which language, and how far that has come."""

    project_id: uuid.UUID
    chat_id: int
    user_id: int
    language: str | None
    told: int
    status_message_id: int | None
    shown: str | None


# -- a person's talk ----------------------------------------------------------------------------------------------


async def open_talk(session: AsyncSession, *, chat_id: int, user_id: int, language: str | None) -> Talk:
    """Return what this person's talk in this chat is in the middle of; it begins when they first say something."""
    values = {"chat_id": chat_id, "user_id": user_id, "language": storable(language or "")[:LONGEST_LANGUAGE] or None}
    talk = insert(Chat).values(values)
    known = talk.on_conflict_do_update(
        index_elements=[Chat.chat_id, Chat.user_id],
        set_={"language": talk.excluded.language, "updated_at": func.now()},
    )
    row = (await session.scalars(known.returning(Chat), execution_options={"populate_existing": True})).one()
    return Talk(
        chat_id=chat_id,
        user_id=user_id,
        language=row.chosen_language or row.language,
        project_id=row.project_id,
        expects=Expects(row.expects) if row.expects else None,
        about_id=row.about_id,
        draft=row.draft,
    )


async def expect(
    session: AsyncSession,
    talk: Talk,
    *,
    what: Expects | None,
    about_id: uuid.UUID | None = None,
    draft: str | None = None,
) -> None:
    """Note what the person's next text means; None: what it says by itself."""
    kept = None if draft is None else storable(draft)[:LONGEST_DRAFT]
    await session.execute(_mine(talk).values(expects=what, about_id=about_id, draft=kept))


async def speak_of(session: AsyncSession, talk: Talk, *, project_id: uuid.UUID) -> None:
    """Make it the project that a text is about unless something says otherwise."""
    await session.execute(_mine(talk).values(project_id=project_id, expects=None, about_id=None, draft=None))


async def choose_language(session: AsyncSession, *, user_id: int, language: str) -> None:
    """Speak this language with a person, in all their chats."""
    await session.execute(update(Chat).where(Chat.user_id == user_id).values(chosen_language=language))


# -- the projects of a chat ---------------------------------------------------------------------------------------


async def begin_in(session: AsyncSession, talk: Talk, *, project_id: uuid.UUID) -> None:
    """Tell this chat of the project from now on, all there is; the talk is about it."""
    values = {"project_id": project_id, "chat_id": talk.chat_id, "user_id": talk.user_id}
    await session.execute(insert(ChatProject).values(values).on_conflict_do_nothing())
    await speak_of(session, talk, project_id=project_id)
    note(session, News(project_id=project_id))


async def adopt(session: AsyncSession, talk: Talk, *, project_id: uuid.UUID) -> None:
    """Speak of the project; where no chat is told of it, this one is from now on."""
    given = {"project_id": project_id, "chat_id": talk.chat_id, "user_id": talk.user_id}
    await session.execute(_ADOPT, given)
    await speak_of(session, talk, project_id=project_id)
    note(session, News(project_id=project_id))


async def where_told(session: AsyncSession, *, project_id: uuid.UUID) -> int | None:
    """Return the chat that a project is told of in."""
    return await session.scalar(select(ChatProject.chat_id).where(ChatProject.project_id == project_id))


async def shown_in(session: AsyncSession, *, chat_id: int, message_id: int) -> uuid.UUID | None:
    """Return the project whose status message this is."""
    mine = select(ChatProject.project_id).where(
        ChatProject.chat_id == chat_id, ChatProject.status_message_id == message_id
    )
    return (await session.scalars(mine.limit(1))).one_or_none()


async def set_shut(session: AsyncSession, *, chat_id: int, is_shut: bool) -> None:
    """Note that a chat takes nothing from us, or does again."""
    mine = update(ChatProject).where(ChatProject.chat_id == chat_id, ChatProject.is_shut != is_shut)
    await session.execute(mine.values(is_shut=is_shut))


async def move(session: AsyncSession, *, chat_id: int, to: int) -> None:
    """Note that a chat has another number now."""
    await session.execute(update(ChatProject).where(ChatProject.chat_id == chat_id).values(chat_id=to))
    taken = select(Chat.user_id).where(Chat.chat_id == to)
    await session.execute(update(Chat).where(Chat.chat_id == chat_id, Chat.user_id.not_in(taken)).values(chat_id=to))


# -- telling ------------------------------------------------------------------------------------------------------


async def behind(session: AsyncSession, *, at_most: int) -> Sequence[uuid.UUID]:
    """Return projects with events that their chat was not told yet."""
    return (await session.scalars(_BEHIND, {"at_most": at_most})).all()


async def take_place(session: AsyncSession, *, project_id: uuid.UUID) -> Place | None:
    """Lock the place a project is told of in; None where there is none, or somebody else is telling."""
    row = (await session.execute(_TAKE, {"project_id": project_id})).mappings().one_or_none()
    return None if row is None else Place(**row)


async def note_told(session: AsyncSession, *, project_id: uuid.UUID, sequence: int) -> None:
    """Note how far a chat has been told. The caller has locked the place."""
    mine = update(ChatProject).where(ChatProject.project_id == project_id)
    await session.execute(mine.values(told=sequence))


# -- showing ------------------------------------------------------------------------------------------------------


async def claim_to_show(session: AsyncSession, *, at_most: int) -> Sequence[Place]:
    """Take projects whose status message may have to change now; nobody else shows them for half a minute."""
    rows = (await session.execute(_CLAIM, {"at_most": at_most, "lease": SHOW_LEASE})).mappings()
    return [Place(**row) for row in rows]


async def note_shown(
    session: AsyncSession, *, place: Place, message_id: int | None, shown: str | None, again_in: timedelta
) -> None:
    """Note what the status message shows by now; without a message the next one is sent anew."""
    values = {
        "status_message_id": message_id,
        "shown": shown,
        "show_at": func.clock_timestamp() + again_in,
    }
    await session.execute(update(ChatProject).where(ChatProject.project_id == place.project_id).values(values))


async def look_again(session: AsyncSession, *, place: Place, again_in: timedelta) -> None:
    """Leave the status message as it is until then."""
    mine = update(ChatProject).where(ChatProject.project_id == place.project_id)
    await session.execute(mine.values(show_at=func.clock_timestamp() + again_in))


def _mine(talk: Talk) -> Update:
    return update(Chat).where(Chat.chat_id == talk.chat_id, Chat.user_id == talk.user_id)


_ADOPT = text(
    """
    INSERT INTO chat_projects (project_id, chat_id, user_id, told)
    SELECT id, :chat_id, user_id, event_sequence FROM projects
    WHERE id = CAST(:project_id AS uuid) AND user_id = :user_id
    ON CONFLICT DO NOTHING
    """
)
_PLACE = """
    chat_projects.project_id, chat_projects.chat_id, chat_projects.user_id,
    COALESCE(chats.chosen_language, chats.language) AS language, told, status_message_id, shown
"""
_BEHIND = text(
    """
    SELECT chat_projects.project_id FROM chat_projects JOIN projects ON projects.id = chat_projects.project_id
    WHERE event_sequence > told ORDER BY chat_projects.project_id LIMIT :at_most
    """
)
_TAKE = text(
    f"""
    SELECT {_PLACE} FROM chat_projects LEFT JOIN chats USING (chat_id, user_id)
    WHERE chat_projects.project_id = CAST(:project_id AS uuid) FOR UPDATE OF chat_projects SKIP LOCKED
    """  # noqa: S608  # of our own words
)

# Worth a look: what is being worked on, and what shows that it was. A chat's messages change three seconds apart.
_CLAIM = text(
    f"""
    WITH due AS (
        SELECT project_id FROM chat_projects
        WHERE NOT is_shut AND show_at <= clock_timestamp()
            AND (status_message_id IS NOT NULL OR EXISTS (
                SELECT FROM runs WHERE runs.project_id = chat_projects.project_id
                    AND finished_at IS NULL AND state = 'ready'))
        ORDER BY show_at LIMIT :at_most FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE chat_projects SET show_at = clock_timestamp() + CAST(:lease AS interval)
        FROM due WHERE chat_projects.project_id = due.project_id RETURNING chat_projects.*
    )
    SELECT {_PLACE.replace("chat_projects.", "claimed.")} FROM claimed LEFT JOIN chats USING (chat_id, user_id)
    """  # noqa: S608  # of our own words
)
