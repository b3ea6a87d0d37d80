"""How a command names its test runner, and what the runner's last lines counted."""

import pytest

from bottega.sandbox.toolchains import Counts, Runner, read_counts, recognise, selected_files


@pytest.mark.parametrize(
    ("command", "runner", "folder"),
    [
        ("pytest", Runner.PYTEST, ""),
        ("python -m pytest -q tests", Runner.PYTEST, ""),
        ("python3.12 -P -m pytest", Runner.PYTEST, ""),
        ("PYTHONPATH=src python -m unittest discover -s tests", Runner.UNITTEST, ""),
        ("env DEBUG=1 python -m unittest", Runner.UNITTEST, ""),
        ("cd api && cd v1 && python -m pytest", Runner.PYTEST, "api/v1"),
        ("test -f x && (pytest -q || true)", Runner.PYTEST, ""),
        ("node --test tests/", Runner.NODE, ""),
        ("echo start; node --test", Runner.NODE, ""),
    ],
)
def test_a_test_runner_is_recognised(command: str, runner: Runner, folder: str) -> None:
    (selection,) = recognise(command)
    assert (selection.runner, selection.folder) == (runner, folder)


@pytest.mark.parametrize(
    "command",
    ["python main.py", "python -m http.server", "echo pytest", "node app.js", "", "cat 'open", "true # pytest"],
)
def test_anything_else_is_not_a_test_runner(command: str) -> None:
    assert recognise(command) == ()


def test_every_runner_of_a_command_is_recognised() -> None:
    found = recognise("python -m unittest -v && cd web && node --test")
    assert [(one.runner, one.folder) for one in found] == [(Runner.UNITTEST, ""), (Runner.NODE, "web")]


PATHS = ("tests/test_a.py", "tests/test_b.py", "web/a.test.js")


@pytest.mark.parametrize(
    ("command", "chosen"),
    [
        ("pytest", {}),
        ("pytest -q -k a", {}),
        ("pytest tests", {"tests/test_a.py": (), "tests/test_b.py": ()}),
        ("pytest ./tests/test_a.py", {"tests/test_a.py": ()}),
        ("pytest tests/test_a.py::TestA::test_one", {"tests/test_a.py": ("TestA", "test_one")}),
        ("cd tests && pytest test_b.py", {"tests/test_b.py": ()}),
        ("python -m unittest tests.test_b", {"tests/test_b.py": ()}),
        ("python -m unittest tests.test_b.TestB.test_two", {"tests/test_b.py": ("TestB", "test_two")}),
        ("python -m unittest discover -s tests", {"tests/test_a.py": (), "tests/test_b.py": ()}),
        ("node --test 'web/*.test.js'", {"web/a.test.js": ()}),
    ],
)
def test_the_files_a_command_names_are_found(command: str, chosen: dict[str, tuple[str, ...]]) -> None:
    (selection,) = recognise(command)
    assert selected_files(selection, PATHS) == chosen


@pytest.mark.parametrize(
    ("runner", "output", "counts"),
    [
        (Runner.UNITTEST, "Ran 3 tests in 0.001s\n\nOK\n", (3, 0, 0)),
        (Runner.UNITTEST, "Ran 1 test in 0.001s\n\nOK (skipped=1)\n", (1, 0, 1)),
        (
            Runner.UNITTEST,
            "Ran 9 tests in 1s\n\nFAILED (failures=1, errors=2, skipped=1, expected failures=1)",
            (9, 3, 2),
        ),
        (Runner.UNITTEST, "Ran 0 tests in 0.000s\n\nOK\n", (0, 0, 0)),
        (Runner.PYTEST, "===== 2 passed in 0.01s =====", (2, 0, 0)),
        (Runner.PYTEST, "1 failed, 2 passed, 3 skipped, 1 xfailed, 2 warnings in 1.20s", (7, 1, 4)),
        (Runner.PYTEST, "= 1 passed, 1 error in 61.20s (0:01:01) =", (2, 1, 0)),
        (Runner.PYTEST, "2 tests collected in 0.01s", (0, 0, 0)),
        (Runner.PYTEST, "I say 5 passed", (0, 0, 0)),
        (Runner.NODE, "# tests 4\n# pass 2\n# fail 1\n# cancelled 0\n# skipped 1\n# todo 0\n", (4, 1, 1)),
        (Runner.NODE, "ℹ tests 1\nℹ pass 1\nℹ fail 0\n", (1, 0, 0)),
        (Runner.NODE, "", (0, 0, 0)),
    ],
)
def test_the_counts_are_read(runner: Runner, output: str, counts: tuple[int, int, int]) -> None:
    ran, failed, skipped = counts
    assert read_counts(runner, output) == Counts(ran=ran, failed=failed, skipped=skipped)
