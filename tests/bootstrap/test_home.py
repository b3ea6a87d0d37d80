"""The secrets of an installation: made once, whole, and read by nobody else."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from bottega.bootstrap.home import SecretBroken, open_storage, open_vault
from bottega.config import Settings
from bottega.core.clock import SystemClock
from bottega.keys.encryption import Vault


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("API_KEY_ENCRYPTION_KEY", raising=False)
    loaded = Settings.load()
    return replace(loaded, platform=loaded.platform.model_copy(update={"bottega_home": tmp_path}))


def same(one: Vault, two: Vault) -> bool:
    return (one.ring.newest, one.pepper) == (two.ring.newest, two.pepper)


def test_the_secrets_are_made_once_for_the_owner_alone(settings: Settings, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        first = open_vault(settings)
    finally:
        os.umask(before)
    assert same(first, open_vault(settings))
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"encryption.key": 0o600, "fingerprint.key": 0o600}


def test_two_that_start_at_once_under_one_process_number_agree(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in two containers that share the folder: each is process 1 of its own."""
    twins: list[Vault] = []
    link = os.link

    def interrupted(source: Any, target: Any) -> None:
        monkeypatch.setattr(os, "link", link)
        twins.append(open_vault(settings))
        link(source, target)

    monkeypatch.setattr(os, "link", interrupted)
    assert same(open_vault(settings), twins[0])


def test_a_secret_is_on_the_disk_before_it_has_its_name(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was encrypted with a key that a power cut takes back is lost."""
    written: list[int] = []
    link, fsync = os.link, os.fsync

    def synced(descriptor: int) -> None:
        written.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def linked(source: Any, target: Any) -> None:
        assert Path(source).stat().st_ino in written
        link(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "link", linked)
    open_vault(settings)
    assert tmp_path.stat().st_ino in written


@pytest.mark.parametrize("name", ["encryption.key", "fingerprint.key"])
@pytest.mark.parametrize("left", [b"", b"half of it"])
def test_a_secret_that_was_cut_short_is_not_used(settings: Settings, tmp_path: Path, name: str, left: bytes) -> None:
    (tmp_path / name).write_bytes(left)
    with pytest.raises(SecretBroken, match=name):
        open_vault(settings)
    assert (tmp_path / name).read_bytes() == left


@pytest.fixture
def bucket() -> Iterator[str]:
    """The address of an S3 of our own that speaks plain HTTP, with a bucket named `bottega`."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    httpx2.put(f"http://{host}:{port}/bottega").raise_for_status()
    yield f"http://{host}:{port}"
    server.stop()


async def test_archives_go_to_the_s3_server_that_the_settings_name(settings: Settings, bucket: str) -> None:
    changes = {
        "storage_url": "s3://bottega/archives",
        "storage_endpoint": bucket,
        "storage_region": "us-east-1",
        "storage_access_key_id": SecretStr("an-id"),
        "storage_secret_access_key": SecretStr("a-secret"),
    }
    elsewhere = replace(settings, delivery=settings.delivery.model_copy(update=changes))
    await open_storage(elsewhere, clock=SystemClock()).put(key="one.zip", content=b"PK")
    assert await open_storage(elsewhere, clock=SystemClock()).get(key="one.zip") == b"PK"
