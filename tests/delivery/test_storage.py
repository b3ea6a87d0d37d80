from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from moto.server import ThreadedMotoServer

from bottega.delivery.storage import (
    BadDownloadLink,
    BadKey,
    StorageMisconfigured,
    StorageService,
    StorageUnavailable,
    UnknownObject,
)

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
AN_HOUR = timedelta(hours=1)
KEY = "archives/5f1c/notes-keeper.zip"


class StoppedClock:
    def __init__(self) -> None:
        self.instant = NOW

    def now(self) -> datetime:
        return self.instant

    def monotonic(self) -> float:
        return self.instant.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.instant += timedelta(seconds=seconds)


def service(
    url: str = "memory:///",
    *,
    key: bytes = b"k" * 32,
    clock: StoppedClock | None = None,
    options: dict[str, str] | None = None,
) -> StorageService:
    return StorageService(url=url, signing_key=key, clock=clock or StoppedClock(), options=options)


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of an S3 of our own, with a bucket named `deliveries`."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    endpoint = f"http://127.0.0.1:{port}"
    httpx2.put(f"{endpoint}/deliveries").raise_for_status()
    yield endpoint
    server.stop()


def on_s3(endpoint: str, *, bucket: str = "deliveries") -> StorageService:
    return service(
        f"s3://{bucket}/some/prefix",
        options={
            "endpoint": endpoint,
            "region": "us-east-1",
            "access_key_id": "anyone",
            "secret_access_key": "anything",
        },
    )


@pytest.fixture(params=["memory", "file", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> StorageService:
    if request.param == "s3":
        return on_s3(request.getfixturevalue("s3"))
    return service("memory:///" if request.param == "memory" else (tmp_path / "new folder").as_uri())


async def test_what_is_put_is_got_replaced_and_deleted(storage: StorageService) -> None:
    assert not await storage.exists(key=KEY)
    await storage.put(key=KEY, content=b"one")
    await storage.put(key=KEY, content=b"two" * 100_000)
    assert await storage.exists(key=KEY)
    assert await storage.get(key=KEY) == b"two" * 100_000
    await storage.delete(key=KEY)
    await storage.delete(key=KEY)
    assert not await storage.exists(key=KEY)
    with pytest.raises(UnknownObject, match="notes-keeper"):
        await storage.get(key=KEY)


@pytest.mark.parametrize(
    "key",
    ["", "/", "a//b", "/etc/passwd", "../up", "a/../../up", ".hidden", "a/.git", "a b", "a\\b", "é", "x" * 301, "a\n"],
)
async def test_a_key_never_leads_out_of_the_store(key: str) -> None:
    storage = service()
    for attempt in (storage.put(key=key, content=b""), storage.get(key=key), storage.exists(key=key)):
        with pytest.raises(BadKey):
            await attempt
    with pytest.raises(BadKey):
        storage.signed_token(key=key, expires_at=NOW + AN_HOUR)


async def test_a_bucket_signs_links_that_anyone_can_open(s3: str) -> None:
    storage = on_s3(s3)
    await storage.put(key=KEY, content=b"the zip")
    url = await storage.presigned_url(key=KEY, lifetime=AN_HOUR)
    assert url is not None
    assert "X-Amz-Expires=3600" in url
    async with httpx2.AsyncClient() as anyone:
        assert (await anyone.get(url)).content == b"the zip"


async def test_a_disk_cannot_sign_links(tmp_path: Path) -> None:
    assert await service(tmp_path.as_uri()).presigned_url(key=KEY, lifetime=AN_HOUR) is None


async def test_a_token_grants_its_key_until_it_expires() -> None:
    clock = StoppedClock()
    storage = service(clock=clock)
    token = storage.signed_token(key=KEY, expires_at=NOW + AN_HOUR)
    assert storage.check_token(token) == KEY
    await clock.sleep(3599)
    assert storage.check_token(token) == KEY
    await clock.sleep(1)
    with pytest.raises(BadDownloadLink, match="expired"):
        storage.check_token(token)


def test_a_token_that_is_not_ours_is_refused() -> None:
    storage = service()
    token = storage.signed_token(key=KEY, expires_at=NOW + AN_HOUR)
    other_key = storage.signed_token(key="archives/other.zip", expires_at=NOW + AN_HOUR)
    expires, key, signature = token.split(".")
    forged = [
        "",
        "..",
        token[:-1],
        f"{int(expires) + 1}.{key}.{signature}",
        f"{expires}.{other_key.split('.')[1]}.{signature}",
        f"{expires}{key[0]}.{key[1:]}.{signature}",
        service(key=b"another" * 5).signed_token(key=KEY, expires_at=NOW + AN_HOUR),
        "é.ü.\udcff",
    ]
    for attempt in forged:
        with pytest.raises(BadDownloadLink, match="not valid"):
            storage.check_token(attempt)


@pytest.mark.parametrize("url", ["ftp://host/x", "https://host/x", "/just/a/path", "s3:bucket", ""])
def test_an_unknown_kind_of_store_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(StorageMisconfigured, match="must begin with one of az, file, gs, memory, s3"):
        service(url)


def test_an_unknown_option_is_refused_at_the_start() -> None:
    with pytest.raises(StorageMisconfigured, match="wrong_option"):
        service("s3://bucket", options={"wrong_option": "x"})


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("gs://bucket/prefix", {"skip_signature": "true"}),
        ("az://container/prefix", {"account_name": "a", "account_key": "YQ=="}),
    ],
)
def test_the_other_clouds_can_be_chosen(url: str, options: dict[str, str]) -> None:
    service(url, options=options)


async def test_a_store_that_fails_is_told_apart_from_a_missing_file(s3: str) -> None:
    with pytest.raises(StorageUnavailable, match="could not store") as failure:
        await on_s3(s3, bucket="no-such-bucket").put(key=KEY, content=b"")
    assert failure.value.http_status == 503
