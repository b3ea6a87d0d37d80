"""Handing a delivery over at a terminal: where it may be written, writing it, and the receipt as a table."""

import asyncio
import contextlib
import os
import uuid
from decimal import Decimal
from pathlib import Path

from rich.table import Table

from bottega.bootstrap import App
from bottega.core.errors import AppError
from bottega.core.money import show_credits
from bottega.delivery import report
from bottega.delivery.archive import slug
from bottega.delivery.report import ReceiptLine
from bottega.entrypoints.cli import words


class UnwritableFolder(AppError):
    code = "unwritable_folder"

    def __init__(self, folder: Path, error: OSError) -> None:
        super().__init__(
            f"The archive cannot be written to {folder}: {error.strerror}. Choose another folder with --out."
        )


def require_writable(folder: Path) -> None:
    """Make the folder and try it before anything is paid for.

    Raises:
        UnwritableFolder
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".bottega-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UnwritableFolder(folder, error) from error


async def write_archive(app: App, *, key: str, title: str, project_id: uuid.UUID, out: Path) -> Path:
    """Write the stored archive into `out` and return its path; another project's archive is never overwritten."""
    content = await app.storage.get(key=key)
    return await asyncio.to_thread(save, content, out=out, title=title, project_id=project_id)


def save(content: bytes, *, out: Path, title: str, project_id: uuid.UUID) -> Path:
    """Write an archive into `out`, all of it or nothing, and return its path."""
    name = slug(title)
    path = out / f"{name}.zip"
    part = out / f".{name}.{os.getpid()}.part"
    try:
        if path.exists() and not (path.is_file() and path.read_bytes() == content):
            path = out / f"{name}-{str(project_id)[:8]}.zip"
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise UnwritableFolder(out, error) from error
    return path.resolve()


def receipt_table(lines: tuple[ReceiptLine, ...]) -> Table:
    """Return the receipt: calls, tokens and credits for every task and part, and the sums."""
    total = sum((line.credits for line in lines), Decimal(0))
    table = Table(title="Receipt", title_justify="left", show_footer=True, box=None, pad_edge=False)
    table.add_column("Part", footer="Total", overflow="fold")
    for heading, footer in (
        ("Calls", sum(line.calls for line in lines)),
        ("Not charged", sum(line.calls_not_charged for line in lines)),
        ("Tokens in", f"{sum(line.input_tokens for line in lines):,}"),
        ("Tokens out", f"{sum(line.output_tokens for line in lines):,}"),
        ("Credits", show_credits(total)),
    ):
        table.add_column(heading, justify="right", footer=str(footer))
    for line in lines:
        name = f"{line.task_key} {words.shown(line.title)}" if line.task_key else words.shown(line.title)
        tokens = (f"{line.input_tokens:,}", f"{line.output_tokens:,}")
        table.add_row(name, str(line.calls), str(line.calls_not_charged), *tokens, show_credits(line.credits))
    return table


def receipt_notes(lines: tuple[ReceiptLine, ...], *, credit_value_usd: Decimal) -> str:
    """Return what stands below the table."""
    return "\n".join(report.receipt_notes(lines, credit_value_usd=credit_value_usd))
