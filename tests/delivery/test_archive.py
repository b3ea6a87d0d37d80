import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottega.delivery.archive import build_archive, slug
from bottega.projects.paths import UnsafePath, safe_path

OURS = {"TODO.md", "TESTS.md", "RECEIPT.md", "notes.bundle"}


def archive_of(files: dict[str, bytes]) -> bytes:
    return build_archive(
        name="notes", files=files, todo_md="todo", tests_md="tests", receipt_md="receipt", bundle=b"bundle"
    )


def unpacked(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name) for name in opened.namelist()}


def test_the_project_and_our_papers_are_in_one_folder() -> None:
    files = {"README.md": b"# Notes\n", "notes/store.py": b"x = 1\n", "über/é.txt": b""}
    assert unpacked(archive_of(files)) == {
        "notes/README.md": b"# Notes\n",
        "notes/notes/store.py": b"x = 1\n",
        "notes/über/é.txt": b"",
        "notes/TODO.md": b"todo",
        "notes/TESTS.md": b"tests",
        "notes/RECEIPT.md": b"receipt",
        "notes/notes.bundle": b"bundle",
    }


def test_the_same_input_gives_the_same_bytes_in_any_order() -> None:
    files = {"b.py": b"b" * 5000, "a.py": b"a", "c/d.py": b"d"}
    assert archive_of(files) == archive_of(dict(reversed(files.items()))) == archive_of(files)


def test_every_entry_is_a_plain_file_of_1980() -> None:
    with zipfile.ZipFile(io.BytesIO(archive_of({"run.sh": b"#!/bin/sh\n"}))) as opened:
        for info in opened.infolist():
            assert (info.date_time, info.external_attr >> 16, info.create_system) == (
                (1980, 1, 1, 0, 0, 0),
                0o100644,
                3,
            )


@pytest.mark.parametrize(
    ("theirs", "where_ours_go"),
    [
        ({"TODO.md": b"mine"}, {"bottega/TODO.md", "TESTS.md", "RECEIPT.md", "notes.bundle"}),
        ({"todo.MD": b"mine"}, {"bottega/TODO.md", "TESTS.md", "RECEIPT.md", "notes.bundle"}),
        ({"TESTS.md/a.py": b"mine"}, {"TODO.md", "bottega/TESTS.md", "RECEIPT.md", "notes.bundle"}),
        ({"TODO.md": b"1", "bottega": b"2"}, {"bottega-2/TODO.md", "TESTS.md", "RECEIPT.md", "notes.bundle"}),
        (
            {"TODO.md": b"1", "bottega/todo.md": b"2", "bottega-2/TODO.md": b"3"},
            {"bottega-3/TODO.md", "TESTS.md", "RECEIPT.md", "notes.bundle"},
        ),
        ({"notes.bundle": b"mine"}, {"TODO.md", "TESTS.md", "RECEIPT.md", "bottega/notes.bundle"}),
    ],
)
def test_the_projects_own_file_keeps_its_name_and_ours_gives_way(
    theirs: dict[str, bytes], where_ours_go: set[str]
) -> None:
    content = unpacked(archive_of(theirs))
    assert {path: content[f"notes/{path}"] for path in theirs} == theirs
    assert set(content) == {f"notes/{path}" for path in theirs.keys() | where_ours_go}


names = st.sampled_from(["TODO.md", "todo.md", "TESTS.md", "bottega", "bottega-2", "notes.bundle", "a"])
paths = st.lists(names, min_size=1, max_size=3).map("/".join)


@given(files=st.dictionaries(paths, st.binary(max_size=3), max_size=6))
def test_nothing_of_the_project_is_lost_and_no_two_entries_meet(files: dict[str, bytes]) -> None:
    content = unpacked(archive_of(files))
    assert len(content) == len(files) + len(OURS)
    assert {path: content[f"notes/{path}"] for path in files} == files
    ours = [path for path in content if path.removeprefix("notes/") not in files]
    for mine in ours:
        others = [path.casefold() for path in content if path != mine]
        assert not any(f"{mine.casefold()}/".startswith(f"{o}/") or o.startswith(f"{mine.casefold()}/") for o in others)


def test_a_path_out_of_the_folder_is_refused() -> None:
    with pytest.raises(UnsafePath):
        archive_of({"../evil": b""})


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Notes Keeper", "notes-keeper"),
        ("  Café – Menü 2.0! ", "cafe-menu-2-0"),
        ("../../etc/passwd", "etc-passwd"),
        ("宿題", "project"),
        ("", "project"),
        ("CON", "project-con"),
        ("x" * 100, "x" * 60),
        ("a" * 59 + " b", "a" * 59),
    ],
)
def test_a_slug_is_readable_and_safe(title: str, name: str) -> None:
    assert slug(title) == name


@given(st.text())
def test_any_title_has_a_safe_slug(title: str) -> None:
    name = slug(title)
    assert name == safe_path(name) == slug(name)
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
