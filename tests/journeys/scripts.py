"""Replies for journeys: a small project of two tasks, and the ways in which it can go wrong."""

import json
from collections.abc import Mapping

BRIEF = "A library that counts words and a command line for it, tested, standard library only."
TEST = "python -m unittest discover -s tests -v"


def edit(files: Mapping[str, str]) -> str:
    """Return an Implementer's reply that writes these files whole."""
    return "\n\n".join(f"{path}\n````\n{text}````" for path, text in files.items())


def task(key: str, title: str, files: list[str], **rest: object) -> dict[str, object]:
    values: dict[str, object] = {
        "key": key,
        "title": title,
        "description": title,
        "files": files,
        "depends_on": [],
        "commands": [TEST],
        "criteria": [f"{title} works and is tested."],
        "size": "small",
    }
    return values | rest


def gathered(*questions: str) -> str:
    asked = [{"text": text, "options": ["Yes", "No"]} for text in questions]
    return json.dumps({"reasoning": "It is clear.", "title": "Word counter", "questions": asked})


def planned(*tasks: dict[str, object]) -> str:
    plan = {
        "title": "Word counter",
        "documentation": "Counts words.",
        "tech_stack": [{"part": "language", "choice": "Python 3.11, standard library"}],
        "tasks": list(tasks),
    }
    return json.dumps(plan)


def verdict(*, met: bool = True, feedback: str = "", criteria: int = 1) -> str:
    points = [{"number": n, "reason": "Seen in the diff.", "met": met} for n in range(1, criteria + 1)]
    return json.dumps({"criteria": points, "feedback": feedback})


COUNT = "def count(text: str) -> int:\n    return len(text.split())\n"
COUNT_WRONG = "def count(text: str) -> int:\n    return len(text)\n"
COUNT_TEST = """import unittest

from words.count import count


class CountTest(unittest.TestCase):
    def test_counts_words(self) -> None:
        self.assertEqual(count("one two  three"), 3)

    def test_counts_nothing_in_nothing(self) -> None:
        self.assertEqual(count(""), 0)
"""
MAIN = """import sys

from words.count import count

print(count(sys.stdin.read()))
"""
MAIN_TEST = """import subprocess
import sys
import unittest


class MainTest(unittest.TestCase):
    def test_counts_what_it_reads(self) -> None:
        run = subprocess.run([sys.executable, "-m", "words"], input="a b c", capture_output=True, text=True, check=True)
        self.assertEqual(run.stdout, "3\\n")
"""
FIRST_FILES = {
    "words/__init__.py": "",
    "words/count.py": COUNT,
    "tests/__init__.py": "",
    "tests/test_count.py": COUNT_TEST,
}
FIRST = task("T1", "Counting", list(FIRST_FILES))
SECOND_FILES = {"words/__main__.py": MAIN, "tests/test_main.py": MAIN_TEST}
SECOND = task("T2", "Command line", list(SECOND_FILES), depends_on=["T1"])
README = f"# Word counter\n\nCounts words.\n\n```sh\necho one two | python -m words\n{TEST}\n```\n"

GOOD: Mapping[str, str] = {
    "gather-1.md": gathered(),
    "plan-1.md": planned(FIRST, SECOND),
    "implement-T1-1.md": edit(FIRST_FILES),
    "verify-T1-1.md": verdict(),
    "implement-T2-1.md": edit(SECOND_FILES),
    "verify-T2-1.md": verdict(),
    "readme-1.md": README,
}

HYPHENS = """def count(text: str) -> int:
    # A hyphen parts two words.
    return len(text.replace("-", " ").split())
"""
HYPHENS_TEST = (
    COUNT_TEST
    + """
    def test_counts_both_sides_of_a_hyphen(self) -> None:
        self.assertEqual(count("well-known"), 2)
"""
)
REFINED: Mapping[str, str] = {
    **GOOD,
    "implement-T3-1.md": edit({"words/count.py": HYPHENS, "tests/test_count.py": HYPHENS_TEST}),
    "verify-T3-1.md": verdict(criteria=2),
    "verify-T3-2.md": verdict(criteria=2),
}
