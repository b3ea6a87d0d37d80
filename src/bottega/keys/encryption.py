"""Keys at rest: AES-256-GCM, a fresh nonce for every ciphertext, bound to the row it stands in.

A ciphertext that is moved to another row, another person or another provider does not open. An encryption key is named
by a number made from itself, its version, so that keys can be added and dropped without counting them: a row says by
which it was sealed. New rows are sealed by the first key of the ring; the others are there to read older rows until
those have been sealed anew. Nothing here shows a key.
"""

import hashlib
import hmac
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bottega.core.errors import AppError

KEY_BYTES = 32
NONCE_BYTES = 12
FINGERPRINT_LENGTH = 12


class BadEncryptionKey(AppError):
    code = "bad_encryption_key"


class KeyUnreadable(AppError):
    """A kept key does not open: its encryption key is not in the ring, or its row was tampered with."""

    code = "key_unreadable"
    http_status = 503

    def __init__(self, *, row_id: uuid.UUID, provider: str, known_version: bool) -> None:
        why = (
            "its row was changed by other hands: remove it and add it again"
            if known_version
            else "API_KEY_ENCRYPTION_KEY lacks the key it was encrypted with: add that one after the newest"
        )
        super().__init__(f"A key kept for {provider} cannot be read; {why}.")
        self.row_id = row_id
        self.known_version = known_version


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The row a ciphertext belongs to; without a user it is the pool's."""

    row_id: uuid.UUID
    user_id: int | None
    provider: str

    @property
    def bound(self) -> bytes:
        owner = "pool" if self.user_id is None else self.user_id
        return f"api_keys|{self.row_id}|{owner}|{self.provider}".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    ciphertext: bytes = field(repr=False)
    version: int


class Keyring:
    """Encryption keys of 32 bytes, the newest first."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise BadEncryptionKey(f"An encryption key is {KEY_BYTES} bytes; restore the one that was used before.")
        self.newest = version_of(keys[0])
        self._ciphers = {version_of(key): AESGCM(key) for key in keys}

    def seal(self, secret: str, *, place: Place) -> Sealed:
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._ciphers[self.newest].encrypt(nonce, secret.encode(), place.bound)
        return Sealed(ciphertext=nonce + sealed, version=self.newest)

    def open(self, sealed: Sealed, *, place: Place) -> str:
        """Return the secret, or raise KeyUnreadable."""
        cipher = self._ciphers.get(sealed.version)
        if cipher is None:
            raise KeyUnreadable(row_id=place.row_id, provider=place.provider, known_version=False)
        nonce, body = sealed.ciphertext[:NONCE_BYTES], sealed.ciphertext[NONCE_BYTES:]
        try:
            return cipher.decrypt(nonce, body, place.bound).decode()
        except (InvalidTag, ValueError) as error:  # ValueError: too short to hold a nonce
            raise KeyUnreadable(row_id=place.row_id, provider=place.provider, known_version=True) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Vault:
    """What an installation seals its kept keys with, and what it tells them apart by."""

    ring: Keyring = field(repr=False)
    pepper: bytes = field(repr=False)

    def fingerprint(self, secret: str) -> str:
        return fingerprint(secret, key=self.pepper)


def version_of(key: bytes) -> int:
    """Return the number of an encryption key: 31 bits of its hash, which tell nothing of 256 random ones."""
    return int.from_bytes(hashlib.sha256(b"bottega encryption key " + key).digest()[:4]) >> 1


def fingerprint(secret: str, *, key: bytes) -> str:
    """Return 12 hex digits that tell keys apart and give nothing of them away."""
    return hmac.new(key, secret.encode(), hashlib.sha256).hexdigest()[:FINGERPRINT_LENGTH]
