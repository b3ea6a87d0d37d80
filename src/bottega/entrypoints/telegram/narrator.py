"""The narrator tells chats what their projects do: messages of their own for what matters, one message for the rest.

- Rows are the truth. News of this process or a notification only make it look sooner; it looks every two seconds
  anyway.
- What is told is posted by the transaction that moves the chat's `told`: each event once, whoever is killed.
- A stretch of work has one status message. It follows the project at most every three seconds, its last change always
  comes, and the next stretch has a new one below what was said since.

Any number may narrate, in any number of processes.
"""

import asyncio
import contextlib
import hashlib
import uuid
from collections.abc import Hashable
from datetime import timedelta
from typing import NoReturn

import structlog
from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession

from bottega.core.finishing import to_the_end
from bottega.db.notifications import listen
from bottega.db.transaction import FAULTS
from bottega.delivery.archive import slug
from bottega.entrypoints.telegram import picture
from bottega.entrypoints.telegram.faults import Moved, Shut
from bottega.entrypoints.telegram.house import House
from bottega.entrypoints.telegram.picture import Sight
from bottega.entrypoints.telegram.sending import post_document, post_say
from bottega.entrypoints.telegram.types import Say
from bottega.entrypoints.telegram.words import Words, words_for
from bottega.orchestration import chats, events
from bottega.orchestration.chats import Place
from bottega.orchestration.events import Event, read_event
from bottega.orchestration.herald import CHANNEL
from bottega.orchestration.post.outbox import Refused, TryLater
from bottega.orchestration.progress import News, history
from bottega.projects.service import UnknownProject

LOOK_SECONDS = 2.0
EDIT_SECONDS = 3.0  # twenty a minute is what a group takes
AT_ONCE = 50

log = structlog.get_logger()


