"""The rules of the house that no linter knows. Imports have contracts of their own: `make imports`."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "bottega"
GENERATED = PACKAGE / "db" / "migrations" / "versions"
SOURCES = [path for path in sorted(PACKAGE.rglob("*.py")) if not path.is_relative_to(GENERATED)]

LONGEST_FILE, LONGEST_FUNCTION = 400, 60
LONG_FILES = {"sandbox/launcher.py": "it is handed to the sandbox as one file and may import nothing of ours"}
LONG_FUNCTIONS: dict[str, str] = {}  # path:name -> why

TRANSACTIONS_BEGIN_IN = {"db/transaction.py", "db/migrate.py", "db/migrations/env.py"}
GIT_COMMITS_IN = {"orchestration/history.py", "orchestration/steps/commit.py"}
READ_THE_ENVIRONMENT: set[str] = set()  # pydantic-settings does, for config


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def short(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def calls_of(method: str) -> Iterator[str]:
    """Yield the file of every call `something.method(...)`."""
    for path in SOURCES:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == method:
                yield short(path)


def test_only_the_transaction_commits() -> None:
    assert set(calls_of("commit")) <= GIT_COMMITS_IN, "a function that touches rows never commits"
    assert set(calls_of("begin")) <= TRANSACTIONS_BEGIN_IN
    assert set(calls_of("rollback")) == set()


def test_what_commits_without_a_transaction_is_git() -> None:
    for name in GIT_COMMITS_IN:
        calls = [node.func for node in ast.walk(parsed(PACKAGE / name)) if isinstance(node, ast.Call)]
        receivers = [ast.unparse(f.value) for f in calls if isinstance(f, ast.Attribute) and f.attr == "commit"]
        assert receivers == ["repository"], name


def test_only_the_settings_read_the_environment() -> None:
    assert {short(path) for path in SOURCES if "os.environ" in path.read_text(encoding="utf-8")} <= READ_THE_ENVIRONMENT


@pytest.mark.parametrize("path", SOURCES, ids=short)
def test_a_file_opens_with_what_it_promises_and_stays_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(parsed(path)) or not text.strip() or short(path) == "__init__.py"
    assert len(text.splitlines()) <= LONGEST_FILE or short(path) in LONG_FILES
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= LONGEST_FUNCTION or f"{short(path)}:{node.name}" in LONG_FUNCTIONS, node.name


def test_every_folder_has_its_line_in_the_architecture() -> None:
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    folders = {path.parent for path in SOURCES if path.parent.parent == PACKAGE}
    missing = [folder.name for folder in sorted(folders) if f"`{folder.name}/" not in page]
    assert not missing


def test_every_module_of_the_orchestration_has_its_line_too() -> None:
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    folder = PACKAGE / "orchestration"
    modules = [path.relative_to(folder) for path in folder.rglob("*.py") if path.read_text(encoding="utf-8")]
    missing = [name for name in sorted(map(str, modules)) if f"`{name}`" not in page and not name.startswith("steps/")]
    assert not missing


def test_no_module_is_named_for_being_useful() -> None:
    names = {path.stem for path in SOURCES} | {path.parent.name for path in SOURCES}
    assert names.isdisjoint({"utils", "util", "helpers", "common", "misc", "info"})
