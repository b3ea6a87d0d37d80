"""One turn of a conversation: what somebody did, where their talk stands, and how they are answered.

Every effect of a turn carries a key made of its update, so a turn that is taken again has none twice.
"""

import uuid
from dataclasses import dataclass, replace

from bottega.entrypoints.telegram.house import House
from bottega.entrypoints.telegram.sending import post_say
from bottega.entrypoints.telegram.types import Incoming, Say
from bottega.entrypoints.telegram.words import Words, words_for
from bottega.orchestration import chats
from bottega.orchestration.chats import Expects, Talk
from bottega.orchestration.commands import deeds


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    house: House
    incoming: Incoming
    talk: Talk
    words: Words

    @property
    def key(self) -> str:
        return f"telegram:{self.incoming.update_id}"

    @property
    def user_id(self) -> int:
        return self.talk.user_id

    @property
    def chat_id(self) -> int:
        return self.talk.chat_id

    def speaking(self, language: str) -> "Turn":
        """Return the turn as it is in another language."""
        return replace(self, words=words_for(language))

    async def was_taken(self) -> bool:
        """Tell whether this turn came to its end before: what its words would mean by now is another thing."""
        async with self.house.database.transaction() as session:
            return await deeds.find(session, user_id=self.user_id, key=f"{self.key}:taken") is not None

    async def note_taken(self) -> None:
        async with self.house.database.transaction() as session:
            await deeds.note_done(session, user_id=self.user_id, key=f"{self.key}:taken")

    async def done_before(self) -> uuid.UUID | None:
        """Return the project that the engine has done this turn's command on, where only the rest is missing."""
        async with self.house.database.transaction() as session:
            projects = await deeds.find(session, user_id=self.user_id, key=self.key)
        return projects[0] if projects else None

    async def say(self, say: Say, *, part: str = "answer") -> None:
        """Answer, in a message of its own. Answers of one turn differ in `part`."""
        async with self.house.database.transaction() as session:
            await post_say(session, chat_id=self.chat_id, say=say, key=f"{self.key}:{part}")

    async def ask(
        self, say: Say, what: Expects | None, *, about_id: uuid.UUID | None = None, draft: str | None = None
    ) -> None:
        """Answer, and note what the person's next text means."""
        async with self.house.database.transaction() as session:
            await chats.expect(session, self.talk, what=what, about_id=about_id, draft=draft)
            await post_say(session, chat_id=self.chat_id, say=say, key=f"{self.key}:answer")

    async def settle(self, say: Say | None = None) -> None:
        """Note that what was expected has come, and answer."""
        async with self.house.database.transaction() as session:
            await chats.expect(session, self.talk, what=None)
            if say is not None:
                await post_say(session, chat_id=self.chat_id, say=say, key=f"{self.key}:answer")
