"""Test runners as an acceptance command names them: which one, which files it reaches, and what its output counted.

Output is printed by the code under test and proves nothing by itself; `judge` believes it only beside an exit code and
a canary (see `canary`).
"""

import fnmatch
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from pathlib import PurePosixPath

_PYTHON = re.compile(r"^(?:.*/)?python(?:3(?:\.\d+)?)?$")
_UNITTEST_WORD = re.compile(r"(failures|errors|skipped|expected failures|unexpected successes)=(\d+)")
_PYTEST_WORD = re.compile(r"(\d+) (passed|failed|skipped|xfailed|xpassed|error)")
_NODE_LINE = re.compile(r"^(?:#|ℹ) (tests|pass|fail|skipped|todo|cancelled) (\d+)\s*$", re.MULTILINE)


class Runner(StrEnum):
    UNITTEST = "unittest"
    PYTEST = "pytest"
    NODE = "node"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a command tells its runner: where it starts, and the words after the runner's name."""

    runner: Runner
    folder: str
    words: tuple[str, ...]

    def option(self, *names: str) -> str:
        """Return an option's value, given as `-k value` or `--name=value`, or an empty string."""
        for word, following in pairwise((*self.words, "")):
            if word in names:
                return following
            if word.startswith("--") and word.partition("=")[0] in names:
                return word.partition("=")[2]
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """`ran` includes everything the runner reported; `skipped` is what cannot fail: skips, expected failures, todos."""

    ran: int
    failed: int
    skipped: int


@lru_cache(maxsize=512)  # a check asks of the same command again and again
def recognise(command: str) -> tuple[Selection, ...]:
    """Return the test runners that `command` starts, looking through `cd`, variables and `&&`."""
    folder, found = "", []
    for words in _simple_commands(command):
        if words[0] == "cd" and len(words) > 1:
            folder = _joined(folder, words[1])
        elif runner := _runner(words):
            found.append(Selection(runner=runner[0], folder=folder, words=tuple(runner[1])))
    return tuple(found)


def read_counts(runner: Runner, output: str) -> Counts:
    return {Runner.UNITTEST: _unittest_counts, Runner.PYTEST: _pytest_counts, Runner.NODE: _node_counts}[runner](output)


def selected_files(selection: Selection, paths: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Return which of `paths` the command names, each with the names chosen inside it (none: the whole file).

    An empty mapping means that the command names no file of the project and so reaches all its tests.
    """
    chosen: dict[str, tuple[str, ...]] = {}
    for word in selection.words:
        for path, inside in _named(selection, word, paths):
            chosen[path] = chosen.get(path, ()) + inside
    return chosen


def _simple_commands(command: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(command.replace("\n", ";"), posix=True, punctuation_chars="();|&")
    lexer.whitespace_split = True
    words: list[str] = []
    try:
        for word in lexer:
            if set(word) <= {"&", "|", ";", "(", ")"}:
                if words:
                    yield words
                words = []
            elif words or not re.match(r"^\w+=", word):  # leading variables are not the program
                words.append(word)
    except ValueError:  # an open quote: a shell would refuse it too
        return
    if words:
        yield words


def _runner(words: list[str]) -> tuple[Runner, list[str]] | None:
    program, rest = words[0], words[1:]
    if program in {"env", "exec", "time", "command"} and rest:
        return _runner([word for word in rest if not re.match(r"^\w+=", word)])
    if PurePosixPath(program).name in {"pytest", "py.test"}:
        return Runner.PYTEST, rest
    if PurePosixPath(program).name == "node" and "--test" in rest:
        return Runner.NODE, [word for word in rest if word != "--test"]
    if _PYTHON.match(program) and "-m" in rest[:-1]:
        at = rest.index("-m") + 1
        if rest[at] in {"pytest", "unittest"}:
            return Runner(rest[at]), rest[at + 1 :]
    return None


def _named(selection: Selection, word: str, paths: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    name, *inside = word.split("::")
    target = _joined(selection.folder, name)
    if word.startswith("-") or target == ".":
        return
    for path in paths:
        if path == target or path.startswith(f"{target}/") or fnmatch.fnmatchcase(path, target):
            yield path, tuple(inside)
    if selection.runner is Runner.UNITTEST and re.fullmatch(r"\w+(\.\w+)*", name):
        parts = name.split(".")
        for size in range(len(parts), 0, -1):
            path = _joined(selection.folder, "/".join(parts[:size]) + ".py")
            if path in paths:
                yield path, tuple(parts[size:])
                return


def _joined(folder: str, name: str) -> str:
    return str(PurePosixPath(folder, name))


def _unittest_counts(output: str) -> Counts:
    ran = re.findall(r"^Ran (\d+) tests? in", output, re.MULTILINE)
    verdicts = re.findall(r"^(?:OK|FAILED|NO TESTS RAN).*$", output, re.MULTILINE)
    words = {name: int(count) for name, count in _UNITTEST_WORD.findall(verdicts[-1] if verdicts else "")}
    return Counts(
        ran=int(ran[-1]) if ran else 0,
        failed=words.get("failures", 0) + words.get("errors", 0) + words.get("unexpected successes", 0),
        skipped=words.get("skipped", 0) + words.get("expected failures", 0),
    )


def _pytest_counts(output: str) -> Counts:
    lines = [line for line in output.splitlines() if _PYTEST_WORD.search(line) and re.search(r" in [\d.]+s", line)]
    words = {name: int(count) for count, name in _PYTEST_WORD.findall(lines[-1] if lines else "")}
    failed = words.get("failed", 0) + words.get("error", 0)
    skipped = words.get("skipped", 0) + words.get("xfailed", 0)
    return Counts(
        ran=words.get("passed", 0) + words.get("xpassed", 0) + failed + skipped, failed=failed, skipped=skipped
    )


def _node_counts(output: str) -> Counts:
    words = {name: int(count) for name, count in _NODE_LINE.findall(output)}
    return Counts(
        ran=words.get("tests", 0),
        failed=words.get("fail", 0) + words.get("cancelled", 0),
        skipped=words.get("skipped", 0) + words.get("todo", 0),
    )
