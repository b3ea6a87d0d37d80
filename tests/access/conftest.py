import pytest

from bottega.db.transaction import Database
from tests.access.scene import Scene, set_scene


@pytest.fixture
def scene(database: Database, database_url: str) -> Scene:
    return set_scene(database, database_url=database_url)
