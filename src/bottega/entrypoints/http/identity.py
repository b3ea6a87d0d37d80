"""Who calls: every route names the scopes it wants, and gets a Caller or is never reached.

    who: Annotated[Caller, caller(Scope.PROJECTS_READ)]

No token, or one that no longer counts, is 401; a token without a scope is 403. What a token's person may do is read
from the database at each request, so that a suspended account is out at once.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from fastapi import Security
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.requests import Request

from bottega.access.types import Identity, Scope
from bottega.core.errors import AppError

__all__ = ["Caller", "Scope", "caller"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """`token_id` names the personal access token that was shown, if it was one; `scopes` has `admin` for admins only."""

    user_id: int
    scopes: frozenset[Scope]
    role: str
    token_id: uuid.UUID | None


class Doorkeeper(Protocol):
    async def admit(self, token: str) -> Identity:
        """Return whose token it is, or raise an AppError of status 401."""
        ...


class MissingToken(AppError):
    code = "missing_token"
    http_status = 401
    headers: Mapping[str, str] = {"WWW-Authenticate": "Bearer"}

    def __init__(self) -> None:
        super().__init__("Send `Authorization: Bearer TOKEN`: sign in, or make a token with `bottega token create`.")


class MissingScope(AppError):
    code = "missing_scope"
    http_status = 403

    def __init__(self, *missing: Scope) -> None:
        super().__init__(f"This token lacks the scope {', '.join(sorted(missing))}.")
        self.missing = missing


def caller(*scopes: Scope) -> Any:
    """Return the dependency of a route that wants a caller with all these scopes."""

    async def admitted(request: Request, token: str = Security(_bearer)) -> Caller:
        who = await _doorkeeper(request).admit(token)
        missing = set(scopes) - who.scopes
        if missing:
            raise MissingScope(*missing)
        return Caller(user_id=who.user_id, scopes=who.scopes, role=who.role, token_id=who.token_id)

    return Security(admitted, scopes=[str(scope) for scope in scopes])


def _doorkeeper(request: Request) -> Doorkeeper:
    doorkeeper: Doorkeeper = request.app.state.doorkeeper
    return doorkeeper


class _Bearer(SecurityBase):
    def __init__(self) -> None:
        self.model = HTTPBearer(description="A token of a sign-in, or a personal access token (`bott_...`).")
        self.scheme_name = "token"

    async def __call__(self, request: Request) -> str:
        scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise MissingToken
        return token.strip()


_bearer = _Bearer()
