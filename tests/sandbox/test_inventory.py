"""Which tests a tree holds, without running it."""

import pytest

from bottega.sandbox.inventory import inventory
from bottega.sandbox.judge import lost_tests

LIVING = """import unittest


class SumTest(unittest.TestCase):
    def test_sum(self):
        self.assertEqual(2, 1 + 1)
"""


@pytest.mark.parametrize(
    ("path", "source", "names"),
    [
        (
            "test_a.py",
            "def test_one():\n    assert f()\n\n\nasync def test_two():\n    assert f()\n",
            {"test_one", "test_two"},
        ),
        ("tests/checks.py", LIVING, {"SumTest::test_sum"}),
        (
            "test_a.py",
            "class TestA:\n    def test_one(self):\n        assert f()\n    def helper(self):\n        g()\n",
            {"TestA::test_one"},
        ),
        ("app.py", "def test_connection():\n    return ping()\n", set()),
        ("test_a.py", "def test_one(:\n", set()),
        ("a.test.js", "test('adds', () => {});\n  it(\"says \", f);\n// test('gone', f);\n", {"adds", "says "}),
        ("test/deep/b.mjs", "test(`ticks`, f);\n", {"ticks"}),
        ("test/deep/b.js", "test(`ticks`, f);\n", {"ticks"}),
        ("node_modules/x/a.test.js", "test('theirs', f);\n", set()),
        ("a.test.js", "test.skip('later', f);\ntest.only('now', f);\n", {"now"}),
    ],
)
def test_the_tests_of_a_file_are_listed(path: str, source: str, names: set[str]) -> None:
    assert inventory({path: source.encode()}) == {f"{path}::{name}" for name in names}


@pytest.mark.parametrize(
    "hollow",
    [
        LIVING.replace("self.assertEqual(2, 1 + 1)", "pass"),
        LIVING.replace("self.assertEqual(2, 1 + 1)", '"""Later."""'),
        LIVING.replace("self.assertEqual(2, 1 + 1)", "assert True"),
        LIVING.replace("    def", "    @unittest.skip('later')\n    def"),
        LIVING.replace("    def", "    @unittest.expectedFailure\n    def"),
        LIVING.replace("class", "@unittest.skip('later')\nclass"),
        LIVING.replace("test_sum", "check_sum"),
        "",
    ],
)
def test_hollowing_a_test_out_is_losing_it(hollow: str) -> None:
    before, after = inventory({"tests/test_a.py": LIVING.encode()}), inventory({"tests/test_a.py": hollow.encode()})
    assert lost_tests(before, after) == "tests disappeared: tests/test_a.py::SumTest::test_sum"


def test_more_tests_than_before_is_no_loss() -> None:
    assert lost_tests(frozenset({"a"}), frozenset({"a", "b"})) == ""


def test_a_long_loss_is_told_shortly() -> None:
    assert lost_tests(frozenset("abcdefgh"), frozenset()) == "tests disappeared: a, b, c, d, e and 3 more"