class Narrator:
    """`database.hear(narrator.hear)` lets it look at once at what the process itself writes."""

    def __init__(self, *, house: House, look_seconds: float = LOOK_SECONDS, edit_seconds: float = EDIT_SECONDS) -> None:
        self._house = house
        self._look_seconds = look_seconds
        self._pause = timedelta(seconds=edit_seconds)
        self._woken = asyncio.Event()
        self._edited_at: dict[int, float] = {}  # by chat

    def hear(self, what: Hashable) -> None:
        if isinstance(what, News):
            self._woken.set()

    async def work(self) -> NoReturn:
        """Tell and show whatever there is, until cancelled."""
        listening = asyncio.create_task(self._listen())
        try:
            while True:
                self._woken.clear()  # before looking: what comes while looking is not slept through
                try:
                    await self.narrate()
                except FAULTS as error:
                    log.warning("narrator.look.missed", reason=type(error).__name__)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._look_seconds):
                        await self._woken.wait()
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def narrate(self) -> None:
        """Tell what was not told, then let the status messages follow."""
        async with self._house.database.transaction() as session:
            behind = await chats.behind(session, at_most=AT_ONCE)
        for project_id in behind:
            await self._tell_somehow(project_id)
        async with self._house.database.transaction() as session:
            places = await chats.claim_to_show(session, at_most=AT_ONCE)
        await asyncio.gather(*(self._show_somehow(place) for place in places))

    async def _listen(self) -> None:
        await listen(
            self._house.database,
            channel=CHANNEL,
            heard=lambda _: self._woken.set(),
            missed=self._woken.set,
            clock=self._house.clock,
        )

    # -- messages of their own ----------------------------------------------------------------------------------------

    async def _tell_somehow(self, project_id: uuid.UUID) -> None:
        """Tell what there is; what cannot be put into words is said to be our fault, and does not hold up the rest."""
        try:
            await self._tell(project_id)
        except Exception as error:  # an edge: one project's defect is not to silence all others
            if _is_out_of_reach(error):
                raise
            error_id = uuid.uuid4().hex[:12]
            log.exception("narrator.telling.failed", project_id=str(project_id), error_id=error_id)
            await self._own_up(project_id, error_id=error_id)

    async def _own_up(self, project_id: uuid.UUID, *, error_id: str) -> None:
        async with self._house.database.transaction() as session:
            place = await chats.take_place(session, project_id=project_id)
            if place is None:
                return
            rows = await history(session, project_id=project_id, after=place.told)
            if rows:
                said, key = (
                    words_for(place.language).faults.ours(error_id=error_id),
                    f"{project_id}:{error_id}",
                )
                await post_say(session, chat_id=place.chat_id, say=said, key=key)
                await chats.note_told(session, project_id=project_id, sequence=rows[-1].sequence)

    async def _tell(self, project_id: uuid.UUID) -> None:
        async with self._house.database.transaction() as session:
            place = await chats.take_place(session, project_id=project_id)
            if place is None:
                return
            rows = await history(session, project_id=project_id, after=place.told)
            if not rows:
                return
            told = Telling(house=self._house, place=place, words=words_for(place.language))
            sight = await picture.look(session, user_id=place.user_id, project_id=project_id)
            pairs = [(row.sequence, read_event(type=row.type, payload=row.payload)) for row in rows]
            for sequence, event in pairs:
                is_last = not any(isinstance(later, type(event)) for number, later in pairs if number > sequence)
                if event is not None:
                    await told.tell(session, event, sight=sight, sequence=sequence, is_last=is_last)
            await chats.note_told(session, project_id=project_id, sequence=rows[-1].sequence)

    # -- the status message -------------------------------------------------------------------------------------------

    async def _show_somehow(self, place: Place) -> None:
        try:
            await self._show(place)
        except Exception as error:  # an edge, as above
            if _is_out_of_reach(error):
                raise
            log.exception("narrator.showing.failed", project_id=str(place.project_id))
            await self._later(place, seconds=60)

    async def _show(self, place: Place) -> None:
        """Let a project's status message show how it stands; whoever fails here tries again in a while."""
        wait = self._wait(place.chat_id)
        if wait > 0:
            return await self._later(place, seconds=wait)
        try:
            wanted, ends = await self._wanted(place)
        except UnknownProject:
            return None
        if wanted is None:
            return await self._later(place, seconds=self._pause.total_seconds())
        shown = hashlib.sha256(repr(wanted).encode(errors="replace")).hexdigest()
        try:
            await to_the_end(self._showed(place, wanted, shown=shown, ends=ends))
        except Refused as refusal:
            await self._give_up(place, refusal)
        except TryLater as fault:
            await self._later(place, seconds=fault.after_seconds or 2 * self._pause.total_seconds())
        return None

    async def _showed(self, place: Place, wanted: Say, *, shown: str, ends: bool) -> None:
        """Show it and note that: a process that is told to stop leaves no message behind that nobody knows of."""
        message_id = place.status_message_id
        if shown != place.shown or message_id is None:
            self._edited_at[place.chat_id] = self._house.clock.monotonic()
            message_id = await self._house.desk.show(place.chat_id, message_id, wanted)
        async with self._house.database.transaction() as session:
            kept = (None, None) if ends else (message_id, shown)
            await chats.note_shown(session, place=place, message_id=kept[0], shown=kept[1], again_in=self._pause)

    async def _wanted(self, place: Place) -> tuple[Say | None, bool]:
        """Return what the status message is to show, and whether that is its last word."""
        async with self._house.database.transaction() as session:
            sight = await picture.look(session, user_id=place.user_id, project_id=place.project_id)
            latest = await _latest(session, place.project_id, until=sight.status.event_sequence)
            now = self._house.clock.now()
            progress = await picture.progress(session, sight, now=now, latest=latest)
        if progress is None or (place.status_message_id is None and not sight.is_under_way):
            return None, False
        words = words_for(place.language)
        if latest is None and progress.step is None and sight.is_under_way and not sight.tasks:
            return words.progress.begun(sight.named), False
        return words.progress.status(progress), not sight.is_under_way

    def _wait(self, chat_id: int) -> float:
        """Return how long this chat is left in peace yet."""
        edited_at = self._edited_at.get(chat_id)
        if edited_at is None:
            return 0.0
        return edited_at + self._pause.total_seconds() - self._house.clock.monotonic()

    async def _later(self, place: Place, *, seconds: float) -> None:
        async with self._house.database.transaction() as session:
            await chats.look_again(session, place=place, again_in=timedelta(seconds=seconds))

    async def _give_up(self, place: Place, refusal: Refused) -> None:
        """Show nothing more where nothing is wanted; a group that moved is followed."""
        async with self._house.database.transaction() as session:
            match refusal:
                case Moved(chat_id=chat_id):
                    await chats.move(session, chat_id=place.chat_id, to=chat_id)
                case Shut():
                    await chats.set_shut(session, chat_id=place.chat_id, is_shut=True)
                case _:
                    log.error("narrator.status.refused", project_id=str(place.project_id), reason=refusal.message)
                    await chats.look_again(session, place=place, again_in=timedelta(hours=1))


