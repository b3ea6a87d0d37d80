"""Access tokens: what a sign-in shows with each request for a quarter of an hour. PyJWT is used here and nowhere else.

A token has one algorithm, HS256, and a header of three fields, whatever it says itself. New tokens are signed by the
newest key; older keys only verify, so a key is replaced by putting a new one first and dropping the old one when its
last token has expired. A key is named by its `kid`, made from the key; what is signed with is derived from it, so that
a secret which is used elsewhere too gives nothing away here. All that is wrong with a token is one refusal.
"""

import hashlib
import hmac
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bottega.access.types import Scope
from bottega.core.clock import Clock
from bottega.core.errors import AppError
from bottega.core.ids import new_id

ACCESS_SECONDS = 15 * 60
LEEWAY_SECONDS = 5  # between the clocks of two servers
LONGEST_TOKEN = 2000  # characters; ours have some 450
SECRET_BYTES = 32
AUDIENCE = "bottega"
_ALGORITHM = "HS256"
_TYPE = "at+jwt"  # RFC 9068
_CLAIMS = ("iss", "aud", "sub", "sid", "jti", "iat", "nbf", "exp", "scope")
_LARGEST_USER_ID = 2**31 - 1


class InvalidToken(AppError):
    code = "invalid_token"
    http_status = 401

    def __init__(self) -> None:
        super().__init__("The token is unknown, expired or revoked. Sign in again, or make a new one.")


class BadTokenSecret(AppError):
    code = "bad_token_secret"

    def __init__(self) -> None:
        super().__init__(f"A secret that tokens are signed with is {SECRET_BYTES} bytes, and one is needed.")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    token: str = field(repr=False)
    expires_in_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    user_id: int
    sign_in_id: uuid.UUID
    scopes: frozenset[Scope]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    kid: str
    signing: bytes = field(repr=False)
    chaining: bytes = field(repr=False)
    hiding: bytes = field(repr=False)


class TokenKeys:
    """The installation's secrets for tokens, the newest first. `issuer` is the installation's own address."""

    def __init__(self, secrets: Sequence[bytes], *, issuer: str, clock: Clock) -> None:
        if not secrets or any(len(secret) != SECRET_BYTES for secret in secrets):
            raise BadTokenSecret
        self._keys = {key.kid: key for key in map(_derived, secrets)}
        self._newest = next(iter(self._keys.values()))
        self._issuer = issuer
        self._clock = clock

    def sign(self, claims: Claims) -> AccessToken:
        now = int(self._clock.now().timestamp())
        said = {
            "iss": self._issuer,
            "aud": AUDIENCE,
            "sub": str(claims.user_id),
            "sid": str(claims.sign_in_id),
            "jti": new_id().hex,
            "iat": now,
            "nbf": now,
            "exp": now + ACCESS_SECONDS,
            "scope": " ".join(sorted(claims.scopes)),
        }
        headers = {"kid": self._newest.kid, "typ": _TYPE}
        token = jwt.encode(said, self._newest.signing, algorithm=_ALGORITHM, headers=headers)
        return AccessToken(token=token, expires_in_seconds=ACCESS_SECONDS)

    def read(self, token: str) -> Claims:
        """Return what a token says, if it is one of ours and its time is now. Raise InvalidToken."""
        if len(token) > LONGEST_TOKEN or not token.isascii():
            raise InvalidToken
        try:
            key = self._keys[_kid(jwt.get_unverified_header(token))]
            said = jwt.decode(
                token,
                key.signing,
                algorithms=[_ALGORITHM],
                audience=AUDIENCE,
                issuer=self._issuer,
                # The three times are compared below, with our Clock.
                options={"require": list(_CLAIMS), "verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
            return self._claims(said)
        except (jwt.PyJWTError, KeyError, ValueError, TypeError, RecursionError) as error:
            raise InvalidToken from error

    def _claims(self, said: Mapping[str, Any]) -> Claims:
        now = self._clock.now().timestamp()
        begins, expires = max(_instant(said["iat"]), _instant(said["nbf"])), _instant(said["exp"])
        if not begins - LEEWAY_SECONDS <= now < expires + LEEWAY_SECONDS:
            raise InvalidToken
        user_id, sign_in, scope = int(said["sub"]), said["sid"], said["scope"]
        if not isinstance(sign_in, str) or not isinstance(scope, str):
            raise InvalidToken
        if not 0 < user_id <= _LARGEST_USER_ID:
            raise InvalidToken
        return Claims(
            user_id=user_id,
            sign_in_id=uuid.UUID(sign_in),
            scopes=frozenset(map(Scope, scope.split())),
        )

    def successors(self, token: str) -> tuple[bytes, ...]:
        """Return what a refresh token is followed by, under each key, the newest first: 32 bytes nobody else can tell.

        The same token has the same successor for as long as its key is known, so that an answer that was lost can be
        given again though only hashes are kept.
        """
        return tuple(_mac(key.chaining, token) for key in self._keys.values())

    def hidden(self, text: str) -> tuple[str, ...]:
        """Return what is kept of a text that could be guessed, such as a code, under each key, the newest first."""
        return tuple(_mac(key.hiding, text).hex() for key in self._keys.values())


def _kid(header: Mapping[str, Any]) -> str:
    """Return which key a token names; a header that is not just as we write it raises ValueError."""
    kid = header.get("kid")
    if set(header) != {"alg", "typ", "kid"} or header["alg"] != _ALGORITHM or header["typ"] != _TYPE:
        raise ValueError("not a header of ours")
    if not isinstance(kid, str):
        raise TypeError("a kid is a text")
    return kid


def _instant(value: object) -> int:
    if type(value) is not int:  # neither true, nor a fraction, nor NaN
        raise TypeError("an instant is a whole number")
    return value


def _derived(secret: bytes) -> _Key:
    def derive(purpose: bytes) -> bytes:
        return HKDF(algorithm=SHA256(), length=SECRET_BYTES, salt=None, info=b"bottega " + purpose).derive(secret)

    kid = hashlib.sha256(b"bottega token key " + secret).hexdigest()[:16]
    return _Key(kid=kid, signing=derive(b"access"), chaining=derive(b"refresh"), hiding=derive(b"hidden"))


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
