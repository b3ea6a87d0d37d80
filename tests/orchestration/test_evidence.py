"""What is said of a failed run in one line."""

import pytest

from bottega.orchestration.evidence import telling_line

ENDED_LATE = """\
/usr/lib/python3.11/subprocess.py:1127: ResourceWarning: subprocess 6 is still running
ResourceWarning: Enable tracemalloc to get the object allocation traceback
subprocess.TimeoutExpired: Command '['python', '-m', 'shorty']' timed out after 10 seconds
Ran 34 tests in 10.821s

FAILED (errors=1)
"""
UNRAISABLE = "AssertionError: 1 != 2\nResourceWarning: Enable tracemalloc to get the object allocation traceback\n"


@pytest.mark.parametrize(
    ("output", "line"),
    [
        (ENDED_LATE, "subprocess.TimeoutExpired: Command '['python', '-m', 'shorty']' timed out after 10 seconds"),
        (UNRAISABLE, "AssertionError: 1 != 2"),
        ("E       assert 1 == 2\nFAILED tests/test_a.py::test_a\n", "assert 1 == 2"),
        ("json.decoder.JSONDecodeError: Expecting value\n", "json.decoder.JSONDecodeError: Expecting value"),
        ("E   DeprecationWarning: old\n1 failed\n", "DeprecationWarning: old"),
        ("sh: 1: shorty: not found\n", "sh: 1: shorty: not found"),
        ("", ""),
    ],
)
def test_the_telling_line_is_the_last_error_else_the_last_line(output: str, line: str) -> None:
    assert telling_line(output) == line
