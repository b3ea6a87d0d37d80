"""docs/security.md names a test for every claim, and each of them exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)
CLAIMS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(("| Claim ", "|---"))]


@pytest.mark.parametrize(("file", "test"), sorted(set(NAMED)), ids=str)
def test_a_named_test_is_there(file: str, test: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert test in functions if test else any(name.startswith("test_") for name in functions)


def test_every_claim_names_one() -> None:
    assert len(CLAIMS) > 25
    assert [claim for claim in CLAIMS if "`tests/" not in claim] == []
