"""Telegram's side of a sign-in: what it would hand to a page, signed as its documents say."""

import hashlib
import hmac
import json
from typing import Any
from urllib.parse import urlencode

from tests.access.scene import BOT_TOKEN


def widget(*, bot_token: str = BOT_TOKEN, **fields: Any) -> dict[str, Any]:
    """core.telegram.org/widgets/login: the key is the SHA-256 of the bot's token."""
    key = hashlib.sha256(bot_token.encode()).digest()
    return {**fields, "hash": _signature(fields, key=key)}


def init_data(*, bot_token: str = BOT_TOKEN, user: Any, **fields: Any) -> str:
    """core.telegram.org/bots/webapps: the key is the HMAC of the bot's token under the constant `WebAppData`."""
    said = {**fields, "user": user if isinstance(user, str) else json.dumps(user, separators=(",", ":"))}
    key = hmac.new(b"WebAppData", bot_token.encode(), hashlib.sha256).digest()
    return urlencode({**said, "hash": _signature(said, key=key)})


def _signature(fields: dict[str, Any], *, key: bytes) -> str:
    lines = [f"{name}={fields[name]}" for name in sorted(fields)]
    return hmac.new(key, "\n".join(lines).encode(), hashlib.sha256).hexdigest()