class Telling:
    """One project's events as messages of a chat, each under a key of its own."""

    def __init__(self, *, house: House, place: Place, words: Words) -> None:
        self._house = house
        self._place = place
        self._words = words

    async def tell(self, session: AsyncSession, event: Event, *, sight: Sight, sequence: int, is_last: bool) -> None:
        """Post what an event deserves. Of what asks for something only the last is posted, while it is still so."""
        key = f"{self._place.project_id}:{sequence}"
        match event:
            case events.QuestionsAsked():
                await post_question(session, place=self._place, words=self._words)
            case events.PlanReady() if is_last and picture.waits_for_a_go(sight):
                shown = await picture.plan(session, sight)
                await self._post(session, self._words.projects.plan(shown), key=key)
            case events.RunStopped() if is_last:
                offers, models = self._house.offers(), self._house.rules.models
                stopped = await picture.stopped(session, sight, offers=offers, models=models)
                await self._post(session, self._words.news.stopped(stopped) if stopped else None, key=key)
            case events.RunCancelled():
                said = self._words.projects.cancelled(
                    sight.named, is_refinement=sight.is_refinement, has_files=sight.has_files
                )
                await self._post(session, said, key=key)
            case events.Delivered():
                await self._deliver(session, event, sight=sight, key=key)
            case _:
                titles = {task.key: task.title for task in sight.tasks}
                title = titles.get(getattr(event, "task_key", None) or "")
                await self._post(session, self._words.news.of(event, project=sight.named, task_title=title), key=key)

    async def _deliver(self, session: AsyncSession, event: events.Delivered, *, sight: Sight, key: str) -> None:
        delivery = await picture.delivery(session, sight, event=event, now=self._house.clock.now())
        file_name = f"{slug(sight.project.title)}.zip"
        if sight.status.archive_key is not None:
            await post_document(
                session,
                chat_id=self._place.chat_id,
                project_id=self._place.project_id,
                archive_key=sight.status.archive_key,
                file_name=file_name,
                caption=self._words.delivery.caption(delivery),
                key=f"{key}:archive",
                too_large=self._words.delivery.too_large(file_name=file_name, size_bytes=event.size_bytes),
            )
        await self._post(session, self._words.delivery.delivered(delivery), key=key)

    async def _post(self, session: AsyncSession, say: Say | None, *, key: str) -> None:
        if say is not None:
            await post_say(session, chat_id=self._place.chat_id, say=say, key=key)


def _is_out_of_reach(error: Exception) -> bool:
    """Tell whether the database does not answer, which is no defect of a project's."""
    return isinstance(error, FAULTS) and not isinstance(error, ProgrammingError | DataError | IntegrityError)


async def post_question(session: AsyncSession, *, place: Place, words: Words) -> bool:
    """Ask the next open question in the project's chat, once; False where none is open."""
    question = await picture.next_question(session, user_id=place.user_id, project_id=place.project_id)
    if question is None:
        return False
    key = f"question:{question.question_id}"
    await post_say(session, chat_id=place.chat_id, say=words.projects.question(question), key=key)
    return True


async def _latest(session: AsyncSession, project_id: uuid.UUID, *, until: int) -> Event | None:
    """Return the last thing that happened."""
    rows = await history(session, project_id=project_id, after=until - 1)
    read = [read_event(type=row.type, payload=row.payload) for row in rows]
    return read[-1] if read else None
