"""Links under which anybody may fetch a stored file, for a while: where Telegram, say, does not take it.

A link is this installation's own, signed by `StorageService`, where the world can reach it; else the store's own, where
it signs and is a public one; else there is none.
"""

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from bottega.core.clock import Clock
from bottega.delivery.storage import StorageService

LIFETIME = timedelta(days=7)  # the longest for which S3 signs


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    name: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    url: str
    expires_at: datetime


class Links:
    """`store_is_public` tells whether an address of the store itself can be reached from everywhere."""

    def __init__(self, *, storage: StorageService, public_url: str, store_is_public: bool, clock: Clock) -> None:
        self._storage = storage
        self._public_url = public_url.rstrip("/")
        self._store_is_public = store_is_public
        self._clock = clock

    async def to(self, *, key: str) -> str | None:
        """Return a link that works from everywhere, or None."""
        if is_public(self._public_url):
            return self.sign(key=key, lifetime=LIFETIME).url
        return await self._storage.presigned_url(key=key, lifetime=LIFETIME) if self._store_is_public else None

    def sign(self, *, key: str, lifetime: timedelta) -> Link:
        """Return this installation's own link, wherever it can be reached from."""
        expires_at = self._clock.now() + lifetime
        token = self._storage.signed_token(key=key, expires_at=expires_at)
        return Link(url=f"{self._public_url}/download/{token}", expires_at=expires_at)

    async def fetch(self, token: str) -> Download:
        """Return the file of one of our links.

        Raises:
            BadDownloadLink, UnknownObject, StorageUnavailable
        """
        key = self._storage.check_token(token)
        return Download(name=key.rpartition("/")[2], content=await self._storage.get(key=key))


def is_public(url: str) -> bool:
    """Tell whether an address may lead here from outside: one of this machine alone cannot."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return bool(host)
    return not (address.is_loopback or address.is_unspecified)
