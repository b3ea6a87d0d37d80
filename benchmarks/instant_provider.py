"""A provider that answers at once, or as late as it is told, in a process of its own: Gemini and OpenRouter over HTTP.

It plays both models of a project of as many modules as the brief says (`... in 12 modules`), each task right at the
first attempt. Every request is one line of JSON in the log: when it came, what for, and how long its prompt was.
"""

import asyncio
import json
import signal
import sys
import time
from pathlib import Path

from tests.fakes.providers import Ask, FakeProviders, Reply
from tests.journeys.modules import purpose, reply_to


async def serve(log: Path, *, seconds: float) -> None:
    """Write the two base URLs as the log's first line, then one line for each request, until terminated.

    Each reply takes so many seconds to begin.
    """
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    with log.open("w", encoding="utf-8", buffering=1) as file:

        def answer(ask: Ask) -> Reply:
            at = time.monotonic()  # one clock for every process of a machine
            size = len(ask.system.encode()) + sum(len(text.encode()) for _, text in ask.turns)
            file.write(json.dumps({"at": at, "purpose": purpose(ask), "prompt_bytes": size}) + "\n")
            return Reply(text=reply_to(ask), piece_characters=100_000, delay_seconds=seconds)

        async with FakeProviders() as providers:
            providers.answer = answer
            file.write(json.dumps({"gemini": providers.gemini_url, "openrouter": providers.openrouter_url}) + "\n")
            await stopped.wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), seconds=float(sys.argv[2]) if len(sys.argv) > 2 else 0.0))
