"""Which tests a tree holds, read without running anything.

A test that cannot fail (an empty body, an unconditional skip, an expected failure) is not in the inventory, so
hollowing one out reads the same as deleting it.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import PurePosixPath
from typing import TypeGuard

_NODE_FILE = re.compile(r"(^|/)(test|test-[^/]*|[^/]*[.\-_]test)\.[cm]?[jt]s$|(^|/)test/.*\.[cm]?js$")
_NODE_TEST = re.compile(r"^(?!\s*//).*?\b(?:test|it)(?:\.only)?\s*\(\s*(['\"`])(.+?)\1", re.MULTILINE)
_PYTEST_FILE = re.compile(r"(^|/)(test[^/]*|[^/]*_test)\.py$")
_HOLLOWING = {"skip", "xfail", "expectedFailure"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def inventory(files: Mapping[str, bytes]) -> frozenset[str]:
    """Return ids such as `tests/test_x.py::TestA::test_b`; for Node, `x.test.js::the test's name`."""
    return frozenset(f"{path}::{name}" for path, content in files.items() for name in _tests_in(path, content))


def is_node_test_file(path: str) -> bool:
    return bool(_NODE_FILE.search(path)) and "node_modules" not in PurePosixPath(path).parts


@lru_cache(maxsize=512)  # a check asks three times of trees that differ in few files
def _tests_in(path: str, content: bytes) -> tuple[str, ...]:
    source = content.decode(errors="replace")
    if path.endswith(".py"):
        return tuple(_python_tests(source, named_like_tests=bool(_PYTEST_FILE.search(path))))
    if is_node_test_file(path):
        return tuple(name for _, name in _NODE_TEST.findall(source))
    return ()


def _python_tests(source: str, *, named_like_tests: bool) -> Iterator[str]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and _holds_tests(node, named_like_tests=named_like_tests):
            yield from (f"{node.name}::{function.name}" for function in node.body if _is_test(function))
        elif named_like_tests and _is_test(node):
            yield node.name


def _holds_tests(node: ast.ClassDef, *, named_like_tests: bool) -> bool:
    bases = [_last_name(base) for base in node.bases]
    a_case = any(base.endswith(("TestCase", "Tests", "Test")) for base in bases)
    return not _hollowed(node) and (a_case or (named_like_tests and node.name.startswith("Test")))


def _is_test(node: ast.stmt) -> TypeGuard[Function]:
    return isinstance(node, Function) and node.name.startswith("test") and not _hollowed(node) and not _empty(node)


def _hollowed(node: Function | ast.ClassDef) -> bool:
    return any(_last_name(decorator) in _HOLLOWING for decorator in node.decorator_list)


def _empty(node: Function) -> bool:
    return all(_does_nothing(statement) for statement in node.body)


def _does_nothing(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr | ast.Return | ast.Assert):
        value = node.test if isinstance(node, ast.Assert) else node.value
        return value is None or isinstance(value, ast.Constant)
    return isinstance(node, ast.Pass)


def _last_name(node: ast.expr) -> str:
    """Return `skip` for `pytest.mark.skip(...)`, `unittest.skip` and `skip`."""
    if isinstance(node, ast.Call):
        return _last_name(node.func)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
