"""A key that a provider sends back goes no further: not to a person, a prompt, a file or a listener."""

from dataclasses import replace

from bottega.core.redaction import HIDDEN, SHORTEST_SECRET
from bottega.llm.dialect import HttpFault


class Mask:
    """Hides one secret. `piece` and `rest` do so across the pieces of one stream, which may split it anywhere."""

    def __init__(self, secret: str) -> None:
        self._secret = secret if len(secret) >= SHORTEST_SECRET else ""
        self._held = ""  # what may be the beginning of the secret

    def text(self, text: str) -> str:
        return text.replace(self._secret, HIDDEN) if self._secret else text

    def fault(self, fault: HttpFault) -> HttpFault:
        """Hide it before the words are shortened: half a key would be left over."""
        if not self._secret:
            return fault
        return replace(fault, body=fault.body.replace(self._secret.encode(), HIDDEN.encode()))

    def piece(self, piece: str) -> str:
        """Return what can be passed on; a beginning of the secret is held back until more is known."""
        if not self._secret:
            return piece
        text = self.text(self._held + piece)
        longest = min(len(text), len(self._secret) - 1)
        held = next((n for n in range(longest, 0, -1) if self._secret.startswith(text[-n:])), 0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def rest(self) -> str:
        """Return what was held back, at the end of the stream."""
        rest, self._held = self._held, ""
        return rest
