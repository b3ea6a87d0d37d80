from pathlib import Path

import pytest

from bottega.db.cluster import Cluster, InitFailed
from bottega.db.programs import Programs


def test_a_failing_initdb_is_reported_with_its_last_words(tmp_path: Path) -> None:
    programs = Programs(initdb=Path("/bin/ls"), postgres=Path("/bin/ls"))
    with pytest.raises(InitFailed, match="option"):
        Cluster(folder=tmp_path, durable=False).create(programs=programs)
    assert not (tmp_path / "data").exists()
