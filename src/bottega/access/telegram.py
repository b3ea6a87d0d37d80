"""Telegram's word for who somebody is: the Login Widget's, and what a Mini App is opened with. No clock, no database.

Both are signed with the bot's token, each in its own way (core.telegram.org/widgets/login and .../bots/webapps), and
both say when. Every field that was sent is part of what is signed, also those we do not know. What is returned is what
Telegram says; `digest` is ours, so that the same word is told again however it is spelled.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from bottega.core.errors import AppError

FRESH_SECONDS = 5 * 60
AHEAD_SECONDS = 60  # that Telegram's clock may be before ours
LONGEST_DATA = 8192  # characters
MOST_FIELDS = 30
_LARGEST_ID = 2**52  # Telegram's own promise
_LARGEST_INSTANT = 2**33  # the year 2242
_LONGEST_NAME = 64
_MOST_DIGITS = 16


class NotTelegramsWord(AppError):
    code = "telegram_data_refused"
    http_status = 401

    def __init__(self, why: str = "it is not signed with this installation's bot") -> None:
        super().__init__(f"Telegram's data cannot be taken: {why}. Open the sign-in anew.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouched:
    """Whom Telegram vouches for, and when it did."""

    telegram_user_id: int
    username: str | None
    at: datetime
    digest: str


def read_widget(fields: Mapping[str, str | int], *, bot_token: str) -> Vouched:
    """Return whom the Login Widget's fields are about. Raise NotTelegramsWord."""
    said = {name: str(value) for name, value in fields.items()}
    digest = _checked(said, key=hashlib.sha256(bot_token.encode()).digest())
    return _vouched(digest=digest, at=said.get("auth_date"), user_id=said.get("id"), username=said.get("username"))


def read_init_data(data: str, *, bot_token: str) -> Vouched:
    """Return whom a Mini App's `initData`, the query string as it is, is about. Raise NotTelegramsWord."""
    if len(data) > LONGEST_DATA:
        raise NotTelegramsWord("it is too long")
    try:
        pairs = parse_qsl(
            data, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=MOST_FIELDS
        )
    except ValueError as error:
        raise NotTelegramsWord("it is not a query string") from error
    said = dict(pairs)
    if len(said) < len(pairs):
        raise NotTelegramsWord("a field stands there twice")
    digest = _checked(said, key=hmac.new(b"WebAppData", bot_token.encode(), hashlib.sha256).digest())
    user = _json_object(said.get("user"))
    return _vouched(digest=digest, at=said.get("auth_date"), user_id=user.get("id"), username=user.get("username"))


def check_fresh(vouched: Vouched, *, now: datetime) -> None:
    """Raise NotTelegramsWord for what was said too long ago, or is still to come."""
    age = (now - vouched.at).total_seconds()
    if age > FRESH_SECONDS:
        raise NotTelegramsWord(f"it is older than {FRESH_SECONDS // 60} minutes")
    if age < -AHEAD_SECONDS:
        raise NotTelegramsWord("it is from the future: this server's clock is wrong")


def _checked(said: Mapping[str, str], *, key: bytes) -> str:
    """Return a hash of the signature that the fields must have, and do."""
    if len(said) > MOST_FIELDS or sum(map(len, said.values())) > LONGEST_DATA:
        raise NotTelegramsWord("it is too long")
    lines = "\n".join(f"{name}={said[name]}" for name in sorted(said) if name != "hash")
    try:
        expected = hmac.new(key, lines.encode(), hashlib.sha256).hexdigest()
        given = said.get("hash", "").lower().encode()
    except UnicodeEncodeError as error:  # half a character
        raise NotTelegramsWord from error
    if not hmac.compare_digest(expected.encode(), given):
        raise NotTelegramsWord
    return hashlib.sha256(expected.encode()).hexdigest()


def _vouched(*, digest: str, at: object, user_id: object, username: object) -> Vouched:
    telegram_user_id, instant = _number(user_id, below=_LARGEST_ID), _number(at, below=_LARGEST_INSTANT)
    if telegram_user_id is None or instant is None:
        raise NotTelegramsWord("it does not say who, and when")
    is_name = isinstance(username, str) and username.isprintable() and 0 < len(username) <= _LONGEST_NAME
    name = str(username) if is_name else None
    return Vouched(
        telegram_user_id=telegram_user_id,
        username=name,
        at=datetime.fromtimestamp(instant, tz=UTC),
        digest=digest,
    )


def _number(value: object, *, below: int) -> int | None:
    """Return a whole number above zero, as JSON or digits have it."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= _MOST_DIGITS:
        value = int(value)
    return value if type(value) is int and 0 < value < below else None


def _json_object(text: str | None) -> Mapping[str, object]:
    try:
        value = json.loads(text or "")
    except (ValueError, RecursionError) as error:
        raise NotTelegramsWord("it does not say who") from error
    return value if isinstance(value, dict) else {}
