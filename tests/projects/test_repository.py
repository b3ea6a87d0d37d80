import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from threading import Barrier

import pytest

from bottega.projects.paths import UnsafePath
from bottega.projects.repository import HeadMoved, ProjectRepository, UnknownCommit

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
FIRST = {"README.md": b"# Notes\n", "notes/store.py": b"def save():\n    pass\n"}
SECOND = {**FIRST, "notes/search.py": b"def search():\n    pass\n"}


@pytest.fixture
def repository(tmp_path: Path) -> ProjectRepository:
    return ProjectRepository(tmp_path / "deep" / "project.git")


def git(*args: str | Path, cwd: Path | None = None) -> str:
    return subprocess.run(["git", *args], cwd=cwd, check=True, capture_output=True, text=True).stdout


def two_commits(repository: ProjectRepository) -> tuple[str, str]:
    first = repository.commit(files=FIRST, message="Store notes", at=AT, parent=None)
    return first, repository.commit(files=SECOND, message="Search notes", at=AT, parent=first)


def test_what_was_committed_is_read_back(repository: ProjectRepository) -> None:
    first, second = two_commits(repository)
    assert repository.read(first) == FIRST
    assert repository.read(second) == SECOND
    assert [(entry.sha, entry.message, entry.at) for entry in repository.log()] == [
        (second, "Search notes", AT),
        (first, "Store notes", AT),
    ]


def test_an_empty_repository_has_no_head_and_no_log(repository: ProjectRepository) -> None:
    assert repository.head() is None
    assert repository.log() == ()


def test_a_commit_id_depends_on_the_arguments_only(repository: ProjectRepository, tmp_path: Path) -> None:
    elsewhere = ProjectRepository(tmp_path / "elsewhere.git")
    assert two_commits(repository) == two_commits(elsewhere)


def test_the_instant_counts_and_not_the_time_zone(repository: ProjectRepository, tmp_path: Path) -> None:
    elsewhere = ProjectRepository(tmp_path / "elsewhere.git")
    same_instant = AT.astimezone(timezone(timedelta(hours=9)))
    assert repository.commit(files=FIRST, message="x", at=AT, parent=None) == elsewhere.commit(
        files=FIRST, message="x", at=same_instant, parent=None
    )


def test_committing_again_changes_nothing(repository: ProjectRepository) -> None:
    first, second = two_commits(repository)
    assert repository.commit(files=SECOND, message="Search notes", at=AT, parent=first) == second
    assert len(repository.log()) == 2


def test_a_foreign_head_is_an_error_and_stays(repository: ProjectRepository) -> None:
    first, second = two_commits(repository)
    for parent in (first, None):
        with pytest.raises(HeadMoved, match=r"Nothing was changed") as moved:
            repository.commit(files=FIRST, message="Another writer's", at=AT, parent=parent)
        assert (moved.value.expected, moved.value.actual) == (parent, second)
    assert repository.head() == second


