"""Honest suites pass; every known way of turning a red suite green does not."""

from collections.abc import Mapping

import pytest
from tests.sandbox.conftest import Rung

from bottega.sandbox.inventory import inventory
from bottega.sandbox.judge import Check, CheckRunner
from bottega.sandbox.nothing import NoSandbox
from bottega.sandbox.types import Limits

LIMITS = Limits(wall_seconds=20)
RED_PYTEST = "def test_sum():\n    assert 1 + 1 == 3\n"
RED_UNITTEST = """import unittest


class SumTest(unittest.TestCase):
    def test_sum(self):
        self.assertEqual(1 + 1, 3)
"""

HONEST: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "pytest": ("python -m pytest -q", {"tests/test_sum.py": "def test_sum():\n    assert 1 + 1 == 2\n"}),
    "pytest by its script": ("pytest", {"test_sum.py": "def test_sum():\n    assert 1 + 1 == 2\n"}),
    "pytest for one test": (
        "python -m pytest test_sum.py::test_one -q",
        {"test_sum.py": "def test_one():\n    x = 2\n    assert x == 2\n\n\ndef test_two():\n    assert [] == []\n"},
    ),
    "pytest with -k": ("pytest -q -k 'one and not two'", {"test_sum.py": "def test_one():\n    assert [1]\n"}),
    "pytest in a folder": (
        "cd api && python -m pytest -q tests",
        {"api/tests/test_sum.py": "def test_a():\n    assert [1]\n"},
    ),
    "pytest with a source folder": (
        "PYTHONPATH=src python -m pytest -q",
        {
            "src/shop.py": "PRICE = 3\n",
            "tests/test_shop.py": "import shop\n\n\ndef test_price():\n    assert shop.PRICE == 3\n",
        },
    ),
    "pytest with some skips": (
        "pytest -q",
        {
            "test_a.py": "import pytest\n\n\ndef test_a():\n    assert [1]\n\n\n"
            "@pytest.mark.skip\ndef test_b():\n    assert []\n"
        },
    ),
    "unittest": ("python -m unittest", {"test_sum.py": RED_UNITTEST.replace("3)", "2)")}),
    "unittest discover": (
        "python3 -m unittest discover -s tests -v",
        {"tests/__init__.py": "", "tests/test_sum.py": RED_UNITTEST.replace("3)", "2)")},
    ),
    "unittest module": ("python -m unittest tests.test_sum", {"tests/test_sum.py": RED_UNITTEST.replace("3)", "2)")}),
    "unittest one test": (
        "python -m unittest tests.test_sum.SumTest.test_sum",
        {"tests/test_sum.py": RED_UNITTEST.replace("3)", "2)")},
    ),
    "unittest with an HTTP server": (
        "python -m unittest",
        {
            "test_http.py": (
                "import http.server, threading, unittest, urllib.request\n\n\nclass T(unittest.TestCase):\n"
                "    def test_get(self):\n        handler = http.server.SimpleHTTPRequestHandler\n"
                "        with http.server.HTTPServer(('127.0.0.1', 0), handler) as server:\n"
                "            threading.Thread(target=server.serve_forever, daemon=True).start()\n"
                "            url = f'http://localhost:{server.server_port}/test_http.py'\n"
                "            self.assertEqual(urllib.request.urlopen(url).status, 200)\n            server.shutdown()\n"
            )
        },
    ),
    "node": (
        "node --test",
        {
            "sum.test.js": (
                "const { test } = require('node:test');\nconst assert = require('node:assert');\n"
                "test('adds', () => assert.equal(1 + 1, 2));\n"
            )
        },
    ),
    "node with modules": (
        "node --test tests/",
        {
            "tests/sum.test.mjs": (
                "import test from 'node:test';\nimport assert from 'node:assert';\n"
                "test('adds', () => { assert.equal(1 + 1, 2); });\n"
            )
        },
    ),
}

# pytest keeps the real stdout under another number while it captures: hostile code writes to all of them
FORGED = """import os
for fd in range(1, 12):
    try:
        os.write(fd, b'===== 5 passed in 0.01s =====\\n')
    except OSError:
        pass
"""

