"""What the Bot API is asked, by whichever way it takes it, and what it answers; refused in its own words."""

import json
import re
from typing import Any
from urllib.parse import parse_qsl

from tests.fakes import telegram_html
from tests.fakes.http_server import HttpRequest, HttpResponse

LARGEST_DATA = 64

Json = dict[str, Any]


class Refusal(Exception):
    """What Telegram answers instead of a result."""

    def __init__(self, description: str, *, status: int = 400, **parameters: int) -> None:
        super().__init__(description)
        self.description = description if status != 400 else f"Bad Request: {description}"
        self.status = status
        self.parameters = parameters

    def body(self) -> Json:
        said: Json = {"ok": False, "error_code": self.status, "description": self.description}
        return {**said, "parameters": self.parameters} if self.parameters else said


def text_of(asked: Json, name: str, longest: int) -> telegram_html.Parsed:
    """Return the text as people see it, which is what is measured."""
    source = asked.get(name, "")
    mode = asked.get("parse_mode")
    if mode not in {None, "HTML"}:
        raise Refusal("unsupported parse_mode")
    try:
        parsed = telegram_html.parse(source) if mode else telegram_html.Parsed(text=source, entities=())
        length = telegram_html.utf16(parsed.text.strip())
    except telegram_html.CannotParse as error:
        raise Refusal(f"can't parse entities: {error}") from error
    except UnicodeEncodeError as error:
        raise Refusal("strings must be encoded in UTF-8") from error
    if length > longest:
        raise Refusal("message is too long" if name == "text" else "message caption is too long")
    return telegram_html.Parsed(text=parsed.text.strip(), entities=parsed.entities)


def keyboard_of(markup: Json) -> tuple[tuple[Json, ...], ...]:
    for button in [button for row in markup["inline_keyboard"] for button in row]:
        kinds = [name for name in ("callback_data", "url", "pay") if name in button]
        if not button.get("text"):
            raise Refusal("inline keyboard button text is empty")
        if len(kinds) != 1:
            raise Refusal("text buttons are unallowed in the inline keyboard")
        if "callback_data" in button and not 1 <= len(button["callback_data"].encode()) <= LARGEST_DATA:
            raise Refusal("BUTTON_DATA_INVALID")
        if "url" in button and not re.fullmatch(r"(https?|tg)://\S+", button["url"]):
            raise Refusal(f"inline keyboard button URL '{button['url']}' is invalid: Wrong HTTP URL")
    return tuple(tuple(row) for row in markup["inline_keyboard"])


def asked_of(request: HttpRequest) -> Json:
    """Return the parameters, by whichever way the Bot API takes them."""
    kind = request.headers.get("content-type", "")
    given: Json = dict(request.query)
    if kind.startswith("application/json"):
        given |= json.loads(request.body)
    elif kind.startswith("multipart/form-data"):
        given |= _multipart(request.body, boundary=kind.partition("boundary=")[2].encode())
    else:
        given |= dict(parse_qsl(request.body.decode(), keep_blank_values=True))
    for name in ("reply_markup", "allowed_updates", "prices", "commands", "link_preview_options"):
        if isinstance(given.get(name), str):
            given[name] = json.loads(given[name])
    return given


def _multipart(body: bytes, *, boundary: bytes) -> Json:
    fields: Json = {}
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").removesuffix(b"\r\n").partition(b"\r\n\r\n")
        name = re.search(rb'[; ]name="([^"]*)"', head)
        file_name = re.search(rb'filename="([^"]*)"', head)
        assert name is not None
        fields[name[1].decode()] = (file_name[1].decode(), content) if file_name else content.decode()
    return fields


def answer(status: int, value: Json) -> HttpResponse:
    return HttpResponse(status=status, headers={"content-type": "application/json"}, body=json.dumps(value).encode())
