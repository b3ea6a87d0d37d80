"""Prompts are files under prompts/, rendered strictly: a missing value is an error, never a blank.

Whatever people, models or repositories wrote goes through the `data` filter, which encloses it in tags with a number
drawn for this one prompt and certain not to occur in it, so that no text can close its own fence.
"""

import secrets
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context as Scope

from bottega.agents.rendering import REPLY_BYTES, clip
from bottega.agents.types import ContextFile, Repair
from bottega.llm.types import CompletionRequest, Message


def _new_nonce() -> str:
    return secrets.token_hex(4)


class Prompts:
    """Renders prompts; `new_nonce` is asked again while what it gives occurs in the text."""

    def __init__(self, *, new_nonce: Callable[[], str] = _new_nonce) -> None:
        self._new_nonce = new_nonce

    def system(self, name: str) -> str:
        return self._render(f"{name}.system.md.j2")

    def shortened(self, request: CompletionRequest, *, max_output_tokens: int) -> CompletionRequest:
        """Allow a request less output and say so in it: a model that does not know its room is cut in the middle."""
        told = self._render("short.system.md.j2", max_output_tokens=max_output_tokens)
        system = f"{request.system}\n\n{told}".strip()
        return replace(request, system=system, max_output_tokens=max_output_tokens)

    def messages(self, name: str, *, repair: Repair | None = None, **values: object) -> tuple[Message, ...]:
        """Return the request, and after it the reply to repair with its complaint, if there is one."""
        request = self._render(f"{name}.user.md.j2", **values)
        if repair is None:
            return (Message(role="user", content=request),)
        reply = clip(repair.reply.strip(), limit_bytes=REPLY_BYTES)
        complaint = self._render("repair.md.j2", complaint=repair.complaint)
        if not reply:  # providers refuse an empty turn
            return (Message(role="user", content=f"{request}\n\n{complaint}"),)
        return (
            Message(role="user", content=request),
            Message(role="assistant", content=reply),
            Message(role="user", content=complaint),
        )

    def _render(self, template: str, **values: object) -> str:
        said = repr(values)
        nonce = self._new_nonce()
        while nonce in said:
            nonce = self._new_nonce()
        return _environment().get_template(template).render(**values, nonce=nonce).strip()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "prompts"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 -- prompts are not HTML; the `data` filter fences what others wrote
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    environment.filters.update(data=_data, data_file=_data_file, bullets=_bullets)
    return environment


@pass_context
def _data(scope: Scope, text: str, label: str) -> str:
    tag = f"{label}-{scope['nonce']}"
    return f"<{tag}>\n{text.strip(chr(10))}\n</{tag}>"


@pass_context
def _data_file(scope: Scope, file: ContextFile) -> str:
    tag = f"file-{scope['nonce']}"
    path = file.path.replace('"', "&quot;")
    last = file.first_line + max(len(file.text.splitlines()), 1) - 1
    lines = "" if file.whole else f' lines="{file.first_line}-{last}, not the whole file"'
    return f'<{tag} path="{path}"{lines}>\n{file.text.removesuffix(chr(10))}\n</{tag}>'


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
