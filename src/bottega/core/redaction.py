"""Secrets do not leave this process in words.

`remember` names a secret; from then on `redacted` replaces it, wherever it stands in a text, by its fingerprint or by
`***`. What merely looks like a provider's key is replaced too, for a key may be pasted where none belongs. Every
AppError and every event of the log passes through here. What a process knows is the process's own, as its log is: the
memory is one for all. It holds every lasting secret and the newest thousand others.
"""

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

SHORTEST_SECRET = 8  # a placeholder ("none", "ollama") may be part of any word
HIDDEN = "***"
_MOST_REMEMBERED = 1000
_KEY_LIKE = re.compile(
    r"\bsk-[A-Za-z0-9_-]{20,}"  # OpenRouter, OpenAI, Anthropic
    r"|\bAIza[A-Za-z0-9_-]{30,}|\bAQ\.[A-Za-z0-9_-]{30,}"  # Google
    r"|\b[sr]k_(?:live|test)_[A-Za-z0-9]{10,}|\bwhsec_[A-Za-z0-9+/=]{10,}"  # Stripe
    r"|\bb(?:ott|ort|rt)_[A-Za-z0-9_-]{30,}"  # our own: personal, refresh and relay tokens
    r"|\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"  # JWT
    r"|(?<![0-9])[0-9]{6,12}:[A-Za-z0-9_-]{30,}"  # a Telegram bot; its addresses say /bot before it
)


class _Memory:
    def __init__(self) -> None:
        self._lasting: dict[str, str] = {}
        self._passing: dict[str, str] = {}
        self._shown: dict[str, str] = {}
        self._pattern: re.Pattern[str] | None = None

    def add(self, secret: str, *, shown: str, lasting: bool) -> None:
        if self._shown.get(secret) == shown or (secret in self._lasting and shown == HIDDEN):
            return
        (self._lasting if lasting or secret in self._lasting else self._passing)[secret] = shown
        if len(self._passing) > _MOST_REMEMBERED:
            del self._passing[next(iter(self._passing))]
        self._shown = self._passing | self._lasting
        self._pattern = None  # compiled when it is wanted: many may be added before anything is said

    def replace(self, text: str) -> str:
        if not self._shown:
            return text
        if self._pattern is None:
            longest_first = sorted(self._shown, key=len, reverse=True)  # one secret may begin with another
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))
        return self._pattern.sub(lambda found: self._shown[found[0]], text)


_memory = _Memory()


def remember(secret: str, *, shown: str = "", lasting: bool = False) -> None:
    """Hide this secret from now on; `shown` is what stands in its place, such as its fingerprint."""
    if len(secret) >= SHORTEST_SECRET:
        _memory.add(secret, shown=f"[key {shown}]" if shown else HIDDEN, lasting=lasting)


def redacted(text: str) -> str:
    """Return the text without any secret that is known or that can be told by its look."""
    return _KEY_LIKE.sub(HIDDEN, _memory.replace(text))


def redact_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Clean every value of an event; a structlog processor, after the one that writes exceptions out."""
    for name, value in event.items():
        event[name] = _clean(value)
    return event


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return redacted(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {_clean(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    said = repr(value)
    clean = redacted(said)
    return value if clean == said else clean
