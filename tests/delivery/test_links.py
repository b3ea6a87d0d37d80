"""Links to stored files: ours where the world reaches us, the store's own elsewhere, none where neither is."""

from datetime import UTC, datetime, timedelta

import pytest

from bottega.delivery.links import LIFETIME, Links, is_public
from bottega.delivery.storage import BadDownloadLink, StorageService, UnknownObject


class StillClock:
    def __init__(self) -> None:
        self.at = datetime(2026, 11, 21, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def shop(clock: StillClock, *, public_url: str = "https://b.example", store: str = "memory:///") -> Links:
    options = {"region": "eu", "access_key_id": "a", "secret_access_key": "b"} if store.startswith("s3") else {}
    storage = StorageService(url=store, signing_key=b"k" * 32, clock=clock, options=options)
    return Links(storage=storage, public_url=public_url, store_is_public=store.startswith("s3"), clock=clock)


async def test_a_link_of_ours_leads_to_the_file_for_a_week_and_no_longer() -> None:
    clock = StillClock()
    links = shop(clock)
    await links._storage.put(key="projects/a/to-do.zip", content=b"zip")
    link = await links.to(key="projects/a/to-do.zip")
    assert link is not None
    root, _, token = link.rpartition("/")
    assert root == "https://b.example/download"
    found = await links.fetch(token)
    assert (found.name, found.content) == ("to-do.zip", b"zip")
    clock.at += LIFETIME
    with pytest.raises(BadDownloadLink, match="expired"):
        await links.fetch(token)


@pytest.mark.parametrize("change", ["", "x", "{token}x", "x{token}", "1.{token}", "..", "\udcff", "9" * 5000])
async def test_a_link_that_is_not_ours_leads_nowhere(change: str) -> None:
    links = shop(StillClock())
    await links._storage.put(key="a.zip", content=b"zip")
    token = str(await links.to(key="a.zip")).rpartition("/")[2]
    with pytest.raises(BadDownloadLink):
        await links.fetch(change.replace("{token}", token))


async def test_a_link_to_what_was_deleted_says_so() -> None:
    links = shop(StillClock())
    with pytest.raises(UnknownObject):
        await links.fetch(str(await links.to(key="a.zip")).rpartition("/")[2])


async def test_without_a_public_address_the_store_signs_or_there_is_none() -> None:
    assert await shop(StillClock(), public_url="http://127.0.0.1:8080").to(key="a.zip") is None
    signed = await shop(StillClock(), public_url="http://localhost:8080", store="s3://bucket/x").to(key="a.zip")
    assert signed is not None
    assert "X-Amz-Signature" in signed


@pytest.mark.parametrize(
    ("url", "is_one"),
    [
        ("https://b.example", True),
        ("http://10.0.0.7:8080", True),
        ("http://127.0.0.1:8080", False),
        ("http://[::1]:8080", False),
        ("http://0.0.0.0", False),
        ("http://localhost", False),
        ("http://x.localhost", False),
        ("", False),
    ],
)
def test_an_address_of_this_machine_alone_is_no_public_one(url: str, is_one: bool) -> None:  # noqa: FBT001
    assert is_public(url) is is_one
