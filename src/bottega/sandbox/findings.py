"""What a look at a change finds without running it: unfinished code, and code that could decide its own test results.

These are sentences for the reviewer, who sees the change; they judge nothing by themselves.
"""

import re
from collections.abc import Iterator, Mapping

_MARKS = (
    (re.compile(r"\braise NotImplementedError\b"), "raises NotImplementedError"),
    (re.compile(r"^\s*(?:pass|\.\.\.)\s*#\s*(?:TODO|FIXME|implement)", re.IGNORECASE), "leaves a TODO instead of code"),
    (re.compile(r"(?:#|//|/\*|<!--)\s*(?:TODO|FIXME|XXX)\b"), "has a TODO comment"),
    (
        re.compile(
            r"(?:#|//|/\*|<!--).*\b(?:rest of (?:the )?(?:code|file)|existing code|remaining code)\b",
            re.IGNORECASE,
        ),
        "says that code was left out",
    ),
    (
        re.compile(
            r"\b(?:your code here|placeholder implementation|implementation goes here|not (?:yet )?implemented)\b",
            re.IGNORECASE,
        ),
        "has a placeholder",
    ),
    (re.compile(r"throw new Error\(\s*['\"`]not implemented", re.IGNORECASE), "throws 'not implemented'"),
)
_TEST_TRICKS = (
    (re.compile(r"\bos\._exit\b"), "calls os._exit, which can hide failing tests"),
    (
        re.compile(r"\bdef pytest_(?:runtest_makereport|sessionfinish|collection_modifyitems|report_teststatus)\b"),
        "has a pytest hook that can change results",
    ),
    (re.compile(r"\bdef load_tests\b"), "has load_tests, which can leave tests out"),
    (re.compile(r"addopts\s*=.*(?:--collect-only|--co\b|--ignore|--deselect|-k\b)"), "tells pytest to leave tests out"),
    (re.compile(r"process\.exit\(\s*0?\s*\)"), "calls process.exit(0), which can hide failing tests"),
)
_CODE = re.compile(r"\.(py|[cm]?[jt]sx?|html?|css|sh|go|rs|java|rb|php|sql|ini|cfg|toml)$")
_TESTING = re.compile(
    r"(^|/)(tests?/|test_|conftest\.py$|pytest\.ini$|tox\.ini$|setup\.cfg$|pyproject\.toml$)|[._-]test\."
)


def stub_findings(files_before: Mapping[str, bytes], files_after: Mapping[str, bytes]) -> tuple[str, ...]:
    """Return one sentence per file and fault, for lines that the change brought in."""
    touched = {path: content for path, content in files_after.items() if files_before.get(path) != content}
    return tuple(
        sentence
        for path, content in sorted(touched.items())
        if _CODE.search(path)
        for sentence in _in_file(path, content, known=files_before.get(path, b""))
    )


def _in_file(path: str, content: bytes, *, known: bytes) -> Iterator[str]:
    before = set(known.decode(errors="replace").splitlines())
    patterns = _MARKS + (_TEST_TRICKS if _TESTING.search(path) else ())
    said: set[str] = set()
    for number, line in enumerate(content.decode(errors="replace").splitlines(), start=1):
        found = (
            next((fault for pattern, fault in patterns if pattern.search(line)), None) if line not in before else None
        )
        if found and found not in said:
            said.add(found)
            yield f"{path}, line {number}, {found}: {line.strip()[:120]}"