@pytest.fixture
def restless_threads() -> Iterator[None]:
    """Let threads take turns as often as they can, so that a race is lost soon."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("restless_threads")
def test_of_many_writers_at_once_exactly_one_moves_main(repository: ProjectRepository) -> None:
    head = repository.commit(files=FIRST, message="Base", at=AT, parent=None)
    for round_ in range(30):
        start = Barrier(4)

        def write(writer: int, *, parent: str = head, message: str = f"Round {round_}", start: Barrier = start) -> str:
            start.wait()
            try:
                return repository.commit(files=SECOND, message=f"{message}, {writer}", at=AT, parent=parent)
            except HeadMoved:
                return ""

        with ThreadPoolExecutor(4) as pool:
            winners = [sha for sha in pool.map(write, range(4)) if sha]
        assert winners == [repository.head()]
        head = winners[0]


def test_a_repository_that_was_being_made_when_its_writer_was_killed_does_not_stop_the_next(
    repository: ProjectRepository, tmp_path: Path
) -> None:
    half = tmp_path / "deep" / ".project.git-killed" / "new"
    half.mkdir(parents=True)
    (half / "config.lock").touch()
    first, second = two_commits(repository)
    assert [entry.sha for entry in repository.log()] == [second, first]
    assert {path.name for path in (tmp_path / "deep").iterdir()} == {"project.git", ".project.git-killed"}


def test_many_who_make_a_repository_at_once_make_one(tmp_path: Path) -> None:
    together = Barrier(8)

    def commit() -> str:
        together.wait()
        repository = ProjectRepository(tmp_path / "project.git")
        return repository.commit(files=FIRST, message="Store notes", at=AT, parent=None)

    with ThreadPoolExecutor(8) as pool:
        shas = {future.result() for future in [pool.submit(commit) for _ in range(8)]}
    assert len(shas) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["project.git"]


@pytest.mark.parametrize("back_to", ["first", "nothing"])
def test_the_lock_of_a_killed_writer_does_not_stop_a_rewind(
    back_to: str, repository: ProjectRepository, tmp_path: Path
) -> None:
    first, _ = two_commits(repository)
    lock = tmp_path / "deep" / "project.git" / "refs" / "heads" / "main.lock"
    lock.write_text("half a")
    repository.rewind(to=first if back_to == "first" else None)
    assert repository.head() == (first if back_to == "first" else None)
    assert not lock.exists()


def test_the_lock_of_a_killed_writer_does_not_stop_the_next(repository: ProjectRepository, tmp_path: Path) -> None:
    first = repository.commit(files=FIRST, message="Store notes", at=AT, parent=None)
    lock = tmp_path / "deep" / "project.git" / "refs" / "heads" / "main.lock"
    lock.write_text("half a")
    second = repository.commit(files=SECOND, message="Search notes", at=AT, parent=first)
    assert repository.head() == second
    assert not lock.exists()


def test_an_unknown_parent_or_commit_is_named(repository: ProjectRepository) -> None:
    with pytest.raises(UnknownCommit, match="ab" * 6):
        repository.commit(files=FIRST, message="x", at=AT, parent="ab" * 20)
    for sha in ("ab" * 20, "HEAD", "zz" * 20, ""):
        with pytest.raises(UnknownCommit):
            repository.read(sha)


def test_rewinding_forgets_a_commit_that_was_never_journaled(repository: ProjectRepository) -> None:
    first, second = two_commits(repository)
    repository.rewind(to=first)
    assert repository.head() == first
    later = repository.commit(files=SECOND, message="Search notes, again", at=AT, parent=first)
    assert later != second
    repository.rewind(to=None)
    assert repository.head() is None
    assert two_commits(repository) == (first, second)


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", ".git/config", "a/.gitattributes", "e\u0301.py"])
def test_unsafe_paths_never_reach_a_tree(repository: ProjectRepository, path: str) -> None:
    with pytest.raises(UnsafePath):
        repository.commit(files={path: b""}, message="x", at=AT, parent=None)
    assert repository.head() is None


def test_the_hosts_git_configuration_is_not_even_read(tmp_path: Path) -> None:
    (tmp_path / ".gitconfig").write_text("[this is not = git configuration\n")
    program = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from bottega.projects.repository import ProjectRepository

repository = ProjectRepository(Path(sys.argv[1]) / "project.git")
repository.commit(files={"a.txt": b"x"}, message="x", at=datetime(2026, 1, 1, tzinfo=UTC), parent=None)
repository.bundle()
"""
    subprocess.run([sys.executable, "-c", program, tmp_path], env={"HOME": str(tmp_path)}, check=True)


def test_git_finds_no_fault_in_the_repository(repository: ProjectRepository, tmp_path: Path) -> None:
    two_commits(repository)
    git("fsck", "--strict", "--no-dangling", cwd=tmp_path / "deep" / "project.git")


def test_a_bundle_verifies_and_clones_with_its_history(repository: ProjectRepository, tmp_path: Path) -> None:
    _, second = two_commits(repository)
    bundle = tmp_path / "notes.bundle"
    bundle.write_bytes(repository.bundle())
    git("bundle", "verify", bundle, cwd=tmp_path / "deep" / "project.git")
    git("clone", "--quiet", bundle, tmp_path / "clone")
    assert git("log", "--format=%H %s %an <%ae>", cwd=tmp_path / "clone").splitlines() == [
        f"{second} Search notes Bottega <bottega@localhost>",
        f"{repository.log()[1].sha} Store notes Bottega <bottega@localhost>",
    ]
    assert (tmp_path / "clone" / "notes" / "search.py").read_bytes() == SECOND["notes/search.py"]
    assert git("branch", "--show-current", cwd=tmp_path / "clone").strip() == "main"


def test_the_same_history_gives_the_same_bundle(repository: ProjectRepository, tmp_path: Path) -> None:
    elsewhere = ProjectRepository(tmp_path / "elsewhere.git")
    for place in (repository, elsewhere):
        parent = None
        for n in range(12):
            files = {f"m{i}.py": f"x = {i}\n".encode() * (n + 40) for i in range(9)}
            parent = place.commit(files=files, message=f"Step {n}", at=AT, parent=parent)
    assert repository.bundle() == elsewhere.bundle() == repository.bundle()


def test_a_bundle_of_nothing_is_refused(repository: ProjectRepository) -> None:
    with pytest.raises(UnknownCommit, match="very beginning"):
        repository.bundle()
