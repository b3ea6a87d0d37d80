import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottega.projects.diff import diff

texts = st.text(alphabet="ab \n\f", max_size=12)
states = st.dictionaries(st.sampled_from(["a.py", "b/c.py", "d.md"]), texts, max_size=3)


def test_a_diff_reads_like_gits() -> None:
    assert diff(before={"a.py": "x = 1\ny = 2\n"}, after={"a.py": "x = 1\ny = 3\n", "new.md": "hello"}) == (
        "--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n x = 1\n-y = 2\n+y = 3\n"
        "--- /dev/null\n+++ b/new.md\n@@ -0,0 +1 @@\n+hello\n\\ No newline at end of file\n"
    )


def test_no_change_is_an_empty_diff() -> None:
    assert diff(before={"a": "1\n"}, after={"a": "1\n"}) == ""


def test_a_new_empty_file_is_mentioned() -> None:
    assert "+++ b/empty" in diff(before={}, after={"empty": ""})


@given(before=states, after=states, cap=st.integers(min_value=500, max_value=700))
def test_a_diff_never_exceeds_its_cap(before: dict[str, str], after: dict[str, str], cap: int) -> None:
    assert len(diff(before=before, after=after, max_bytes=cap).encode()) <= cap


def test_what_does_not_fit_is_left_out_by_name() -> None:
    shown = diff(before={}, after={"big.txt": "line\n" * 400, "small.txt": "line\n"}, max_bytes=1000)
    assert "+++ b/small.txt" in shown
    assert shown.endswith("Left out for size: 1 changed file: big.txt\n")


def test_a_file_too_long_to_compare_is_told_in_numbers() -> None:
    assert diff(before={"a": "x\n"}, after={"a": "x\n" * 6000}) == (
        "--- a: changed, 1 lines before and 6000 after (too long to show)\n"
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [("one\ntwo\n", "one\nthree\n"), ("one", "one\n"), ("a\fb\nc\n", "a\fb\nd"), ("x\n", "x\ny")],
)
def test_git_can_apply_it(old: str, new: str, tmp_path: Path) -> None:
    (tmp_path / "f.txt").write_text(old, newline="")
    patch = diff(before={"f.txt": old}, after={"f.txt": new})
    subprocess.run(["git", "apply", "-"], input=patch.encode(), cwd=tmp_path, check=True)
    assert (tmp_path / "f.txt").read_bytes().decode() == new
