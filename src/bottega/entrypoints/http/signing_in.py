"""The routes of signing in: by Telegram, by a code from the bot, by a refresh token; and of signing out."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import ConfigDict, Field, RootModel, StrictBool, StrictInt, StrictStr
from starlette.requests import Request

from bottega.access.codes import TooManyTries
from bottega.access.service import Access
from bottega.access.sign_in import Tokens
from bottega.access.telegram import LONGEST_DATA, MOST_FIELDS
from bottega.entrypoints.http.api.route import ApiRoute
from bottega.entrypoints.http.api.wire import Asked, Told, problem_response
from bottega.entrypoints.http.protection import answer_with
from bottega.entrypoints.http.throttling import address_of, count_refresh, count_sign_in

_LARGEST = 2**53
_Value = Annotated[StrictStr, Field(max_length=2048)] | Annotated[StrictInt, Field(ge=0, lt=_LARGEST)]
_RefreshToken = Annotated[StrictStr, Field(min_length=1, max_length=200, examples=["bort_..."])]


class TelegramWidget(RootModel[dict[Annotated[str, Field(max_length=64)], _Value]]):
    """What Telegram's Login Widget gave, with every field as it came."""

    root: Annotated[dict[Annotated[str, Field(max_length=64)], _Value], Field(max_length=MOST_FIELDS)]
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"id": 42, "first_name": "Ada", "auth_date": 1767225600, "hash": "9f86d0..."}]}
    )


class MiniAppData(Asked):
    init_data: Annotated[
        StrictStr,
        Field(
            min_length=1,
            max_length=LONGEST_DATA,
            description="`Telegram.WebApp.initData`, as it is.",
            examples=["query_id=AA...&user=%7B%22id%22%3A42%7D&auth_date=1767225600&hash=9f86d0..."],
        ),
    ]


class TypedCode(Asked):
    code: Annotated[StrictStr, Field(min_length=1, max_length=40, examples=["42-K7QM2XWP"])]


class Refresh(Asked):
    refresh_token: _RefreshToken


class SignOut(Asked):
    refresh_token: _RefreshToken
    everywhere: Annotated[StrictBool, Field(description="Not this one alone: all of the person's.")] = False


class SignedIn(Told):
    """The names are OAuth 2.0's. The refresh token is good for one use, which gives the next."""

    access_token: str
    token_type: str = "Bearer"  # noqa: S105  # its kind, not the token
    expires_in: Annotated[int, Field(description="Seconds until the access token expires.", examples=[900])]
    refresh_token: str
    scope: Annotated[str, Field(examples=["credits:read projects:read"])]


_TRYING = [Depends(count_sign_in)]
_REFRESHING = [Depends(count_refresh)]
_TOO_MANY: dict[int | str, dict[str, Any]] = {
    429: problem_response("Too many tries; `Retry-After` says when to come again.")
}
_NO_BOT: dict[int | str, dict[str, Any]] = {404: problem_response("This installation has no Telegram bot.")}
_REFUSED = _TOO_MANY | {
    401: problem_response("What was shown is not believed (any more)."),
    403: problem_response("The account is suspended or deleted."),
}


def sign_in_routes(access: Access) -> APIRouter:
    router = APIRouter(prefix="/auth", tags=["Signing in"], route_class=ApiRoute)

    @router.post("/telegram", dependencies=_TRYING, responses=_REFUSED | _NO_BOT)
    async def sign_in_with_telegram(body: TelegramWidget) -> SignedIn:
        """Sign in with what Telegram's Login Widget gave, within five minutes and once."""
        return _told(await access.telegram.by_widget(body.root))

    @router.post("/telegram-mini-app", dependencies=_TRYING, responses=_REFUSED | _NO_BOT)
    async def sign_in_with_mini_app(body: MiniAppData) -> SignedIn:
        """Sign in with what a Telegram Mini App was opened with, within five minutes and once."""
        return _told(await access.telegram.by_mini_app(body.init_data))

    @router.post("/code", dependencies=_TRYING, responses=_REFUSED)
    async def sign_in_with_code(request: Request, body: TypedCode) -> SignedIn:
        """Sign in with a code that the bot gave, within five minutes and once."""
        try:
            return _told(await access.codes.redeem(body.code, address=address_of(request)))
        except TooManyTries as error:
            answer_with(request, "Retry-After", str(error.retry_after_seconds))
            raise

    @router.post("/refresh", dependencies=_REFRESHING, responses=_REFUSED)
    async def refresh_sign_in(body: Refresh) -> SignedIn:
        """Spend a refresh token for new tokens. One that is shown again later ends the whole sign-in."""
        return _told(await access.sign_ins.refresh(body.refresh_token))

    @router.post("/sign-out", status_code=204, dependencies=_REFRESHING, responses=_TOO_MANY)
    async def sign_out(body: SignOut) -> None:
        """End a sign-in, or all of the person's. Access tokens end with it; no answer tells whether there was one."""
        await access.sign_ins.sign_out(body.refresh_token, everywhere=body.everywhere)

    return router


def _told(tokens: Tokens) -> SignedIn:
    return SignedIn(
        access_token=tokens.access.token,
        expires_in=tokens.access.expires_in_seconds,
        refresh_token=tokens.refresh_token,
        scope=" ".join(sorted(tokens.scopes)),
    )
