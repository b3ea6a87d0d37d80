"""What goes to Telegram through the outbox: written by the transaction that makes it true, sent afterwards, in order.

A text longer than a message becomes several rows, each with a key of its own: who is killed in the middle repeats none
that is out. Whatever has no visible character is said as an ellipsis, for its keyboard's sake.
"""

import uuid

from sqlalchemy.ext.asyncio import AsyncSession

from bottega.entrypoints.telegram.types import Say

TARGET = "telegram"


async def post_say(session: AsyncSession, *, chat_id: int, say: Say, key: str) -> None:
    """Post a message; nothing happens where the key was posted before."""
    raise NotImplementedError


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
    """
    raise NotImplementedError


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
    raise NotImplementedError
