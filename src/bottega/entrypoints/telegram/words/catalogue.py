"""The messages of each language: one Fluent file a language, `en.ftl` the one that all others are measured by.

A language is a file; nothing else names it. A message that a file lacks is said in English. Arguments are values that
may stand in a message as they are: escaping is the caller's (`Voice`).
"""

from collections.abc import Mapping
from functools import cache
from importlib import resources

from fluent.runtime import FluentBundle, FluentResource

ENGLISH = "en"
LONGEST_TAG = 35  # characters: so says RFC 5646
_SUFFIX = ".ftl"


class Catalogue:
    """What is said in one language."""

    def __init__(self, *, language: str, source: str, fallback: "Catalogue | None" = None) -> None:
        self.language = language
        self._fallback = fallback
        self._bundle = FluentBundle([language], use_isolating=False)  # `markup` isolates, and only where it must
        self._bundle.add_resource(FluentResource(source))

    def say(self, message: str, arguments: Mapping[str, str | int]) -> str:
        """Return a message with its arguments. Raise LookupError where it is in no file, or wants another argument."""
        if not self._bundle.has_message(message):
            if self._fallback is None:
                raise LookupError(f"there is no message '{message}'")
            return self._fallback.say(message, arguments)
        pattern = self._bundle.get_message(message).value
        if pattern is None:
            raise LookupError(f"the message '{message}' is empty")
        said, errors = self._bundle.format_pattern(pattern, dict(arguments))
        if errors:
            raise LookupError(f"the message '{message}' cannot be said in '{self.language}': {errors[0]}")
        return str(said)

    def knows(self, message: str) -> bool:
        return self._bundle.has_message(message) or (self._fallback is not None and self._fallback.knows(message))


@cache
def languages() -> tuple[str, ...]:
    """Return the languages there are, English first."""
    names = (entry.name for entry in resources.files(__package__).iterdir())
    found = sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX))
    return (ENGLISH, *(name for name in found if name != ENGLISH))


@cache
def catalogue(language: str) -> Catalogue:
    """Return the catalogue of a language that there is."""
    fallback = None if language == ENGLISH else catalogue(ENGLISH)
    return Catalogue(language=language, source=source(language), fallback=fallback)


def source(language: str) -> str:
    return (resources.files(__package__) / f"{language}{_SUFFIX}").read_text(encoding="utf-8")


def closest(tag: str | None) -> str:
    """Return the language for an IETF tag as people's apps tell it (es, pt-br), English when there is none."""
    wanted = (tag or "")[:LONGEST_TAG].lower().replace("_", "-")
    known = {language.lower(): language for language in languages()}
    while wanted:
        if wanted in known:
            return known[wanted]
        wanted = wanted.rpartition("-")[0]
    return ENGLISH
