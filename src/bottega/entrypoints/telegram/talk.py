"""The conversation: every update becomes one turn, and every turn is answered.

It is a `receiving.Handler`: taken again, a turn changes nothing more and says nothing twice. It decides nothing about
the product: it finds out who speaks and where their talk stands, calls the engine, and renders.
"""

from sqlalchemy.ext.asyncio import AsyncSession

from bottega.billing.accounts import Account, open_account
from bottega.core.errors import AppError
from bottega.entrypoints.telegram import commands, money, presses, speech
from bottega.entrypoints.telegram.desk import NotText, TooLarge
from bottega.entrypoints.telegram.house import House
from bottega.entrypoints.telegram.sending import post_say
from bottega.entrypoints.telegram.turn import Turn
from bottega.entrypoints.telegram.types import (
    Blocked,
    ButtonPressed,
    CheckoutAsked,
    DocumentSent,
    Incoming,
    NotUnderstood,
    StarsPaid,
    TextSent,
)
from bottega.entrypoints.telegram.words import Words, words_for
from bottega.entrypoints.telegram.words.catalogue import languages
from bottega.entrypoints.telegram.words.people import BadDocument
from bottega.orchestration import chats
from bottega.orchestration.briefs import MAX_BRIEF_BYTES, storable
from bottega.orchestration.post.outbox import TryLater

_TEXT_FILES = (".md", ".markdown", ".txt", ".text")
_LONGEST_NAME = 100


class Conversation:
    def __init__(self, *, house: House) -> None:
        self._house = house

    async def introduce(self) -> None:
        """Set the menu of commands, in every language and for all who speak none of them."""
        for language in (*languages(), None):
            known = words_for(language).people.commands()
            menu = {one.name: one.description for one in known if commands.is_offered(self._house, one.name)}
            await self._house.desk.set_commands(language, menu)

    async def handle(self, incoming: Incoming) -> None:
        """Do what is asked, and answer."""
        if isinstance(incoming, CheckoutAsked):
            return await money.answer_checkout(self._house, incoming)
        if isinstance(incoming, Blocked):
            return await self._note_blocked(incoming)
        if not self._house.rules.lets_in(incoming.person.id) and not isinstance(incoming, StarsPaid):
            return await self._turn_away(incoming)
        turn = await self._turn(incoming)
        if await turn.was_taken():
            return None
        try:
            await self._take(turn)
        except TryLater:
            raise
        except AppError as error:
            await turn.settle(turn.words.faults.of(error, project_id=turn.talk.project_id))
        return await turn.note_taken()

    async def _take(self, turn: Turn) -> None:
        match turn.incoming:
            case TextSent(text=text) if text.startswith("/"):
                await commands.obey(turn, text)
            case TextSent(text=text) as sent:
                await self._house.desk.typing(turn.chat_id)
                await speech.hear(turn, text, reply_to=sent.reply_to, is_forwarded=sent.is_forwarded)
            case DocumentSent() as sent:
                await self._read(turn, sent)
            case ButtonPressed() as button:
                await presses.pressed(turn, button)
            case StarsPaid() as paid:
                await money.take_payment(turn, paid)
            case NotUnderstood(what=what):
                await turn.say(turn.words.people.unsupported(what))
            case _:
                await turn.say(turn.words.people.fits_nothing())

    # -- who speaks ---------------------------------------------------------------------------------------------------

    async def _turn(self, incoming: Incoming) -> Turn:
        """Return the turn; a newcomer gets an account and, in the same transaction, a welcome."""
        person, rules = incoming.person, self._house.rules
        async with self._house.database.transaction() as session:
            account = await open_account(
                session,
                initial_credits=rules.initial_credits,
                telegram_user_id=person.id,
                username=storable(person.username or person.name)[:_LONGEST_NAME] or None,
                grant_key=rules.signup_key(person.id) if rules.signup_key else None,
                free_credits_a_day=rules.free_credits_a_day,
            )
            talk = await chats.open_talk(
                session, chat_id=incoming.chat_id, user_id=account.id, language=person.language
            )
            words = words_for(talk.language)
            if account.created and incoming.is_private:
                await self._welcome(session, incoming, account=account, words=words)
            await chats.set_shut(session, chat_id=incoming.chat_id, is_shut=False)
        return Turn(house=self._house, incoming=incoming, talk=talk, words=words)

    async def _welcome(self, session: AsyncSession, incoming: Incoming, *, account: Account, words: Words) -> None:
        key, chat_id = f"telegram:{incoming.update_id}", incoming.chat_id
        said = words.people.welcome(name=incoming.person.name, credits=account.granted)
        await post_say(session, chat_id=chat_id, say=said, key=f"{key}:welcome")
        if account.is_capped:
            await post_say(session, chat_id=chat_id, say=words.house.free_credits_used_up(), key=f"{key}:capped")

    async def _turn_away(self, incoming: Incoming) -> None:
        words = words_for(incoming.person.language)
        if isinstance(incoming, ButtonPressed):
            await self._house.desk.answer_button(incoming.query_id, words.answers.not_yours())
        async with self._house.database.transaction() as session:
            said = words.people.not_allowed(person_id=incoming.person.id)
            await post_say(session, chat_id=incoming.chat_id, say=said, key=f"telegram:{incoming.update_id}:answer")

    async def _note_blocked(self, blocked: Blocked) -> None:
        async with self._house.database.transaction() as session:
            await chats.set_shut(session, chat_id=blocked.chat_id, is_shut=not blocked.is_back)

    # -- documents ----------------------------------------------------------------------------------------------------

    async def _read(self, turn: Turn, sent: DocumentSent) -> None:
        """Take a text file as what its sender says; its caption comes first."""
        if not sent.name.lower().endswith(_TEXT_FILES):
            return await self._refuse(turn, sent, BadDocument.WRONG_KIND)
        if sent.size_bytes is not None and sent.size_bytes > MAX_BRIEF_BYTES:
            return await self._refuse(turn, sent, BadDocument.TOO_LARGE)
        try:
            content = await self._house.desk.fetch_text(sent.file_id, MAX_BRIEF_BYTES)
        except TooLarge:
            return await self._refuse(turn, sent, BadDocument.TOO_LARGE)
        except NotText:
            return await self._refuse(turn, sent, BadDocument.NOT_TEXT)
        text = storable(content.decode(errors="replace").removeprefix("\ufeff"))
        if not text:
            return await self._refuse(turn, sent, BadDocument.EMPTY)
        return await speech.hear(turn, "\n\n".join(filter(None, (sent.caption.strip(), text))), is_forwarded=True)

    async def _refuse(self, turn: Turn, sent: DocumentSent, why: BadDocument) -> None:
        await turn.say(turn.words.people.bad_document(why, name=sent.name, most_bytes=MAX_BRIEF_BYTES))
