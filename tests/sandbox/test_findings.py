"""What the reviewer is told about unfinished code and about tests that could decide their own results."""

import pytest

from bottega.sandbox.findings import stub_findings


@pytest.mark.parametrize(
    ("path", "line", "says"),
    [
        ("app.py", "    raise NotImplementedError", "raises NotImplementedError"),
        ("app.py", "    pass  # TODO: later", "leaves a TODO"),
        ("app.py", "# TODO handle errors", "has a TODO comment"),
        ("app.js", "// ... rest of the code ...", "code was left out"),
        ("app.py", "# ... existing code ...", "code was left out"),
        ("app.js", "throw new Error('Not implemented');", "placeholder"),
        ("app.py", "# your code here", "placeholder"),
        ("conftest.py", "def pytest_runtest_makereport(item):", "pytest hook"),
        ("tests/test_a.py", "    os._exit(0)", "os._exit"),
        ("pytest.ini", "addopts = --collect-only", "leave tests out"),
        ("tests/a.test.js", "process.exit(0)", "process.exit"),
    ],
)
def test_a_doubtful_line_is_told_with_its_place(path: str, line: str, says: str) -> None:
    (finding,) = stub_findings({}, {path: f"x\n{line}\n".encode()})
    assert finding.startswith(f"{path}, line 2, ")
    assert says in finding


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("app.py", "except NotImplementedError:\n    pass\n"),
        ("todo.py", 'TODO = "todo"\nprint("# of TODOs")\n'),
        ("README.md", "TODO: write more\n"),
        ("app.py", "import os\nos._exit(3)\n"),
        ("server.js", "process.exit(0)\n"),
        ("app.py", "the_rest = code_of(file)\n"),
    ],
)
def test_ordinary_code_is_not_doubted(path: str, text: str) -> None:
    assert stub_findings({}, {path: text.encode()}) == ()


def test_what_was_there_before_is_not_held_against_a_change() -> None:
    old = b"# TODO old\n"
    assert stub_findings({"a.py": old}, {"a.py": old}) == ()
    assert stub_findings({"a.py": old}, {"a.py": old + b"x = 1\n"}) == ()
    assert len(stub_findings({"a.py": old}, {"a.py": old + b"# TODO new\n"})) == 1


def test_one_fault_is_told_once_per_file() -> None:
    assert len(stub_findings({}, {"a.py": b"# TODO one\n# TODO two\n"})) == 1
