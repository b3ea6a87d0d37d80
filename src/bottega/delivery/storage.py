"""StorageService: where deliveries are kept, on a disk, in memory or in a bucket, chosen by one URL.

Keys are plain relative names and never lead out of the store. A link to an object is either signed by the
store itself (S3, GCS, Azure) or a token signed by us, which our own download endpoint checks before it reads.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, ObjectStore, S3Store, from_url

from bottega.core.clock import Clock
from bottega.core.errors import AppError

_SCHEMES = {"file", "memory", "s3", "gs", "az"}
_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MAX_KEY = 300  # what projects.archive_key holds


class StorageMisconfigured(AppError):
    code = "storage_misconfigured"

    def __init__(self, *, url: str, why: str) -> None:
        super().__init__(f"STORAGE_URL {url!r} cannot be used: {why}.")


class StorageUnavailable(AppError):
    code = "storage_unavailable"
    http_status = 503

    def __init__(self, *, action: str, key: str) -> None:
        super().__init__(f"The file store could not {action} {key!r}. Try again in a moment.")
        self.action = action
        self.key = key


class UnknownObject(AppError):
    code = "unknown_object"
    http_status = 404

    def __init__(self, key: str) -> None:
        super().__init__(f"There is no stored file {key!r}.")
        self.key = key


class BadKey(AppError):
    code = "bad_key"
    http_status = 422

    def __init__(self, key: str) -> None:
        super().__init__(f"{key[:100]!r} cannot name a stored file.")


class BadDownloadLink(AppError):
    code = "bad_download_link"
    http_status = 403


class StorageService:
    """`url` is file:///folder, memory:///, s3://bucket/prefix, gs://... or az://...

    `options` are the store's own (for S3: region, endpoint, access_key_id, secret_access_key, ...). An http:// endpoint
    is taken as said: MinIO in a cluster has no certificate.
    """

    def __init__(self, *, url: str, signing_key: bytes, clock: Clock, options: Mapping[str, str] | None = None) -> None:
        self._store = _open(url, dict(options or {}))
        self._signing_key = signing_key
        self._clock = clock

    async def put(self, *, key: str, content: bytes) -> None:
        """Store `content`, replacing what was there; a reader sees the old or the new, never a part."""
        _check_key(key)
        try:
            await obstore.put_async(self._store, key, content)
        except (BaseError, OSError) as error:
            raise StorageUnavailable(action="store", key=key) from error

    async def get(self, *, key: str) -> bytes:
        _check_key(key)
        try:
            found = await obstore.get_async(self._store, key)
            return bytes(await found.bytes_async())
        except FileNotFoundError as error:
            raise UnknownObject(key) from error
        except (BaseError, OSError) as error:
            raise StorageUnavailable(action="read", key=key) from error

    async def exists(self, *, key: str) -> bool:
        _check_key(key)
        try:
            await obstore.head_async(self._store, key)
        except FileNotFoundError:
            return False
        except (BaseError, OSError) as error:
            raise StorageUnavailable(action="look up", key=key) from error
        return True

    async def delete(self, *, key: str) -> None:
        """Delete an object; one that is not there is deleted already."""
        _check_key(key)
        try:
            await obstore.delete_async(self._store, key)
        except FileNotFoundError:
            return
        except (BaseError, OSError) as error:
            raise StorageUnavailable(action="delete", key=key) from error

    async def presigned_url(self, *, key: str, lifetime: timedelta) -> str | None:
        """Return a link the store itself honours, or None where it cannot sign; then use `signed_token`."""
        _check_key(key)
        if not isinstance(self._store, S3Store | GCSStore | AzureStore):
            return None
        try:
            return await obstore.sign_async(self._store, "GET", key, lifetime)
        except (BaseError, OSError) as error:
            raise StorageUnavailable(action="sign a link to", key=key) from error

    def signed_token(self, *, key: str, expires_at: datetime) -> str:
        """Return a URL-safe token that `check_token` turns back into `key` until `expires_at`."""
        _check_key(key)
        payload = f"{int(expires_at.timestamp())}.{_encode(key.encode())}"
        return f"{payload}.{self._signature(payload)}"

    def check_token(self, token: str) -> str:
        """Return the key a token grants; raise BadDownloadLink for one that is not ours or is too old."""
        payload, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature.encode(errors="replace"), self._signature(payload).encode()):
            raise BadDownloadLink("This download link is not valid. Ask for a new one.")
        expires, _, key = payload.partition(".")
        if self._clock.now().timestamp() >= int(expires):
            raise BadDownloadLink("This download link has expired. Ask for a new one.")
        return base64.urlsafe_b64decode(key + "=" * (-len(key) % 4)).decode()

    def _signature(self, payload: str) -> str:
        message = b"bottega download link\0" + payload.encode(errors="replace")
        return _encode(hmac.digest(self._signing_key, message, hashlib.sha256))


def _open(url: str, options: dict[str, Any]) -> ObjectStore:
    scheme = url.partition("://")[0]
    if scheme not in _SCHEMES:
        raise StorageMisconfigured(url=url, why=f"it must begin with one of {', '.join(sorted(_SCHEMES))}")
    try:
        if scheme == "file":
            return from_url(url, mkdir=True)
        if scheme == "memory":
            return from_url(url)
        plain_http = options.get("endpoint", "").startswith("http://")
        return from_url(
            url,
            client_options={"connect_timeout": "10s", "timeout": "120s", "allow_http": plain_http},
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=60)},
            **options,
        )
    except (BaseError, OSError, ValueError) as error:
        raise StorageMisconfigured(url=url, why=str(error).splitlines()[0].rstrip(".")) from error


def _check_key(key: str) -> None:
    if len(key) > _MAX_KEY or not all(_SEGMENT.fullmatch(segment) for segment in key.split("/")):
        raise BadKey(key)


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
