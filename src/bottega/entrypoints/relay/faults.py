"""Errors in OpenAI's shape: {"error": {"message", "type", "code", "param"}}, with the status a client acts on."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bottega.billing.ledger import InsufficientCredits, ProjectLimitReached
from bottega.core.errors import AppError
from bottega.core.money import show_credits
from bottega.entrypoints.relay.wire import InvalidRequest
from bottega.llm.errors import Interrupted, Overloaded, ProviderError, RateLimited, Refused, RequestRejected, Stalled

BAD_REQUEST, UNAUTHORIZED, TOO_MANY, UNAVAILABLE, DEFECT = 400, 401, 429, 503, 500
_TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    429: "rate_limit_error",
}
_LONGEST_WAIT_SECONDS = 3600.0


class MissingToken(AppError):
    code = "missing_api_key"
    http_status = 401

    def __init__(self) -> None:
        super().__init__("Send `Authorization: Bearer TOKEN`; `bottega relay token PROJECT` gives a token.")


class UnknownModel(AppError):
    code = "model_not_found"
    http_status = 404

    def __init__(self, model: str, *, known: str) -> None:
        super().__init__(f"The model {model[:100]!r} is not served here. These are: {known}.")


class TooManyCalls(AppError):
    """`retry_after_seconds` is a guess: a call of somebody's has to end first."""

    code = "too_many_calls"
    http_status = 429
    retry_after_seconds = 2.0

    def __init__(self, *, limit: int, whose: str) -> None:
        super().__init__(f"{limit} calls are under way {whose}, and more are not taken on. Try again when one is done.")


class CallEnded(AppError):
    """The call was given up on our side: the server stops, or whoever lent the model is done."""

    code = "call_ended"
    http_status = 503

    def __init__(self) -> None:
        super().__init__("The call was ended before its reply was complete.")


class BrokenReply(AppError):
    code = "broken_reply"
    http_status = 502

    def __init__(self) -> None:
        super().__init__("The model broke off and began again, so what you have read is not its reply. Ask again.")


class CallDefect(AppError):
    code = "internal_error"
    http_status = 500

    def __init__(self, *, error_id: str) -> None:
        super().__init__(f"Something went wrong on our side (error {error_id}).")
        self.error_id = error_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An error as it is sent."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str]


def fault(error: AppError) -> Fault:
    status = _status(error)
    told = {
        "message": _message(error),
        "type": _TYPES.get(status, "invalid_request_error" if status < DEFECT else "server_error"),
        "code": error.code,
        "param": error.param if isinstance(error, InvalidRequest) else None,
    }
    return Fault(status=status, body={"error": told}, headers=_headers(error, status=status))


def _status(error: AppError) -> int:
    match error:
        case RateLimited():
            return TOO_MANY
        case Overloaded() | Stalled() | Interrupted():
            return UNAVAILABLE
        case RequestRejected() | Refused():
            return BAD_REQUEST
        case _:
            return error.http_status


def _message(error: AppError) -> str:
    if not isinstance(error, InsufficientCredits):
        return error.message
    needed, available = show_credits(error.needed), show_credits(error.available)
    worst = f"This call may cost up to {needed} credits and "
    less = "or ask for less (max_tokens)."
    if isinstance(error, ProjectLimitReached):
        return f"{worst}the project's limit leaves {available}. Raise the limit, {less}"
    return f"{worst}{available} are available. Top up (see `bottega credits --help`), {less}"


def _headers(error: AppError, *, status: int) -> dict[str, str]:
    if status == UNAUTHORIZED:
        return {"WWW-Authenticate": "Bearer"}
    seconds = error.retry_after_seconds if isinstance(error, ProviderError | TooManyCalls) else None
    if seconds is None or status not in {TOO_MANY, UNAVAILABLE}:
        return {}
    return {"Retry-After": str(math.ceil(min(max(seconds, 1.0), _LONGEST_WAIT_SECONDS)))}
