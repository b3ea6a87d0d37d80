"""Where the failing test goes: it must be selected by the very command, and leave the project's own code alone."""

import ast

import pytest

from bottega.sandbox.canary import with_canary
from bottega.sandbox.toolchains import recognise

FILES = {
    "app.py": b"VALUE = 1\n",
    "tests/test_a.py": b"class TestA:\n    def test_one(self):\n        assert f()\n\n"
    b"    def test_two(self):\n        assert g()\n",
    "tests/test_b.py": b"import unittest\n\n\ndef test_b():\n    assert f()\n\n\n"
    b"if __name__ == '__main__':\n    unittest.main()\n",
    "web/a.test.js": b"const { test } = require('node:test');\ntest('a', () => {});\n",
    "web/b.test.mjs": b"import test from 'node:test';\ntest('b', () => {});\n",
}
PYTHON, NODE = {"tests/test_a.py", "tests/test_b.py"}, {"web/a.test.js", "web/b.test.mjs"}


@pytest.mark.parametrize(
    ("command", "planted"),
    [
        ("pytest", PYTHON),
        ("pytest tests/test_a.py", {"tests/test_a.py"}),
        ("pytest tests/test_a.py::TestA::test_one", {"tests/test_a.py"}),
        ("cd tests && pytest", PYTHON),
        ("python -m unittest tests.test_b", {"tests/test_b.py"}),
        ("node --test", NODE),
        ("cd web && node --test a.test.js", {"web/a.test.js"}),
    ],
)
def test_every_reached_file_is_planted_and_no_other_is_touched(command: str, planted: set[str]) -> None:
    (selection,) = recognise(command)
    files, marker = with_canary(FILES, selection)
    assert {path for path in FILES if files[path] != FILES[path]} == planted
    assert all(marker.encode() in files[path] for path in planted)
    for path in planted & PYTHON:
        ast.parse(files[path])


@pytest.mark.parametrize(("command", "ends"), [("cd api && pytest", ".py"), ("cd api && node --test", ".test.mjs")])
def test_without_tests_a_new_file_is_added_where_the_runner_starts(command: str, ends: str) -> None:
    (selection,) = recognise(command)
    files, marker = with_canary({}, selection)
    (path,) = files
    assert path.startswith("api/")
    assert path.endswith(f"{marker}{ends}")


def test_a_single_chosen_test_is_made_to_fail_itself() -> None:
    (selection,) = recognise("pytest tests/test_a.py::TestA::test_one")
    files, marker = with_canary(FILES, selection)
    one, two = files["tests/test_a.py"].decode().split("def test_two")
    assert marker in one
    assert marker not in two


def test_the_name_satisfies_the_expression_of_the_command() -> None:
    (selection,) = recognise("pytest -k 'fast and not slow' -m 'unit and not net'")
    files, marker = with_canary(FILES, selection)
    source = files["tests/test_a.py"].decode()
    assert f"def test_{marker}_fast(self)" in source
    assert "mark.unit" in source
    assert "slow" not in source


def test_a_file_run_as_a_script_has_its_canary_before_it_starts_the_runner() -> None:
    (selection,) = recognise("pytest tests/test_b.py")
    files, marker = with_canary(FILES, selection)
    source = files["tests/test_b.py"].decode()
    assert source.index(marker) < source.index("__main__")


def test_every_marker_is_new() -> None:
    (selection,) = recognise("pytest")
    assert with_canary(FILES, selection)[1] != with_canary(FILES, selection)[1]
