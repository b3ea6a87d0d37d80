"""A README as a model wrote it, and the commands it tells its reader to run.

Only ```sh, ```bash and ```shell blocks are promises; console sessions and plain text only illustrate.
"""

import re
import shlex
from collections.abc import Iterator, Sequence

from bottega.agents.types import Readme, UnusableReply

README = "README.md"

_THOUGHTS = re.compile(r"\A\s*<(think|thinking)>.*?</\1>\s*", re.DOTALL)
_WRAPPED = re.compile(r"\A(?P<ticks>`{3,})(?:markdown|md)[ \t]*\n(?P<body>.*)\n(?P=ticks)\s*\Z", re.DOTALL)
_FENCE = re.compile(r"^ {0,3}(?P<ticks>`{3,}|~{3,})[ \t]*(?P<language>[\w+-]*)")
_HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1")
_SHELLS = {"sh", "bash", "shell"}


def read_readme(text: str) -> Readme:
    """Return the README in a reply, without what a model may have put around it, or raise UnusableReply."""
    body = _THOUGHTS.sub("", text.replace("\r\n", "\n")).strip()
    if wrapped := _WRAPPED.match(body):
        body = wrapped["body"].strip()
    title = re.search(r"^# \S", body, re.MULTILINE)
    if title is None or "```" in body[: title.start()]:
        raise UnusableReply("The README has no title: begin your reply with a line '# Title'.", reply=text)
    readme = body[title.start() :] + "\n"
    if _open_fence(readme):
        raise UnusableReply(
            "A fenced block of the README is never closed; was it cut short?", reply=text, truncated=True
        )
    return Readme(text=readme, commands=shell_commands(readme))


def shell_commands(markdown: str) -> tuple[str, ...]:
    """Return the commands of the shell blocks in order: prompts stripped, continued lines joined, comments left out.

    In a block that has `$ ` prompts, the lines without one are output.
    """
    return tuple(command for block in _blocks(markdown) for command in _commands(block))


def script_of(commands: Sequence[str]) -> str:
    """Return the commands as one script, which ends at the first that fails."""
    return "\n".join(("set -ex", *commands))


def _open_fence(markdown: str) -> bool:
    return _walk(markdown)[1]


def _blocks(markdown: str) -> list[list[str]]:
    return _walk(markdown)[0]


def _walk(markdown: str) -> tuple[list[list[str]], bool]:
    """Return the shell blocks, and whether the last fence is still open at the end."""
    blocks: list[list[str]] = []
    opening: re.Match[str] | None = None
    for line in markdown.split("\n"):
        fence = _FENCE.match(line)
        if opening is None:
            opening = fence
            if fence and fence["language"].lower() in _SHELLS:
                blocks.append([])
        elif fence and fence["ticks"].startswith(opening["ticks"]) and line.strip() == fence["ticks"]:
            opening = None
        elif opening["language"].lower() in _SHELLS:
            blocks[-1].append(line)
    return blocks, opening is not None


def _commands(block: list[str]) -> Iterator[str]:
    if any(line.lstrip().startswith("$ ") for line in block):
        block = [line.lstrip()[2:] for line in block if line.lstrip().startswith(("$ ", "> "))]
    lines = iter(block)
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        command = line.strip()
        while (more := _unfinished(command)) and (following := next(lines, None)) is not None:
            command = command[:-1].rstrip() + " " + following.strip() if more == "\\" else f"{command}\n{following}"
        yield command


def _unfinished(command: str) -> str:
    """Say what a command still waits for: a continued line, the end of a here-document, a closing quote, or nothing."""
    if heredoc := _HEREDOC.search(command):
        ended = any(line.strip() == heredoc[2] for line in command.split("\n")[1:])
        return "" if ended else heredoc[2]
    if command.endswith("\\"):
        return "\\"
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return "quote"
    return ""
