"""The routes of personal access tokens: make one, see them, end one."""

import uuid
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field, PlainSerializer, StrictInt, StrictStr

from bottega.access import personal_tokens
from bottega.access.personal_tokens import LONGEST_DAYS, LONGEST_NAME, WantedToken
from bottega.access.service import Access
from bottega.entrypoints.http.api.route import ApiRoute
from bottega.entrypoints.http.api.wire import Asked, Told, problems
from bottega.entrypoints.http.identity import Caller, Scope, caller, identity_of

DEFAULT_DAYS = 90
TokenId = Annotated[uuid.UUID, Path(description="The token's id, as the list shows it.")]
_Sorted = Annotated[frozenset[Scope], PlainSerializer(sorted, return_type=list[Scope])]


class TokenWanted(Asked):
    name: Annotated[StrictStr, Field(min_length=1, max_length=LONGEST_NAME, examples=["build server"])]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(Scope), examples=[["projects:read"]])]
    days: Annotated[StrictInt, Field(ge=1, le=LONGEST_DAYS, description="How long it lives.")] = DEFAULT_DAYS


class TokenKept(Told):
    """`last_used_at` is right to the hour."""

    id: uuid.UUID
    name: str
    scopes: _Sorted
    created_at: datetime
    expires_at: datetime
    is_expired: bool
    last_used_at: datetime | None


class TokenMade(TokenKept):
    token: Annotated[str, Field(description="Shown this once.", examples=["bott_..."])]


class TokensKept(Told):
    items: list[TokenKept]


def token_routes(access: Access) -> APIRouter:
    router = APIRouter(prefix="/tokens", tags=["Tokens"], route_class=ApiRoute)

    @router.get("")
    async def list_tokens(who: Annotated[Caller, caller(Scope.KEYS_WRITE)]) -> TokensKept:
        """List your tokens that are not revoked."""
        async with access.database.reading() as session:
            kept = await personal_tokens.kept_for(session, user_id=who.user_id)
        return TokensKept(items=[TokenKept.model_validate(token) for token in kept])

    @router.post("", status_code=201, responses=problems(409))
    async def create_token(body: TokenWanted, who: Annotated[Caller, caller(Scope.KEYS_WRITE)]) -> TokenMade:
        """Make a token with scopes of your own. It is shown this once."""
        wanted = WantedToken(name=body.name, scopes=frozenset(body.scopes), days=body.days)
        async with access.database.transaction() as session:
            made = await personal_tokens.create(session, maker=identity_of(who), wanted=wanted)
        return TokenMade(**asdict(made.kept), token=made.token)

    @router.delete("/{token_id}", status_code=204, responses=problems(404))
    async def revoke_token(token_id: TokenId, who: Annotated[Caller, caller(Scope.KEYS_WRITE)]) -> None:
        """End one of your tokens now."""
        async with access.database.transaction() as session:
            await personal_tokens.revoke(session, user_id=who.user_id, token_id=token_id)

    return router
