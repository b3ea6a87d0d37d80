"""Who calls: every route names the scopes it wants, and gets a Caller or is never reached.

    who: Annotated[Caller, caller(Scope.PROJECTS_READ)]

No token, or one that no longer counts, is 401; a token without a scope is 403; too many requests of an address or a
person are 429. What a token's person may do is read from the database at each request, so that a suspended account is
out at once. Wants `app.state.access` (see application.py).
"""

import uuid
from dataclasses import dataclass
from typing import Any

import structlog
from fastapi import Security
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.requests import Request

from bottega.access.service import Access
from bottega.access.signing import InvalidToken
from bottega.access.types import Actor, Identity, Scope
from bottega.core.errors import AppError
from bottega.entrypoints.http.protection import answer_with
from bottega.entrypoints.http.throttling import count_address, count_person

__all__ = ["Caller", "Scope", "actor_of", "admitted", "bearer", "caller", "identity_of"]

_ADMITTED = "bottega.admitted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """`token_id` names the personal token that was shown, if it was one. Only admins' `scopes` have `admin`."""

    user_id: int
    scopes: frozenset[Scope]
    role: str
    token_id: uuid.UUID | None


class MissingToken(AppError):
    code = "missing_token"
    http_status = 401

    def __init__(self) -> None:
        super().__init__("Send `Authorization: Bearer TOKEN`: sign in, or make one with `bottega token create NAME`.")


class MissingScope(AppError):
    code = "missing_scope"
    http_status = 403

    def __init__(self, *missing: Scope) -> None:
        named = " ".join(f"--scope {scope}" for scope in sorted(missing))
        super().__init__(
            f"This token lacks the scope {', '.join(sorted(missing))}. Make one that has it: `bottega token create NAME"
            f" {named}`, with --scope again for whatever else it is to do."
        )
        self.missing = missing


def caller(*scopes: Scope) -> Any:
    """Return the dependency of a route that wants a caller with all these scopes."""

    async def allowed(request: Request, _: str = Security(bearer)) -> Caller:
        who = await admitted(request)
        missing = set(scopes) - who.scopes
        if missing:
            wanted = " ".join(sorted(scopes))
            answer_with(request, "WWW-Authenticate", f'Bearer error="insufficient_scope", scope="{wanted}"')
            raise MissingScope(*missing)
        return who

    return Security(allowed, scopes=[str(scope) for scope in scopes])


async def admitted(request: Request) -> Caller:
    """Return who asks, found out and counted once for a request. Raise MissingToken, InvalidToken, TooManyRequests."""
    known: Caller | None = request.scope.get(_ADMITTED)
    if known is None:
        access: Access = request.app.state.access
        token = await bearer(request)
        await count_address(request, access)
        who = await _admitted(request, access, token)
        structlog.contextvars.bind_contextvars(user_id=who.user_id)
        await count_person(request, access, user_id=who.user_id)
        known = Caller(user_id=who.user_id, scopes=who.scopes, role=who.role, token_id=who.token_id)
        request.scope[_ADMITTED] = known
    return known


def identity_of(who: Caller) -> Identity:
    return Identity(user_id=who.user_id, role=who.role, scopes=who.scopes, token_id=who.token_id)


def actor_of(who: Caller) -> Actor:
    """Return a caller as the audit log names them, with the id of the request that is being answered."""
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    return Actor(user_id=who.user_id, token_id=who.token_id, request_id=request_id)


async def _admitted(request: Request, access: Access, token: str) -> Identity:
    try:
        return await access.door.admit(token)
    except InvalidToken:
        answer_with(request, "WWW-Authenticate", 'Bearer error="invalid_token"')
        raise


class _Bearer(SecurityBase):
    def __init__(self) -> None:
        self.model = HTTPBearer(description="A token of a sign-in, or a personal access token (`bott_...`).")
        self.scheme_name = "token"

    async def __call__(self, request: Request) -> str:
        scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            answer_with(request, "WWW-Authenticate", "Bearer")
            raise MissingToken
        return token.strip()


bearer = _Bearer()
