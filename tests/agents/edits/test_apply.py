import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottega.agents.edits import DeleteFile, Edit, EditRefused, ReplaceBlock, WriteFile, apply_edits

LONG = "".join(f"value_{n} = {n}\n" for n in range(40))
FILES = {
    "src/app.py": "def f():\n    a = 1\n    return a\n\n\ndef g():\n    return 2\n",
    "notes.txt": "one\ntwo\n",
    "long.py": LONG,
}


def replaced(old: str, search: str, replace: str) -> str | None:
    edit = ReplaceBlock(path="x.txt", search=search, replace=replace)
    return apply_edits({"x.txt": old}, [edit]).files.get("x.txt")


LADDER = {
    "exact": ("a\nb\nc\n", "b\n", "B\n", "a\nB\nc\n"),
    "last line without an end": ("a\nb", "b\n", "B\n", "a\nB"),
    "removal": ("a\nb\nc\n", "b\n", "", "a\nc\n"),
    "trailing whitespace": ("a  \nb\t\nc\n", "a\nb\n", "a\nB\n", "a  \nB\nc\n"),
    "indent too small": ("if x:\n    a\n    b\n", "a\nb\n", "a\n  z\nb\n", "if x:\n    a\n      z\n    b\n"),
    "indent too large": ("a\nb\n", "  a\n  b\n", "  a\n  B\n", "a\nB\n"),
    "punctuation, context kept": ("say “hi”\nx – y\nend\n", 'say "hi"\nx - y\n', 'say "hi"\nz\n', "say “hi”\nz\nend\n"),
    "blank lines": ("a\n\n\nb\nc\n", "a\nb\n", "a\nB\n", "a\nB\nc\n"),
    "CRLF": ("a\r\nb\r\nc\r\n", "b\n", "B\nB2\n", "a\r\nB\r\nB2\r\nc\r\n"),
    "the exact one of several": ("a \nx\na\n", "a\n", "b\n", "a \nx\nb\n"),
    "form feeds are not line ends": ("a\x0cb\nc\n", "c\n", "d\n", "a\x0cb\nd\n"),
}


@pytest.mark.parametrize(("old", "search", "replace", "new"), LADDER.values(), ids=LADDER)
def test_a_search_block_finds_its_place(old: str, search: str, replace: str, new: str) -> None:
    assert replaced(old, search, replace) == new


REFUSED: dict[str, tuple[Edit, str]] = {
    "two places": (ReplaceBlock(path="long.txt", search="same\n", replace="x\n"), "2 matches, at lines 1 and 3"),
    "two shifted places": (ReplaceBlock(path="long.txt", search=" y\n", replace="x\n"), "2 matches, at lines 5 and 6"),
    "nowhere": (ReplaceBlock(path="src/app.py", search="qqqq()\n", replace="x\n"), "nothing in it comes close"),
    "nearly": (
        ReplaceBlock(path="src/app.py", search="    a = 2\n    return a\n", replace="x\n"),
        "lines 2 to 3, which",
    ),
    "empty search": (ReplaceBlock(path="notes.txt", search="", replace="x\n"), "SEARCH is empty"),
    "no such file": (ReplaceBlock(path="app.py", search="x\n", replace="y\n"), "did you mean src/app.py"),
    "deleting nothing": (DeleteFile(path="gone.py"), "no such file"),
    "lazy": (WriteFile(path="long.py", content="value_0 = 1\n# ... rest of the file\n"), "would be lost"),
    "lazy dots": (WriteFile(path="long.py", content="value_0 = 1\n# ...\n"), "would be lost"),
    "Python": (WriteFile(path="new.py", content="x = 1\ndef f(:\n"), "new.py: line 2 is not valid Python"),
    "JSON": (WriteFile(path="new.json", content='{"a": 1,}\n'), "line 1 is not valid JSON"),
    "TOML": (WriteFile(path="new.toml", content="a = \n"), "not valid TOML"),
    "NUL": (WriteFile(path="a.txt", content="\0"), "NUL"),
    "surrogate": (WriteFile(path="a.txt", content="\ud800"), "not valid Unicode"),
    "too large": (WriteFile(path="a.txt", content="é" * 600_000), "1 MiB"),
    "parent": (WriteFile(path="../a.py", content=""), "cannot be used"),
    "absolute": (WriteFile(path="/etc/passwd", content=""), "not relative"),
    "git": (WriteFile(path=".git/config", content=""), "belongs to git"),
    "backslash": (WriteFile(path="src\\a.py", content=""), "backslash"),
    "surrogate path": (WriteFile(path="a\udc80.py", content=""), "not valid Unicode"),
    "case twin": (WriteFile(path="Notes.txt", content=""), "upper and lower case"),
    "file for a folder": (WriteFile(path="notes.txt/a.py", content=""), "needs a folder"),
    "file for a folder by case": (WriteFile(path="NOTES.txt/a.py", content=""), "needs a folder"),
    "folder for a file": (WriteFile(path="src", content=""), "a folder of this name"),
}


