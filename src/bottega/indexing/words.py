"""Words of code: identifiers as written, and the lower-case parts people search by.

`parse_todoList2` is found by parse, todo, list and 2. Plurals are folded (`tasks` and `task` are one word); nothing
else is stemmed, because code is not prose.
"""

import re
from collections import Counter
from functools import lru_cache

_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_ASCII_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_LONGEST = 80  # what is longer is data: a key, an encoded blob
_SHORTEST_PLURAL = 4
_NOISE = frozenset(
    re.findall(
        r"\w+",
        """a an and are as at be been but by can could do does each else for from get has have if in into is it its let
        may must no nor not of on or our shall should so such than that the their them then there these they this those
        to use used using was we were when where which while who will with would you your""",
    ),
)


def identifiers(text: str) -> Counter[str]:
    """Count the identifiers of a text, as they are written there."""
    return Counter(word for word in _IDENTIFIER.findall(text) if len(word) <= _LONGEST)


@lru_cache(maxsize=50_000)
def parts(identifier: str) -> tuple[str, ...]:
    """Return the searchable parts of an identifier, or of any text, in order; noise words are left out."""
    if identifier.isascii():
        found = _ASCII_PART.findall(identifier)
    else:  # no rule for case holds in every script
        found = [part for word in re.findall(r"\w+", identifier) for part in word.split("_")]
    folded = (_singular(part.casefold()) for part in found)
    return tuple(part for part in folded if part not in _NOISE and (len(part) > 1 or part.isdigit()))


def is_compound(identifier: str) -> bool:
    """Tell whether an identifier has several parts: such a one in a query means exactly itself."""
    return len(_ASCII_PART.findall(identifier)) > 1


def _singular(word: str) -> str:
    if len(word) < _SHORTEST_PLURAL or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    return f"{word[:-3]}y" if word.endswith("ies") else word[:-1]
