"""Tokens that mean nothing by themselves: 256 random bits behind a prefix, with a checksum.

Only their SHA-256 is kept, which is enough for 256 random bits. The prefix lets people and scanners of leaks see what
they have before them; the checksum tells a slip of the hand from a token without asking the database.
"""

import hashlib
import secrets
import zlib
from collections.abc import Callable

PERSONAL, REFRESH = "bott_", "bort_"
RANDOM_BYTES = 32
BODY_DIGITS, CHECK_DIGITS = 43, 6
LENGTH = len(PERSONAL) + BODY_DIGITS + CHECK_DIGITS
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def make(prefix: str, *, random: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """Return a new token."""
    return token_of(prefix, random(RANDOM_BYTES))


def token_of(prefix: str, content: bytes) -> str:
    """Return the token that stands for these 32 bytes."""
    body = _digits(int.from_bytes(content), width=BODY_DIGITS)
    return prefix + body + _check(prefix + body)


def is_one(text: str, *, prefix: str) -> bool:
    """Tell whether a text could be a token of ours at all."""
    if len(text) != LENGTH or not text.startswith(prefix) or not text.isascii():
        return False
    return text[-CHECK_DIGITS:] == _check(text[:-CHECK_DIGITS])


def sha256(token: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def _check(text: str) -> str:
    return _digits(zlib.crc32(text.encode()), width=CHECK_DIGITS)


def _digits(number: int, *, width: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits.rjust(width, _DIGITS[0])
