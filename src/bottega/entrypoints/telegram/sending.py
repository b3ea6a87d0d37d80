"""What goes to Telegram through the outbox: written by the transaction that makes it true, sent afterwards, in order.

A text longer than a message becomes several rows, each with a key of its own: who is killed in the middle repeats none
that is out. Whatever has no visible character is said as an ellipsis, for its keyboard's sake. A code to sign in stands
in no row: it is made when its message is sent.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from bottega.entrypoints.telegram.pieces import pieces, units, visible
from bottega.entrypoints.telegram.types import Button, Keyboard, Say
from bottega.orchestration.post import outbox

TARGET = "telegram"
LONGEST_CAPTION = 1024
CODE_HERE = "{code}"
LONGEST_TITLE, LONGEST_DESCRIPTION = 32, 255


async def post_say(session: AsyncSession, *, chat_id: int, say: Say, key: str) -> None:
    """Post a message; nothing happens where the key was posted before."""
    parts = pieces(say.html)
    for number, part in enumerate(parts):
        keyboard = say.keyboard if number == len(parts) - 1 else ()
        payload = {"kind": "say", **as_json(Say(html=part, keyboard=keyboard))}
        await _post(session, chat_id=chat_id, payload=payload, key=f"{key}:{number}" if number else key)


async def post_code(session: AsyncSession, *, chat_id: int, say: Say, instead: Say, key: str) -> None:
    """Post a code to sign in, for whose private chat it is, which nobody knows before it is sent.

    It will stand where `say` has CODE_HERE. `instead` is said where none can be given any more.
    """
    payload = {"kind": "code", "instead": as_json(instead), **as_json(say)}
    await _post(session, chat_id=chat_id, payload=payload, key=key)


async def post_document(
    session: AsyncSession,
    *,
    chat_id: int,
    project_id: uuid.UUID,
    archive_key: str,
    file_name: str,
    caption: Say,
    key: str,
    too_large: Say | None = None,
) -> None:
    """Post an archive. Above Telegram's limit a link goes out under the caption, for a week.

    Where the installation has no public address there can be no link: `too_large` is said then, or an English sentence.
    A caption longer than a file may have is a message of its own before it.
    """
    if units(visible(caption.html)) > LONGEST_CAPTION:
        await post_say(session, chat_id=chat_id, say=Say(html=caption.html), key=f"{key}:caption")
        caption = Say(html="", keyboard=caption.keyboard)
    payload = {
        "kind": "document",
        "project_id": str(project_id),
        "archive_key": archive_key,
        "file_name": file_name,
        "too_large": None if too_large is None else as_json(too_large),
        **as_json(caption),
    }
    await _post(session, chat_id=chat_id, payload=payload, key=key)


async def post_invoice(
    session: AsyncSession,
    *,
    chat_id: int,
    order_id: uuid.UUID,
    title: str,
    description: str,
    label: str,
    stars: int,
    key: str,
) -> None:
    """Post an invoice in Telegram Stars; the payment names `order_id` as its payload."""
    payload = {
        "kind": "invoice",
        "order_id": str(order_id),
        "title": title[:LONGEST_TITLE],
        "description": description[:LONGEST_DESCRIPTION],
        "label": label,
        "stars": stars,
    }
    await _post(session, chat_id=chat_id, payload=payload, key=key)


async def _post(session: AsyncSession, *, chat_id: int, payload: Mapping[str, Any], key: str) -> None:
    await outbox.post(session, target=TARGET, recipient=str(chat_id), payload=payload, dedupe_key=key)


def as_json(say: Say) -> dict[str, Any]:
    """Return what a row keeps of a message."""
    rows = [[{"label": one.label, "data": one.data, "url": one.url} for one in row] for row in say.keyboard]
    return {"html": say.html, "keyboard": rows}


def as_say(kept: Mapping[str, Any]) -> Say:
    """Return the message that a row keeps."""
    return Say(html=kept["html"], keyboard=_keyboard(kept["keyboard"]))


def _keyboard(rows: Sequence[Sequence[Mapping[str, Any]]]) -> Keyboard:
    return tuple(tuple(Button(label=one["label"], data=one["data"], url=one["url"]) for one in row) for row in rows)
