"""Whether a task goes in circles: a pure reading of its attempts, as the journal has them. No clock, no model.

- What comes again with a period of one to four is found as soon as a whole period has come twice.
- Attempts that differ in what they did or in what came of it are no circle, however slowly they get better.
- What varies from run to run by itself (times, ports, temporary paths, ids, addresses) is no difference.

An attempt is one reply of an Implementer. It is wasted when the same was done before and the same came of it, and when
it goes on with a circle of failures whatever it did.
Attempts count from the moment at which the person last said to go on: what they say then is new to every model.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

LONGEST_PERIOD = 4
SAME_FAILURES = 4  # so often in a row may different changes end in the same failures
WASTED_CALLS = 4  # so many the person pays for at most; the last of them is the strongest model's
SAID_CHARACTERS, TOLD_CHARACTERS, NAMED_FAILURES = 1000, 200, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What one reply did and what came of it; digests, but for what is told to people."""

    model: str
    substance: str
    tree: str | None = None  # the git tree it proposed; None: it proposed nothing
    failure: str | None = None  # None: it has not failed, or not yet
    said: str = ""  # the failure in words

    def failed(self, *, failure: str, said: str) -> "Attempt":
        return replace(self, failure=failure, said=said[:SAID_CHARACTERS])

    def as_output(self) -> dict[str, object]:
        """Return what the journal keeps of it."""
        told: dict[str, object] = {
            "model": self.model,
            "substance": self.substance,
            "failure": self.failure,
            "said": self.said,
        }
        return told if self.tree is None else told | {"tree": self.tree}


@dataclass(frozen=True, slots=True, kw_only=True)
class Circle:
    """How a task repeats itself: every `period` attempts, None where it does not; `wasted` replies so far."""

    period: int | None = None
    wasted: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A journaled step of a task: the parts of its output that tell attempts apart."""

    kind: str
    outcome: str
    output: Mapping[str, Any]


def attempts(steps: Iterable[Past]) -> tuple[Attempt, ...]:
    """Return a task's attempts from its steps, oldest first. A judgement belongs to the proposal before it."""
    found: list[Attempt] = []
    for step in steps:
        told = {name: value for name, value in step.output.items() if value is not None}
        if step.kind == "implement":
            found.append(_attempt(told))
        elif told.get("failure"):
            under_review = found.pop() if found else _attempt(told)  # proposed before the person said to go on
            found.append(under_review.failed(failure=told["failure"], said=told.get("said", "")))
    return tuple(found)


def _attempt(told: Mapping[str, Any]) -> Attempt:
    return Attempt(
        model=told.get("model", ""),
        substance=told.get("substance", told.get("tree", "")),
        tree=told.get("tree"),
        failure=told.get("failure"),
        said=told.get("said", ""),
    )


def circle(tried: Sequence[Attempt]) -> Circle:
    """Tell whether the attempts, the last of which has just failed, go in circles."""
    deeds = [(attempt.substance, attempt.failure) for attempt in tried if attempt.failure]
    failures = [failure for _, failure in deeds]
    repeated, wasted = period(deeds), len(deeds) - len(set(deeds))
    if (length := period(failures, at_least=SAME_FAILURES)) is not None:
        repeated, wasted = repeated or length, max(wasted, _repetitions(failures, length))
    return Circle(period=repeated, wasted=wasted)


