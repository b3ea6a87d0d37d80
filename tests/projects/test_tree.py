import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottega.projects.repository import ProjectRepository
from bottega.projects.tree import PathConflict, tree_hash

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

names = st.sampled_from(["a", "a-b", "a.py", "a0", "b", "é", "Z"])
paths = st.lists(names, min_size=1, max_size=4).map("/".join)


def git_says(files: dict[str, bytes], folder: Path) -> str:
    """The tree git itself writes for the same files on a disk."""
    subprocess.run(["git", "init", "-q", folder], check=True)
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    subprocess.run(["git", "-C", folder, "-c", "core.autocrlf=false", "add", "-A"], check=True)
    told = subprocess.run(["git", "-C", folder, "write-tree"], check=True, capture_output=True, text=True)
    return told.stdout.strip()


def test_no_files_are_the_empty_tree() -> None:
    assert tree_hash({}) == EMPTY_TREE


@pytest.mark.parametrize(
    "files",
    [
        {"README.md": b"hello\n"},
        {"a/b/c/d.txt": b"deep", "a/b.txt": b"", "z": b"\x00\xff binary"},
        {"foo/x": b"1", "foo-bar": b"2", "foo.py": b"3", "foo0": b"4"},  # where git's order is not the alphabet's
        {"über/straße.py": b"\r\n", "日本.md": b"x"},
    ],
)
def test_the_hash_is_the_one_git_computes(files: dict[str, bytes], tmp_path: Path) -> None:
    assert tree_hash(files) == git_says(files, tmp_path)


@given(files=st.dictionaries(paths, st.binary(max_size=8), max_size=8))
def test_a_commit_holds_the_tree_of_that_hash(
    files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    if any(other.startswith(f"{path}/") for path in files for other in files):
        with pytest.raises(PathConflict):
            tree_hash(files)
        return
    repository = ProjectRepository(tmp_path_factory.mktemp("any") / "repo.git")
    sha = repository.commit(files=files, message="Any", at=AT, parent=None)
    assert repository.log()[0].tree_hash == tree_hash(files)
    assert repository.read(sha) == files


@given(files=st.dictionaries(paths, st.binary(max_size=8), min_size=1, max_size=8), data=st.data())
def test_any_change_of_a_byte_changes_the_hash(files: dict[str, bytes], data: st.DataObject) -> None:
    if any(other.startswith(f"{path}/") for path in files for other in files):
        return
    path = data.draw(st.sampled_from(sorted(files)))
    assert tree_hash({**files, path: files[path] + b"!"}) != tree_hash(files)


def test_a_path_that_is_a_file_and_a_folder_is_named() -> None:
    with pytest.raises(PathConflict, match=r"'src/a' is both a file and a folder"):
        tree_hash({"src/a": b"", "src/a/b.py": b""})
