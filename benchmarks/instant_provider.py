"""A provider that answers at once, or as late as it is told, in a process of its own: Gemini and OpenRouter over HTTP.

It plays both models of a project of as many modules as the brief says (`... in 12 modules`), each task right at the
first attempt. Every request is one line of JSON in the log: when it came, what for, and how long its prompt was.
"""

import asyncio
import json
import re
import signal
import sys
import time
from pathlib import Path

from tests.fakes.providers import Ask, FakeProviders, Reply
from tests.journeys import scripts

TEST = "python -m unittest discover -s tests"


def brief(*, modules: int) -> str:
    return f"A library of statistics in {modules} modules, each with its tests, standard library only."


def _plan(asked: str) -> str:
    found = re.search(r"in (\d+) modules", asked)
    assert found is not None, "the brief must say how many modules"
    keys = [f"T{number}" for number in range(1, int(found[1]) + 1)]
    return scripts.planned(*[scripts.task(key, f"Statistic {key}", list(_files(key)), commands=[TEST]) for key in keys])


def _files(key: str) -> dict[str, str]:
    name = f"statistic_{key.lower()}"
    functions = "\n\n".join(
        f'def {name}_{power}(values: list[float]) -> float:\n    """Return the mean of the values to the power {power}.'
        f'"""\n    if not values:\n        raise ValueError("no values")\n'
        f"    return sum(value**{power} for value in values) / len(values)\n"
        for power in range(1, 9)
    )
    test = (
        f"import unittest\n\nfrom statistic.{name} import {name}_1, {name}_2\n\n\n"
        f"class {key}Test(unittest.TestCase):\n"
        f"    def test_the_mean(self) -> None:\n        self.assertEqual({name}_1([1, 3]), 2)\n\n"
        f"    def test_the_mean_of_squares(self) -> None:\n        self.assertEqual({name}_2([1, 3]), 5)\n"
    )
    first = {"statistic/__init__.py": "", "tests/__init__.py": ""} if key == "T1" else {}
    return {**first, f"statistic/{name}.py": functions, f"tests/test_{name}.py": test}


def purpose(ask: Ask) -> str:
    """Tell what is asked, from the first words said, as a model would."""
    request = ask.turns[0][1]
    if "Which questions" in request:
        return "gather"
    if "Plan this software" in request:
        return "plan"
    if found := re.search(r"Reply with the edits for (T\d+)", request):
        return f"implement {found[1]}"
    return "verify" if re.search(r"T\d+: Statistic", request) else "readme"


def reply_to(ask: Ask) -> str:
    what, _, key = purpose(ask).partition(" ")
    match what:
        case "gather":
            return scripts.gathered()
        case "plan":
            return _plan(ask.turns[0][1])
        case "implement":
            return scripts.edit(_files(key))
        case "verify":
            return scripts.verdict()
        case _:
            return f"# Statistics\n\nMeans of powers.\n\n```sh\n{TEST}\n```\n"


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
