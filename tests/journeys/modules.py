"""Replies for a project of as many modules as its brief says, each task right at the first attempt."""

import re

from tests.fakes.providers import Ask
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
