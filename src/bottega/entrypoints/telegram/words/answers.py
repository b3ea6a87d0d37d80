"""What is said over the chat for a moment when a button is pressed: one short sentence, at most 200 characters."""

from bottega.entrypoints.telegram.words.voice import Voice


class AnswerWords:
    def __init__(self, voice: Voice) -> None:
        self._voice = voice

    def noted(self) -> str:
        return self._voice.plain("answer-noted")

    def building(self) -> str:
        return self._voice.plain("answer-building")

    def pausing(self) -> str:
        """Answer a wish to pause while a step is under way: it stops within seconds."""
        return self._voice.plain("answer-pausing")

    def stopping(self) -> str:
        return self._voice.plain("answer-stopping")

    def going_on(self) -> str:
        return self._voice.plain("answer-going-on")

    def packing(self) -> str:
        return self._voice.plain("answer-packing")

    def out_of_date(self) -> str:
        """Answer a button whose time has passed."""
        return self._voice.plain("answer-out-of-date")

    def already_answered(self) -> str:
        return self._voice.plain("answer-already-answered")

    def not_yours(self) -> str:
        """Answer a button of somebody else's project, without saying anything about it."""
        return self._voice.plain("answer-not-yours")

    def unknown(self) -> str:
        """Answer a button that means nothing here."""
        return self._voice.plain("answer-unknown")

    def went_wrong(self) -> str:
        return self._voice.plain("answer-went-wrong")