PYTEST_TRICKS: Mapping[str, Mapping[str, str]] = {
    "an honest failure": {},
    "conftest leaves with os._exit": {"conftest.py": "import os\n\n\ndef pytest_runtest_setup():\n    os._exit(0)\n"},
    "sessionfinish sets the exit code": {
        "conftest.py": "def pytest_sessionfinish(session):\n    session.exitstatus = 0\n"
    },
    "makereport rewrites outcomes": {
        "conftest.py": (
            "import pytest\n\n\n@pytest.hookimpl(hookwrapper=True)\ndef pytest_runtest_makereport():\n"
            "    outcome = yield\n    outcome.get_result().outcome = 'passed'\n"
        )
    },
    "a forged report file": {
        "conftest.py": "import os\nopen('junit.xml', 'w').write('<testsuite tests=\"5\"/>')\n"
        "print('1 passed in 0.01s')\nos._exit(0)\n"
    },
    "a forged summary on stdout": {"conftest.py": f"{FORGED}os._exit(0)\n"},
    "every test skipped": {"conftest.py": "import pytest\n\n\ndef pytest_runtest_setup():\n    pytest.skip('later')\n"},
    "every test expected to fail": {
        "conftest.py": (
            "import pytest\n\n\ndef pytest_collection_modifyitems(items):\n"
            "    for item in items:\n        item.add_marker(pytest.mark.xfail)\n"
        )
    },
    "collect only by ini": {"pytest.ini": "[pytest]\naddopts = --collect-only\n"},
    "atexit leaves with 0": {"conftest.py": "import atexit, os\natexit.register(os._exit, 0)\n"},
    "a package named pytest": {
        "pytest/__init__.py": "",
        "pytest/__main__.py": "print('===== 5 passed in 0.01s =====')\n",
    },
    "a forged last line and a swallowed exit code": {
        "conftest.py": (
            "import atexit\n\n\ndef pytest_sessionfinish(session):\n    session.exitstatus = 0\n"
            "    atexit.register(print, '===== 1 passed in 0.01s =====')\n"
        )
    },
    "turning red for a changed file alone": {
        "conftest.py": f"{FORGED}os._exit('__import__' in open('test_sum.py').read())\n"
    },
    "items cleared": {"conftest.py": "def pytest_collection_modifyitems(items):\n    items.clear()\n"},
    "items deselected but a tame one": {
        "test_tame.py": "def test_tame():\n    assert [1]\n",
        "conftest.py": "def pytest_collection_modifyitems(items):\n"
        "    items[:] = [i for i in items if i.name == 'test_tame']\n",
    },
}

UNITTEST_TRICKS: Mapping[str, Mapping[str, str]] = {
    "an honest failure": {},
    "a test leaves with os._exit": {"test_a.py": "import os\n\nos._exit(0)\n"},
    "the exit code is swallowed at exit": {"test_a.py": "import atexit, os\n\natexit.register(os._exit, 0)\n"},
    "the result forgets failures": {
        "test_a.py": "import unittest\n\nunittest.TestResult.wasSuccessful = lambda self: True\n"
        "unittest.TextTestResult.addFailure = lambda self, test, error: None\n"
    },
    "a forged summary": {
        "test_a.py": "import os\n\nos.write(1, b'Ran 5 tests in 0.001s\\n\\nOK\\n')\nos._exit(0)\n",
    },
    "every test skipped": {"test_sum.py": RED_UNITTEST.replace("class", "@unittest.skip('later')\nclass")},
    "every test expected to fail": {
        "test_sum.py": RED_UNITTEST.replace("    def", "    @unittest.expectedFailure\n    def")
    },
    "load_tests loads nothing": {
        "test_sum.py": RED_UNITTEST + "\n\ndef load_tests(loader, tests, pattern):\n    return unittest.TestSuite()\n"
    },
    "load_tests loads a tame one": {
        "test_sum.py": RED_UNITTEST
        + "\n\nclass Tame(unittest.TestCase):\n    def test_tame(self):\n        self.assertTrue([1])\n"
        "\n\ndef load_tests(loader, tests, pattern):\n    return loader.loadTestsFromTestCase(Tame)\n"
    },
    "a package named unittest": {
        "unittest/__init__.py": "",
        "unittest/__main__.py": "print('Ran 5 tests in 0.1s\\n\\nOK')\n",
    },
    "no tests": {"test_sum.py": ""},
}


