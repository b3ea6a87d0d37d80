"""Tokens that must not count: forged, altered, ended, or another kind's. Each is one step away from one that does."""

import base64
import hashlib
import json
import uuid
from collections.abc import Mapping
from typing import Any

import jwt

from bottega.access import opaque
from bottega.access.signing import AccessToken, TokenKeys
from bottega.core.clock import SystemClock


def altered(keys: TokenKeys, good: str, *, algorithm: str = "HS256", header: Any = None, **claims: Any) -> str:
    """Return a token like a good one, signed with our own key, with some claims changed, or dropped where `...`."""
    said = jwt.decode(good, options={"verify_signature": False}) | claims
    given = {"typ": "at+jwt", "kid": keys._newest.kid, **(header or {})}
    key = keys._newest.signing * 2  # long enough for every algorithm of the family
    return jwt.encode(
        {name: value for name, value in said.items() if value is not ...},
        key if algorithm != "HS256" else keys._newest.signing,
        algorithm=algorithm,
        headers=given,
    )


def forgeries(keys: TokenKeys, access: AccessToken) -> Mapping[str, str]:
    """Return, by what is wrong with it, what somebody may make of a good access token."""
    good = access.token
    header, payload, signature = good.split(".")
    said = jwt.decode(good, options={"verify_signature": False})
    more = {**said, "scope": f"{said['scope']} admin", "sub": "1"}
    now = said["iat"]
    strangers = TokenKeys([hashlib.sha256(b"a stranger").digest()], issuer=said["iss"], clock=SystemClock())
    none = encoded({"alg": "none", "typ": "at+jwt", "kid": keys._newest.kid})
    return {
        "expired": altered(keys, good, iat=now - 2000, nbf=now - 2000, exp=now - 60),
        "of tomorrow": altered(keys, good, iat=now + 86400, nbf=now + 86400, exp=now + 90000),
        "without an end": altered(keys, good, exp=...),
        "signature altered": f"{header}.{payload}.{signature[:-2]}{'AA' if signature[-2:] != 'AA' else 'BA'}",
        "signature cut off": f"{header}.{payload}.",
        "payload altered": f"{header}.{encoded(more)}.{signature}",
        "of a key that is none": altered(keys, good, header={"kid": "0" * 16}),
        "of a key that is a path": altered(keys, good, header={"kid": "../../../../dev/null"}),
        "signed by a stranger": resigned(strangers, said, kid=strangers._newest.kid),
        "signed by a stranger in our name": resigned(strangers, said, kid=keys._newest.kid),
        "with a key of its own": altered(keys, good, header={"jwk": {"kty": "oct", "k": "AAAA"}}),
        "none, unsigned": f"{none}.{payload}.",
        "none, with a signature": f"{none}.{payload}.{signature}",
        "another algorithm": altered(keys, good, algorithm="HS512"),
        "for another audience": altered(keys, good, aud="elsewhere"),
        "of another issuer": altered(keys, good, iss="https://elsewhere.test"),
        "of a sign-in that is none": altered(keys, good, sid=str(uuid.UUID(int=1))),
        "a personal token of nobody": opaque.make(opaque.PERSONAL),
        "a refresh token": opaque.make(opaque.REFRESH),
        "nonsense": "a.b.c",
        "huge": "a" * 9000,
    }


def resigned(keys: TokenKeys, said: Mapping[str, Any], *, kid: str) -> str:
    header = {"typ": "at+jwt", "kid": kid}
    return jwt.encode(dict(said), keys._newest.signing, algorithm="HS256", headers=header)


def encoded(part: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
