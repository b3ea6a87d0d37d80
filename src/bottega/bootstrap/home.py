"""The installation's folder: its secrets, its embedded database, its archives."""

import contextlib
import hmac
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from bottega.bootstrap.meanwhile import meanwhile
from bottega.config import Settings
from bottega.core.clock import Clock, SystemClock
from bottega.core.errors import AppError
from bottega.db.embedded import EmbeddedPostgres
from bottega.delivery.links import Links
from bottega.delivery.storage import StorageService
from bottega.keys.encryption import Keyring, Vault

SECRET_BYTES = 32


class HomeUnusable(AppError):
    code = "home_unusable"

    def __init__(self, *, home: Path, error: OSError) -> None:
        super().__init__(
            f"The folder {home} cannot be used ({error.strerror}). Make it writable, or set BOTTEGA_HOME to another."
        )


class SecretBroken(AppError):
    code = "secret_broken"

    def __init__(self, path: Path, *, size: int) -> None:
        super().__init__(
            f"The secret in {path} has {size} bytes instead of {SECRET_BYTES}. Restore it from a backup; without one,"
            " remove the file and a new one is made, which opens nothing that the old one closed."
        )


class MissingTokenSecret(AppError):
    code = "missing_token_secret"

    def __init__(self, *, env: str) -> None:
        super().__init__(
            f"JWT_SECRET: it must be set in {env} wherever people sign in: make one with `openssl rand -base64 32`, the"
            " same for every server."
        )


@asynccontextmanager
async def database_url(settings: Settings) -> AsyncIterator[str]:
    """Yield the URL of the configured server, or of the embedded one, which runs while anybody uses it."""
    url = settings.database.url
    if url is not None:
        yield url
        return

    make_home(settings.platform.bottega_home)
    server = EmbeddedPostgres(home=settings.platform.bottega_home, clock=SystemClock())
    try:
        url = await server.start()
        async with meanwhile(server.keep()):
            yield url
    finally:
        await server.stop()


def open_vault(settings: Settings) -> Vault:
    """Return what kept keys are sealed with: as set, else (in development) with a file of this installation."""
    home = settings.platform.bottega_home
    keys = settings.platform.encryption_keys or (_secret(home / "encryption.key"),)
    return Vault(ring=Keyring(keys), pepper=_secret(home / "fingerprint.key"))


def open_token_secrets(settings: Settings) -> tuple[bytes, ...]:
    """Return what tokens are signed with, the newest first: as set, else (in development) a file of this installation.

    Raises:
        MissingTokenSecret: outside development, where several servers may be one installation
    """
    given = settings.access.token_secrets
    if not given and settings.platform.app_env != "development":
        raise MissingTokenSecret(env=settings.platform.app_env)
    return given or (_secret(settings.platform.bottega_home / "tokens.key"),)


def open_storage(settings: Settings, *, clock: Clock) -> StorageService:
    url = settings.delivery.storage_url
    if url is None:
        folder = settings.platform.bottega_home / "storage"
        folder.mkdir(exist_ok=True)
        url = folder.as_uri()
    key = _secret(settings.platform.bottega_home / "signing.key")
    return StorageService(url=url, signing_key=key, clock=clock, options=settings.delivery.s3_options)


def open_links(settings: Settings, *, storage: StorageService, clock: Clock) -> Links:
    endpoint_is_ours = settings.delivery.storage_endpoint is not None  # often a name inside a cluster
    return Links(
        storage=storage, public_url=settings.http.public_url, store_is_public=not endpoint_is_ours, clock=clock
    )


def signup_keys(settings: Settings) -> Callable[[int], str]:
    """Return what names, for good, whose account was given free credits: of a Telegram id only its keyed digest."""
    key = _secret(settings.platform.bottega_home / "signing.key")

    def signup_key(telegram_user_id: int) -> str:
        return f"grant:signup:{hmac.digest(key, f'signup:{telegram_user_id}'.encode(), 'sha256').hex()}"

    return signup_key


def make_home(home: Path) -> None:
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = home / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise HomeUnusable(home=home, error=error) from error


def _secret(path: Path) -> bytes:
    """Return the secret in a file of ours, made on first use; two processes that start at once agree on one.

    It is on the disk before anything can be closed with it. Raise SecretBroken where the file holds something else.
    """
    if not path.exists():
        _make_secret(path)
    secret = path.read_bytes()
    if len(secret) != SECRET_BYTES:  # an empty one would be taken for a key by whoever signs or tells keys apart
        raise SecretBroken(path, size=len(secret))
    return secret


def _make_secret(path: Path) -> None:
    # Not named by the process: those of two containers that share the folder may have one number.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")  # nobody else may ever read it
    fresh = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
    finally:
        fresh.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