async def judged(
    rung: Rung, command: str, files: Mapping[str, str], base_inventory: frozenset[str] = frozenset()
) -> Check:
    encoded = {path: text.encode() for path, text in files.items()}
    checks = CheckRunner(sandbox=rung)
    return (await checks.check(files=encoded, commands=[command], base_inventory=base_inventory, limits=LIMITS))[0]


@pytest.mark.parametrize("name", HONEST)
async def test_an_honest_suite_passes(strongest: Rung, name: str) -> None:
    command, files = HONEST[name]
    if command.startswith("node") and "node" not in strongest.kit.programs:
        pytest.skip("node is not installed")
    check = await judged(strongest, command, files, inventory({path: text.encode() for path, text in files.items()}))
    assert check.passed, (check.reason, check.result.output)
    assert check.tests_run >= 1


@pytest.mark.parametrize("trick", PYTEST_TRICKS)
async def test_a_red_pytest_suite_stays_red(strongest: Rung, trick: str) -> None:
    check = await judged(strongest, "python -m pytest", {"test_sum.py": RED_PYTEST, **PYTEST_TRICKS[trick]})
    assert check.result.executed
    assert not check.passed
    assert check.reason


@pytest.mark.parametrize("trick", UNITTEST_TRICKS)
async def test_a_red_unittest_suite_stays_red(strongest: Rung, trick: str) -> None:
    check = await judged(strongest, "python -m unittest", {"test_sum.py": RED_UNITTEST, **UNITTEST_TRICKS[trick]})
    assert check.result.executed
    assert not check.passed
    assert check.reason


@pytest.mark.parametrize(
    "command",
    ["python -m pytest || true", "python -m pytest; echo done", "python -m pytest | tail -1", "true # pytest"],
)
async def test_a_command_that_hides_the_exit_code_of_its_tests_does_not_pass(strongest: Rung, command: str) -> None:
    files = {"test_sum.py": RED_PYTEST if command.startswith("python") else "raise SystemExit(1)\n"}
    check = await judged(strongest, command, files)
    assert check.passed == command.startswith("true")  # a comment runs no tests and claims none


async def test_a_node_file_without_tests_is_not_a_passed_test(strongest: Rung) -> None:
    if "node" not in strongest.kit.programs:
        pytest.skip("node is not installed")
    check = await judged(strongest, "node --test", {"sum.test.js": "console.log('hello');\n"})
    assert check.reason == "no test was run"


async def test_node_cannot_leave_early_with_a_clean_exit(strongest: Rung) -> None:
    if "node" not in strongest.kit.programs:
        pytest.skip("node is not installed")
    source = "const test = require('node:test');\ntest('adds', () => { throw 1; });\nprocess.exit(0);\n"
    check = await judged(strongest, "node --test", {"sum.test.js": source})
    assert not check.passed


async def test_a_suite_that_lost_tests_does_not_pass(strongest: Rung) -> None:
    base = frozenset({"test_sum.py::test_sum", "test_sum.py::test_hard"})
    check = await judged(strongest, "pytest -q", {"test_sum.py": "def test_sum():\n    assert [1]\n"}, base)
    assert not check.passed
    assert check.reason == "tests disappeared: test_sum.py::test_hard"


@pytest.mark.parametrize(
    ("command", "passed"), [("test -f a.txt", True), ("test -f b.txt", False), ("sh -c 'exit 3'", False)]
)
async def test_any_other_command_passes_by_its_exit_code(strongest: Rung, command: str, passed: bool) -> None:  # noqa: FBT001
    check = await judged(strongest, command, {"a.txt": ""})
    assert check.passed is passed


async def test_what_was_not_executed_has_not_passed() -> None:
    runner = CheckRunner(sandbox=NoSandbox(reason="Not executed: SANDBOX=none."))
    (check,) = await runner.check(files={}, commands=["true"])
    assert not check.passed
    assert check.reason == "Not executed: SANDBOX=none."


async def test_a_command_ended_by_a_limit_has_not_passed(strongest: Rung) -> None:
    runner = CheckRunner(sandbox=strongest)
    (check,) = await runner.check(files={}, commands=["yes"], limits=Limits(output_bytes=100))
    assert not check.passed
    assert "printing" in check.reason
