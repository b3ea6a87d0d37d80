"""What the description shows: a request, an answer and a problem of every kind, as they really are.

`examples.json` holds what an installation was asked and did answer, by operation; a test asks one again and compares,
and `make docs-api` writes it anew. Problems are one typical of each status; where an operation has another, it is here.
"""

import http
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from bottega.entrypoints.http.problems import MEDIA_TYPE

ASKED, ANSWERED = "asked", "answered"
FILE = "examples.json"
_REQUEST_ID = "0b3f6e2a9c5d4e1f8a7b6c5d4e3f2a1b"

Said = tuple[str, str]
_TYPICAL: Mapping[int, Said] = {
    400: ("malformed_body", "The body cannot be read: it is not JSON."),
    401: ("invalid_token", "The token is unknown, expired or revoked. Sign in again, or make a new one."),
    402: ("insufficient_credits", "This takes 4.00 credits and 1.25 are available. Buy more, and it goes on."),
    403: ("missing_scope", "This token lacks the scope {scopes}."),
    404: ("unknown_project", "There is no project 123e4567-e89b-12d3-a456-426614174000."),
    408: ("body_too_slow", "The body did not arrive in time."),
    409: ("nothing_to_do", "There is no plan waiting for a go."),
    410: ("project_deleted", "This key began a project, which was deleted since. Nothing was done."),
    413: ("body_too_large", "The body is larger than 256 KiB."),
    415: ("unsupported_media_type", "Send JSON, with `Content-Type: application/json`."),
    422: ("invalid_request", "The request was not understood, and nothing was done. {where}: {why}."),
    429: ("too_many_requests", "Too many requests. Come again in 12 seconds."),
    500: ("run_loop_failed", "Failed to run autonomous loop"),
    502: ("payment_gateway_unavailable", "The payment provider does not answer. Nothing was paid; try again later."),
    503: ("storage_unavailable", "The store of files does not answer. Try again later."),
}
_NO_BOT = ("no_telegram_bot", "This installation has no Telegram bot, so nobody can sign in with Telegram.")
_NOT_ACTIVE = ("account_not_active", "This account is suspended or deleted.")
_TRY_LATER = ("too_many_tries", "Too many wrong codes. Come again in 240 seconds.")
_NO_KEY = ("key_not_found", "There is no kept key with the fingerprint 0123456789ab.")
_KEPT = ("key_kept", "This key is kept already.")
_NO_ACCOUNT = ("account_not_found", "There is no such account.")
_OWN: Mapping[tuple[str, int], Said] = {
    ("sign_in_with_telegram", 401): ("telegram_data_refused", "What Telegram said could not be believed."),
    ("sign_in_with_telegram", 403): _NOT_ACTIVE,
    ("sign_in_with_telegram", 404): _NO_BOT,
    ("sign_in_with_mini_app", 401): ("telegram_data_refused", "What Telegram said could not be believed."),
    ("sign_in_with_mini_app", 403): _NOT_ACTIVE,
    ("sign_in_with_mini_app", 404): _NO_BOT,
    ("sign_in_with_code", 401): ("invalid_code", "The code is not right, spent, or older than five minutes."),
    ("sign_in_with_code", 403): _NOT_ACTIVE,
    ("sign_in_with_code", 429): _TRY_LATER,
    ("refresh_sign_in", 401): ("invalid_refresh_token", "The refresh token is unknown, expired or spent."),
    ("refresh_sign_in", 403): _NOT_ACTIVE,
    ("create_token", 409): ("too_many_tokens", "There are 20 tokens already, which is the most: revoke one first."),
    ("revoke_token", 404): ("token_not_found", "You have no such token, or it is revoked already."),
    ("run_loop", 400): ("invalid_request", "The request was not understood. body.project_id: Field required."),
    ("run_loop", 409): ("project_stopped", "The project waits for answers to its questions."),
    ("run_loop", 422): ("idempotency_key_reused", "This idempotency key was used before, for another request."),
    ("edit_plan", 409): ("plan_changed", "The plan has changed since you read it. Read it again."),
    ("read_task", 404): ("unknown_task", "The plan has no task T9."),
    ("read_task_diff", 404): ("unknown_task", "The plan has no task T9."),
    ("read_task_diff", 409): ("nothing_committed", "Nothing was committed for task T1 yet."),
    ("list_files", 404): ("unknown_commit", "The project's history has no commit 4c6fbfb14c6f."),
    ("read_file", 404): ("unknown_file", "There is no file words/counter.py in this project."),
    ("read_file", 413): ("file_too_large", "The file is larger than can be shown."),
    ("make_download_link", 409): ("not_delivered", "The project is not delivered yet."),
    ("follow_download_link", 403): ("bad_download_link", "This download link is not valid. Ask for a new one."),
    ("follow_download_link", 404): ("unknown_object", "There is no such file any more."),
    ("create_checkout", 404): ("unknown_package", "There is no package 'buy_7'."),
    ("create_checkout", 409): ("no_telegram_account", "Stars are paid in Telegram: sign in with it."),
    ("create_checkout", 503): ("payments_off", "Nothing can be bought here."),
    ("add_key", 409): _KEPT,
    ("remove_key", 404): _NO_KEY,
    ("add_platform_key", 409): _KEPT,
    ("remove_platform_key", 404): _NO_KEY,
    ("read_user", 404): _NO_ACCOUNT,
    ("change_user", 404): _NO_ACCOUNT,
    ("change_user", 409): ("not_on_yourself", "Nobody lowers or suspends themselves."),
    ("grant_credits", 404): _NO_ACCOUNT,
    ("grant_credits", 409): ("idempotency_key_reused", "This idempotency key was used before, for another request."),
}


def recorded() -> Mapping[str, Mapping[str, Any]]:
    """Return what was asked and answered, by operation."""
    found: Mapping[str, Mapping[str, Any]] = json.loads(resources.files(__package__).joinpath(FILE).read_text("utf-8"))
    return found


def illustrate(told: Mapping[str, Any]) -> None:
    """Put an example into every body that the description speaks of."""
    real = recorded()
    for operations in told["paths"].values():
        for operation in operations.values():
            seen = real.get(operation["operationId"], {})
            if ASKED in seen:
                operation["requestBody"]["content"]["application/json"]["example"] = seen[ASKED]
            for status, answer in operation["responses"].items():
                content = answer.get("content", {})
                if MEDIA_TYPE in content:
                    content[MEDIA_TYPE]["example"] = _problem(operation, int(status))
                elif "application/json" in content and ANSWERED in seen:
                    content["application/json"]["example"] = seen[ANSWERED]


def _problem(operation: Mapping[str, Any], status: int) -> Mapping[str, Any]:
    code, detail = _OWN.get((operation["operationId"], status), _TYPICAL[status])
    scopes = [scope for wanted in operation.get("security", ()) for scope in next(iter(wanted.values()))]
    where, why = _fault(operation)
    told: dict[str, Any] = {
        "type": f"urn:bottega:problem:{code}",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": detail.format(scopes=" ".join(scopes), where=where, why=why),
        "code": code,
        "request_id": _REQUEST_ID,
    }
    if code == _TYPICAL[422][0] and status == http.HTTPStatus.UNPROCESSABLE_ENTITY:
        told["errors"] = [{"where": where, "why": why}]
    return told


def _fault(operation: Mapping[str, Any]) -> Said:
    if "requestBody" in operation:
        return "body", "Input should be a valid dictionary or object to extract fields from"
    place = next(iter(operation.get("parameters", ())), {"in": "query", "name": "limit"})
    return f"{place['in']}.{place['name']}", "The value is not what is described"
