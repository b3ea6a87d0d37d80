"""The test plan names tests that there are."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLAN = (ROOT / "docs" / "test_plan.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PLAN)


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_each_named_test_exists(path: str, name: str) -> None:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("scenario", ["TS-001", "TS-002", "TS-003", "TS-004", "TS-005"])
def test_what_was_asked_for_is_planned(scenario: str) -> None:
    assert re.search(rf"\| {scenario} \|.*`tests/", PLAN)