def period(items: Sequence[object], *, at_least: int = 2) -> int | None:
    """Return the shortest period that the end of `items` repeats, at most four; None when it repeats nothing.

    A period counts when it came at least twice and its repetitions make up `at_least` items.
    """
    for length in range(1, LONGEST_PERIOD + 1):
        copies = max(2, -(-at_least // length))
        end = list(items[-length * copies :])
        if len(end) == length * copies and end == end[:length] * copies:
            return length
    return None


def _repetitions(items: Sequence[object], length: int) -> int:
    """Return how many items at the end repeat the one `length` before them."""
    pairs = zip(reversed(items[length:]), reversed(items[:-length]), strict=True)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def known_failure(tried: Sequence[Attempt], *, tree: str) -> Attempt | None:
    """Return the attempt that proposed this very tree and failed, if there is one."""
    return next((attempt for attempt in reversed(tried) if attempt.tree == tree and attempt.failure), None)


# -- in words ---------------------------------------------------------------------------------------------------------


def tally(tried: Sequence[Attempt]) -> str:
    """Return which models tried and how often."""
    models = Counter(attempt.model for attempt in tried if attempt.model)
    return ", ".join(f"{model} {_times(count)}" for model, count in models.items())


def summary(task_key: str, tried: Sequence[Attempt]) -> str:
    """Return what was tried in a task that goes in circles, for the person who is asked how to go on."""
    wasted = circle(tried).wasted
    lost = f" {wasted} of the {len(tried)} replies brought nothing new." if wasted else ""
    failures = Counter(_told(attempt) for attempt in tried if attempt.failure)
    named = [f"{said} ({_times(count)})" for said, count in failures.most_common(NAMED_FAILURES)]
    more = f"; and {len(failures) - NAMED_FAILURES} more" if len(failures) > NAMED_FAILURES else ""
    who = f" ({models})" if (models := tally(tried)) else ""
    return f"{task_key} goes in circles{who}.{lost} What failed: {'; '.join(named)}{more}."


def _told(attempt: Attempt) -> str:
    words = " ".join(attempt.said.split()) or "no reason was given"
    return words if len(words) <= TOLD_CHARACTERS else f"{words[: TOLD_CHARACTERS - 1]}…"


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


# -- what makes two attempts the same ---------------------------------------------------------------------------------

_VOLATILE: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\x1b\[[0-9;]{0,20}[A-Za-z]"), ""),  # colours
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?"), "TIME"),
    (re.compile(r"\b\d\d:\d\d:\d\d(?:[.,]\d{1,9})?\b"), "TIME"),
    (re.compile(r"\b1[5-9]\d{8}(?:\d{3}){0,3}(?:\.\d{1,9})?\b"), "TIME"),  # seconds since 1970, or finer
    (re.compile(r"\b\d{1,9}(?:\.\d{1,9})? ?(?:ns|[µu]s|ms|s|secs?|seconds?|minutes?)\b"), "DURATION"),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "ID"),
    (re.compile(r"\b0x[0-9a-f]{6,16}\b", re.IGNORECASE), "ADDRESS"),
    (re.compile(r"\b(?=[0-9]{0,63}[a-f])(?=[a-f]{0,63}[0-9])[0-9a-f]{8,64}\b"), "ID"),
    (re.compile(r"(\blocalhost|\b(?:\d{1,3}\.){3}\d{1,3}|\[[0-9a-f:]{2,39}\]):\d{1,5}\b"), r"\1:PORT"),
    (re.compile(r"\b(port|pid)([ =:]{1,3})\d{1,7}\b", re.IGNORECASE), r"\1\2NUMBER"),
    (re.compile(r"(?:/private)?(?:/var)?/tmp/[^/\s'\"`,;:)]{1,200}"), "TEMPORARY"),
    (re.compile(r"/var/folders/[^/\s]{1,80}/[^/\s]{1,80}/T/[^/\s'\"`,;:)]{1,200}"), "TEMPORARY"),
    (re.compile(r"\bpytest-\d{1,9}\b"), "TEMPORARY"),
    (re.compile(r"\b((?:ba|da|z)?sh: )(?:line )?\d{1,6}: "), r"\1"),  # our own launcher
    (re.compile(r"(File \"<(?:string|stdin)>\", line )\d{1,6}"), r"\1NUMBER"),
)
_COMMENT = {
    **dict.fromkeys(("py", "sh", "rb", "toml", "yml", "yaml"), "#"),
    **dict.fromkeys(("js", "ts", "jsx", "tsx", "go", "rs", "java", "kt", "c", "h", "cpp", "cs", "swift"), "//"),
}


def normalised(text: str) -> str:
    """Return a text without what differs from run to run by itself, and with single spaces."""
    for pattern, stands_for in _VOLATILE:
        text = pattern.sub(stands_for, text)
    return " ".join(text.split())


def signature(*parts: str) -> str:
    """Return a digest of a failure: the same for two that differ only in what varies by itself."""
    return _digest(*(normalised(part) for part in parts))


def substance_of(changes: Mapping[str, str | None]) -> str:
    """Return a digest of what changes do: blank lines, spaces at the end and whole-line comments do nothing."""
    return _digest(*(f"{path}\n{_bare(path, text)}" for path, text in sorted(changes.items())))


def _bare(path: str, text: str | None) -> str:
    if text is None:
        return "deleted"
    comment = _COMMENT.get(path.rpartition(".")[2])
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join(line for line in lines if not comment or not line.lstrip().startswith(comment))


def of_reply(text: str) -> str:
    """Return a digest of a reply that proposed nothing."""
    return _digest(text.strip())


def _digest(*parts: str) -> str:
    told = hashlib.sha256()
    for part in parts:
        told.update(f"{len(part)}:{part}".encode(errors="replace"))
    return told.hexdigest()[:32]