@pytest.mark.parametrize(("edit", "words"), REFUSED.values(), ids=REFUSED)
def test_an_edit_is_refused_with_its_reason_and_nothing_is_changed(edit: Edit, words: str) -> None:
    files = {**FILES, "long.txt": "same\nx\nsame\nz\n  y\n  y\n"}
    before = dict(files)
    with pytest.raises(EditRefused, match=re.escape(words)) as refused:
        apply_edits(files, [WriteFile(path="fine.py", content="ok = True\n"), edit])
    assert files == before
    assert "were fine: fine.py" in refused.value.complaint


def test_every_fault_of_a_reply_is_named_at_once() -> None:
    with pytest.raises(EditRefused) as refused:
        apply_edits(FILES, [DeleteFile(path="a"), DeleteFile(path="b")])
    assert "- a: there is no such file\n- b: there is no such file" in refused.value.complaint
    assert "*** Delete File: a" in refused.value.reply


def test_edits_build_on_each_other() -> None:
    edits: list[Edit] = [
        WriteFile(path="b.txt", content="x\n"),
        ReplaceBlock(path="b.txt", search="x\n", replace="y\n"),
        DeleteFile(path="notes.txt"),
    ]
    assert apply_edits(FILES, edits).files == {"b.txt": "y\n", "notes.txt": None}


def test_a_file_may_change_its_case_when_the_old_one_goes() -> None:
    edits: list[Edit] = [DeleteFile(path="notes.txt"), WriteFile(path="NOTES.txt", content="x\n")]
    assert apply_edits(FILES, edits).files == {"NOTES.txt": "x\n", "notes.txt": None}


def test_writing_a_file_twice_differently_is_refused() -> None:
    with pytest.raises(EditRefused, match="twice"):
        apply_edits({}, [WriteFile(path="a", content="1\n"), WriteFile(path="a", content="2\n")])


@pytest.mark.parametrize(
    "edit",
    [
        WriteFile(path="notes.txt", content=FILES["notes.txt"]),
        ReplaceBlock(path="notes.txt", search="one\n", replace="one\n"),
    ],
)
def test_changing_nothing_is_no_error(edit: Edit) -> None:
    assert apply_edits(FILES, [edit]).files == {}


@pytest.mark.parametrize(
    ("old", "content", "new"),
    [
        ("a\r\nb\r\n", "a\nc\n", "a\r\nc\r\n"),
        ("a\nb", "a\nc\n", "a\nc"),
        ("\ufeffa\n", "b\n", "\ufeffb\n"),
    ],
)
def test_a_rewritten_file_keeps_its_manner(old: str, content: str, new: str) -> None:
    assert apply_edits({"x.txt": old}, [WriteFile(path="x.txt", content=content)]).files == {"x.txt": new}


def test_a_shorter_file_that_is_whole_is_accepted() -> None:
    assert apply_edits(FILES, [WriteFile(path="long.py", content="value = 0\n")]).files == {"long.py": "value = 0\n"}


lines = st.lists(st.sampled_from(["a", "b", "  a", "c", "", "d “q”"]), min_size=1, max_size=8)


@given(before=lines, wanted=lines, after=lines, new=lines)
def test_a_replacement_touches_nothing_around_it(
    before: list[str], wanted: list[str], after: list[str], new: list[str]
) -> None:
    marked = ["<start>", *wanted, "<end>"]
    old = "".join(f"{line}\n" for line in [*before, *marked, *after])
    search = "".join(f"{line}\n" for line in marked)
    replace = "".join(f"{line}\n" for line in ["<new>", *new])
    got = replaced(old, search, replace)
    assert got == "".join(f"{line}\n" for line in [*before, "<new>", *new, *after])


any_edit = st.one_of(
    st.builds(WriteFile, path=st.sampled_from(["notes.txt", "b/c.txt", "Notes.txt", "../x"]), content=st.just("x\n")),
    st.builds(DeleteFile, path=st.sampled_from(["notes.txt", "gone"])),
    st.builds(
        ReplaceBlock, path=st.just("notes.txt"), search=st.sampled_from(["one\n", "q\n", ""]), replace=st.just("")
    ),
)


@given(st.lists(any_edit, max_size=4))
def test_edits_are_applied_whole_or_not_at_all(edits: list[Edit]) -> None:
    files = dict(FILES)
    try:
        changed = apply_edits(files, edits).files
    except EditRefused:
        changed = {}
    assert files == FILES
    assert set(changed) <= {edit.path for edit in edits}
