"""What a caller may be allowed. A scope says what a token is good for, a role what its person is."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    PROJECTS_READ = "projects:read"
    PROJECTS_WRITE = "projects:write"
    CREDITS_READ = "credits:read"
    CREDITS_WRITE = "credits:write"
    KEYS_WRITE = "keys:write"
    ADMIN = "admin"


class Role(StrEnum):
    PERSON = "person"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose token was shown, and what it allows now: one of a sign-in, or a personal one (`token_id`)."""

    user_id: int
    role: str
    scopes: frozenset[Scope]
    token_id: uuid.UUID | None = None
    sign_in_id: uuid.UUID | None = None


def allowed(scopes: Iterable[Scope], *, role: str) -> frozenset[Scope]:
    """Return what of the scopes a person of this role may have: `admin` is for admins, whenever it was asked for."""
    return frozenset(scope for scope in scopes if scope is not Scope.ADMIN or role == Role.ADMIN)


EVERYTHING = frozenset(Scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who does something that is put on record. Without a user it is the operator, at the command line."""

    user_id: int | None = None
    token_id: uuid.UUID | None = None
    request_id: str | None = None
