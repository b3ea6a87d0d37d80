"""Errors as people read them. A known code has a sentence in each language; of any other, the error's own is shown."""

import uuid
from collections.abc import Mapping

from bottega.billing.ledger import InsufficientCredits
from bottega.core.errors import AppError
from bottega.entrypoints.telegram import buttons
from bottega.entrypoints.telegram.types import Button, Keyboard, Say
from bottega.entrypoints.telegram.words import markup
from bottega.entrypoints.telegram.words.voice import Argument, Voice, in_rows, one_of
from bottega.orchestration.briefs import MAX_BRIEF_BYTES
from bottega.orchestration.refining import MAX_FILE_BYTES, MAX_INSTRUCTION_CHARACTERS, TooFewCredits

_SENTENCE = 600
_TOP_UP = frozenset({"insufficient_credits", "unknown_package", "unknown_order", "payment_gateway_unavailable"})
_LIMIT = frozenset({"project_limit_reached"})
_PROJECTS = frozenset({"unknown_project", "project_not_found", "project_cancelled", "unclear_form"})
_MOST: Mapping[str, int] = {
    "brief_too_long": MAX_BRIEF_BYTES,
    "instruction_too_long": MAX_INSTRUCTION_CHARACTERS,
    "file_too_large": MAX_FILE_BYTES,
}


class FaultWords:
    def __init__(self, voice: Voice) -> None:
        self._voice = voice

    def of(self, error: AppError, *, project_id: uuid.UUID | None = None) -> Say:
        """Return what an error means for the person and, where something can be done, buttons for it."""
        code = error.code
        message = one_of("error", code)
        if isinstance(error, InsufficientCredits | TooFewCredits) and code in _TOP_UP:
            facts = {"needed": error.needed, "available": error.available}
            return self._voice.say(f"{message}-needed", self._keyboard(code, project_id=project_id), **facts)
        if not self._voice.knows(message):
            return Say(html=self._sentence(error), keyboard=self._keyboard(code, project_id=project_id))
        arguments: dict[str, Argument] = {"said": self._sentence(error)}
        if code in _MOST:
            arguments["most"] = _MOST[code]
        return self._voice.say(message, self._keyboard(code, project_id=project_id), **arguments)

    def brief(self, error: AppError) -> str:
        """Return an error as the answer to a button: one sentence, without markup."""
        return self._voice.plain("answer-error", said=markup.plain(error.message, limit=170))

    def ours(self, *, error_id: str) -> Say:
        """Say that something went wrong on our side; `error_id` is what an operator finds it by."""
        keyboard = in_rows([self._voice.button("button-projects", buttons.ShowProjects(page=0))])
        return self._voice.say("something-went-wrong", keyboard, id=markup.code(error_id))

    def set_aside(self, *, error_id: str) -> Say:
        """Say that a message could not be dealt with, after several attempts, and that nothing follows from it."""
        keyboard = in_rows([self._voice.button("button-help", buttons.ShowHelp())])
        return self._voice.say("message-set-aside", keyboard, id=markup.code(error_id))

    def _sentence(self, error: AppError) -> markup.Html:
        return markup.line(error.message, limit=_SENTENCE)

    def _keyboard(self, code: str, *, project_id: uuid.UUID | None) -> Keyboard:
        first: list[Button] = []
        if code in _TOP_UP:
            first.append(self._voice.button("button-top-up", buttons.ShowPackages()))
        if code in _LIMIT and project_id is not None:
            first.append(self._voice.button("button-raise-limit", buttons.RaiseLimit(project_id=project_id)))
        if code in _PROJECTS:
            first.append(self._voice.button("button-projects", buttons.ShowProjects(page=0)))
        elif project_id is not None:
            first.append(self._voice.button("button-status", buttons.ShowStatus(project_id=project_id)))
        return in_rows(first)
